"""Which accelerator to use: a proof of KVM, made once per machine.

That /dev/kvm opens, that a virtual machine can be created and that QEMU starts are no proof: there
are nested hypervisors under which guests die on ordinary instructions, or crawl. So a small kernel
(tools/kvmtest) executes what kernels execute and reports cycles per operation; the limits below are
tens of times what a working accelerator needs on slow hardware, and are missed by a factor of
hundreds where instructions are emulated one by one. The verdict is remembered in a file keyed by
host kernel, CPU, QEMU and the test itself.
"""

import hashlib
import json
import os
import platform
import time

import vm

DEVICE = "/dev/kvm"
PROOF_TIMEOUT_S = 20
CPU_CANDIDATES = ("host", "qemu64,+x2apic,+tsc-deadline,+rdtscp,+fsgsbase,+smep,+smap,+umip",
                  "qemu64")

# Most cycles one operation may take, in the order of the steps. Exits to the hypervisor and to QEMU
# are in the limits of port and timer; the timer's also holds its own delay of 10000 bus cycles, at
# whatever the bus runs.
LIMITS = {
    "loop": 50, "int3": 20_000, "fault": 40_000, "timer": 5_000_000, "cmpxchg16b": 2_000,
    "syscall": 10_000, "ring3_int": 20_000, "port": 1_000_000, "stosb_page": 20_000,
    "stosq_page": 20_000, "cr3": 40_000, "invlpg": 40_000, "msr": 80_000, "fxsave": 10_000,
}


class Verdict:
    """usable: may KVM be used, with CPU model `cpu`; why: one phrase for people."""

    def __init__(self, usable, why, cpu=None, cacheable=True):
        self.usable, self.why, self.cpu, self.cacheable = usable, why, cpu, cacheable


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def device_problem():
    """What keeps /dev/kvm from being opened, as (phrase, fix), or None."""
    if not os.path.exists(DEVICE):
        return (f"there is no {DEVICE}",
                "enable virtualisation in the firmware (or nested virtualisation in the cloud) and "
                "load kvm_intel or kvm_amd")
    try:
        os.close(os.open(DEVICE, os.O_RDWR))
    except PermissionError:
        return f"no permission for {DEVICE}", "add yourself to group kvm: adduser $USER kvm"
    except OSError as error:
        return f"{DEVICE} cannot be opened: {error.strerror}", "check that the kvm module works"
    return None


def steps_judge(records):
    """Judges what the proof kernel reported: None, or what was too slow or missing."""
    took = {}
    for name, value in records:
        step, _, cycles = value.partition(" ")
        if name == "step" and cycles.isdigit():
            took[step] = int(cycles)
    missing = [step for step in LIMITS if step not in took]
    if missing:
        return f"step {missing[0]} of the proof is missing"
    slow = [(took[step] / limit, step) for step, limit in LIMITS.items() if took[step] > limit]
    if slow:
        step = max(slow)[1]
        return (f"it crawls: {step} takes {took[step]} cycles, a working one needs less than "
                f"{LIMITS[step]}, and {len(slow)} of {len(LIMITS)} steps are too slow")
    return None


def proof_boot(kernel, cpu, accel="kvm"):
    """Boots the proof once; answers None or what went wrong."""
    config = vm.Config(kernel, accel=accel, cpu=cpu, mem="64", timeout=PROOF_TIMEOUT_S)
    try:
        machine = vm.Machine(config)
        outcome = machine.run()
    except vm.VmError as error:
        return str(error)
    if outcome.kind != "exit":
        done = sum(name == "step" for name, _ in machine.parser.records)
        step = [*LIMITS, "exit"][done]
        return f"{outcome.text}, in step {step} of the proof"
    return steps_judge(machine.parser.records)


def kvm_prove(kernel):
    """Tries the CPU models in order; a model that QEMU refuses is no verdict on KVM."""
    problem = device_problem()
    if problem:
        return Verdict(False, problem[0], cacheable=False)
    if not os.path.exists(kernel):
        return Verdict(False, f"the proof kernel {kernel} is not built", cacheable=False)
    started, why = time.monotonic(), ""
    for cpu in CPU_CANDIDATES:
        why = proof_boot(kernel, cpu)
        if why is None:
            return Verdict(True, f"proved in {time.monotonic() - started:.1f} s", cpu)
    return Verdict(False, why)


# ---- memory of the verdict ---------------------------------------------------------------------


def cache_path():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "cathode", "accel.json")


def cache_key(kernel):
    proof = hashlib.sha256(repr((LIMITS, CPU_CANDIDATES)).encode())
    with open(kernel, "rb") as file:
        proof.update(file.read())
    return " | ".join((platform.release(), cpu_name(), vm.version(), proof.hexdigest()[:16]))


def cache_load():
    try:
        with open(cache_path(), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def cache_store(key, verdict):
    """Failing to remember costs a proof the next time, nothing else."""
    entries = cache_load()
    entries[key] = {"usable": verdict.usable, "why": verdict.why, "cpu": verdict.cpu}
    path = cache_path()
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(entries, file, indent=1)
        os.replace(temporary, path)
    except OSError:
        pass


def kvm_verdict(kernel, fresh=False):
    """The verdict on KVM here: remembered, or proved now (`fresh` proves it in any case)."""
    problem = device_problem()
    if problem:
        return Verdict(False, problem[0], cacheable=False)
    if not os.path.exists(kernel):
        return kvm_prove(kernel)
    key = cache_key(kernel)
    known = None if fresh else cache_load().get(key)
    if known:
        return Verdict(known["usable"], known["why"], known["cpu"])
    verdict = kvm_prove(kernel)
    if verdict.cacheable:
        cache_store(key, verdict)
    return verdict
