"""What a comparison says: the table for people, ratios.tsv and summary.tsv for programs."""

import math
import textwrap

import boots
import estimate
import goals
import results
import scaling
import table

COLUMNS = ("case", "Cathode", "Linux", "ratio", "95 % interval", "", "outliers")
RATIO_FIELDS = ("name", "param", "unit", "cathode", "linux", "ratio", "ci_lo", "ci_hi",
                "includes_one", "boots_cathode", "boots_linux", "goal", "goal_missed")
SUMMARY_FIELDS = ("system", "name", "param", "unit", "boots", "n", "min", "median", "max", "ci_lo",
                  "ci_hi", "outliers", "flags")
SAME = "~ 1"   # the mark of an interval that includes 1
MACHINE_CASES = ("cal.", "mem.")  # what the machine costs, whatever the kernel
NOISE_CASES = ("cal.loop", "cal.clock")


def ratio_words(value):
    """Three digits, down to 0.0001."""
    return f"{value:.3g}" if value >= 1e-4 else f"{value:.1e}"


def outlier_words(row):
    """Outliers of all samples, Cathode / Linux."""
    counts = [row.outliers(system) for system in boots.SYSTEMS]
    return "" if not any(counts) else " / ".join(map(str, counts))


def title_of(run, row):
    """A case that sleeps is a time also where instructions are counted, and says so."""
    return row.title + (", time" if row.unit != run.first().unit else "")


class Judged:
    """The goals of a run's cases, as its tables show them; without goals nothing is shown."""

    def __init__(self, run):
        self.table = goals.load()
        self.verdicts = goals.verdicts(run, self.table)

    def of(self, row):
        return self.verdicts.get((row.name, row.param))

    @property
    def columns(self):
        return (*COLUMNS, "goal") if self.verdicts else COLUMNS

    def cells(self, row):
        verdict = self.of(row)
        return (verdict.words if verdict else "",) if self.verdicts else ()

    def lines(self):
        """The section of those that miss, with what is known of why."""
        if not self.verdicts:
            return
        yield from ("", f"Goals: {goals.summary(self.verdicts)}. {goals.UNSURE!r}: the interval "
                        "includes the goal.")
        misses = goals.missed(self.verdicts)
        if misses:
            yield from ("", "Misses its goal")
        for name, verdicts in misses.items():
            yield from (f"  {goals.miss_words(verdict)}" for verdict in verdicts)
            yield from textwrap.wrap(goals.why_words(self.table, name), 96, initial_indent="      ",
                                     subsequent_indent="      ")


def pair_cells(run, row):
    ratio = row.ratio()
    low, middle, high = (math.exp(v) for v in (ratio.low, ratio.value, ratio.high))
    values = [results.quantity(math.exp(row.sides[s].value), row.unit) for s in boots.SYSTEMS]
    return (title_of(run, row), *values, ratio_words(middle),
            f"{ratio_words(low)} to {ratio_words(high)}", SAME if ratio.includes_one else "",
            outlier_words(row))


def heading(run):
    first = run.first(boots.CATHODE)
    counts = {system: len(run.runs[system]) for system in run.systems}
    yield f"Cathode against Linux: {first.measured}, medians of boots"
    yield first.machine_line()
    for system in run.systems:
        yield f"{boots.NAMES[system]}: {run.first(system).stamps.get('guest.system', 'unknown')}"
    yield f"Linux boot line: {run.first(boots.LINUX).stamps.get('linux_args', 'unknown')}"
    yield ("Boots, interleaved: " + ", ".join(f"{n} of {boots.NAMES[s]}" for s, n in counts.items())
           + f". A ratio below 1 is in Cathode's favour; {SAME!r}: the interval includes 1.")
    if min(counts.values()) < 2:
        yield "ONE BOOT: the intervals do not say how much boots differ. Use ROUNDS=5."
    if first.emulated:
        yield ("EMULATED TIMES: both are as fast as the emulator. ICOUNT=1 gives instructions.")


def noise_lines(run):
    """The floor: what nothing costs, and how well that is known."""
    for name in NOISE_CASES:
        for row in (row for row in run.rows if row.name == name):
            words = [f"{boots.NAMES[s]} {results.quantity(math.exp(side.value), row.unit)}"
                     f" +- {relative_words(side)}" for s, side in row.sides.items()]
            yield f"Noise floor, {name}: {', '.join(words)}"


