#!/usr/bin/env python3
"""check.py [NAME...]: runs the checks of tools/check (all, or those named), and sums up.

A check is a program that prints its faults as `path:line: text` and fails if there are any. The
closing line is `N passed, N failed`; the status is that of the sum.
"""

import concurrent.futures
import os
import subprocess
import sys
import time

CHECKS = (
    ("compilers", "warnings are errors with gcc and clang; lock contracts"),
    ("hosttests", "host unit tests under ASan and UBSan"),
    ("fuzz", "pure cores fuzzed for a moment, with sanitizers, against their models"),
    ("models", "models of lock-free hand-overs hold, and break when they should"),
    ("format", "clang-format changes nothing"),
    ("includes", "include direction"),
    ("shape", "length of functions, files and lines; no #if in .c"),
    ("docs", "documents against code"),
    ("abidoc", "generated documents are those of the tables"),
    ("figures", "the README's figures are those of the committed runs"),
    ("words", "words that must not be in the tree"),
    ("scripts", "scripts parse and say what they are"),
    ("toolstest", "tests of the tools themselves"),
    ("tunetest", "the sweep of scheduler parameters: design, statistics, workloads"),
    ("runner", "the runner tells hang, panic, reset and exit apart"),
)
SHOWN = 40  # faults of one check that are printed


def check_run(name):
    started = time.monotonic()
    run = subprocess.run([sys.executable, f"tools/check/{name}.py"], capture_output=True, text=True)
    return run, time.monotonic() - started


def check_tell(text, run, seconds):
    print(f"  {'ok  ' if run.returncode == 0 else 'FAIL'}  {text} ({seconds:.1f} s)")
    for line in run.stdout.splitlines():
        if run.returncode == 0 and ": skipped" in line:
            print(f"        {line}")
    if run.returncode:
        lines = (run.stdout + run.stderr).splitlines()
        for line in lines[:SHOWN]:
            print(f"        {line}")
        if len(lines) > SHOWN:
            print(f"        ... and {len(lines) - SHOWN} lines more")
    sys.stdout.flush()


def main(names):
    unknown = set(names) - {name for name, _ in CHECKS}
    if unknown:
        sys.exit(f"check: no check named {', '.join(sorted(unknown))}")
    chosen = [(name, text) for name, text in CHECKS if not names or name in names]
    n_failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [(text, pool.submit(check_run, name)) for name, text in chosen]
        for text, future in running:
            run, seconds = future.result()
            check_tell(text, run, seconds)
            n_failed += run.returncode != 0
    print(f"{len(chosen) - n_failed} passed, {n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
