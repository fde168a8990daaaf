"""The pictures of a comparison: all ratios sorted; both systems against a size or a number of CPUs;
both as distributions. gnuplot draws; ratio.gp and both.gp say how. Readable in black and white:
Cathode is a full line with full marks, Linux a dashed line with open marks."""

import math
import re

import boots
import estimate
import plot
import ratios
import results

STYLES = {boots.CATHODE: "pt 7 ps 1 dt 1 lw 1.8 lc rgb '#000000'",
          boots.LINUX: "pt 6 ps 1 dt 2 lw 1.8 lc rgb '#000000'"}
LINES = {boots.CATHODE: "dt 1 lw 2 lc rgb '#000000'", boots.LINUX: "dt 3 lw 2.4 lc rgb '#000000'"}
PANEL_COLUMNS = 3
FULL, OPEN = 7, 6  # gnuplot's marks
# Name of the picture, its heading, which cases it shows, what the axis of sizes says.
COSTS = (
    ("fork-rss", "Fork, exit and wait, by memory of the parent", r"fork\.rss",
     "memory that the parent has written, MiB"),
    ("switch-runnable", "A switch, by threads that can run", r"ctx\.yield\.crowd",
     "threads that can run"),
    ("timer-armed", "A timer armed and cancelled, by timers armed", r"timer\.arm_crowd",
     "timers armed"),
    ("fault-cpus", "Page faults and mappings on more CPUs; cal.trap is the machine's floor",
     r"(cal\.trap|pf|mmap)\.scale\..*", "CPUs at work"),
    ("syscall-cpus", "System calls on more CPUs", r"syscall\.scale.*", "CPUs at work"))
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
    """Rows of numbers for each system, the plot style, and the commands that precede the plot."""

    def __init__(self, title, data, style, before):
        self.title, self.data, self.style, self.before = title, data, style, before

    def blocks(self, number):
        return [plot.datablock(f"{boots.NAMES[s]}{number}", rows) for s, rows in self.data.items()]

    def commands(self, number):
        """In double quotes for gnuplot's titles, as the whole stands in single ones."""
        plots = ", ".join(f"${boots.NAMES[s]}{number} {self.style(s)} title \"{boots.NAMES[s]}\""
                          for s in self.data)
        return f"set title \"{plot.escaped_twice(self.title)}\"; {self.before}; plot {plots}"


def panels_draw(run, name, heading, panels, **more):
    columns = min(PANEL_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width, height = 160 + max(620, 420 * columns), 190 + 430 * rows
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


def cost_panel(title, rows, axis, unit):
    data = {system: sorted(interval_row(row, system) for row in rows if system in row.sides)
            for system in boots.SYSTEMS if any(system in row.sides for row in rows)}
    numbers = [row.number for row in rows]
    lows = [line[2] for lines in data.values() for line in lines]
    highs = [line[3] for lines in data.values() for line in lines]
    tics = ", ".join(f'"{number:g}" {number:g}' for number in sorted(set(numbers)))
    before = (f"set logscale xy; set xrange [{min(numbers) / 1.3!r}:{max(numbers) * 1.3!r}]; "
              f"set yrange [{max(min(lows), 1e-3) / 2!r}:{max(highs) * 5!r}]; "
              f"set xtics ({tics}); set format y \"10^{{%L}}\"; set xlabel \"{axis}\"; "
              f"set ylabel \"{unit}\"")
    return Panel(title, data, lambda s: f"using 1:2:3:4 with yerrorlines {STYLES[s]}", before)


def unit_words(unit):
    return "guest instructions" if unit == "instructions" else "nanoseconds"


def cost(run, name, heading, pattern, axis):
    """One panel a case that was measured with several sizes; nothing when no case was."""
    wanted = re.compile(pattern + "$")
    cases = {}
    for row in run.rows:
        if wanted.match(row.name) and row.number:
            cases.setdefault(row.name, []).append(row)
    panels = [cost_panel(case, rows, axis, unit_words(rows[0].unit))
              for case, rows in cases.items() if len(rows) > 1]
    return panels_draw(run, name, heading, panels) if panels else []


def wake_panel(row):
    data, reach = {}, 0.0
    for system, samples in row.samples.items():
        series = results.Series(row.name, row.param, row.unit)
        series.ordered = sorted(value for boot in samples for value in boot)
        scale, unit = plot.scale_of(series.median, row.unit) if not data else (scale, unit)
        data[system] = plot.steps(series, scale)
        reach = max(reach, series.quantile(0.99) / scale)
    least = min(rows[0][0] for rows in data.values())
    before = ("unset logscale; set format y \"%g\"; set yrange [0:1.12]; set ytics 0, 0.25, 1; "
              "set key center center; "
              f"set logscale x; set xrange [{max(least, 1e-3) / 1.5!r}:{reach * 1.5!r}]; "
              f"set xlabel \"{unit or 'instructions'}, to the 99th percentile\"; "
              "set ylabel \"share of the samples that took at most so long\"")
    return Panel(row.title, data, lambda s: f"using 1:2 with steps {LINES[s]}", before)


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
