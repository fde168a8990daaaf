"""Host tests: every *_test.c of the tree, built with the files it names, under ASan and UBSan.

A test's first line is `// test-sources: a.c ../lib/b.c`, paths relative to its own folder. It
prints TAP and is right when its plan is met, no line says `not ok`, and its status is 0. Programs
are kept in build/host/ and built again when a file they include has changed.
"""

import concurrent.futures
import os
import re
import subprocess
import sys

import tree

OUT = "build/host"
TIMEOUT_S = 120
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
OPTIONS = ["-std=gnu2x", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wstrict-prototypes",
           "-Wmissing-prototypes", "-Wvla", "-O1", "-g", "-fno-omit-frame-pointer", "-MMD", "-MP"]
INCLUDES = {"kernel": ["-Ikernel"], "user": ["-Iuser", "-Ikernel"],
            "bench": ["-Ibench", "-Ikernel"]}


class Broken(Exception):
    """(path, line, text) of why a test is not right."""


def sources_of(test):
    """The test and the files its first line names."""
    first = tree.text_of(test).partition("\n")[0]
    found = re.fullmatch(r"// test-sources:(.*)", first)
    if not found:
        raise Broken(test, 1, "the first line must be `// test-sources: ...`")
    folder = os.path.dirname(test)
    named = [os.path.normpath(os.path.join(folder, name)) for name in found.group(1).split()]
    for path in named:
        if not os.path.exists(path):
            raise Broken(test, 1, f"{path} does not exist")
    return [test, *named]


def is_fresh(program, command):
    """Built by this very command from what is there now?"""
    try:
        built = os.stat(program).st_mtime
        if tree.text_of(f"{program}.cmd") != " ".join(command):
            return False
        depends = [name for path in os.listdir(os.path.dirname(program))
                   if path.startswith(os.path.basename(program) + "-") and path.endswith(".d")
                   for name in tree.text_of(os.path.join(os.path.dirname(program), path))
                   .replace("\\\n", " ").replace(":", " ").split()]
        return bool(depends) and all(os.stat(name).st_mtime < built for name in depends
                                     if not name.endswith((".o", program)))
    except OSError:
        return False


def test_build(test):
    program = os.path.join(OUT, test.removesuffix(".c").replace("/", "."))
    command = ["gcc", *OPTIONS, *SANITIZERS, *INCLUDES[test.split("/")[0]], "-o", program,
               *sources_of(test), "-lm", "-pthread"]
    if is_fresh(program, command):
        return program
    os.makedirs(OUT, exist_ok=True)
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        found = re.search(r"^([^\s:]+):(\d+):\d+: (?:fatal )?error: (.*)$", run.stderr, re.M)
        where = (found.group(1), int(found.group(2)), found.group(3)) if found else (
            test, 1, run.stderr.strip()[-300:])
        raise Broken(*where)
    with open(f"{program}.cmd", "w", encoding="utf-8") as file:
        file.write(" ".join(command))
    return program


def tap_judge(test, status, output):
    """How many tests passed, or Broken."""
    bad = re.search(r"^(not ok.*|Bail out!.*)$", output, re.M)
    if bad:
        raise Broken(test, 1, bad.group(1))
    plan = re.search(r"^1\.\.(\d+)$", output, re.M)
    n_ok = len(re.findall(r"^ok \d+", output, re.M))
    if status:
        report = re.search(r"^.*(ERROR: \w+Sanitizer.*|runtime error:.*)$", output, re.M)
        raise Broken(test, 1, report.group(1) if report else f"ended with status {status}")
    if not plan or int(plan.group(1)) != n_ok or not n_ok:
        raise Broken(test, 1, f"planned {plan.group(1) if plan else 'nothing'}, passed {n_ok}")
    return n_ok


def test_run(test):
    """(passed, fault or None)."""
    try:
        program = test_build(test)
        run = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors="replace", timeout=TIMEOUT_S)
        return tap_judge(test, run.returncode, run.stdout), None
    except subprocess.TimeoutExpired:
        return 0, (test, 1, f"not finished after {TIMEOUT_S} s")
    except Broken as broken:
        return 0, broken.args


def main():
    report, n_passed = tree.Report("hosttests"), 0
    chosen = sys.argv[1:] or tree.files("_test.c", under=("kernel", "user", "bench"))
    if not chosen:
        report.fault("kernel", 1, "there is not a single host test")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for passed, fault in pool.map(test_run, chosen):
            n_passed += passed
            if fault:
                report.fault(*fault)
    print(f"# {len(chosen)} programs, {n_passed} tests passed", file=sys.stderr)
    report.close()


if __name__ == "__main__":
    main()
