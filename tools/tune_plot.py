"""The pictures of a sweep: heat maps of pairs of parameters, and throughput against p99 latency.
gnuplot draws; bench/tune/heat.gp and bench/tune/pareto.gp say how.

Two crossed parameters have a picture of their own, with every workload. A crossed one and those
that varied alone share a sheet, in which each pair has the means over the workloads. Two that
varied alone were never moved together: there is nothing to draw.
"""

import itertools
import math
import os
import sys

TREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TREE, "bench", "host"))
# pylint: disable=wrong-import-position
import plot
import results
from tune_analysis import LATENCY, OBJECTIVES, THROUGHPUT, percent
from tune_report import settings_words

SCRIPTS = os.path.join(TREE, "bench", "tune")
METRIC_WORDS = {THROUGHPUT: "throughput", LATENCY: "p99 latency"}
GRAY_DARKEST, SHADE_LEAST = 130, 0.02  # full shade stands for at least 2 %
WIDTH = 1150
LETTERS = "abcdefghijkl"


def stamped(sweep):
    """The sweep as plot.py knows runs: with machine, accelerator, commit and what is measured."""
    run = results.Run()
    run.stamps = sweep.stamps
    return run


# ---- heat maps ----------------------------------------------------------------------------------


def shade(gain, most):
    """White is as good as the best of the panel, dark as bad as the worst; text stays readable."""
    part = (gain / most + 1) / 2
    level = round(GRAY_DARKEST + (255 - GRAY_DARKEST) * part)
    return level * 0x010101


def panel_rows(cells, xs, ys):
    """(column, row, colour, words) of each cell; `cells` are (gain, log ratio)."""
    most = max([SHADE_LEAST, *(abs(gain) for gain, _ in cells.values())])
    return [[xs.index(x), ys.index(y), shade(gain, most), percent(ratio)]
            for (x, y), (gain, ratio) in sorted(cells.items())]