def relative_words(side):
    """Half of a side's own interval, as a percentage of the value."""
    own = estimate.own(side)
    return f"{100 * math.expm1((own.high - own.low) / 2):.2g} %"


def flag_lines(run):
    lines = [f"  {row.title} on {boots.NAMES[system]}: {', '.join(flags)}"
             for row in run.rows for system in row.sides for flags in [row.flags(system)] if flags]
    return ["", "Distrust", *lines] if lines else []


def grouped(entries):
    """Lines of {(case, parameter): reason}, parameters of one case and reason on one line."""
    groups = {}
    for (name, param), reason in entries.items():
        groups.setdefault((name, reason), []).append("" if param == "-" else param)
    for (name, reason), params in groups.items():
        head, *others = params
        words = [head, *(param.partition("=")[2] for param in others)]
        yield f"  {name}{' ' if head else ''}{', '.join(words)}: {reason}"


def gap_lines(run):
    """What nobody has, what one lacks, what failed."""
    gaps = {system: run.gaps(system) for system in run.systems}
    shared = {key: why for key, why in gaps[run.systems[0]].items()
              if all(key in gaps[system] for system in run.systems)}
    parts = [("On neither", shared)]
    for system in run.systems:
        mine = {key: why for key, why in gaps[system].items() if key not in shared}
        failed = {(name, param): why for name, param, why in run.errors(system)}
        parts += [(f"Not on {boots.NAMES[system]}", mine),
                  (f"FAILED on {boots.NAMES[system]}", failed)]
    for title, entries in parts:
        if entries:
            yield from ["", title, *grouped(entries)]


def geometric_mean(run):
    """Of the ratios of cases that neither calibrate nor are measured in something else."""
    values = [row.ratio().value for row in run.pairs()
              if not row.name.startswith(MACHINE_CASES) and row.unit == run.first().unit]
    return math.exp(sum(values) / len(values)) if values else None


def but_times(run):
    """Where instructions are counted, times are no part of a mean."""
    return " and times" if run.first().unit == "instructions" else ""


def text(run):
    pairs = run.pairs()
    judged = Judged(run)
    lines = list(table.aligned([judged.columns, *(pair_cells(run, row) + judged.cells(row)
                                                  for row in pairs)]))
    rule = "-" * max(map(len, lines))
    mean = geometric_mean(run)
    foot = [rule, f"geometric mean of the ratios, without cal.*, mem.*{but_times(run)}: "
                  f"{ratio_words(mean or 1)}"]
    return "\n".join([*heading(run), *noise_lines(run), "", lines[0], rule, *lines[1:],
                      *(foot if mean else []), *scaling.lines(run), *judged.lines(),
                      *flag_lines(run),
                      *gap_lines(run)]) + "\n"


def ratios_tsv(run):
    yield "\t".join(RATIO_FIELDS)
    judged = Judged(run)
    for row in run.pairs():
        ratio, verdict = row.ratio(), judged.of(row)
        numbers = [math.exp(row.sides[s].value) for s in boots.SYSTEMS]
        numbers += [math.exp(v) for v in (ratio.value, ratio.low, ratio.high)]
        yield "\t".join([row.name, row.param, row.unit, *(f"{v:.6g}" for v in numbers),
                         "yes" if ratio.includes_one else "no",
                         *(str(row.sides[s].n) for s in boots.SYSTEMS),
                         *((f"{verdict.most:g}", "yes" if verdict.missed else "no") if verdict
                           else ("-", "-"))])


def summary_tsv(run):
    yield "\t".join(SUMMARY_FIELDS)
    for row in run.rows:
        for system, side in row.sides.items():
            every = [value for boot in row.samples[system] for value in boot]
            own = estimate.own(side)
            numbers = [min(every), *(math.exp(v) for v in (own.value,)), max(every),
                       math.exp(own.low), math.exp(own.high)]
            yield "\t".join([system, row.name, row.param, row.unit, str(side.n), str(len(every)),
                             *(f"{v:.3f}" for v in numbers), str(row.outliers(system)),
                             ", ".join(row.flags(system)) or "-"])
