#!/usr/bin/env python3
"""The README's figures are those of the reference run: figures.py [--write] README.md RUN

In the README a table whose first two columns are `operation` and `case` says one case a row; the
second column has the case's name in backquotes and, after it, the start of its parameter
(`fork.rss` 64 MiB). The other columns are made from the run: the median, or both medians and their
ratio when the run has both systems. Without --write, each line that differs is a fault, as is a
case that the run lacks. `make figures` writes, tools/check/figures.py checks."""

import math
import re
import sys

import boots
import ratios
import results

HEAD = re.compile(r"^\| operation \| case \|")
ROW = re.compile(r"^\| (?P<words>.+?) \| (?P<case>`(?P<name>[\w.]+)`(?: (?P<param>[^|]+))?) \|")


class Figures:
    """The run's numbers, as the README says them."""

    def __init__(self, run):
        self.run = run
        self.is_pair = len(run.systems) == 2
        self.unit = run.first().unit

    def head(self):
        if self.is_pair:
            return ["| operation | case | Cathode | Linux | ratio |", "|---|---|---:|---:|---:|"]
        return [f"| operation | case | {self.unit} |", "|---|---|---:|"]

    def row_of(self, name, param):
        """The case; None when the run has it not, or when the parameter could be several."""
        wanted = f"{name} {param}".strip()
        found = [row for row in self.run.rows if row.title == wanted]
        found = found or [row for row in self.run.rows if row.title.startswith(wanted + " ")]
        return found[0] if len(found) == 1 else None

    def cells(self, row):
        systems = boots.SYSTEMS if self.is_pair else self.run.systems
        cells = [results.quantity(math.exp(row.sides[system].value), row.unit)
                 if system in row.sides else "-" for system in systems]
        if self.is_pair:
            cells.append(ratios.ratio_words(math.exp(row.ratio().value)) if row.is_pair else "-")
        return cells

    def line(self, found):
        """What a row should be; None when the case is not in the run."""
        row = self.row_of(found["name"], found["param"] or "")
        if row is None:
            return None
        return f"| {found['words']} | {found['case']} | {' | '.join(self.cells(row))} |"


def corrected(lines, figures):
    """(lines as they should be, [(number, fault)])."""
    out, faults, left = [], [], 0
    n_tables = 0
    for number, line in enumerate(lines, 1):
        wanted = line
        if HEAD.match(line):
            wanted, left, n_tables = figures.head()[0], 2, n_tables + 1
        elif left == 2 and line.startswith("|---"):
            wanted, left = figures.head()[1], 1
        elif left and ROW.match(line):
            wanted = figures.line(ROW.match(line))
        else:
            left = 0
        if wanted is None:
            faults.append((number, "the reference run has no such case"))
            wanted = line
        elif wanted != line:
            faults.append((number, f"the reference run says: {wanted}"))
        out.append(wanted)
    if not n_tables:
        faults.append((1, "no table of figures (| operation | case | ...)"))
    return out, faults


def faults_of(path, run_path):
    """[(line number, text)] of a README against a run; may raise results.Broken."""
    with open(path, encoding="utf-8") as file:
        return corrected(file.read().splitlines(), Figures(boots.load(run_path)))[1]


def main(argv):
    write = argv[:1] == ["--write"]
    if len(argv) != 2 + write:
        print("usage: figures.py [--write] README.md results/RUN", file=sys.stderr)
        return 2
    path, run_path = argv[-2:]
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        out, faults = corrected(lines, Figures(boots.load(run_path)))
        if write:
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in out)
            faults = corrected(out, Figures(boots.load(run_path)))[1]
    except (OSError, results.Broken) as error:
        print(f"figures: {error}", file=sys.stderr)
        return 1
    for number, text in faults:
        print(f"{path}:{number}: {text}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
