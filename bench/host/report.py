#!/usr/bin/env python3
"""Writes a run as one HTML page that needs nothing else: report.py results/RUN

results/RUN/report.html has the tables, the pictures (as SVG within the page) and the machine.
`make report RUN=results/RUN` runs this."""

import base64
import glob
import html
import os
import sys

import boots
import goals
import profiles
import ratios
import results
import scaling
import table

STYLE = """
body { font: 15px/1.45 sans-serif; color: #111; margin: 2em auto; max-width: 78em; padding: 0 1em; }
h1, h2 { font-weight: 600; } h2 { margin-top: 2em; border-bottom: 1px solid #999; }
table { border-collapse: collapse; font-size: 14px; }
td, th { padding: 0.15em 0.9em; text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; }
pre { background: #f4f4f4; padding: 1em; overflow-x: auto; }
img { max-width: 100%; border: 1px solid #ddd; margin: 1em 0; }
"""
# Pictures in the order in which they read best; others follow.
FIRST = ("ratio", "fork-rss", "switch-runnable", "fault-cpus", "syscall-cpus", "wake-cdf")


def rows_html(head, rows):
    line = lambda tag, cells: ("<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>"
                                                for cell in cells) + "</tr>")
    return "<table>" + line("th", head) + "".join(line("td", row) for row in rows) + "</table>"


def ratio_table(run):
    judged = ratios.Judged(run)
    return rows_html(judged.columns, [ratios.pair_cells(run, row) + judged.cells(row)
                                      for row in run.pairs()])


def goals_html(run):
    """Cases that miss their goal: how far, why, and where their instructions go."""
    judged, made = ratios.Judged(run), profiles.load(run.folder)
    if not judged.verdicts:
        return ""
    parts = [f"<h2>Misses its goal</h2><p>{goals.summary(judged.verdicts)}.</p>"]
    for name, verdicts in goals.missed(judged.verdicts).items():
        lines = "".join(f"<p>{html.escape(goals.miss_words(verdict))}</p>" for verdict in verdicts)
        why = html.escape(goals.why_words(judged.table, name))
        profile = (f"<details><summary>profile</summary><pre>{html.escape(made[name])}</pre>"
                   "</details>" if name in made else "<p>No profile was made.</p>")
        parts.append(f"<h3>{html.escape(name)}</h3>{lines}<p>{why}</p>{profile}")
    return "\n".join(parts)


def scaling_html(run):
    found = scaling.rows(run)
    if not found:
        return ""
    return (f"<h2>Scaling</h2><p>{html.escape(' '.join(scaling.NOTE))}</p>"
            + rows_html(scaling.columns(run), found))


def system_table(run, system):
    merged = run.merged(system)
    return rows_html(table.COLUMNS, [table.row(merged, series) for series in merged.series])


def pictures(folder):
    """(name, path) of every SVG of the run."""
    paths = {os.path.splitext(os.path.basename(path))[0]: path
             for path in sorted(glob.glob(os.path.join(folder, "*.svg")))}
    order = [name for name in FIRST if name in paths]
    return [(name, paths[name]) for name in order + [n for n in paths if n not in FIRST]]


def picture_html(name, path):
    with open(path, "rb") as file:
        data = base64.b64encode(file.read()).decode()
    return f'<img alt="{html.escape(name)}" src="data:image/svg+xml;base64,{data}">'


def machine_html(folder):
    try:
        with open(os.path.join(folder, "machine.txt"), encoding="utf-8") as file:
            return f"<h2>Machine</h2><pre>{html.escape(file.read())}</pre>"
    except OSError:
        return ""


def summary_html(run):
    """What stands above the tables: the heading, the noise floor, and what is wrong or missing."""
    if len(run.systems) < 2:
        merged = run.merged(run.systems[0])
        lines = [*table.heading(merged), *table.gaps(merged)]
    else:
        mean = ratios.geometric_mean(run)
        lines = [*ratios.heading(run), *ratios.noise_lines(run),
                 *([f"Geometric mean of the ratios: {ratios.ratio_words(mean)}"] if mean else []),
                 *ratios.flag_lines(run), *ratios.gap_lines(run)]
    return f"<pre>{html.escape(chr(10).join(lines))}</pre>"


def page(run):
    both = len(run.systems) == 2
    title = "Cathode against Linux" if both else f"Benchmarks of {boots.NAMES[run.systems[0]]}"
    parts = [f"<h1>{title}</h1>", summary_html(run)]
    if both:
        parts += ["<h2>Ratios</h2>", ratio_table(run), goals_html(run)]
    parts.append(scaling_html(run))
    parts += ["<h2>Pictures</h2>", *(picture_html(*entry) for entry in pictures(run.folder))]
    for system in run.systems:
        parts += [f"<h2>{boots.NAMES[system]}</h2>", system_table(run, system)]
    parts.append(machine_html(run.folder))
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n")


def main(argv):
    if len(argv) != 2:
        print("usage: report.py results/RUN", file=sys.stderr)
        return 2
    try:
        path = os.path.join(argv[1], "report.html")
        text = page(boots.load(argv[1]))
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, results.Broken) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
