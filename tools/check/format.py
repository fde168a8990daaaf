"""Format: clang-format would change nothing in any C file (`make format` applies it)."""

import re
import subprocess

import tree


def main():
    report = tree.Report("format")
    sources = tree.files(".c", ".h", under=("kernel", "user", "bench"))
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", *sources], capture_output=True,
                         text=True)
    places = set(re.findall(r"^([^\s:]+):(\d+):\d+: error: ", run.stderr, re.M))
    for path, number in sorted(places, key=lambda place: (place[0], int(place[1]))):
        report.fault(path, int(number), "clang-format would change this line")
    if run.returncode and not report.faults and not report.used:
        report.fault("tools/check/format.py", 1, run.stderr.strip()[:200])
    report.close()


if __name__ == "__main__":
    main()
