#!/usr/bin/env python3
"""make doctor: one sentence for each thing that is missing or broken on this host, with the fix.

Ends with status 1 if something keeps Cathode from being built, booted under emulation or tested;
what only costs speed or convenience is told as a note.
"""

import os
import re
import shutil
import socket
import subprocess
import sys

import accel
import vm

TOOLS = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(os.path.dirname(TOOLS), "build")
LEAST_PYTHON = (3, 9)
LEAST_QEMU = (6, 0)
LEAST_GCC, LEAST_CLANG = 12, 14
LEAST_DISK_MIB = 1500
LEAST_MEMORY_MIB = 1500
ARCHIVE_TIMEOUT_S = 5

# Each check answers (is it fatal, what is wrong, the fix), or None.


def check_platform():
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return (True, f"this host is {sys.platform} on {os.uname().machine}, not Linux on x86-64",
                "build in a Debian 12 container or virtual machine")
    return None


def check_python():
    if sys.version_info < LEAST_PYTHON:
        return (True, f"Python {sys.version.split()[0]} is too old for the tools",
                f"install Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or newer")
    return None


def packages_missing():
    run = subprocess.run([os.path.join(TOOLS, "setup.sh"), "--list"], capture_output=True,
                         text=True)
    return run.stdout.strip()


def check_packages():
    missing = packages_missing()
    if missing:
        return True, f"packages are missing: {missing}", (
            f"apt-get update && apt-get install -y --no-install-recommends {missing}")
    return None


def archive_reachable():
    """Does the archive of the first apt source answer? True when there is nothing to ask."""
    proxy = os.environ.get("http_proxy", "")
    run = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"],
                         capture_output=True, text=True)
    uris = run.stdout.split()
    asked = proxy or (uris[0] if uris else "")
    found = re.match(r"https?://(?:[^@/]*@)?([^/:]+)(?::(\d+))?", asked)
    if not found:
        return True
    try:
        port = found.group(2) or ("443" if found.group().startswith("https") else "80")
        socket.create_connection((found.group(1), int(port)), ARCHIVE_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def check_apt():
    """Only what is still to be fetched needs apt."""
    if os.path.exists(os.path.join(BUILD, "musl", "src", ".stamp")) and not packages_missing():
        return None
    if not shutil.which("apt-get"):
        return (False, "there is no apt here, so nothing can be installed and musl not fetched",
                "install the packages by hand and give MUSL_TARBALL=path of musl-1.2.3.tar.gz")
    if packages_missing() and os.geteuid() != 0:
        return (False, "you are not root, so `make setup` can only print what to install",
                "run `make setup` as root once")
    if not archive_reachable():
        return (False, "the archive that apt is configured for does not answer",
                "check the network, http_proxy and the sources in /etc/apt")
    return None


def major_of(command):
    try:
        run = subprocess.run([command, "-dumpversion"], capture_output=True, text=True, timeout=20)
        return int(re.match(r"\d+", run.stdout).group())
    except (OSError, AttributeError, subprocess.SubprocessError):
        return None


def compiler_problem(command, least):
    major = major_of(command)
    if major is not None and major < least:
        return (True, f"{command} {major} lacks what the source uses of C23",
                f"install {command} {least} or newer")
    return None


def check_gcc():
    return compiler_problem("gcc", LEAST_GCC)


def check_clang():
    return compiler_problem("clang", LEAST_CLANG)


def check_qemu():
    try:
        text = vm.version()
    except vm.VmError as error:
        return True, str(error), "apt-get install qemu-system-x86"
    found = re.search(r"version (\d+)\.(\d+)", text)
    if found and tuple(map(int, found.groups())) < LEAST_QEMU:
        return True, f"{text} is too old", f"install QEMU {'.'.join(map(str, LEAST_QEMU))} or newer"
    return None


def check_emulation():
    kernel = os.path.join(BUILD, "kvmtest.elf")
    if not os.path.exists(kernel):
        return None  # the compiler or the assembler is missing, and has been named
    config = vm.Config(kernel, accel="tcg", mem="64", timeout=60)
    try:
        outcome = vm.Machine(config).run()
    except vm.VmError as error:
        return True, str(error), "reinstall qemu-system-x86"
    if outcome.kind != "exit":
        return (True, f"a guest does not even run under emulation: {outcome.text}",
                "reinstall qemu-system-x86 and its data package qemu-system-data and seabios")
    return None


def check_kvm():
    problem = accel.device_problem()
    if problem:
        return (False, f"{problem[0]}, so guests are emulated and times are not hardware's",
                problem[1])
    kernel = os.path.join(BUILD, "kvmtest.elf")
    if not os.path.exists(kernel):
        return (False, "KVM cannot be proved, because its proof kernel is not built",
                "make build/kvmtest.elf")
    verdict = accel.kvm_verdict(kernel, fresh=True)
    if verdict.usable:
        return None
    return (False, f"{accel.DEVICE} opens, but KVM does not work: {verdict.why}",
            "use a host with hardware virtualisation of its own; until then ACCEL=auto emulates")


def check_disk():
    free = shutil.disk_usage(os.path.dirname(TOOLS)).free >> 20
    if free < LEAST_DISK_MIB:
        return (True, f"only {free} MiB of disk are free where the tree is",
                f"free {LEAST_DISK_MIB} MiB")
    return None


def check_memory():
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    with open("/proc/meminfo", encoding="ascii") as file:
        found = re.search(r"MemAvailable:\s+(\d+)", file.read())
    available = int(found.group(1)) >> 10 if found else pages
    if available < LEAST_MEMORY_MIB:
        return (False, f"only {available} MiB of memory are available; a guest takes 512",
                "close something, or run with MEM=256")
    return None


CHECKS = (check_platform, check_python, check_packages, check_apt, check_gcc, check_clang,
          check_qemu, check_disk, check_memory, check_emulation, check_kvm)


def main():
    n_fatal = n_notes = 0
    for check in CHECKS:
        found = check()
        if not found:
            continue
        fatal, what, fix = found
        n_fatal, n_notes = n_fatal + fatal, n_notes + (not fatal)
        print(f"{'broken' if fatal else 'note'}: {what}; fix: {fix}.")
    if not n_fatal:
        notes = f" ({n_notes} note{'s' * (n_notes > 1)})" if n_notes else ""
        print(f"doctor: this host can build, boot and test Cathode{notes}.")
    return 1 if n_fatal else 0


if __name__ == "__main__":
    sys.exit(main())
