#!/usr/bin/env python3
"""Models: every FOLDER/*/model/*.pml, explored by spin to its end.

A model must hold as it stands; each `BREAK name` of its opening comment, defined, breaks it on
purpose, and must be found out: a claim that cannot fail says nothing. Without spin the check is
skipped, and says so.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

DEPTH = 1000000
BREAK = re.compile(r"^ \* BREAK (\w+) ", re.M)
STATES = re.compile(r"^\s*(\d+) states, stored", re.M)
ERRORS = re.compile(r"errors: (\d+)")
NEVER = re.compile(r"state \d+, \"(?!-end-)")  # a state of a process that no run has reached


def run(command, scratch):
    done = subprocess.run(command, cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode:
        sys.exit(f"models: {' '.join(command)}:\n{done.stdout}")
    return done.stdout


def explore(model, define, scratch):
    """(errors, states, the checker's report) of one form of a model."""
    said = run(["spin", f"-D{define}", "-a", os.path.abspath(model)], scratch)
    if "rror:" in said:
        sys.exit(f"models: {said}")
    run(["gcc", "-O2", "-w", "-DSAFETY", "-o", "pan", "pan.c"], scratch)
    report = run(["./pan", f"-m{DEPTH}"], scratch)
    found = ERRORS.search(report)
    if not found or "max search depth too small" in report:
        sys.exit(f"models: {model}: not explored to its end:\n{report}")
    return int(found.group(1)), int(STATES.search(report).group(1)), report


def model_check(model, scratch):
    """Prints a line for each form; answers how many were not as they should be."""
    with open(model, encoding="utf-8") as file:
        breaks = BREAK.findall(file.read())
    errors, states, report = explore(model, "AS_IT_IS", scratch)
    bad = bool(errors or NEVER.search(report) or not breaks)
    print(f"  {'FAIL' if bad else 'ok  '}  {model}: {states} states, {errors} errors")
    if bad:
        print(report)
    for name in breaks:
        errors, _, _ = explore(model, name, scratch)
        bad += errors == 0
        print(f"  {'ok  ' if errors else 'FAIL'}  {model}: {name} is "
              f"{'found out' if errors else 'not found out'}")
    return bad


def main():
    if not shutil.which("spin"):
        print("models: skipped, since spin is not installed (Debian package spin)")
        return 0
    models = sorted(glob.glob("*/*/model/*.pml"))
    with tempfile.TemporaryDirectory() as scratch:
        n_bad = sum(model_check(model, scratch) for model in models)
    print(f"{len(models)} models, {n_bad} failed")
    return 1 if n_bad or not models else 0


if __name__ == "__main__":
    sys.exit(main())
