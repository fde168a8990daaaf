"""A run of several boots: reading it, and what its cases come to.

results/RUN/ holds one file a boot, SYSTEM-ROUND.tsv (cathode-01.tsv, linux-01.tsv ...), each in the
format of samples.tsv (bench/report.h). A run of one boot, as `make bench` makes it, is its
samples.tsv."""

import glob
import os
import re

import estimate
import results

CATHODE, LINUX = "cathode", "linux"
SYSTEMS = (CATHODE, LINUX)
NAMES = {CATHODE: "Cathode", LINUX: "Linux"}
BOOT_FILE = re.compile(r"(cathode|linux)-(\d+)\.tsv$")


class Row:
    """One case with one parameter: its samples on each system that has it."""

    def __init__(self, series):
        self.name, self.param, self.unit = series.name, series.param, series.unit
        self.title, self.number = series.title, series.number
        self.samples = {}   # system -> [samples of a boot, in the order in which they were taken]
        self.sides = {}     # system -> estimate.Side

    def close(self):
        self.sides = {system: estimate.Side(boots) for system, boots in self.samples.items()}

    @property
    def is_pair(self):
        return all(system in self.sides for system in SYSTEMS)

    def ratio(self):
        """Cathode against Linux: less than 1 is Cathode's favour."""
        return estimate.ratio(self.sides[CATHODE], self.sides[LINUX])

    def outliers(self, system):
        return sum(map(estimate.outliers, self.samples[system]))

    def flags(self, system):
        """What the numbers of a system should be distrusted for, in words."""
        boots = self.samples[system]
        found = [("drifts", estimate.drift(boots)),
                 ("two modes", any(map(estimate.two_modes, boots)))]
        return [word for word, is_so in found if is_so]


class Boots:
    """All boots of a run."""

    def __init__(self, runs, folder="."):
        self.runs = runs  # system -> [results.Run]
        self.folder = folder
        self.rows = self.rows_make()

    @property
    def systems(self):
        return [system for system in SYSTEMS if self.runs.get(system)]

    def first(self, system=None):
        """One boot of a system, for what all boots have in common."""
        return self.runs[system or self.systems[0]][0]

    def rows_make(self):
        rows = {}
        for system in self.systems:
            for run in self.runs[system]:
                for series in run.series:
                    row = rows.setdefault((series.name, series.param), Row(series))
                    row.samples.setdefault(system, []).append(series.values)
        for row in rows.values():
            row.close()
        return list(rows.values())

    def pairs(self):
        return [row for row in self.rows if row.is_pair]

    def gaps(self, system):
        """{(case, parameter): reason} of what a system lacks."""
        said = {(name, param): reason for run in self.runs[system]
                for name, param, reason in run.missing}
        others = {(row.name, row.param): "it has no such case" for row in self.rows
                  if system not in row.sides}
        failed = {(name, param) for name, param, _ in self.errors(system)}
        return {key: reason for key, reason in {**others, **said}.items() if key not in failed}

    def errors(self, system):
        """(case, parameter, reason), each once."""
        return sorted({error for run in self.runs[system] for error in run.errors})

    def merged(self, system):
        """All boots of a system as one run, for the plots of one system."""
        whole = results.Run()
        first = self.first(system)
        whole.stamps, whole.ops, whole.units = first.stamps, first.ops, first.units
        whole.missing, whole.errors = first.missing, self.errors(system)
        for row in self.rows:
            if system in row.samples:
                series = results.Series(row.name, row.param, row.unit)
                series.values = [value for boot in row.samples[system] for value in boot]
                series.iterations = [1] * len(series.values)
                series.ordered = sorted(series.values)
                whole.series.append(series)
        return whole


def load(folder):
    """The Boots of results/RUN; results.Broken when there is nothing."""
    runs = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.tsv"))):
        found = BOOT_FILE.search(path)
        if found:
            runs.setdefault(found.group(1), []).append(results.load(path))
    single = os.path.join(folder, "samples.tsv")
    if not runs and os.path.exists(single):
        run = results.load(single)
        runs = {LINUX if run.system == "Linux" else CATHODE: [run]}
    if not any(run.series for boots in runs.values() for run in boots):
        raise results.Broken(f"{folder}: no samples here")
    return Boots(runs, folder)
