#!/usr/bin/env python3
"""Runs a command in the guest under the host's perf: what `make perf` does.

  perf.py --cmd COMMAND -- RUNNER OPTIONS

With KVM and perf: `perf kvm stat` counts why the guest was left for the host, and `perf kvm record`
samples the guest's kernel by the processor's own counters; both reports are printed and kept as
build/perf-stat.txt and build/perf-guest.txt. The kernel's symbols are written as build/kallsyms.

exit status: 1 when this host cannot, with one line that says what lacks; otherwise the command's.
"""

import argparse
import os
import shutil
import subprocess
import sys

import accel
import symbols

TOOLS = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(os.path.dirname(TOOLS), "build")
INSTEAD = 'make profile CMD="..." needs neither'
PERF_PROBE = ["perf", "stat", "-a", "-e", "cycles", "true"]


def lacking():
    """What keeps perf from looking into a guest here, in words; None when nothing does."""
    verdict = accel.kvm_verdict(os.path.join(BUILD, "kvmtest.elf"))
    if not verdict.usable:
        return f"no KVM ({verdict.why})"
    if not shutil.which("perf"):
        return "there is no perf: install linux-perf"
    probe = subprocess.run(PERF_PROBE, capture_output=True, text=True)
    if probe.returncode != 0 or "not supported" in probe.stderr:
        return ("perf cannot count cycles of all CPUs: run as root, or set "
                "kernel.perf_event_paranoid to -1, on a host that shows its counters")
    return None


def kallsyms_text(elf):
    """The kernel's functions as /proc/kallsyms has them, for perf's --guestkallsyms."""
    return "".join(f"{address:016x} t {name}\n" for address, name in symbols.functions(elf))


def guest_options():
    """perf kvm's options that say what the guest's kernel is."""
    kallsyms = os.path.join(BUILD, "kallsyms")
    with open(kallsyms, "w", encoding="utf-8") as file:
        file.write(kallsyms_text(os.path.join(BUILD, "kernel.elf")))
    modules = os.path.join(BUILD, "guestmodules")
    with open(modules, "w", encoding="utf-8"):  # there are none
        pass
    return ["--guest", f"--guestkallsyms={kallsyms}", f"--guestmodules={modules}"]


def perf_run(record, report, name, machine):
    """Records one run of the machine, and prints and keeps the report; the run's status."""
    data = os.path.join(BUILD, f"perf-{name}.data")
    run = subprocess.run([*record, "-o", data, *machine], stdin=subprocess.DEVNULL)
    done = subprocess.run([*report, "-i", data], capture_output=True, text=True)
    print(done.stdout or done.stderr)
    with open(os.path.join(BUILD, f"perf-{name}.txt"), "w", encoding="utf-8") as file:
        file.write(done.stdout)
    return run.returncode or done.returncode


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cmd", default="", help="what the guest runs")
    parser.add_argument("runner", nargs="*", help="options of tools/run.py, after --")
    args = parser.parse_args()
    if not args.cmd.strip():
        parser.error('no command: make perf CMD="..."')
    missing = lacking()
    if missing:
        print(f"perf: {missing}; {INSTEAD}", file=sys.stderr)
        return 1
    machine = ["--", os.path.join(TOOLS, "run.py"), *args.runner, "--accel", "kvm",
               "--cmd", args.cmd]
    kvm = ["perf", "kvm"]
    status = perf_run([*kvm, "stat", "record", "-a"], [*kvm, "stat", "report"], "stat", machine)
    guest = [*kvm, *guest_options()]
    return status or perf_run([*guest, "record", "-a", "-g"],
                              [*guest, "report", "--stdio", "--sort", "sym"], "guest", machine)


if __name__ == "__main__":
    sys.exit(main())
