#!/usr/bin/env python3
"""Fuzzing: every host test with an RNG_FUZZ(...), under clang's libFuzzer with ASan and UBSan.

The test's own walk against its naive model runs on the fuzzer's bytes instead of random numbers
(kernel/lib/rng_tape.h), and what reaches new code is kept and varied. In `make check` a fixed
number of short runs; `make fuzz SECONDS=n` goes on from what earlier ones have found, kept in
build/fuzz. An input that fails stays there, and the command that runs it again is said. Without
libFuzzer the check is skipped, and says so.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

import hosttests
import tree

OUT = "build/fuzz"
RUNS = 20000
LONGEST = 2048  # bytes: about as many decisions
FUZZER = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]


def has_fuzzer():
    """Does this clang have libFuzzer's library?"""
    with tempfile.TemporaryDirectory() as scratch:
        empty = os.path.join(scratch, "empty.c")
        with open(empty, "w", encoding="utf-8") as file:
            file.write("int LLVMFuzzerTestOneInput(const char *p, long n) { return *p && n; }\n")
        try:
            return not subprocess.run(["clang", FUZZER[0], "-w", "-o", os.path.join(scratch, "a"),
                                       empty], capture_output=True).returncode
        except OSError:
            return False


def name_of(test):
    return test.removesuffix("_test.c").replace("/", ".")


def build(test):
    """The fuzzer of a test; its own main() steps aside."""
    program = os.path.join(OUT, name_of(test))
    command = ["clang", *hosttests.OPTIONS, *FUZZER, "-Wno-unused-function", "-DCATHODE_FUZZ",
               "-Dmain=test_main", "-Wno-missing-prototypes",
               *hosttests.INCLUDES[test.split("/")[0]], "-o", program,
               *hosttests.sources_of(test), "-lm", "-pthread"]
    if hosttests.is_fresh(program, command):
        return program
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise hosttests.Broken(test, 1, run.stderr.strip()[-600:])
    with open(f"{program}.cmd", "w", encoding="utf-8") as file:
        file.write(" ".join(command))
    return program


def fuzz(test, seconds):
    """One line of what was done, or Broken."""
    program = build(test)
    corpus = f"{program}.corpus"
    os.makedirs(corpus, exist_ok=True)
    limit = [f"-max_total_time={seconds}"] if seconds else [f"-runs={RUNS}", "-seed=1"]
    folder = [corpus] if seconds else []
    run = subprocess.run([program, *limit, f"-max_len={LONGEST}", f"-artifact_prefix={program}.",
                          "-print_final_stats=1", "-verbosity=1", *folder],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors="replace")
    done = re.search(r"stat::number_of_executed_units: (\d+)", run.stdout)
    if run.returncode or not done:
        failing = re.search(r"Test unit written to (\S+)", run.stdout)
        why = re.search(r"^(Bail out!.*|.*ERROR: .*|.*runtime error:.*)$", run.stdout, re.M)
        raise hosttests.Broken(test, 1, f"{why.group(1) if why else 'failed'}; again: {program} "
                                        f"{failing.group(1) if failing else ''}")
    reached = re.findall(r"cov: (\d+)", run.stdout)
    return f"{int(done.group(1)):,} inputs, {reached[-1] if reached else '?'} branches reached"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=0, help="each; 0: a fixed number of runs")
    parser.add_argument("tests", nargs="*", help="*_test.c files; all that can be")
    args = parser.parse_args()
    report = tree.Report("fuzz")
    chosen = args.tests or [test for test in tree.files("_test.c", under=("kernel", "user"))
                            if "RNG_FUZZ(" in tree.text_of(test)]
    if not has_fuzzer():
        print("fuzz: skipped, this clang has no libFuzzer (Debian: libclang-rt-14-dev)")
        chosen = []
    elif not chosen:
        report.fault("kernel", 1, "there is nothing to fuzz")
    os.makedirs(OUT, exist_ok=True)
    for test in chosen:
        try:
            print(f"# {name_of(test)}: {fuzz(test, args.seconds)}", file=sys.stderr, flush=True)
        except hosttests.Broken as broken:
            report.fault(*broken.args)
    report.close()


if __name__ == "__main__":
    main()
