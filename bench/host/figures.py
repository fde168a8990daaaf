#!/usr/bin/env python3
"""The README's figures are those of committed runs: figures.py [--write] README.md RESULTS

In the README a paragraph `The run `results/NAME/`: ...` says when, on what and of which versions a
run below RESULTS is, all made from it. It belongs to the tables after it: tables whose first two
columns are `operation` and `case`, one case a row. The second column has the case's name in
backquotes and, after it, the start of its parameter (`fork.rss` 64 MiB). The other columns are made
from the run: both systems' medians, and their ratio with its 95 % interval. What one system lacks
is a dash. Without --write, each line that differs is a fault, as are a case that the run lacks and
a run that is of one system only. `make figures` writes, tools/check/figures.py checks."""

import math
import os
import re
import sys

import boots
import ratios
import results

HEAD = re.compile(r"^\| operation \| case \|")
ROW = re.compile(r"^\| (?P<words>.+?) \| (?P<case>`(?P<name>[\w.]+)`(?: (?P<param>[^|]+))?) \|")
RUN = re.compile(r"^The run `results/(?P<name>[\w-]+)/`: ")
HEAD_LINES = ("| operation | case | Cathode | Linux | Cathode / Linux |",
              "|---|---|---:|---:|---:|")


class Figures:
    """A run's numbers, as the README says them."""

    def __init__(self, name, run):
        self.name, self.run = name, run

    @property
    def is_pair(self):
        return len(self.run.systems) == 2

    def run_line(self):
        """When, on what, of which versions."""
        first = self.run.first()
        get = lambda key: first.stamps.get(key, "unknown")
        linux = self.run.first(boots.LINUX).stamps if self.is_pair else {}
        counts = " and ".join(f"{len(self.run.runs[s])} of {boots.NAMES[s]}"
                              for s in self.run.systems)
        accel = get("accel") + (" with icount" if get("icount") == "1" else "")
        return (f"The run `results/{self.name}/`: {get('date')[:10]}, {first.measured}, "
                f"accelerator {accel}, {version_of(get('qemu'))}, {cpu_words(get('guest.cpus'))}, "
                f"{get('mem')} MiB; boots in turn, {counts}; Cathode {get('commit')[:12]}, "
                f"Linux {linux_version(linux.get('guest.system', ''))} "
                f"({linux.get('linux_package', 'unknown')}).")

    def row_of(self, name, param):
        """The case; None when the run has it not, or when the parameter could be several."""
        wanted = f"{name} {param}".strip()
        found = [row for row in self.run.rows if row.title == wanted]
        found = found or [row for row in self.run.rows if row.title.startswith(wanted + " ")]
        return found[0] if len(found) == 1 else None

    def cells(self, row):
        cells = [results.quantity(math.exp(row.sides[system].value), row.unit)
                 if system in row.sides else "-" for system in boots.SYSTEMS]
        return [*cells, ratio_words(row.ratio()) if row.is_pair else "-"]

    def line(self, found):
        """What a row should be; None when the case is not in the run."""
        row = self.row_of(found["name"], found["param"] or "")
        if row is None:
            return None
        return f"| {found['words']} | {found['case']} | {' | '.join(self.cells(row))} |"


def version_of(qemu):
    found = re.search(r"version ([0-9.]+)", qemu)
    return f"QEMU {found[1]}" if found else "QEMU of unknown version"


def linux_version(system):
    found = re.match(r"Linux (\S+)", system)
    return found[1] if found else "unknown"


def cpu_words(n):
    return "1 CPU" if n == "1" else f"{n} CPUs"


def ratio_words(ratio):
    """With the interval, where that is not the same in three digits."""
    low, middle, high = (ratios.ratio_words(math.exp(v)) for v in (ratio.low, ratio.value,
                                                                   ratio.high))
    return middle if low == high else f"{middle} ({low} to {high})"


class Reader:
    """Goes through the README's lines; `load` answers the Figures of a run by its name."""

    def __init__(self, load):
        self.load = load
        self.figures, self.left, self.n_tables = None, 0, 0

    def run_named(self, name):
        self.figures = self.load(name)
        if not self.figures.is_pair:
            return f"results/{name} is no comparison of both systems"
        return self.figures.run_line()

    def wanted(self, line):
        """(line as it should be, fault or None)."""
        found = RUN.match(line)
        if found:
            wanted = self.run_named(found["name"])
            return (wanted, None) if RUN.match(wanted) else (line, wanted)
        if HEAD.match(line):
            self.left, self.n_tables = 2, self.n_tables + 1
            return HEAD_LINES[0], None if self.figures else "of which run? None is named before"
        if self.left == 2 and line.startswith("|---"):
            self.left = 1
            return HEAD_LINES[1], None
        row = ROW.match(line) if self.left and self.figures else None
        if not row:
            self.left = 0
            return line, None
        made = self.figures.line(row)
        return (made, None) if made else (line, "the run has no such case")


def corrected(lines, load):
    """(lines as they should be, [(number, fault)])."""
    out, faults, reader = [], [], Reader(load)
    for number, line in enumerate(lines, 1):
        wanted, fault = reader.wanted(line)
        if wanted != line:
            fault = fault or f"the run says: {wanted}"
        if fault:
            faults.append((number, fault))
        out.append(wanted)
    if not reader.n_tables:
        faults.append((1, "no table of figures (| operation | case | ...)"))
    return out, faults


def loader(folder):
    """Of runs in a folder, by name."""
    return lambda name: Figures(name, boots.load(os.path.join(folder, name)))


def faults_of(path, folder):
    """[(line number, text)] of a README against the runs in a folder; may raise results.Broken."""
    with open(path, encoding="utf-8") as file:
        return corrected(file.read().splitlines(), loader(folder))[1]


def main(argv):
    write = argv[:1] == ["--write"]
    if len(argv) != 2 + write:
        print("usage: figures.py [--write] README.md results", file=sys.stderr)
        return 2
    path, folder = argv[-2:]
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        out, faults = corrected(lines, loader(folder))
        if write:
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in out)
            faults = corrected(out, loader(folder))[1]
    except (OSError, results.Broken) as error:
        print(f"figures: {error}", file=sys.stderr)
        return 1
    for number, text in faults:
        print(f"{path}:{number}: {text}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
