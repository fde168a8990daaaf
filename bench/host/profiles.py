"""Where the instructions of cases go that miss their goal: results/RUN/profile-CASE.txt.

tools/itrace.py boots Cathode once more for each such case, with the kernel, the memory and the boot
line of the comparison, and records it from where the case begins with the parameter that misses
most. What is recorded begins with the case's set-up and calibration, of which only what lies
between two calls of its function (goals.conf, `once`) is counted. A profile that cannot be made is
said in its file: a comparison does not fail for that."""

import glob
import os
import subprocess
import sys

import bench
import goals

ITRACE = os.path.join(bench.TREE, "tools", "itrace.py")
PASSED_ON = ("--kernel", "--mem", "--bootargs")  # options of the runner that itrace.py has, too
SIZE, ROWS = 4000000, 30
TIMEOUT_S = 400
NOTE = """\
Functions of other programs (a file server, what a case starts) stand among those of `user`, under
names of the benchmark's: they lie at the same addresses. The sums and the kernel's names are right.
"""


def runner_option(runner, name):
    """[name, its value], or nothing."""
    return runner[runner.index(name):][:2] if name in runner[:-1] else []


def command(miss, once, runner):
    row = miss.row
    begins = row.name if row.param == "-" else f"{row.name} {row.param}"
    passed = (word for name in PASSED_ON for word in runner_option(runner, name))
    return [ITRACE, *passed, "--size", str(SIZE), "--rows", str(ROWS),
            "--after", f"] {begins} ... ", *(["--once", once] if once else []),
            "--cmd", f"bench --only={row.name} --quick --unit=instructions"]


def heading(miss, table):
    """What is seen, before the functions."""
    once = table.known(miss.row.name, "once")
    per = (f"Instructions from one call of {once}() to the next" if once else
           "All instructions recorded, from where the case begins")
    return (f"{goals.miss_words(miss)}\n{per}; the case measured {miss.value:,.0f} an operation.\n"
            f"{NOTE}\n")


def profile_make(miss, table, runner):
    """The text of one profile."""
    argv = command(miss, table.known(miss.row.name, "once"), runner)
    try:
        made = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return heading(miss, table) + f"NO PROFILE: nothing within {TIMEOUT_S} s\n"
    if made.returncode != 0:
        return heading(miss, table) + f"NO PROFILE: {made.stderr.strip() or made.returncode}\n"
    return heading(miss, table) + made.stdout


def path_of(folder, name):
    return os.path.join(folder, f"profile-{name}.txt")


def make_all(folder, found, table, runner):
    """One for each case that misses its goal."""
    cases = goals.missed(found)
    for index, (name, misses) in enumerate(cases.items(), 1):
        print(f"profile {index} of {len(cases)}: {misses[0].row.title}", file=sys.stderr,
              flush=True)
        text = profile_make(misses[0], table, runner)
        with open(path_of(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def load(folder):
    """{case: text} of a run's."""
    texts = {}
    for path in sorted(glob.glob(path_of(folder, "*"))):
        with open(path, encoding="utf-8") as file:
            texts[os.path.basename(path)[len("profile-"):-len(".txt")]] = file.read()
    return texts
