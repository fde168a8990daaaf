#!/usr/bin/env python3
"""Runs snippets of shell commands twice, with what is to be tested and with a reference, each in an
empty directory of its own, and demands the same standard output and exit status, and a message on
standard error in the same cases. TAP on stdout; status 1 when anything differs.

usage: compare.py CASES OURS [REFERENCE] [-k WORD]

CASES: a text file, snippets separated by lines of three dashes, each begins with `## NAME`, or
`## NAME (needs PROGRAM)`: skipped where this machine lacks that program to compare with.
OURS: a shell, compared with REFERENCE (dash); or a directory of programs, which the reference shell
then finds first in its PATH, compared with the programs of this machine.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TIME_LIMIT_S = 10
SYSTEM_PATH = "/usr/bin:/bin"
NEEDS = re.compile(r"\(needs (\S+)\)$")
KEPT = {name: value for name, value in os.environ.items() if name.startswith("ASAN_")}


def read_cases(path):
    """Snippets are separated by lines of three dashes; a first line `## NAME` names one."""
    for block in path.read_text().split("\n---\n"):
        name, _, text = block.strip("\n").partition("\n")
        if not name.startswith("## "):
            sys.exit(f"{path}: a snippet without a name: {name!r}")
        yield name[3:], text + "\n"


def run(shell, programs, text, as_file):
    """How the shell ends on the text, given with -c or as a script."""
    environment = {**KEPT, "PATH": programs + SYSTEM_PATH, "HOME": "/home/user", "LC_ALL": "C",
                   "TZ": "UTC0"}
    with tempfile.TemporaryDirectory() as directory:
        arguments = ["-c", text, "sh", "one", "two words"]
        if as_file:
            pathlib.Path(directory, ".script").write_text(text)
            arguments = [".script", "one", "two words"]
        try:
            done = subprocess.run(["sh"] + arguments, executable=shell, cwd=directory,
                                  env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            return "timed out", b"", b""
        output = done.stdout.replace(os.fsencode(directory), b"DIR")
        return done.returncode, output, done.stderr


def describe(label, result):
    status, output, errors = result
    print(f"#   {label}: status {status}")
    for line in (output + errors).decode(errors="replace").splitlines():
        print(f"#     {line}")


def main():
    arguments = sys.argv[1:]
    only = ""
    if "-k" in arguments:
        at = arguments.index("-k")
        only = arguments[at + 1]
        del arguments[at:at + 2]
    if len(arguments) < 2:
        sys.exit(__doc__)
    cases, ours = pathlib.Path(arguments[0]), os.path.abspath(arguments[1])
    reference = arguments[2] if len(arguments) > 2 else "/usr/bin/dash"
    tests_programs = os.path.isdir(ours)
    shell, programs = (reference, ours + ":") if tests_programs else (ours, "")
    count = failed = 0
    for name, text in read_cases(cases):
        if only not in name:
            continue
        for as_file in (False,) if tests_programs else (False, True):
            count += 1
            needs = NEEDS.search(name)
            if needs and not shutil.which(needs[1], path=SYSTEM_PATH):
                print(f"ok {count} - {name} # SKIP this machine has no {needs[1]}")
                continue
            want = run(reference, "", text, as_file)
            got = run(shell, programs, text, as_file)
            same = want[:2] == got[:2] and bool(want[2]) == bool(got[2])
            failed += not same
            print(f"{'ok' if same else 'not ok'} {count} - {name}{' (file)' if as_file else ''}")
            if not same:
                describe("expected", want)
                describe("got", got)
    print(f"1..{count}")
    sys.exit(1 if failed or not count else 0)


if __name__ == "__main__":
    main()
