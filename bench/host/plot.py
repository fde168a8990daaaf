#!/usr/bin/env python3
"""Draws the plots of a run from its samples.tsv: latency bars, CDFs, fork against resident size,
and what should be flat.

  plot.py results/RUN     writes results/RUN/{latency,cdf,fork-rss,flat}.{svg,png}

gnuplot draws; the .gp files beside this one say how. Each gets its data and its words as variables
and here-documents in front, and is run once for each format.
"""

import os
import subprocess
import sys

import results

HERE = os.path.dirname(os.path.abspath(__file__))
FONT = "DejaVu Sans"
FORMATS = {"svg": "svg size {w},{h} fixed enhanced background '#ffffff' font '{font},13'",
           "png": "pngcairo size {w},{h} enhanced background '#ffffff' font '{font},10.5'"}
SCALES = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}
FORK_CASE = "fork.rss"
FLAT = (("ctx.yield.crowd", "a switch, by threads that can run", "threads that can run"),
        ("timer.arm_crowd", "a timer armed and cancelled, by timers armed", "timers armed"))


class PlotError(Exception):
    """gnuplot is missing or refused a script."""


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def escaped(text):
    """Text for gnuplot's enhanced mode, within single quotes. gnuplot 5.4 writes an escaped & into
    SVG as it is, which is not XML."""
    return "".join("\\" + c if c in "\\^_@~{}" else c for c in text.replace("&", "and"))


def escaped_twice(text):
    """The same within double quotes, where a backslash is an escape by itself."""
    return escaped(text).replace("\\", "\\\\")


def assignments(values):
    return "".join(f"{key} = {quoted(value) if isinstance(value, str) else value}\n"
                   for key, value in values.items())


def datablock(name, rows):
    lines = ("\t".join(f'"{cell}"' if isinstance(cell, str) else repr(cell) for cell in row)
             if row else "\n" for row in rows)
    return f"${name} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def gnuplot(script):
    try:
        run = subprocess.run(["gnuplot", "-"], input=script, text=True, capture_output=True)
    except OSError as error:
        raise PlotError(f"gnuplot cannot be started: {error}") from error
    if run.returncode != 0 or run.stderr.strip():
        raise PlotError(f"gnuplot: {run.stderr.strip()}")


def draw(run, folder, name, size, values, blocks, scripts=HERE, out=None):
    """Both formats of one plot by scripts/name.gp, called `out` (or name); answers the paths."""
    with open(os.path.join(scripts, name + ".gp"), encoding="utf-8") as file:
        body = file.read()
    stamp = {"machine": escaped(run.machine_line()), "measured": escaped(run.measured),
             "system": escaped(run.system)}
    paths = []
    for suffix, terminal in FORMATS.items():
        path = os.path.join(folder, f"{out or name}.{suffix}")
        head = f"set terminal {terminal.format(w=size[0], h=size[1], font=FONT)}\n"
        head += f"set output {quoted(path)}\n"
        gnuplot(head + assignments({**stamp, **values}) + "".join(blocks) + body)
        paths.append(path)
    return paths


# ---- latency: one row a case --------------------------------------------------------------------


def positive(value, least):
    """On a logarithmic axis there is no zero."""
    return max(value, least)


def latency_rows(series_list, least):
    rows = []
    for place, series in enumerate(reversed(series_list)):
        numbers = [positive(v, least) for v in
                   (series.median, series.ordered[0], series.quantile(0.95))]
        shade = 1 if series.name.startswith("cal.") else 2
        label = results.quantity(series.median, series.unit)
        rows.append([place, *numbers, shade, escaped_twice(series.title), escaped_twice(label)])
    return rows


def latency(run, folder):
    """Of what the axis can show: a time has no place among instructions."""
    shown = [s for s in run.series if s.median > 0 and s.unit == run.unit]
    if not shown:
        return []
    least = min(s.median for s in shown)
    most = max(s.quantile(0.95) for s in shown)
    axis = "guest instructions" if run.unit == "instructions" else "nanoseconds"
    values = {"n": len(shown), "x_least": least / 2, "x_most": most * 6, "axis": axis}
    size = (1200, 160 + 25 * max(len(shown), 5))  # room for the key, too
    return draw(run, folder, "latency", size, values,
                [datablock("DATA", latency_rows(shown, least / 2))])


# ---- CDF: one panel a case ----------------------------------------------------------------------

CDF_COLUMNS = 5


def scale_of(value, unit):
    if unit == "instructions":
        return next(((scale, letter) for scale, letter in ((1e6, "M"), (1e3, "k"))
                     if value >= 2 * scale), (1, ""))
    name = results.quantity(value, "ns").split(" ")[1]
    return SCALES[name], name


