"""What machine a number was made on: key=value facts for the stamps of results."""

import platform
import subprocess

import accel
import tune_conf
import vm


def first_line(argv):
    """The first line a command prints, or "absent"."""
    try:
        run = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "absent"
    lines = run.stdout.splitlines()
    return lines[0].strip() if run.returncode == 0 and lines else "absent"


def cpu_flags():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("flags"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return "unknown"


def commit():
    """The commit, with `-dirty` when the tree differs from it."""
    return first_line(["git", "describe", "--always", "--dirty", "--abbrev=12"])


def facts(config, verdict):
    """(key, value) pairs, in the order in which they should be read."""
    return [
        ("accel", "tcg" if config.icount else config.accel),
        ("verdict", verdict),
        ("times", "hardware" if config.accel == "kvm" and not config.icount else "emulated"),
        ("icount", "1" if config.icount else "0"),
        ("smp", config.smp),
        ("mem", config.mem),
        ("sched", tune_conf.stamp(config.append)),
        ("bootargs", config.append or "none"),
        ("guest_cpu", config.cpu),
        ("host_cpu", accel.cpu_name()),
        ("host_flags", cpu_flags()),
        ("host_kernel", platform.release()),
        ("qemu", vm.version()),
        ("compiler", first_line(["gcc", "--version"])),
        ("commit", commit()),
    ]
