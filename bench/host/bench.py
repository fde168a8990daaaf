#!/usr/bin/env python3
"""Runs the benchmarks and keeps the results: what `make bench` does once everything is built.

  bench.py [options] -- RUNNER OPTIONS     boots Cathode through tools/run.py
  bench.py [options] --host PROGRAM        runs the same program on this very host instead

results/RUN/ (RUN is date-time, accelerator and commit) gets
  machine.txt   what it was measured on and how
  samples.tsv   every record that the program printed, the stamps in front
  summary.tsv   one line a case
  summary.txt   the same as an aligned table
  latency, cdf and fork-rss as .svg and .png
and results/latest points there. A run that breaks keeps what it has printed so far, and fails.

exit status: 0 when every case was measured or is absent, 1 when a case failed or the run broke,
otherwise that of the runner (see tools/run.py --help).
"""

import argparse
import os
import platform
import subprocess
import sys
import time

import plot
import results
import table

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
RUNNER = os.path.join(TREE, "tools", "run.py")
GUEST_PROGRAM = "/bin/bench"
TIMEOUT_S = 900


class BenchError(Exception):
    """The benchmarks could not be run."""


def options_add(parser):
    """What all ways of measuring have in common."""
    add = parser.add_argument
    add("--only", default="", metavar="GLOB,...", help="cases whose name matches one")
    add("--quick", action="store_true", help="fewer samples")
    add("--samples", default="", help="samples of each case")
    add("--seconds", default="", help="budget for all cases together")
    add("--results", default=os.path.join(TREE, "results"), help="where results/RUN is made")
    add("runner", nargs="*", help="options of tools/run.py, after --")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="", metavar="PROGRAM",
                        help="run this program here, without a guest")
    options_add(parser)
    return parser.parse_args()


# ---- what it is measured on ---------------------------------------------------------------------


def commit():
    run = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=TREE,
                         capture_output=True, text=True)
    return run.stdout.strip() or "unknown"


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
        return next(names, "unknown")


def host_facts():
    return {"accel": "none", "verdict": "no guest: run on the host itself", "times": "hardware",
            "icount": "0", "host_cpu": cpu_name(), "host_kernel": platform.release(),
            "commit": commit()}


def guest_facts(runner_options):
    run = subprocess.run([RUNNER, "--machine", *runner_options], capture_output=True, text=True)
    if run.returncode != 0:
        raise BenchError(run.stderr.strip() or "tools/run.py --machine failed", run.returncode)
    pairs = (line.partition("=") for line in run.stdout.splitlines() if "=" in line)
    return {key: value for key, _, value in pairs}


def machine_facts(args):
    facts = host_facts() if getattr(args, "host", "") else guest_facts(args.runner)
    return {"date": time.strftime("%Y-%m-%d %H:%M:%S"), **facts}


def run_folder(args, facts, kind=""):
    accel = facts["accel"] + ("-icount" if facts["icount"] == "1" else "")
    words = [time.strftime("%Y%m%dT%H%M%S"), kind, accel, facts["commit"]]
    name = "-".join(filter(None, words))
    folder = os.path.join(args.results, name)
    os.makedirs(folder)
    return folder


def latest_point(folder):
    """results/latest, replaced at one stroke."""
    link = os.path.join(os.path.dirname(folder), "latest")
    fresh = link + ".new"
    if os.path.lexists(fresh):
        os.unlink(fresh)
    os.symlink(os.path.basename(folder), fresh)
    os.replace(fresh, link)


# ---- the run ------------------------------------------------------------------------------------


def program_options(args, facts):
    options = [f"--{name}={value}" for name, value in
               (("only", args.only), ("samples", args.samples), ("seconds", args.seconds)) if value]
    if args.quick:
        options.append("--quick")
    if facts["icount"] == "1":
        options.append("--unit=instructions")
    return options


def guest_quoted(word):
    """One word for the guest's shell, which splits the command."""
    return "'" + word + "'" if any(c in word for c in " *?[") else word


def command(args, facts):
    options = program_options(args, facts)
    if args.host:
        child = os.path.join(os.path.dirname(os.path.abspath(args.host)), "bench-child")
        return [os.path.abspath(args.host), f"--child={child}", *options]
    words = " ".join([GUEST_PROGRAM, *map(guest_quoted, options)])
    timeout = [] if "--timeout" in args.runner else ["--timeout", str(TIMEOUT_S)]
    return [RUNNER, *timeout, *args.runner, "--cmd", words]


def machine_write(folder, facts):
    with open(os.path.join(folder, "machine.txt"), "w", encoding="utf-8") as machine:
        machine.writelines(f"{key}: {value}\n" for key, value in facts.items())


def run_program(argv, path, facts):
    """Runs it, the stamps and its records into the file, its progress to the terminal; answers the
    status."""
    with open(path, "w", encoding="utf-8") as samples:
        samples.writelines(f"# {key}\t{value}\n" for key, value in facts.items())
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                              encoding="utf-8", errors="replace") as process:
            for line in process.stdout:
                samples.write(line)
                samples.flush()
            return process.wait()


def guest_stamps_append(folder, run, facts, system=""):
    """What the guest said of itself goes into machine.txt too; `system` says which of several."""
    with open(os.path.join(folder, "machine.txt"), "a", encoding="utf-8") as machine:
        for key, value in run.stamps.items():
            if key not in facts:
                machine.write(f"{system + '.' if system else ''}{key}: {value}\n")


def report(folder, run):
    text = table.text(run)
    with open(os.path.join(folder, "summary.txt"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(folder, "summary.tsv"), "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in table.tsv(run))
    print("\n" + text)
    for path in plot.draw_all(run, folder):
        print("  " + os.path.relpath(path))
    print(f"\nAll of it: {os.path.relpath(folder)}/", flush=True)


def bench(args):
    facts = machine_facts(args)
    folder = run_folder(args, facts)
    machine_write(folder, facts)
    path = os.path.join(folder, "samples.tsv")
    status = run_program(command(args, facts), path, facts)
    run = results.load(path)
    guest_stamps_append(folder, run, facts)
    if not run.series:
        raise BenchError(f"nothing was measured (status {status}); see the lines above", status)
    report(folder, run)
    latest_point(folder)
    if status != 0:
        print(f"bench: status {status}: the results above are not complete", file=sys.stderr)
    return status


def main():
    try:
        return bench(arguments())
    except BenchError as error:
        print(f"bench: {error.args[0]}", file=sys.stderr)
        return (error.args[1] if len(error.args) > 1 else 0) or 1
    except (OSError, plot.PlotError, results.Broken) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