def steps(series, scale):
    """The empirical distribution: at each sample the share of samples that are not greater."""
    n = len(series.ordered)
    rows = [[series.ordered[0] / scale, 0.0]]
    rows += [[value / scale, (i + 1) / n] for i, value in enumerate(series.ordered)]
    return rows


def panel_range(series, scale):
    """From the least sample to the p99, with air, and never narrower than 2 % of the median."""
    low, high = series.ordered[0] / scale, series.quantile(0.99) / scale
    width = max(high - low, 0.02 * series.median / scale, 1e-6)
    middle = (low + high) / 2
    return middle - 0.62 * width, middle + 0.62 * width


def panel(run, series, number):
    """The commands that draw one panel."""
    scale, name = scale_of(series.median, series.unit)
    low, high = panel_range(series, scale)
    middle = series.median / scale
    words = escaped_twice(results.quantity(series.median, series.unit))
    words += " of virtual time" if series.unit != run.unit else ""
    head = f"{{/:Bold {escaped_twice(series.title)}}}  {words}"
    letter = name if series.unit == "instructions" else ""
    tics = f"set xtics {(high - low) / 3:.1g} format '%.4g{letter}'"
    line = f"set arrow 1 from {middle!r}, 0 to {middle!r}, 1 nohead dt 3 lw 1.6 lc rgb '#000000'"
    return (f'set title "{head}" font ",11" offset 0, -0.7; set xrange [{low!r}:{high!r}]; {tics}; '
            f"{line}; plot $S{number} using 1:2 with steps lw 1.8 lc rgb '#000000'")


def cdf(run, folder):
    if not run.series:
        return []
    blocks, values = [], {}
    for number, series in enumerate(run.series, 1):
        scale, _ = scale_of(series.median, series.unit)
        blocks.append(datablock(f"S{number}", steps(series, scale)))
        values[f"panel_{number}"] = panel(run, series, number)
    n_rows = -(-len(run.series) // CDF_COLUMNS)
    height = 80 + 170 * n_rows
    values.update(n=len(run.series), rows=n_rows, columns=CDF_COLUMNS, height=height)
    return draw(run, folder, "cdf", (1500, height), values, blocks)


# ---- fork against resident size -----------------------------------------------------------------


def fork_rss(run, folder):
    shown = [s for s in run.series if s.name == FORK_CASE and s.number]
    if not shown:
        return []
    scale, unit = scale_of(max(s.median for s in shown), run.unit)
    rows = [[s.number, s.median / scale, s.ordered[0] / scale, s.quantile(0.95) / scale,
             escaped_twice(results.quantity(s.median, run.unit))] for s in shown]
    base = run.find("fork.exit")
    words = {"M": "million instructions", "k": "thousand instructions", "": "instructions"}
    values = {"axis": escaped(f"{words.get(unit, unit)} per fork"),
              "top": 1.25 * max(row[3] for row in rows),
              "base": base.median / scale if base else 0,
              "x_least": rows[0][0] / 1.5, "x_most": rows[-1][0] * 1.8}
    return draw(run, folder, "fork-rss", (1000, 640), values, [datablock("DATA", rows)])


# ---- what should be flat ------------------------------------------------------------------------


def flat(run, folder):
    values, blocks = {}, []
    for name, title, axis in FLAT:
        shown = [s for s in run.series if s.name == name and s.number]
        if len(shown) < 2:
            continue
        k = len(blocks) + 1
        values.update({f"title_{k}": title, f"axis_{k}": axis, f"base_{k}": shown[0].median})
        blocks.append(datablock(f"DATA{k}", [[s.number, s.median, s.ordered[0], s.quantile(0.95)]
                                             for s in shown]))
    if not blocks:
        return []
    values.update({"n": len(blocks), "axis": run.unit})
    return draw(run, folder, "flat", (600 * len(blocks), 560), values, blocks)


def draw_single(run, folder):
    """What shows one system only, also where two are compared."""
    return latency(run, folder) + cdf(run, folder)


def draw_all(run, folder):
    return draw_single(run, folder) + fork_rss(run, folder) + flat(run, folder)


def main(argv):
    if len(argv) != 2:
        print("usage: plot.py results/RUN", file=sys.stderr)
        return 2
    try:
        paths = draw_all(results.load(os.path.join(argv[1], "samples.tsv")), argv[1])
    except (OSError, PlotError, results.Broken) as error:
        print(f"plot: {error}", file=sys.stderr)
        return 1
    print("\n".join(paths))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
