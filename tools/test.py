#!/usr/bin/env python3
"""make test: every check, the guest's tests on this machine's Linux, programs compiled with
cathode-cc, a small sweep of parameters, starts without memory; then inside the guest at 1, 2 and 4
CPUs, how late its sleeps and timers are and who gets how much of a CPU when the guest counts
instructions as time, and a short storm on its scheduler.

Each boot runs one command under emulation, which prints TAP on stdout: a plan, `ok` and `not ok`
lines, `# SKIP reason` where a test cannot run. A boot fails as a whole when the runner says so
(hang, panic, reset), when the plan is missing or not met, or when its status is not 0. The closing
line is `N passed, N failed`, and the status is that of the sum.
"""

import argparse
import re
import subprocess
import sys
import threading
import time

BOOT_TIMEOUT_S = 400
TESTALL = "/bin/testall"
SUITES = (
    ("the guest's tests, shell and programs on this Linux", "user/tests/host.py"),
    ("C programs compiled with cathode-cc", "user/tests/c_samples/run.py"),
    ("a small sweep of scheduler parameters", "tools/tune_smoke.py"),
    ("memory that runs out while the machine starts", "tools/boot_nomem.py"),
)
LINE = re.compile(r"^(not )?ok\b(?: (\d+))?(?: - )?(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)\b")
SUM = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)


class Tally:
    """What a TAP stream says. Only lines in column 0 count; indented ones are details."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.plan = None
        self.failures = []
        self.bail = None

    def feed(self, line):
        found, plan = LINE.match(line), PLAN.match(line)
        if plan:
            self.plan = int(plan.group(1))
        elif line.startswith("Bail out!"):
            self.bail = line
        elif found and found.group(1):
            self.failed += 1
            self.failures.append(found.group(3))
        elif found:
            self.passed += 1
            self.skipped += "# SKIP" in found.group(3)

    def problem(self, status):
        """Why the stream as a whole is not right, or None."""
        if self.bail:
            return self.bail
        if self.plan is None:
            return "no plan" if status == 0 else f"no plan, and status {status}"
        if self.plan != self.passed + self.failed:
            return f"planned {self.plan} tests, ran {self.passed + self.failed}"
        if self.plan == 0:
            return "planned no test at all"
        if status and not self.failed:
            return f"ended with status {status}"
        return None


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smp", default="1,2,4", help="CPU counts to boot with")
    parser.add_argument("--cmd", default=TESTALL, help="what to run in the guest")
    parser.add_argument("--timeout", type=int, default=BOOT_TIMEOUT_S, help="seconds a boot")
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--bootargs", default="")
    parser.add_argument("--kernel", default="build/debug/kernel.elf",
                        help="the debug build, whose asserts and lock ranks are checked")
    parser.add_argument("--no-check", action="store_true", help="only the guest's tests")
    parser.add_argument("--verbose", "-v", action="store_true", help="show every line of TAP")
    return parser.parse_args()


def checks_run():
    """(passed, failed) of tools/check.py, whose output is shown as it comes."""
    process = subprocess.Popen([sys.executable, "tools/check.py"], stdout=subprocess.PIPE,
                               text=True)
    last = ""
    for line in process.stdout:
        last = line.rstrip("\n")
        if not SUM.match(last):
            print(last, flush=True)
    status = process.wait()
    found = SUM.match(last)
    if not found:
        return 0, 1
    passed, failed = map(int, found.groups())
    return passed, failed or int(status != 0)


def stderr_keep(stream, kept):
    for line in stream:
        kept.append(line.rstrip("\n"))
        del kept[:-200]


def boot_command(args, n_cpus, command=None, *options):
    return ["tools/run.py", "--accel", args.accel, "--smp", str(n_cpus),
            "--cmd", command or args.cmd, "--timeout", str(args.timeout),
            "--bootargs", args.bootargs, "--kernel", args.kernel,
            "--log", f"build/test-{n_cpus}{''.join(options)}.log", *options]


def tap_run(args, command):
    """Runs a program that prints TAP; answers the tally and what was wrong with it as a whole."""
    tally, said = Tally(), []
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, errors="replace")
    reader = threading.Thread(target=stderr_keep, args=(process.stderr, said))
    reader.start()
    for line in process.stdout:
        tally.feed(line.rstrip("\r\n"))
        if args.verbose or line.startswith(("not ok", "Bail out!")):
            print(f"        {line.rstrip()}", flush=True)
    status = process.wait()
    reader.join()
    ours = [line for line in said if line.startswith("run: ")]
    problem = ours[-1].removeprefix("run: ") if ours else tally.problem(status)
    if problem:
        for line in said[-40:]:
            print(f"        {line}")
    return tally, problem


def tap_tell(name, tally, problem, seconds):
    good = not problem and not tally.failed
    skipped = f", {tally.skipped} skipped" if tally.skipped else ""
    print(f"  {'ok  ' if good else 'FAIL'}  {name}: {tally.passed} passed, "
          f"{tally.failed} failed{skipped} ({seconds:.0f} s)")
    for failure in tally.failures:
        print(f"        not ok - {failure}")
    if problem:
        print(f"        {problem}")
    sys.stdout.flush()


def main():
    args = arguments()
    passed, failed = (0, 0) if args.no_check else checks_run()
    suites = [(f"guest tests on {n} CPU{'s' * (n != '1')}", boot_command(args, int(n)))
              for n in args.smp.split(",")]
    if not args.no_check:
        suites.append(("sleeps and timers, counted in instructions",
                       boot_command(args, 1, "/bin/accuracy", "--icount")))
        suites.append(("shares, latency and ticks, counted in instructions",
                       boot_command(args, 1, "/bin/fairness", "--icount", "--icount-shift", "2")))
        suites.append(("shares on 2 CPUs", boot_command(args, 2, "/bin/fairness_smp")))
        suites.append(("a short storm on the scheduler, on 2 CPUs",
                       [*boot_command(args, 2, "/bin/stress -t 5"), "--bootargs", "stress=1",
                        "--log", "build/test-stress.log"]))
        suites = [(name, [sys.executable, program]) for name, program in SUITES] + suites
    for name, command in suites:
        started = time.monotonic()
        tally, problem = tap_run(args, command)
        tap_tell(name, tally, problem, time.monotonic() - started)
        passed += tally.passed
        failed += tally.failed + bool(problem)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
