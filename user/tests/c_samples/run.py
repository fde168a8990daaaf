#!/usr/bin/env python3
"""Ordinary C programs with known answers: compiles each NAME.c here, runs it with NAME.in as
standard input (if there is one), and compares its output and exit status with NAME.out. TAP.

usage: run.py --host          with the host's compiler, on the host: proves the answers
       run.py                 with build/sdk/bin/cathode-cc, in one boot of the guest
       run.py --host --write  writes the answers
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[2]
FLAGS = ["-std=gnu2x", "-O2", "-Wall", "-Wextra", "-pthread"]
MARK = "=== "


def build(compiler, out):
    """Compiles every sample into the directory `out`; answers their names."""
    names = sorted(path.stem for path in HERE.glob("*.c"))
    for name in names:
        subprocess.run([compiler, *FLAGS, str(HERE / f"{name}.c"), "-o", str(out / name), "-lm"],
                       check=True)
    return names


def script(names, programs, inputs):
    """A shell script that runs every sample and marks where each begins and how it ended."""
    lines = []
    for name in names:
        has_input = (HERE / f"{name}.in").exists()
        source = f"{inputs}/{name}.in" if has_input else "/dev/null"
        lines += [f"echo '{MARK}{name}'", f"{programs}/{name} <{source}", 'echo "status $?"']
    return "\n".join(lines) + "\n"


def run_host(names, directory):
    text = script(names, directory, HERE)
    return subprocess.run(["/bin/sh", "-c", text], stdout=subprocess.PIPE, check=True).stdout


def run_guest(names, directory):
    """The samples become /bin/NAME in an image of their own, with the script as /samples.sh."""
    (directory / "in").mkdir()
    for name in names:
        if (HERE / f"{name}.in").exists():
            shutil.copy(HERE / f"{name}.in", directory / "in")
    (directory / "samples.sh").write_text(script(names, "/bin", "/in"))
    command = ["make", "-s", "-C", str(TOP), "run", f"ADD={directory}", "CMD=sh /samples.sh",
               "TIMEOUT=120"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout


def split(output):
    """The output of each sample by its name."""
    parts = {}
    for block in ("\n" + output.decode(errors="replace")).split("\n" + MARK)[1:]:
        name, _, text = block.partition("\n")
        parts[name] = text if text.endswith("\n") else text + "\n"
    return parts


def report(names, results, write):
    failed = 0
    for number, name in enumerate(names, 1):
        answer = HERE / f"{name}.out"
        got = results.get(name, "")
        if write:
            answer.write_text(got)
        good = got == answer.read_text()
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
        if not good:
            print("".join(f"#   {line}\n" for line in got.splitlines()), end="")
    print(f"1..{len(names)}")
    return 1 if failed or not names else 0


def main():
    options = set(sys.argv[1:])
    if options - {"--host", "--write"}:
        sys.exit(__doc__)
    host = "--host" in options
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        out = directory if host else directory / "bin"
        out.mkdir(exist_ok=True)
        compiler = os.environ.get("CC", "gcc") if host else str(TOP / "build/sdk/bin/cathode-cc")
        names = build(compiler, out)
        output = (run_host if host else run_guest)(names, directory)
        sys.exit(report(names, split(output), host and "--write" in options))


if __name__ == "__main__":
    main()
