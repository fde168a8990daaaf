#!/usr/bin/env python3
"""Boots Cathode and Linux in turn on the same machine and compares them: `make compare`.

  compare.py [options] -- RUNNER OPTIONS      Cathode, Linux, Cathode, Linux ...
  compare.py --alone [options] -- ...         Cathode only, several boots: for `make diff`
  compare.py --again results/RUN              says and draws again what a run's samples say

Both are booted by tools/run.py with the same options, so CPU model, memory, number of CPUs and
accelerator are the same; only kernel, first file system and boot line differ. results/RUN/ gets
  machine.txt                   what it was measured on, and both systems' versions
  cathode-NN.tsv linux-NN.tsv   every record of each boot
  compare.txt, ratios.tsv       the table, and the same for programs
  summary.tsv, SYSTEM.json      each case by itself; the second in Google Benchmark's layout
  profile-CASE.txt              of each case that misses its goal (bench/goals.conf)
and the pictures. A boot that breaks ends the run; what was measured until then is kept and said.

exit status: 0 when every case of every boot was measured or is honestly absent, 1 when one failed
or nothing can be compared, otherwise that of the runner."""

import argparse
import os
import subprocess
import sys
import time

import bench
import boots
import compare_plot
import goals
import google
import plot
import profiles
import ratios
import results
import scaling
import table

BUILD = os.path.join(bench.TREE, "build")
ROUNDS, ROUNDS_EXACT, ROUNDS_QUICK = 5, 3, 3
TIMEOUT_S = 1800

# Everything that makes Linux faster here and that a boot line can say: no mitigations, hardening,
# accounting, randomisation (which would also differ between boots), watchdogs; huge pages are
# for everybody, though Linux turns them off by itself where there is less than 512 MiB.
LINUX_ARGS = (
    "mitigations=off nokaslr norandmaps init_on_alloc=0 init_on_free=0 hardened_usercopy=off "
    "randomize_kstack_offset=off page_alloc.shuffle=0 apparmor=0 selinux=0 audit=0 psi=0 "
    "cgroup_disable=memory nowatchdog tsc=reliable transparent_hugepage=always")
# What the machine needs: where the kernel complains, and that it ends when it has.
LINUX_ARGS_FIXED = "console=ttyS1 loglevel=4 panic=-1"


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rounds", type=int, default=0, help="boots of each system")
    add("--alone", action="store_true", help="Cathode only")
    add("--again", default="", metavar="RUN", help="nothing is run")
    add("--linux-kernel", default=os.path.join(BUILD, "linux", "kernel", "vmlinuz"))
    add("--linux-image", default=os.path.join(BUILD, "linux", "initramfs.cpio"))
    add("--linux-args", default="", help="the boot line, instead of the one that favours Linux")
    add("--no-profiles", action="store_true", help="of cases that miss their goal")
    bench.options_add(parser)
    return parser.parse_args()


# ---- what is booted -----------------------------------------------------------------------------


