#!/usr/bin/env python3
"""A small sweep in the guest, as a part of `make test`: every workload at two CPUs with two
settings, resumed once, and what comes out of it; settings from a sched.conf; parameters put back at
the end. Prints TAP. Nothing here depends on how fast anything is.
"""

import os
import subprocess
import sys
import tempfile

import tune_conf
import tune_design
import tune_samples

TOOLS = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(TOOLS)
MACHINE = ["--smp", "2", "--accel", "tcg", "--log", "build/tune-smoke.log",
           "--kernel", "build/debug/kernel.elf"]
TIMEOUT_S = 120
OUTPUT = {"plan.txt", "samples.tsv", "statement.txt", "sched.conf", "pareto.svg", "pareto.png"}


def run(*argv):
    return subprocess.run([sys.executable, *argv], cwd=TREE, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=TIMEOUT_S)


def tune(*options):
    return run("tools/tune.py", *options, "--", *MACHINE)


def guest(command, *options):
    return run("tools/run.py", *MACHINE, "--timeout", "60", "--cmd", command, *options)


class Tap:
    """Assertions, and what was said by the program that broke one."""

    def __init__(self):
        self.count = self.failed = 0

    def ok(self, good, name, process=None):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
        if not good and process:
            said = (process.stdout + process.stderr).splitlines()[-20:]
            print("\n".join(f"# {line}" for line in said), flush=True)


def samples_of(folder):
    return tune_samples.load(os.path.join(folder, "samples.tsv"))


def lines_drop(path, n):
    """Takes the last lines away, and half of the one before."""
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    lines, cut = lines[:-n - 1], lines[-n - 1]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines([*lines, cut[:len(cut) // 2]])


def sweep_test(tap, results):
    workloads, _ = tune_design.conf_read(os.path.join(TREE, "bench", "tune", "sweep.conf"))
    process = tune("--param", "slice_us=1000,3000", "--blocks", "1", "--ms", "60", "--seed", "1",
                   "--results", results)
    tap.ok(process.returncode == 0, "a sweep of one parameter ends well", process)
    folder = os.path.join(results, os.listdir(results)[0])
    tap.ok(len(samples_of(folder).samples) == 2 * len(workloads), "it has every sample")
    tap.ok(OUTPUT <= set(os.listdir(folder)), "it leaves its files")
    lines_drop(os.path.join(folder, "samples.tsv"), 3)
    tap.ok(len(samples_of(folder).samples) == 2 * len(workloads) - 4, "four samples were lost")
    process = tune("--resume", folder)
    tap.ok(process.returncode == 0 and " 4 of " in process.stderr, "it is resumed", process)
    tap.ok(len(samples_of(folder).samples) == 2 * len(workloads), "it has every sample again")
    conf = tune_conf.load(os.path.join(folder, "sched.conf"))
    tap.ok(set(conf) <= {"slice_us"}, "its sched.conf can be read")


def conf_test(tap, scratch):
    """A file's settings are those of the guest, and a sweep puts them back."""
    path = os.path.join(scratch, "sched.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write("# a comment\nslice_us=1234\n")
    os.mkdir(os.path.join(scratch, "etc"))
    with open(os.path.join(scratch, "etc", "plan"), "w", encoding="utf-8") as file:
        file.write("p0 request 0 slice_us=500\n")
    process = guest("sh -c 'tune --plan=/etc/plan --ms=20 && sched slice_us'", "--sched", path,
                    "--add", scratch)
    last = (process.stdout.splitlines() or [""])[-1]
    good = process.returncode == 0 and last == "1234"
    tap.ok(good, "SCHED=file sets, a sweep puts back", process)
    with open(path, "a", encoding="utf-8") as file:
        file.write("slice_us 7\n")
    process = guest("true", "--sched", path)
    tap.ok(process.returncode == 126 and "sched.conf:3: " in process.stderr,
           "a bad line is named", process)


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="cathode-tune-") as scratch:
        results = os.path.join(scratch, "results")
        os.mkdir(results)
        sweep_test(tap, results)
    with tempfile.TemporaryDirectory(prefix="cathode-tune-") as scratch:
        conf_test(tap, scratch)
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
