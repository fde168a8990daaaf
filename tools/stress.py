#!/usr/bin/env python3
"""make stress: storms on the scheduler under forced preemption, at several CPU counts.

Each boot runs the guest's `stress` (user/tests/stress.c) under the debug kernel with the boot
argument `stress=SEED`, which delays and preempts after unlocks (kernel/base/stress.h), and prints
one line. A boot is right when its TAP is, and when the machine has not panicked, hung or reset.
What a bad one said is kept in build/stress-CPUS.txt, with the kernel's log beside it. The status is
1 when one was bad, 2 for bad options.

A storm lasts a minute, and 20 s at 64 CPUs: enough for every day. MINUTES=10 gives ten minutes at
each size, 64 CPUs included, which is what the scheduler has to pass clean.

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
LIMIT_S = 20  # without a round until a worker counts as stuck, as far as the host gives them
PATIENCE = 5  # times that, until it counts whatever the host gives (stress_watch.h)
MINUTES = 1  # of storm at each size, unless told
MANY, MANY_S = 64, 20  # CPUs at which it is so many seconds, unless told
CPUS_MOST = 64  # of the kernel
MINUTES_MOST = 1440
SEED_MOST = 2 ** 32
SLOWER_MOST = 6  # how much longer all takes where the host has far fewer CPUs than the guest
SUMMARY = re.compile(r"^# (\d+ workers on \d+ CPUs: .*)$", re.M)


def cpu_counts_of(text):
    counts = [int(word) if re.fullmatch("[0-9]+", word) else 0 for word in text.split(",")]
    if not all(1 <= n <= CPUS_MOST for n in counts):
        raise argparse.ArgumentTypeError(f"SMP={text}: CPU counts from 1 to {CPUS_MOST}, as 1,2,4")
    return counts


def minutes_of(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= MINUTES_MOST:  # neither is true of a nan
        raise argparse.ArgumentTypeError(f"MINUTES={text}: more than 0, at most {MINUTES_MOST}")
    return value


def seed_of(text):
    if not re.fullmatch("[0-9]+", text) or not 1 <= int(text) <= SEED_MOST:
        raise argparse.ArgumentTypeError(f"SEED={text}: a number from 1 to {SEED_MOST}")
    return int(text)


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smp", type=cpu_counts_of, default=f"1,2,4,8,{MANY}",
                        help="CPU counts (%(default)s)")
    parser.add_argument("--minutes", type=minutes_of, default=None,
                        help=f"of storm at each ({MINUTES}; {MANY_S} s at {MANY} CPUs)")
    parser.add_argument("--seed", type=seed_of, default=1,
                        help="of the first; 1 more for each boot (%(default)s)")
    parser.add_argument("--kernel", default="build/debug/kernel.elf")
    return parser.parse_args(argv)


def seconds_of(args, n_cpus):
    if args.minutes is None and n_cpus >= MANY:
        return MANY_S
    return max(1, round((args.minutes or MINUTES) * 60))


def command_of(kernel, n_cpus, seed, seconds):
    slower = min(SLOWER_MOST, max(1, n_cpus // os.cpu_count()))
    return ["tools/run.py", "--accel", "tcg", "--smp", str(n_cpus), "--kernel", kernel,
            "--timeout", str(seconds + (BOOT_S + PATIENCE * LIMIT_S) * slower),
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
    print(f"  {'ok  ' if good else 'FAIL'}  {n_cpus} CPUs, {seconds} s, seed {seed}: {what} "
          f"({time.monotonic() - started:.0f} s){'' if good else ', see ' + kept}", flush=True)
    return good


def main():
    args = arguments()
    n_bad = 0
    counts = args.smp
    for i, n_cpus in enumerate(counts):
        n_bad += not storm(args.kernel, n_cpus, args.seed + i, seconds_of(args, n_cpus))
    print(f"{len(counts) - n_bad} passed, {n_bad} failed")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
