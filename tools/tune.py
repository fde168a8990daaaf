#!/usr/bin/env python3
"""Sweeps the scheduler's parameters: what `make tune` does once everything is built.

  tune.py [options] -- RUNNER OPTIONS      a new sweep; RUNNER OPTIONS are those of tools/run.py
  tune.py --resume results/tune-... -- RUNNER OPTIONS     takes the samples that are missing
  tune.py --report results/tune-...        says again what the samples say, boots nothing

Boots once, hands the guest's /bin/tune a plan in random order, and keeps in results/tune-.../
  plan.txt      the samples to take, in order; the seed, the points and their levels in front
  samples.tsv   the raw samples, one line each as they came, the stamps in front
  statement.txt which parameters mattered: effect against noise
  sched.conf    the settings chosen, for make run SCHED=file and make bench SCHED=file
  heat-A-B (two crossed parameters), heat-A (a crossed one and those that varied alone) and
  pareto, as .svg and .png

exit status: 0 when every sample was taken and good, 1 when one failed or the sweep could not be
made, 130 when interrupted, otherwise that of the runner. Whatever happens, what was measured is
kept and --resume goes on.
"""

import argparse
import hashlib
import math
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import abidoc
import tune_analysis
import tune_conf
import tune_design
import tune_plan
import tune_plot
import tune_report
import tune_samples

TREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TREE, "bench", "host"))
# pylint: disable=wrong-import-position
import bench
import plot

SWEEP_CONF = os.path.join(TREE, "bench", "tune", "sweep.conf")
PROGRAM = os.path.join(TREE, "build", "user", "bin", "tune")
PLAN_IN_GUEST = "etc/tune.plan"
MS, MS_QUICK = 200, 150  # length of a sample
STALL_S = 60           # without a line, besides twenty times a sample's length
BOOT_S, OVERHEAD_S = 5, 0.07  # of a boot; of a sample beside its length, for the first estimate
MS_MOST, SEED_MOST = 600000, 2 ** 63 - 1  # the guest's limit of a sample's length; 64 bits
SAME = ("accel", "icount", "smp", "mem", "guest_cpu", "host_cpu", "sched", "kernel_id",
        "program_id")  # stamps that must not change within a sweep


class TuneError(Exception):
    """The sweep cannot be made or cannot go on; .args are the words and the exit status."""


def ranged(kind, least, most):
    """Reads an option's number, which is within `least` to `most`; nan never is."""
    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {least} to {most}")
        return value
    return read


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="two parameters, short samples: under a minute")
    add("--param", action="append", default=[], metavar="NAME[=V,V]",
        help="cross these; without values, with those of bench/tune/sweep.conf")
    add("--workload", action="append", default=[], help="only these")
    add("--minutes", type=ranged(float, 0.1, 1440), default=None,
        help="about how long, 0.1 to 1440 (10; 0.7 with --quick)")
    add("--blocks", type=ranged(int, 1, 1000), default=None,
        help="repetitions of everything, instead of --minutes")
    add("--ms", type=ranged(int, 1, MS_MOST), default=None,
        help=f"length of a sample ({MS}; {MS_QUICK} with --quick)")
    add("--seed", type=ranged(int, 0, SEED_MOST), default=None,
        help="of the random order (the time)")
    add("--weight", type=ranged(float, 0, 1), default=0.5,
        help="of throughput in the score, 0 to 1 (0.5)")
    add("--results", default=os.path.join(TREE, "results"))
    add("--resume", default="", metavar="DIR")
    add("--report", default="", metavar="DIR")
    add("runner", nargs="*", help="options of tools/run.py, after --")
    return parser.parse_args(words)


def say(text):
    print(f"tune: {text}", file=sys.stderr, flush=True)


# ---- what is swept ------------------------------------------------------------------------------


def params_load(base):
    """The kernel's parameters, from the table that it is compiled from. The guest checks the plan
    against its own before the first sample."""
    out = []
    for name, _, default, least, most, _ in abidoc.rows("sched_params.def"):
        value = base.get(name, int(default))
        out.append(tune_design.Param(name, value, int(least), int(most)))
    return out


