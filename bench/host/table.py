"""The summary of a run: an aligned table (summary.txt) and tab-separated values (summary.tsv)."""

import results

COLUMNS = ("case", "median", "95 % interval", "min", "p95", "p99", "max", "n", "x floor")
TSV_FIELDS = ("name", "param", "unit", "n", "min", "median", "p95", "p99", "max", "mean", "ci_lo",
              "ci_hi", "times_floor")


def multiple(series, floor):
    if floor is None:
        return "-"
    ratio = series.median / floor
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def row(run, series):
    n, least, median, p95, p99, most, _, low, high = series.summary()
    show = lambda value: results.quantity(value, series.unit)
    return (series.title, show(median), f"{show(low)} to {show(high)}", show(least), show(p95),
            show(p99), show(most), str(n), multiple(series, run.floor_of(series)))


def aligned(rows):
    """Rows as lines: the first column to the left, the others to the right."""
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(rows[0]))]
    for cells in rows:
        rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:]))
        yield "  ".join([cells[0].ljust(widths[0]), *rest]).rstrip()


def heading(run):
    yield f"Benchmarks of {run.system}: {run.measured}"
    yield run.machine_line()
    if run.emulated:
        yield ("EMULATED TIMES: they say how fast the emulator is, do not compare them with "
               "hardware. ICOUNT=1 gives exact instructions.")
    if run.floor is not None:
        yield f"x floor: multiples of cal.syscall, {results.quantity(run.floor, run.unit)}"
    for series in run.odd:
        yield f"{series.title}: virtual time, which passes by itself while the guest sleeps"


def gaps(run):
    for title, entries in (("Absent", run.missing), ("FAILED", run.errors)):
        if entries:
            yield ""
            yield title
            yield from (f"  {name}{'' if param == '-' else ' ' + param}: {reason}"
                        for name, param, reason in entries)


def text(run):
    """The table: the floors of the machine first, then what is made of them."""
    floors = [row(run, s) for s in run.series if s.name.startswith("cal.")]
    others = [row(run, s) for s in run.series if not s.name.startswith("cal.")]
    lines = list(aligned([COLUMNS, *floors, *others]))
    rule = "-" * max(map(len, lines))
    body = [lines[0], rule, *lines[1:1 + len(floors)]]
    if floors and others:
        body.append(rule)
    body += lines[1 + len(floors):]
    return "\n".join([*heading(run), "", *body, *gaps(run)]) + "\n"


def tsv(run):
    yield "\t".join(TSV_FIELDS)
    for series in run.series:
        numbers = (f"{value:.3f}" for value in series.summary()[1:])
        floor = run.floor_of(series)
        times = "-" if floor is None else f"{series.median / floor:.3f}"
        yield "\t".join([series.name, series.param, series.unit, str(len(series.values)), *numbers,
                         times])