class Layout:
    """How panels lie on a picture; names: whether the axes of each say what they are. In pixels
    but for the fonts."""

    def __init__(self, columns, left, gap, cell, fonts, names):
        self.columns, self.left, self.gap, self.cell = columns, left, gap, cell
        self.fonts, self.names = fonts, names

    def variables(self, n_panels, n_cells):
        """Of the script, which wants shares of the screen; n_cells: of the highest panel."""
        rows = -(-n_panels // self.columns)
        height = 110 + rows * (self.gap[1] + n_cells * self.cell)
        return {"rows": rows, "columns": self.columns, "width": WIDTH, "height": height,
                "left": self.left, "gap_x": self.gap[0], "gap_y": self.gap[1],
                "title_font": f",{self.fonts[0]}", "cell_font": f",{self.fonts[1]}"}


ALONE = Layout(3, 110, (109, 90), 44, (11, 11), True)
SHEET = Layout(4, 75, (75, 56), 30, (10, 9), False)


class Panel:
    """One map of (x, y): a title and the objective's values."""

    def __init__(self, title, metric, values, y):
        self.title, self.metric, self.values, self.y = title, metric, values, y

    def rows(self, analysis, x):
        """Of the data block; none when the sweep did not come further than the base's cell."""
        sign, levels = OBJECTIVES[self.metric], analysis.levels
        gains = analysis.matrix(self.values, sign, x, self.y)
        cells = {cell: (gain, sign * gain) for cell, gain in gains.items()}
        if len(cells) < 2:
            return []
        return panel_rows(cells, sorted(levels[x]), sorted(levels[self.y]))

    def variables(self, analysis, number, named):
        ys = sorted(analysis.levels[self.y])
        return {f"title_{number}": plot.escaped(self.title),
                f"y_name_{number}": plot.escaped(self.y) if named else "",
                f"y_tics_{number}": f"set ytics ({tics(ys)})", f"y_n_{number}": len(ys)}


def means(analysis):
    """(metric, values) of all workloads together."""
    return [(metric, analysis.mean_of(metric)) for metric in OBJECTIVES]


def tics(levels):
    return ", ".join(f'"{level}" {place}' for place, level in enumerate(levels))


def heat(run, folder, analysis, x, panels, layout, words):
    """One picture; words: (heading, what the changes are against, the file's name)."""
    drawn = [(panel, rows) for panel in panels if (rows := panel.rows(analysis, x))]
    if not drawn:
        return []
    values, blocks, xs = {}, [], sorted(analysis.levels[x])
    for number, (panel, rows) in enumerate(drawn, 1):
        values.update(panel.variables(analysis, number, layout.names))
        blocks.append(plot.datablock(f"P{number}", rows))
    heading, against, name = words
    sizes = layout.variables(len(drawn), max(len(analysis.levels[p.y]) for p, _ in drawn))
    values.update(sizes, n=len(drawn), heading=plot.escaped(heading), base=plot.escaped(against),
                  x_name=plot.escaped(x) if layout.names else "", x_n=len(xs),
                  x_tics=f"set xtics ({tics(xs)})")
    return plot.draw(run, folder, "heat", (WIDTH, sizes["height"]), values, blocks, SCRIPTS, name)


def pair(run, folder, analysis, x, y):
    """Two parameters: all workloads together, then one by one."""
    panels = [Panel(f"all workloads: {METRIC_WORDS[metric]}", metric, values, y)
              for metric, values in means(analysis)]
    panels += [Panel(f"{workload}: {METRIC_WORDS[metric]}", metric, values, y)
               for (workload, metric), values in sorted(analysis.values.items())]
    base = analysis.points[0]
    return heat(run, folder, analysis, x, panels, ALONE,
                (f"{x} and {y}", f"{x}={base[x]}, {y}={base[y]}", f"heat-{x}-{y}"))


def sheet(run, folder, analysis, x, others):
    """A crossed parameter and each that varied alone, by all workloads together."""
    panels = [Panel(f"{y}: {METRIC_WORDS[metric]}", metric, values, y)
              for y in others for metric, values in means(analysis)]
    return heat(run, folder, analysis, x, panels, SHEET,
                (f"{x} (across) and each that varied alone (up)",
                 f"{x}={analysis.points[0][x]} and what the other starts with, all workloads",
                 f"heat-{x}"))


def heat_all(run, folder, analysis, crossed):
    alone, paths = [name for name in analysis.levels if name not in crossed], []
    for x, y in itertools.combinations(crossed, 2):
        paths += pair(run, folder, analysis, x, y)
    for x in crossed if alone else []:
        paths += sheet(run, folder, analysis, x, alone)
    return paths


# ---- throughput against latency -----------------------------------------------------------------


def as_percent(log_ratio):
    return 100 * math.expm1(log_ratio)


def pareto_rows(rows):
    """x, x low, x high, y, y low, y high in percent."""
    return [[as_percent(value) for value in (*throughput, *latency)]
            for _, throughput, latency, _ in rows]


def letter_rows(rows):
    return [[as_percent(throughput[0]), as_percent(latency[0]), letter]
            for letter, (_, throughput, latency, _) in zip(LETTERS, rows)]


def letter_words(analysis, rows):
    """What the letters stand for, as variables of the script."""
    words = [settings_words(analysis.points[row[0]], analysis.points[0]) for row in rows]
    return {f"words_{number}": plot.escaped(f"{letter}: {text}")
            for number, (letter, text) in enumerate(zip(LETTERS, words), 1)}


def pareto(analysis, run, folder):
    rows = analysis.pareto()
    if not rows:
        return []
    front = sorted((row for row in rows if row[3]), key=lambda row: row[1][0])
    chosen = analysis.point_of(analysis.choose()[0])
    picked = [row for row in rows if row[0] == chosen]
    blocks = [plot.datablock("ALL", pareto_rows(rows)),
              plot.datablock("FRONT", pareto_rows(front)),
              plot.datablock("LETTERS", letter_rows(front)),
              plot.datablock("CHOSEN", pareto_rows(picked or rows[:1]))]
    words = letter_words(analysis, front)
    values = {**words, "n_letters": len(words),
              "chosen": "chosen" if picked else "the base (the choice itself was not measured)"}
    size = (1100, 720 + 22 * len(words))
    return plot.draw(run, folder, "pareto", size, values, blocks, SCRIPTS)


def draw_all(analysis, crossed, sweep, folder):
    run = stamped(sweep)
    return heat_all(run, folder, analysis, crossed) + pareto(analysis, run, folder)
