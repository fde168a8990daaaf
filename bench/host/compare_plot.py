"""The pictures of a comparison: all ratios sorted; both systems against a size or a number of CPUs;
both as distributions. gnuplot draws; ratio.gp and both.gp say how. Readable in black and white:
Cathode is a full line with full marks, Linux a dashed line (a full one as a distribution) with open
marks."""

import math
import re

import boots
import estimate
import plot
import ratios
import results

STYLES = {boots.CATHODE: "pt 7 ps 1 dt 1 lw 1.8 lc rgb '#000000'",
          boots.LINUX: "pt 6 ps 1 dt 2 lw 1.8 lc rgb '#000000'"}
BARS = {boots.CATHODE: "pt 7 ps 1 dt 1 lw 1.6 lc rgb '#000000'",
        boots.LINUX: "pt 6 ps 1 dt 1 lw 1.6 lc rgb '#000000'"}
LINES = {boots.CATHODE: "dt 1 lw 1.8 pt 7 ps 1 lc rgb '#000000'",
         boots.LINUX: "dt 1 lw 1.8 pt 6 ps 1.2 lc rgb '#000000'"}
CDF_MARKS = 12     # along a distribution: a dashed line would look full where it is steep
PANEL_COLUMNS = 2  # threads beside processes
FULL, OPEN = 7, 6  # gnuplot's marks
# Name of the picture, its heading, which cases it shows, what the axis of sizes says.
COSTS = (
    ("fork-rss", "Fork, exit and wait, by memory of the parent", r"fork\.rss",
     "memory that the parent has written, MiB"),
    ("switch-runnable", "A switch, by threads that can run", r"ctx\.yield\.crowd",
     "threads that can run"),
    ("timer-armed", "A timer armed and cancelled, by timers armed", r"timer\.arm_crowd",
     "timers armed"),
    ("fault-cpus", "Page faults, their floor (cal.trap), and mappings",
     r"(cal\.trap|pf|mmap)\.scale\..*", "CPUs at work"),
    ("syscall-cpus", "System calls", r"syscall\.scale.*", "CPUs at work"))
WAKE = "timer.wake"  # of which each sample is a latency; those of storms are percentiles


# ---- ratios -------------------------------------------------------------------------------------


def ratio_rows(run, pairs):
    """(rows, tics), the smallest ratio at the top."""
    rows, tics = [], []
    ordered = sorted(((row.ratio(), row) for row in pairs), key=lambda pair: -pair[0].value)
    for place, (ratio, row) in enumerate(ordered):
        middle, low, high = (math.exp(v) for v in (ratio.value, ratio.low, ratio.high))
        mark = OPEN if ratio.includes_one else FULL
        rows.append([middle, place, low, high, f"{middle:.3g}", mark])
        tics.append(f'"{plot.escaped_twice(ratios.title_of(run, row))}" {place}')
    return rows, tics


def ratio_draw(run):
    """Cases that both have, without the calibration of the machine itself."""
    pairs = [row for row in run.pairs() if not row.name.startswith("cal.")] or run.pairs()
    rows, tics = ratio_rows(run, pairs)
    values = {"n": len(rows), "tics": f"set ytics ({', '.join(tics)})",
              "x_least": min(0.5, *(row[2] for row in rows)) / 1.5,
              "x_most": max(2.0, *(row[3] for row in rows)) * 3}
    size = (1200, 230 + 25 * max(len(rows), 5))
    blocks = [plot.datablock("DATA", rows)]
    return plot.draw(run.first(boots.CATHODE), run.folder, "ratio", size, values, blocks)


# ---- panels of both systems ---------------------------------------------------------------------


class Panel:
    """Rows of numbers for each system, the plot style, the commands that precede the plot, and
    perhaps a second style drawn over the first."""

    def __init__(self, title, data, style, before, over=None):
        self.title, self.data, self.style, self.before = title, data, style, before
        self.over = over

    def blocks(self, number):
        return [plot.datablock(f"{boots.NAMES[s]}{number}", rows) for s, rows in self.data.items()]

    def commands(self, number):
        """In double quotes for gnuplot's titles, as the whole stands in single ones."""
        plots = ", ".join(f"${boots.NAMES[s]}{number} {self.style(s)} title \"{boots.NAMES[s]}\""
                          for s in self.data)
        plots += "".join(f", ${boots.NAMES[s]}{number} {self.over(s)} notitle"
                         for s in self.data if self.over)
        return f"set title \"{plot.escaped_twice(self.title)}\"; {self.before}; plot {plots}"