def base_of(facts):
    """{name: value} of the settings that the machine is booted with."""
    words = facts.get("sched", "defaults")
    return {} if words == "defaults" else tune_conf.parse(words.replace(" ", "\n"))


def levels_of(args, params, grid):
    """({name: levels}, notes, how many combinations to cross at most)."""
    if args.param:
        return tune_design.levels_asked(params, args.param, grid), [], sys.maxsize
    levels, notes = tune_design.levels_choose(params, grid)
    if args.quick:
        n_all, levels = len(levels), tune_design.levels_extreme(levels, 2)
        notes = [f"quick: {' and '.join(levels)}, two values each; nothing is said of the "
                 f"other {n_all - len(levels)} parameters"]
    return levels, notes, tune_design.CROSSED_POINTS


def design_of(args, facts):
    workloads, grid = tune_design.conf_read(SWEEP_CONF)
    levels, notes, most = levels_of(args, params_load(base_of(facts)), grid)
    for note in notes:
        say(note)
    return tune_design.design_make(levels, most), args.workload or workloads


def blocks_of(args, design, n_workloads, sample_s):
    """As --blocks says, or as --minutes allows, but enough for every comparison to tell."""
    minutes = args.minutes or (0.7 if args.quick else 10)
    block_s = len(design.points) * n_workloads * sample_s
    least = design.blocks_least(n_workloads * len(tune_analysis.OBJECTIVES))
    n_blocks = args.blocks or tune_design.blocks_count(60 * minutes - BOOT_S, block_s, least)
    if args.minutes and not args.blocks and n_blocks * block_s > 60 * minutes:
        say(f"fewer than {n_blocks} repetitions of {len(design.points)} settings could tell "
            f"nothing; they take longer than {tune_report.plural(minutes, 'minute')}")
    return n_blocks


def plan_make(args, facts):
    seed = args.seed if args.seed is not None else int(time.time())
    design, workloads = design_of(args, facts)
    ms = args.ms or (MS_QUICK if args.quick else MS)
    n_blocks = blocks_of(args, design, len(workloads), sample_seconds(ms))
    order = tune_design.order_make(len(design.points), workloads, n_blocks, seed)
    head = {"seed": seed, "ms": ms, "blocks": n_blocks, "levels": design.levels,
            "crossed": design.crossed, "points": design.points}
    return tune_plan.Plan(head, tune_design.plan_lines(design, order))


def sample_seconds(ms):
    return ms / 1000 + OVERHEAD_S


# ---- where it runs ------------------------------------------------------------------------------


