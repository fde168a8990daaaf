"""Warnings are errors, with gcc and with clang, and clang checks the kernel's lock contracts.

The compile commands are those of the real build (`make --dry-run`). gcc's part is the build itself:
every command must carry -Wall -Wextra -Werror. Then clang reads every file with the same options.
Every C file of the kernel must be in the build, or be a host test.
"""

import concurrent.futures
import os
import re
import subprocess
import sys

import tree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import compdb  # pylint: disable=wrong-import-position

DEMANDED = ("-Wall", "-Wextra", "-Werror")
OURS = ("kernel/", "user/", "bench/")
LOCK_OPTIONS = ["-Wthread-safety", "-Wthread-safety-beta"]
CLANG_OPTIONS = ["-fsyntax-only", "-Wno-unknown-warning-option",
                 "-Wno-unused-command-line-argument", "-Wno-ignored-optimization-argument"]
GCC_ONLY = re.compile(r"-fconserve-stack|-fno-ipa-\S*|-fno-tree-\S*|-mpreferred-stack-boundary=.*|"
                      r"-mno-sse4a|-fno-allow-store-data-races|-fanalyzer|-specs=.*|-MF|-MMD|-MP|"
                      r"-fno-reorder-\S*|-falign-\S*=.*|-mskip-rax-setup|-fno-jump-tables")


def build_commands():
    run = subprocess.run(["make", "--always-make", "--dry-run", "V=1", "all"], capture_output=True,
                         text=True)
    if run.returncode:
        sys.exit(f"Makefile:1: make --dry-run fails: {run.stderr.strip()[-300:]}")
    return [found for found in compdb.entries(run.stdout)
            if found["file"].startswith(OURS) and found["file"].endswith(".c")]


def clang_command(entry):
    """The entry's options as clang takes them, reading headers where cathode-cc would."""
    words, out, skip = entry["arguments"], ["clang", *CLANG_OPTIONS], False
    if os.path.basename(words[0]) == "cathode-cc":
        sysroot = os.path.realpath(os.path.join(os.path.dirname(words[0]), ".."))
        if not os.path.exists(f"{sysroot}/include/stdio.h"):
            sysroot = "build/sysroot"
        out += ["-nostdlibinc", "-isystem", f"{sysroot}/include", "-D__cathode__"]
    if entry["file"].startswith("kernel/"):
        out += LOCK_OPTIONS
    for word in words[1:]:
        drop = skip or GCC_ONLY.fullmatch(word) or word in ("-c", "-o")
        skip = word in ("-o", "-MF", "-MT", "-MQ")
        if not drop:
            out.append(word)
    return out


def clang_read(entry):
    run = subprocess.run(clang_command(entry), capture_output=True, text=True)
    found = re.findall(r"^([^\s:]+):(\d+):\d+: (?:fatal )?error: (.*)$", run.stderr, re.M)
    if run.returncode and not found:
        found = [(entry["file"], "1", run.stderr.strip()[:300] or "clang failed")]
    return [(path, int(line), f"clang: {text}") for path, line, text in found]


def gcc_build(report):
    """The real build, as far as it gets; only its diagnostics are of interest."""
    run = subprocess.run(["make", "-k", "-j2", "all"], capture_output=True, text=True)
    found = re.findall(r"^([^\s:]+):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", run.stderr, re.M)
    for path, line, text in dict.fromkeys(found):
        report.fault(path, int(line), f"gcc: {text}")
    if run.returncode and not found:
        report.fault("Makefile", 1, f"the build fails: {run.stderr.strip()[-300:]}")


def coverage_check(report, entries):
    built = {entry["file"] for entry in entries}
    for path in tree.files(".c", under=("kernel",)):
        if path not in built and not path.endswith("_test.c"):
            report.fault(path, 1, "not in the build")
    for entry in entries:
        for option in DEMANDED:
            if option not in entry["arguments"]:
                report.fault(entry["file"], 1, f"compiled without {option}")


def main():
    report = tree.Report("compilers")
    entries = build_commands()
    coverage_check(report, entries)
    gcc_build(report)
    seen = set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for faults in pool.map(clang_read, entries):
            for fault in faults:
                if fault not in seen:
                    seen.add(fault)
                    report.fault(*fault)
    report.close()


if __name__ == "__main__":
    main()
