#!/usr/bin/env python3
"""make stress: storms on the scheduler under forced preemption, at several CPU counts.

Each boot runs the guest's `stress` (user/tests/stress.c) under the debug kernel with the boot
argument `stress=SEED`, which delays and preempts after unlocks (kernel/base/stress.h), and prints
one line. A boot is right when its TAP is, and when the machine has not panicked, hung or reset.
What a bad one said is kept in build/stress-CPUS.txt, with the kernel's log beside it. The status is
1 when one was bad.

A guest CPU that the host does not run answers no interrupt: with more of them than the host has,
whoever waits for all (a change to a page table, after a fork) waits for the host to go round.
"""

import argparse
import os
import re
import subprocess
import sys
import time

import test as guesttest

BOOT_S = 60  # a boot, the watchdog's proof, and the end of the storm
LIMIT_S = 20  # without a round until a worker counts as stuck
MANY, MANY_S = 64, 20  # CPUs, seconds of storm
SLOWER_MOST = 6  # how much longer all takes where the host has far fewer CPUs than the guest
SUMMARY = re.compile(r"^# (\d+ workers on \d+ CPUs: .*)$", re.M)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smp", default=f"1,2,4,8,{MANY}", help="CPU counts (%(default)s)")
    parser.add_argument("--minutes", type=float, default=1,
                        help=f"of storm at each; {MANY_S} s at {MANY} CPUs (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first; 1 more for each boot")
    parser.add_argument("--kernel", default="build/debug/kernel.elf")
    args = parser.parse_args()
    if args.seed < 1:
        parser.error("SEED is at least 1")
    return args


def command_of(kernel, n_cpus, seed, seconds):
    slower = min(SLOWER_MOST, max(1, n_cpus // os.cpu_count()))
    return ["tools/run.py", "--accel", "tcg", "--smp", str(n_cpus), "--kernel", kernel,
            "--timeout", str(seconds + BOOT_S * slower + LIMIT_S * slower),
            "--bootargs", f"stress={seed}", "--log", f"build/stress-{n_cpus}.log",
            "--cmd", f"stress -s {seed} -t {seconds} -l {LIMIT_S * slower}"]


def storm(kernel, n_cpus, seed, seconds):
    """Prints a line; answers whether all was well."""
    started = time.monotonic()
    done = subprocess.run(command_of(kernel, n_cpus, seed, seconds), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace")
    tally = guesttest.Tally()
    for line in done.stdout.splitlines():
        tally.feed(line)
    ours = [line for line in done.stderr.splitlines() if line.startswith("run: ")]
    problem = ours[-1] if ours else tally.problem(done.returncode)
    good = not problem and not tally.failed
    kept = f"build/stress-{n_cpus}.txt"
    with open(kept, "w", encoding="utf-8") as file:
        file.write(done.stdout + done.stderr)
    found = SUMMARY.search(done.stdout)
    what = found.group(1) if good and found else "; ".join([problem or "", *tally.failures])
    print(f"  {'ok  ' if good else 'FAIL'}  {n_cpus} CPUs, seed {seed}: {what} "
          f"({time.monotonic() - started:.0f} s){'' if good else ', see ' + kept}", flush=True)
    return good


def main():
    args = arguments()
    n_bad = 0
    counts = [int(n) for n in args.smp.split(",")]
    for i, n_cpus in enumerate(counts):
        seconds = MANY_S if n_cpus >= MANY else max(1, round(args.minutes * 60))
        n_bad += not storm(args.kernel, n_cpus, args.seed + i, seconds)
    print(f"{len(counts) - n_bad} passed, {n_bad} failed")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