def file_id(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def kernel_of(runner):
    return (runner[runner.index("--kernel") + 1] if "--kernel" in runner
            else os.path.join(TREE, "build", "kernel.elf"))


def facts_now(args):
    facts = bench.guest_facts(args.runner)
    return {"date": time.strftime("%Y-%m-%d %H:%M:%S"), **facts,
            "kernel_id": file_id(kernel_of(args.runner)), "program_id": file_id(PROGRAM)}


def folder_make(args, facts):
    accel = facts["accel"] + ("-icount" if facts["icount"] == "1" else "")
    name = "-".join(["tune", time.strftime("%Y%m%dT%H%M%S"), accel, facts["commit"]])
    folder = os.path.join(args.results, name)
    os.makedirs(folder)
    return folder


def same_check(stamps, facts):
    """A sweep must not mix machines, kernels or workloads."""
    for key in SAME:
        if key in stamps and stamps[key] != str(facts.get(key)):
            raise TuneError(f"this sweep was begun with {key} {stamps[key]}, now it is "
                            f"{facts.get(key)}; put that back, or begin a new sweep")


# ---- progress -----------------------------------------------------------------------------------


class Progress:
    """One line a sample on a terminal, one every LINE_S seconds elsewhere; the time left."""

    LINE_S = 10

    def __init__(self, n_done, n_all, guess_s, base):
        self.n_first = self.n_done = n_done
        self.n_all, self.guess_s, self.base = n_all, guess_s, base
        self.started = self.told = None

    def left_s(self, now):
        """From the speed so far; before there is any, from the guess."""
        n_here = self.n_done - self.n_first
        each = (now - self.started) / n_here if n_here else self.guess_s
        return each * (self.n_all - self.n_done)

    def begin(self):
        self.started = self.started or time.monotonic()

    def sample(self, fields):
        self.n_done += 1
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if not terminal and self.told and now - self.told < self.LINE_S:
            return
        self.told = now
        text = self.line(fields, self.left_s(now))
        if terminal:
            text = f"\r\033[K{text[:shutil.get_terminal_size().columns - 1]}"
        print(text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def line(self, fields, left_s):
        minutes, seconds = divmod(int(left_s), 60)
        values = " ".join(word for word in fields[6:] if word.startswith(("throughput", "p99")))
        settings = tune_report.settings_words(tune_samples.settings_parse(fields[4]), self.base)
        return (f"[{self.n_done:>4}/{self.n_all}] {minutes}:{seconds:02} left  {fields[2]}, "
                f"{settings}: {values}")

    def end(self):
        if sys.stderr.isatty():
            print(file=sys.stderr)


# ---- the run ------------------------------------------------------------------------------------


class Collector:
    """Takes the guest's lines: samples into the file, the rest into the head or the progress."""

    def __init__(self, path, plan, progress, stamped):
        self.path, self.plan, self.progress, self.stamped = path, plan, progress, stamped
        self.current, self.ended = "booting", False

    def line(self, text):
        fields = text.split("\t")
        if fields[0] == "begin":
            self.current = " ".join(fields[1:])
            self.progress.begin()
        elif fields[0] == "end":
            self.ended = True
        elif fields[0] in ("sample", "ERROR"):
            self.keep(text)
            self.tell(fields)
        elif not text.startswith(("# ", "workload\t")):
            say(f"the guest says: {text}")
        elif not self.stamped:
            self.keep(text)

    def keep(self, text):
        """Only what can be read again goes into the file."""
        try:
            tune_samples.line_take(tune_samples.Sweep(), text, self.plan.settings)
        except ValueError as error:
            raise TuneError(f"{text!r} is no record ({error})") from error
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(text + "\n")

    def tell(self, fields):
        if fields[0] == "sample":
            self.progress.sample(fields)
        else:
            self.progress.end()
            say(f"FAILED: {' '.join(fields[1:])}")


def command(args, scratch, ms):
    timeout = [] if "--timeout" in args.runner else ["--timeout", "0"]
    return [bench.RUNNER, *timeout, *args.runner, "--add", scratch,
            "--cmd", f"/bin/tune --plan=/{PLAN_IN_GUEST} --ms={ms}"]


def lines_read(process, stall_s):
    """The program's lines as they come; TuneError when there is none for `stall_s` seconds."""
    selector, rest = selectors.DefaultSelector(), b""
    selector.register(process.stdout, selectors.EVENT_READ)
    while True:
        if not selector.select(stall_s):
            raise TuneError(f"nothing came from the guest for {stall_s:.0f} s", 124)
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip("\r")


def guest_run(argv, collector, stall_s):
    """Runs the guest to its end; its status. The guest is gone when this returns or raises."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        for line in lines_read(process, stall_s):
            collector.line(line)
        return process.wait()
    finally:
        collector.progress.end()
        if process.poll() is None:
            process.terminate()
            process.wait()
        process.stdout.close()


def samples_take(args, folder, plan):
    """Takes what is missing; the status, 0 also when nothing was."""
    path, ms = os.path.join(folder, "samples.tsv"), plan.head["ms"]
    sweep = tune_samples.load(path, plan.settings)
    left = [line for key, line in zip(plan.settings, plan.lines) if key not in sweep.done()]
    if not left:
        say("every sample of this sweep is there already")
        return 0
    guess_s = sample_seconds(ms)
    say(f"{len(left)} of {len(plan.lines)} samples to take, {len(plan.head['points'])} settings, "
        f"about {(BOOT_S + guess_s * len(left)) / 60:.1f} minutes; seed {plan.head['seed']}")
    progress = Progress(len(plan.lines) - len(left), len(plan.lines), guess_s,
                        plan.head["points"][0])
    collector = Collector(path, plan, progress, bool(sweep.workloads))
    with tempfile.TemporaryDirectory(prefix="cathode-tune-") as scratch:
        in_guest = os.path.join(scratch, PLAN_IN_GUEST)
        os.makedirs(os.path.dirname(in_guest))
        with open(in_guest, "w", encoding="utf-8") as file:
            file.writelines(left)
        try:
            status = guest_run(command(args, scratch, ms), collector, STALL_S + 20 * ms / 1000)
        except TuneError as error:
            raise TuneError(f"{error.args[0]}, while taking: {collector.current}", *error.args[1:])
    if not collector.ended:
        raise TuneError(f"the guest ended with status {status}, while taking: {collector.current}",
                        status or 1)
    return status


def sweep_resume(args):
    folder, facts = args.resume, facts_now(args)
    plan = tune_plan.load(folder)
    path = os.path.join(folder, "samples.tsv")
    tune_samples.tail_cut(path)
    same_check(tune_samples.load(path, plan.settings).stamps, facts)
    tune_samples.stamps_append(path, {"resumed": facts["date"]})
    return folder, plan


def sweep_begin(args):
    facts = facts_now(args)
    plan = plan_make(args, facts)
    folder = folder_make(args, facts)
    tune_plan.write(folder, plan)
    tune_samples.stamps_append(os.path.join(folder, "samples.tsv"),
                               {**facts, "seed": plan.head["seed"]})
    return folder, plan


# ---- the report ---------------------------------------------------------------------------------


def text_write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def report(folder, weight):
    plan = tune_plan.load(folder)
    sweep = tune_samples.load(os.path.join(folder, "samples.tsv"), plan.settings)
    if not sweep.samples:
        raise TuneError(f"{folder}: there is not a single sample")
    analysis = tune_analysis.Analysis(sweep, plan.head["levels"], plan.head["points"], weight)
    machine = tune_plot.stamped(sweep).machine_line()
    text = tune_report.statement(analysis, sweep, machine)
    text_write(folder, "statement.txt", text)
    source = os.path.join(os.path.basename(os.path.normpath(folder)), "samples.tsv")
    text_write(folder, "sched.conf", tune_report.sched_conf(analysis, machine, source))
    print("\n" + text)
    for path in tune_plot.draw_all(analysis, plan.head["crossed"], sweep, folder):
        print("  " + os.path.relpath(path))
    print(f"  {os.path.relpath(os.path.join(folder, 'sched.conf'))}")
    print(f"\nAll of it: {os.path.relpath(folder)}/", flush=True)


def kept_say(folder):
    n_done = len(tune_samples.load(os.path.join(folder, "samples.tsv")).samples)
    say(f"{n_done} samples are kept; go on with: make tune RESUME={os.path.relpath(folder)}")


def tune(args):
    if args.report:
        report(args.report, args.weight)
        return 0
    folder, plan = sweep_resume(args) if args.resume else sweep_begin(args)
    try:
        status = samples_take(args, folder, plan)
    except (TuneError, KeyboardInterrupt):
        kept_say(folder)
        raise
    report(folder, args.weight)
    return status


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    args = arguments()
    os.chdir(TREE)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        return tune(args)
    except (TuneError, bench.BenchError) as error:
        say(error.args[0])
        return (error.args[1] if len(error.args) > 1 else 0) or 1
    except (OSError, ValueError, tune_design.DesignError, tune_samples.Broken,
            tune_conf.ConfError, plot.PlotError) as error:
        say(error)
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