def linux_version(path):
    """Of Debian's package, which bench/linux/kernel.sh wrote beside the kernel."""
    try:
        with open(os.path.join(os.path.dirname(path), "version"), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return f"the user's own: {os.path.basename(path)}"


def facts_make(args):
    facts = bench.machine_facts(args)
    if not args.alone:
        facts["linux_package"] = linux_version(args.linux_kernel)
        facts["linux_args"] = args.linux_args or LINUX_ARGS
    return facts


def runner_command(args, facts, system):
    words = " ".join([bench.GUEST_PROGRAM, *map(bench.guest_quoted,
                                                bench.program_options(args, facts))])
    timeout = [] if "--timeout" in args.runner else ["--timeout", str(TIMEOUT_S)]
    argv = [bench.RUNNER, *timeout, *args.runner]
    if system == boots.LINUX:
        argv += ["--kernel", args.linux_kernel, "--image", args.linux_image, "--sched", "",
                 "--bootargs", f"{LINUX_ARGS_FIXED} {facts['linux_args']}"]
    return [*argv, "--cmd", words]


def plan(args, facts):
    """(round, system) of every boot, in order."""
    usual = ROUNDS_EXACT if facts["icount"] == "1" else ROUNDS_QUICK if args.quick else ROUNDS
    systems = [boots.CATHODE] if args.alone else boots.SYSTEMS
    return [(number, system) for number in range(1, (args.rounds or usual) + 1)
            for system in systems]


# ---- the boots ----------------------------------------------------------------------------------


def left_words(seconds, coming):
    """How long the boots `coming` will take, from how long those of the same system took."""
    if any(system not in seconds for system in coming):
        return "time left: known after the first round"
    left = sum(sum(seconds[system]) / len(seconds[system]) for system in coming)
    return f"about {left / 60:.0f} min left" if left >= 90 else f"about {left:.0f} s left"


def boots_run(args, facts, folder):
    """Every boot of the plan; stops at one that breaks. Answers the worst status."""
    boot_plan, seconds, worst = plan(args, facts), {}, 0
    for index, (number, system) in enumerate(boot_plan):
        coming = [name for _, name in boot_plan[index:]]
        print(f"boot {index + 1} of {len(boot_plan)}: {boots.NAMES[system]}, round {number}; "
              f"{left_words(seconds, coming)}", file=sys.stderr, flush=True)
        started = time.monotonic()
        path = os.path.join(folder, f"{system}-{number:02}.tsv")
        status = bench.run_program(runner_command(args, facts, system), path, facts)
        seconds.setdefault(system, []).append(time.monotonic() - started)
        worst = worst or status
        if status > 1:
            print(f"compare: boot {index + 1} ended with status {status}; no more boots",
                  file=sys.stderr)
            break
    return worst


# ---- what they say ------------------------------------------------------------------------------


def lines_write(folder, name, lines):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def single_text(run):
    lines = list(scaling.lines(run))
    return table.text(run.merged(run.systems[0])) + "".join(line + "\n" for line in lines)


def report(run):
    """Everything but the samples, and the table to stdout."""
    folder = run.folder
    both = len(run.systems) == 2
    if both and not run.pairs():
        raise results.Broken("the two systems have no case in common that was measured")
    text = ratios.text(run) if both else single_text(run)
    with open(os.path.join(folder, "compare.txt" if both else "summary.txt"), "w",
              encoding="utf-8") as file:
        file.write(text)
    lines_write(folder, "summary.tsv", ratios.summary_tsv(run))
    if both:
        lines_write(folder, "ratios.tsv", ratios.ratios_tsv(run))
    for system in run.systems:
        google.write(os.path.join(folder, f"{system}.json"), run, system)
    paths = plot.draw_single(run.merged(run.systems[0]), folder)
    paths += compare_plot.draw_all(run)
    print("\n" + text)
    for path in paths:
        print("  " + os.path.relpath(path))
    print(f"\nAll of it: {os.path.relpath(folder)}/", flush=True)


def profiles_make(args, run):
    """Of what misses its goal, where goals are judged at all."""
    table = goals.load()
    profiles.make_all(run.folder, goals.verdicts(run, table), table, args.runner)
    for path in sorted(profiles.load(run.folder)):
        print("  " + os.path.relpath(profiles.path_of(run.folder, path)))


def compare(args):
    facts = facts_make(args)
    if not args.alone:
        print(f"Linux: {facts['linux_package']}\nboot line: {facts['linux_args']}",
              file=sys.stderr)
    folder = bench.run_folder(args, facts, "cathode-boots" if args.alone else "compare")
    bench.machine_write(folder, facts)
    status = boots_run(args, facts, folder)
    run = boots.load(folder)
    for system in run.systems:
        bench.guest_stamps_append(folder, run.first(system), facts, system)
    report(run)
    bench.latest_point(folder)
    if not args.no_profiles:
        profiles_make(args, run)
    if status:
        print(f"compare: status {status}: the results above are not complete", file=sys.stderr)
    return status


def main():
    args = arguments()
    try:
        if args.again:
            report(boots.load(args.again))
            return 0
        return compare(args)
    except bench.BenchError as error:
        print(f"compare: {error.args[0]}", file=sys.stderr)
        return (error.args[1] if len(error.args) > 1 else 0) or 1
    except (OSError, subprocess.SubprocessError, plot.PlotError, results.Broken) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
