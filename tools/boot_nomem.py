#!/usr/bin/env python3
"""Memory that runs out while the machine starts, as a part of `make test`: boots with fail.alloc=N
for N = 1, 2, ... until no start is disturbed any more. Each must end in one of three ways: nothing
is noticed; whoever cannot go on says so and the machine ends with a status; or the first process,
which has no stack yet to say anything, is ended, and the kernel says that. Prints TAP.
"""

import concurrent.futures
import os
import re
import subprocess
import sys

TREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMEOUT_S = 60
UNDISTURBED = 24  # boots in a row without a complaint: the allocations of a start are over
MOST = 1000
SAID = re.compile(r"^(bootstrap|init|sh): .", re.M)
BATCH = 8
NO_STACK = "process 1 (bootstrap): signal 4"
FIRST_ENDED = re.compile(r"^run: kernel panic: the first process was ended by signal 4", re.M)


def log_of(n):
    return f"build/boot-nomem-{n % BATCH}.log"


def boot(n):
    return subprocess.run(
        [sys.executable, "tools/run.py", "--accel", "tcg", "--smp", "1", "--cmd", "true",
         "--kernel", "build/debug/kernel.elf", "--timeout", str(TIMEOUT_S), "--bootargs",
         f"fail.alloc={n}", "--log", log_of(n)],
        cwd=TREE, text=True, errors="replace", capture_output=True, stdin=subprocess.DEVNULL)


def outcome(n, done):
    """How a boot ended; None: in no way that is right. Where even stderr cannot be had, complaints
    are on the log."""
    if done.returncode == 0:
        return "undisturbed"
    if NO_STACK in done.stderr and FIRST_ENDED.search(done.stderr):
        return "ended"
    with open(os.path.join(TREE, log_of(n)), encoding="utf-8", errors="replace") as log:
        if SAID.search(done.stderr + log.read()) and "run: " not in done.stderr:
            return "said"
    return None


def sweep():
    """(N, finished boot, how), in order, until enough in a row were undisturbed."""
    quiet = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(1, MOST, BATCH):
            batch = range(start, start + BATCH)
            for n, done in list(zip(batch, pool.map(boot, batch))):
                how = outcome(n, done)
                yield n, done, how
                quiet = quiet + 1 if how == "undisturbed" else 0
            if quiet >= UNDISTURBED:
                return


def main():
    counts = {"undisturbed": 0, "said": 0, "ended": 0}
    failed = n = 0
    for n, done, how in sweep():
        failed += how is None
        counts[how] = counts.get(how, 0) + 1
        print(f"{'ok' if how else 'not ok'} {n} - allocation {n} of a start fails: {how}",
              flush=True)
        if how is None:
            print("\n".join(f"# {line}" for line in done.stderr.splitlines()[-20:]), flush=True)
    enough = counts["said"] > 20 and n < MOST
    print(f"{'ok' if enough else 'not ok'} {n + 1} - {counts['said']} places said so, "
          f"{counts['ended']} had no stack to")
    print(f"1..{n + 1}")
    return 1 if failed or not enough else 0


if __name__ == "__main__":
    sys.exit(main())
