#!/usr/bin/env python3
"""Compares Cathode in two runs, before and after a change: `make diff A=results/RUN B=results/RUN`.

  diff.py [--system cathode|linux] A B

For each case that both have: B / A with its 95 % interval, and a verdict.
  better, worse   the difference is beyond chance and at least --least (1 %)
  no difference   the whole interval is within --least of it
  none found      no difference was shown: there may be one as large as the interval says
  unclear         with one boot each nobody knows how much boots differ, and times differ much;
                  counted instructions hardly do, and get a verdict
Beyond chance: p <= 0.05 by Welch's t on the logarithms of the boots' medians, after Holm's
correction for the number of cases. The chance that two runs of the same thing show any difference
at all is thus at most 1 in 20, however many cases there are.

exit status: 0 nothing is worse, 1 something is worse, 2 the runs cannot be compared."""

import argparse
import math
import os
import sys

import boots
import estimate
import results
import table

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import tune_stats  # pylint: disable=wrong-import-position

BETTER, WORSE, SAME, UNCLEAR = "better", "worse", "no difference", "unclear"
NOT_SHOWN = "none found"
ALPHA = 0.05
LEAST = 0.01
COLUMNS = ("case", "A", "B", "B / A", "95 % interval", "p, corrected", "verdict")
STAMPS = ("accel", "icount", "unit", "guest.cpus", "mem", "sched", "bootargs", "guest_cpu",
          "host_cpu", "qemu")


class Change:
    """One case in both runs. An estimate of B / A; the verdict comes from all cases together."""

    def __init__(self, before, after, system):
        self.title, self.unit = before.title, before.unit
        self.a, self.b = before.sides[system], after.sides[system]
        self.ratio = estimate.ratio(self.b, self.a)
        self.p_holm, self.verdict = 1.0, UNCLEAR

    @property
    def can_tell(self):
        return self.ratio.boots_vary or self.unit == "instructions"

    def judge(self, p_holm, least):
        self.p_holm = p_holm
        if not self.can_tell:
            self.verdict = UNCLEAR
        elif -math.log1p(least) <= self.ratio.low and self.ratio.high <= math.log1p(least):
            self.verdict = SAME
        elif p_holm > ALPHA:
            self.verdict = NOT_SHOWN
        elif abs(self.ratio.value) < math.log1p(least):
            self.verdict = SAME
        else:
            self.verdict = WORSE if self.ratio.value > 0 else BETTER


def changes(a, b, system, least=LEAST):
    """The Changes of all cases that both runs have."""
    after = {(row.name, row.param, row.unit): row for row in b.rows if system in row.sides}
    pairs = [(row, after[row.name, row.param, row.unit]) for row in a.rows
             if system in row.sides and (row.name, row.param, row.unit) in after]
    out = [Change(*pair, system) for pair in pairs]
    told = [change for change in out if change.can_tell]
    for change, p in zip(told, tune_stats.holm([change.ratio.p for change in told])):
        change.judge(p, least)
    return out


def percent_words(log_ratio):
    return f"{100 * math.expm1(log_ratio):+.2f} %"


def cells(change):
    shown = [results.quantity(math.exp(side.value), change.unit) for side in (change.a, change.b)]
    ratio = change.ratio
    return (change.title, *shown, percent_words(ratio.value),
            f"{percent_words(ratio.low)} to {percent_words(ratio.high)}",
            f"{change.p_holm:.2g}" if change.can_tell else "-", change.verdict)


def only_lines(a, b, system):
    """Cases that one run lacks are said."""
    names = [{(row.name, row.param): row.title for row in run.rows if system in row.sides}
             for run in (a, b)]
    for letter, mine, other in (("A", *names), ("B", *reversed(names))):
        titles = [title for key, title in mine.items() if key not in other]
        if titles:
            yield f"Only in {letter}: {', '.join(titles)}"


def heading(a, b, system):
    for letter, run in (("A", a), ("B", b)):
        n = len(run.runs[system])
        yield (f"{letter}: {run.folder}, {n} boot{'s' if n > 1 else ''} of {boots.NAMES[system]}, "
               f"{run.first(system).machine_line()}")
    stamps = [run.first(system).stamps for run in (a, b)]
    for key in STAMPS:
        a_value, b_value = (stamp.get(key) for stamp in stamps)
        if None not in (a_value, b_value) and a_value != b_value:
            yield f"NOT MEASURED ALIKE: {key} is {a_value} in A, {b_value} in B"
    if any(len(run.runs[system]) < 2 for run in (a, b)):
        yield "ONE BOOT: how much boots differ is not known. Measure with ROUNDS=5."


def text(a, b, system, found, least):
    counts = {word: sum(change.verdict == word for change in found)
              for word in (BETTER, WORSE, SAME, NOT_SHOWN, UNCLEAR)}
    rows = [cells(change) for change in sorted(found, key=lambda c: -abs(c.ratio.value)
                                               if c.verdict in (BETTER, WORSE) else 1)]
    lines = list(table.aligned([COLUMNS, *rows]))
    foot = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    return "\n".join([*heading(a, b, system), f"Differences below {100 * least:g} % do not count.",
                      "", lines[0], "-" * max(map(len, lines)), *lines[1:], "", foot,
                      *only_lines(a, b, system)]) + "\n"


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--system", choices=boots.SYSTEMS, default=boots.CATHODE)
    parser.add_argument("--least", type=float, default=LEAST, help="smallest change that counts")
    return parser.parse_args(argv)


def main(argv):
    args = arguments(argv)
    try:
        a, b = boots.load(args.a), boots.load(args.b)
        missing = [run.folder for run in (a, b) if args.system not in run.runs]
        if missing:
            raise results.Broken(f"{missing[0]}: nothing of {boots.NAMES[args.system]} here")
        found = changes(a, b, args.system, args.least)
        if not found:
            raise results.Broken("the two runs have no case in common")
    except (OSError, results.Broken) as error:
        print(f"diff: {error}", file=sys.stderr)
        return 2
    print(text(a, b, args.system, found, args.least), end="")
    return 1 if any(change.verdict == WORSE for change in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
