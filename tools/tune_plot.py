"""The pictures of a sweep: a heat map for each pair of crossed parameters, and throughput against
p99 latency. gnuplot draws; bench/tune/heat.gp and bench/tune/pareto.gp say how."""

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
PANEL_COLUMNS = 3
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


def objectives(analysis):
    """(title, metric, values) of each panel: all workloads together, then one by one."""
    out = [(f"all workloads: {METRIC_WORDS[m]}", m, analysis.mean_of(m)) for m in OBJECTIVES]
    for (workload, metric), values in sorted(analysis.values.items()):
        out.append((f"{workload}: {METRIC_WORDS[metric]}", metric, values))
    return [row for row in out if row[2]]


def tics(levels):
    return ", ".join(f'"{level}" {place}' for place, level in enumerate(levels))


def heat(analysis, run, folder, x, y):
    xs, ys = sorted(analysis.levels[x]), sorted(analysis.levels[y])
    blocks, titles = [], {}
    panels = objectives(analysis)
    for number, (title, metric, values) in enumerate(panels, 1):
        sign = OBJECTIVES[metric]
        gains = analysis.matrix(values, sign, x, y)
        cells = {cell: (gain, sign * gain) for cell, gain in gains.items()}
        blocks.append(plot.datablock(f"P{number}", panel_rows(cells, xs, ys)))
        titles[f"title_{number}"] = plot.escaped(title)
    n_rows = -(-len(panels) // PANEL_COLUMNS)
    height = 110 + 90 * n_rows + 44 * len(ys) * n_rows
    base = analysis.points[0]
    values = {**titles, "n": len(panels), "rows": n_rows, "columns": PANEL_COLUMNS,
              "height": height, "x_name": plot.escaped(x), "y_name": plot.escaped(y),
              "x_n": len(xs), "y_n": len(ys),
              "x_tics": f"set xtics ({tics(xs)})", "y_tics": f"set ytics ({tics(ys)})",
              "base": plot.escaped(f"{x}={base[x]}, {y}={base[y]}")}
    return plot.draw(run, folder, "heat", (1150, height), values, blocks, SCRIPTS,
                     f"heat-{x}-{y}")


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


def draw_all(analysis, sweep, folder):
    run, paths = stamped(sweep), []
    for x, y in itertools.combinations(analysis.levels, 2):
        if analysis.contexts(x, y):
            paths += heat(analysis, run, folder, x, y)
    return paths + pareto(analysis, run, folder)
