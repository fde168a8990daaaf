"""Reads samples.tsv: what the benchmark program printed, with the machine's stamps in front.

Everything else (table, plots) is made from this file alone, so that any run can be looked at again.
The record formats are described in bench/report.h, the statistics in bench/stats.h; they are
computed here a second time from the samples, and a test compares the two.
"""

import math
import re
import statistics


UNITS = {"mib": "MiB", "kib": "KiB", "pages": "pages", "us": "µs", "cpus": "CPUs",
         "fds": "descriptors"}
ONE_OF = {"pages": "page", "CPUs": "CPU", "descriptors": "descriptor"}


class Broken(Exception):
    """The file is not what the benchmark program prints."""


class Series:
    """The samples of one case with one parameter, in the order in which they were taken."""

    def __init__(self, name, param, unit="ns"):
        self.name, self.param, self.unit = name, param, unit
        self.values, self.iterations = [], []
        self.ordered = []

    @property
    def title(self):
        """For people: `fork.rss 16 MiB`."""
        if self.param == "-":
            return self.name
        name, _, number = self.param.partition("=")
        unit = UNITS.get(name.rpartition("_")[2], name)
        return f"{self.name} {number} {ONE_OF.get(unit, unit) if number == '1' else unit}"

    @property
    def number(self):
        """The parameter's number, None when there is none."""
        return None if self.param == "-" else float(self.param.partition("=")[2])

    def quantile(self, p):
        position = (len(self.ordered) - 1) * p
        below = int(position)
        if below + 1 >= len(self.ordered):
            return self.ordered[-1]
        part = position - below
        return self.ordered[below] + part * (self.ordered[below + 1] - self.ordered[below])

    @property
    def median(self):
        return self.quantile(0.5)

    def interval(self):
        """The 95 % confidence interval of the median."""
        rank = median_rank(len(self.ordered))
        return self.ordered[rank - 1], self.ordered[-rank]

    def summary(self):
        """Fields as in a summary record, from n on."""
        low, high = self.interval()
        return [len(self.values), self.ordered[0], self.median, self.quantile(0.95),
                self.quantile(0.99), self.ordered[-1], statistics.fmean(self.values), low, high]


def median_rank(n):
    """Largest k with 2 P(Bin(n, 1/2) < k) <= 5 %; 1 when there is none."""
    if n > 1000:
        return int((n - 1.959964 * math.sqrt(n)) / 2)
    tail, k = 0, 0
    while True:
        tail += math.comb(n, k)
        if tail * 40 > 2 ** n:  # more than 2.5 %
            return max(k, 1)
        k += 1


class Run:
    """A parsed samples.tsv."""

    def __init__(self):
        self.stamps = {}     # key -> text
        self.ops = {}        # case -> what one operation is
        self.units = {}      # case -> its unit, which is the run's but for times among instructions
        self.series = []     # in the order of the file
        self.guest = {}      # (case, param) -> the program's own summary
        self.missing = []    # (case, param, reason)
        self.errors = []     # (case, param, reason)

    @property
    def unit(self):
        return self.stamps.get("unit", "ns")

    @property
    def system(self):
        """What was measured: Cathode, or what it is compared with."""
        return self.stamps.get("guest.system", "unknown").partition(" ")[0]

    @property
    def emulated(self):
        return self.unit == "ns" and self.stamps.get("times") == "emulated"

    @property
    def measured(self):
        """What the numbers are, in words."""
        if self.unit == "instructions":
            return "exact guest instructions"
        return "time" + (", emulated" if self.emulated else "")

    def find(self, name):
        return next((s for s in self.series if s.name == name), None)

    @property
    def floor(self):
        """The median of cal.syscall, of which others are multiples; None when not measured."""
        series = self.find("cal.syscall")
        return series.median if series and series.median > 0 else None

    def floor_of(self, series):
        """What a series can be divided by; None when it is measured in something else."""
        return self.floor if series.unit == self.unit else None

    @property
    def odd(self):
        """The series that are in another unit than the run."""
        return [s for s in self.series if s.unit != self.unit]

    def machine_line(self):
        get = lambda key: self.stamps.get(key, "unknown")
        accel = get("accel") + (" icount" if get("icount") == "1" else "")
        cpus = "1 CPU" if get("guest.cpus") == "1" else f"{get('guest.cpus')} CPUs"
        version = re.search(r"version ([0-9.]+)", get("qemu"))
        qemu = f", QEMU {version.group(1)}" if version else ""
        return (f"{get('host_cpu')}, {cpus}, accelerator {accel}{qemu}, "
                f"commit {get('commit')}, {get('date')}")


def parse(lines):
    run, open_series = Run(), {}
    for number, line in enumerate(lines, 1):
        try:
            parse_line(run, open_series, line.rstrip("\n"))
        except (ValueError, IndexError, KeyError) as error:
            raise Broken(f"line {number}: {line.rstrip()[:80]!r} is no record ({error})") from error
    for series in run.series:
        series.ordered = sorted(series.values)
    return run


def parse_line(run, open_series, line):
    fields = line.split("\t")
    if line.startswith("# "):
        run.stamps[fields[0][2:]] = fields[1]
    elif fields[0] == "case":
        run.units[fields[1]], run.ops[fields[1]] = fields[2], fields[3]
    elif fields[0] == "sample":
        _, name, param, iterations, value = fields
        if (name, param) not in open_series:
            open_series[name, param] = Series(name, param, run.units.get(name, run.unit))
            run.series.append(open_series[name, param])
        open_series[name, param].iterations.append(int(iterations))
        open_series[name, param].values.append(float(value))
    elif fields[0] == "summary":
        if len(fields) != 12:
            raise ValueError("a summary has 12 fields")
        run.guest[fields[1], fields[2]] = [float(field) for field in fields[3:]]
    elif fields[0] == "absent":
        run.missing.append((fields[1], fields[2], fields[3]))
    elif fields[0] == "ERROR":
        run.errors.append((fields[1], fields[2], fields[3]))
    elif line:
        raise ValueError("unknown record")


def load(path):
    with open(path, encoding="utf-8") as file:
        try:
            return parse(file)
        except Broken as error:
            raise Broken(f"{path}: {error}") from error


def quantity(value, unit):
    """A value for people: three digits and a unit."""
    if unit == "instructions":
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    for factor, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if value >= factor:
            return f"{three_digits(value / factor)} {name}"
    return f"{three_digits(value)} ns"


def three_digits(value):
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