def panels_draw(run, name, heading, panels, **more):
    columns = min(PANEL_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width, height = 160 + max(740, 440 * columns), 190 + 430 * rows
    values = {"n": len(panels), "columns": columns, "rows": rows, "width": width,
              "height": height, "heading": plot.escaped(heading), **more}
    blocks = []
    for number, panel in enumerate(panels, 1):
        values[f"panel_{number}"] = panel.commands(number)
        blocks += panel.blocks(number)
    return plot.draw(run.first(), run.folder, "both", (width, height), values, blocks, out=name)


def interval_row(row, system):
    own = estimate.own(row.sides[system])
    return [row.number, *(math.exp(v) for v in (own.value, own.low, own.high))]


def cost_panel(title, rows, axis, unit, span):
    """`span` are the least and the largest cost of all panels, which have one scale."""
    data = {system: sorted(interval_row(row, system) for row in rows if system in row.sides)
            for system in boots.SYSTEMS if any(system in row.sides for row in rows)}
    numbers = [row.number for row in rows]
    tics = ", ".join(f'"{number:g}" {number:g}' for number in sorted(set(numbers)))
    before = (f"set logscale xy; set xrange [{min(numbers) / 1.3!r}:{max(numbers) * 1.3!r}]; "
              f"set yrange [{max(span[0], 1e-3) / 2!r}:{span[1] * 5!r}]; "
              f"set xtics ({tics}); set format y \"10^{{%L}}\"; set xlabel \"{axis}\"; "
              f"set ylabel \"{unit}\"")
    return Panel(title, data, lambda s: f"using 1:2 with linespoints {STYLES[s]}", before,
                 lambda s: f"using 1:2:3:4 with yerrorbars {BARS[s]}")


def unit_words(unit):
    return "guest instructions" if unit == "instructions" else "nanoseconds"


def cost(run, name, heading, pattern, axis):
    """A panel a case that was measured with several sizes; nothing when no case was."""
    wanted = re.compile(pattern + "$")
    cases = {}
    for row in run.rows:
        if wanted.match(row.name) and row.number:
            cases.setdefault(row.name, []).append(row)
    cases = {case: rows for case, rows in cases.items() if len(rows) > 1}
    ends = [interval_row(row, system)[2:] for rows in cases.values() for row in rows
            for system in row.sides]
    span = [pick(values) for pick, values in zip((min, max), zip(*ends))]
    panels = [cost_panel(case, rows, axis, unit_words(rows[0].unit), span)
              for case, rows in cases.items()]
    return panels_draw(run, name, heading, panels) if panels else []


def tics_between(low, high):
    """1, 2 and 5 of each power of ten; only its first where that would be many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if len(powers) < 5 else (1,)
    return ", ".join(f'"{d * 10.0 ** k:g}" {d * 10.0 ** k!r}' for k in powers for d in digits)


def wake_panel(row):
    data, reach = {}, 0.0
    for system, samples in row.samples.items():
        series = results.Series(row.name, row.param, row.unit)
        series.ordered = sorted(value for boot in samples for value in boot)
        scale, unit = plot.scale_of(series.median, row.unit) if not data else (scale, unit)
        data[system] = plot.steps(series, scale)
        reach = max(reach, series.quantile(0.99) / scale)
    least = max(min(rows[0][0] for rows in data.values()), 1e-3)
    before = ("unset logscale; set format y \"%g\"; set yrange [0:1.12]; set ytics 0, 0.25, 1; "
              f"set logscale x; set xrange [{least / 3!r}:{reach * 1.5!r}]; "
              f"set xtics ({tics_between(least / 3, reach * 1.5)}); "
              f"set xlabel \"{unit or 'instructions'}, to the 99th percentile\"; "
              "set ylabel \"share of the samples that took at most so long\"")
    every = {system: max(1, len(rows) // CDF_MARKS) for system, rows in data.items()}
    return Panel(row.title, data, lambda s: f"using 1:2 with linespoints pointinterval {every[s]} "
                                            f"{LINES[s]}", before)


def wake(run):
    rows = [row for row in run.rows if row.name == WAKE]
    if not rows:
        return []
    virtual = run.first().unit == "instructions"
    measured = "virtual time of the emulator" if virtual else run.first().measured
    panels = [wake_panel(row) for row in rows]
    return panels_draw(run, "wake-cdf", "Wake-up latency", panels, measured=measured)


def draw_all(run):
    """All pictures of what the run has; those of one system only are of Cathode alone."""
    paths = ratio_draw(run) if run.pairs() else []
    for entry in COSTS:
        paths += cost(run, *entry)
    return paths + wake(run)
