#!/usr/bin/env python3
"""Makes the committed runs that the README shows, both of Cathode and Linux, and its figures:
`make reference`.

  reference.py [--make MAKE] [README.md]     measures with `make compare`, both runs
  reference.py --of NAME=results/RUN ...     takes runs that are there (NAME as below)

  results/reference/        instructions on one CPU: all cases, profiles of what misses its goal
  results/reference-smp2/   time on two CPUs: what scales, and how late sleepers wake

Kept of a run are the samples of each boot, the tables, the profiles and the pictures that a README
shows; the rest is made again from the samples by `make plot RUN=results/reference`. The tree must
be as committed, because the commit is what a run says of the source."""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import time

import bench
import boots
import figures
import results

RESULTS = os.path.join(bench.TREE, "results")
EXACT, TIMED = "reference", "reference-smp2"
# What is measured, as words for `make compare`, and which pictures are kept.
RUNS = {
    EXACT: (("ICOUNT=1", "SMP=1", "MEM=2048"),
            ("ratio", "fork-rss", "switch-runnable", "timer-armed")),
    TIMED: (("SMP=2", "MEM=1024", "ROUNDS=5", "SAMPLES=15", "SECONDS=20",
             "ONLY=cal.*,*.scale.*,pairs.*,timer.wake"),
            ("fault-cpus", "syscall-cpus", "wake-cdf"))}
TABLES = ("machine.txt", "compare.txt", "ratios.tsv", "summary.tsv", "cathode-*.tsv", "linux-*.tsv",
          "profile-*.txt")


class Unfit(Exception):
    """No reference can be made of this."""


def tree_check():
    """A run names the commit that it measured."""
    run = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], cwd=bench.TREE,
                         capture_output=True, text=True, check=True)
    if run.stdout:
        raise Unfit("the tree is not as committed; a reference must say what it measured:\n"
                    + run.stdout.rstrip())


def measured(name, make):
    """Runs `make compare` and answers the folder."""
    words = RUNS[name][0]
    print(f"reference: make compare {' '.join(words)}", file=sys.stderr, flush=True)
    status = subprocess.run([make, "-C", bench.TREE, "compare", *words], check=False).returncode
    if status:
        raise Unfit(f"make compare ended with status {status}: nothing was replaced")
    return os.path.realpath(os.path.join(RESULTS, "latest"))


def kept(name, folder):
    """Paths of what is kept of a run; each picture of RUNS must be there."""
    pictures = [os.path.join(folder, f"{picture}.{suffix}") for picture in RUNS[name][1]
                for suffix in ("png", "svg")]
    missing = [path for path in pictures if not os.path.exists(path)]
    if missing:
        raise Unfit(f"{missing[0]} is not there")
    return [path for pattern in TABLES for path in sorted(glob.glob(os.path.join(folder, pattern)))
            ] + pictures


def fit_check(folder):
    if len(boots.load(folder).systems) < 2:
        raise Unfit(f"{folder} is no comparison of both systems")


def replace(name, folder):
    """results/NAME becomes what is kept of the run: built aside, put there at one stroke."""
    fit_check(folder)
    target = os.path.join(RESULTS, name)
    fresh = target + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    for path in kept(name, folder):
        shutil.copy(path, fresh)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(fresh, target)
    print(f"reference: results/{name} is {os.path.basename(folder)}", file=sys.stderr)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--make", default="make")
    add("--of", action="append", default=[], metavar="NAME=RUN", help="a run that is there")
    add("readme", nargs="?", default=os.path.join(bench.TREE, "README.md"))
    return parser.parse_args()


def runs_given(words):
    given = dict(word.partition("=")[::2] for word in words)
    unknown = sorted(set(given) - set(RUNS))
    if unknown:
        raise Unfit(f"{unknown[0]} is none of {', '.join(RUNS)}")
    return {name: os.path.realpath(folder) for name, folder in given.items()}


def reference(args):
    """Both are measured before either is replaced."""
    started, folders = time.monotonic(), runs_given(args.of)
    if not folders:
        tree_check()
        folders = {name: measured(name, args.make) for name in RUNS}
    for name, folder in folders.items():
        replace(name, folder)
    status = figures.main(["--write", args.readme, RESULTS])
    print(f"reference: {(time.monotonic() - started) / 60:.0f} minutes; `git diff README.md` says "
          "what has changed", file=sys.stderr)
    return status


def main():
    try:
        return reference(arguments())
    except (OSError, subprocess.SubprocessError, results.Broken, Unfit) as error:
        print(f"reference: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
