"""How far operations are slowed down by other CPUs that do the same, beside what the machine alone
would have them slowed down: bench/cases/scale.c. Pure.

[C1] pf.scale takes one exception an operation. An emulator may deliver one exception at a time on
     all CPUs together (QEMU takes its big lock for each), so that faults could not scale whatever
     the kernel did. The floor, cal.trap.scale, is an exception with next to no kernel behind it, by
     the same crews in the same run: what it grows by, pf.scale cannot but grow by.
[C2] The share of a growth that is the floor's is said in full, also where it is more than all: the
     floor's exceptions are closer together than those of faults, which wait for each other less."""

import math

import boots
import results
import table

# The start of a name, and that of its floor; the rest (threads, processes) is the same.
FLOORS = {"pf.scale.": "cal.trap.scale."}
SHOWN = ("cal.int.scale.", "cal.trap.scale.", "syscall.scale.", "pf.scale.", "mmap.scale.")
COLUMNS = ("case", "CPUs")
OF_EACH = ("x 1 CPU", "x floor", "floor's share")


def floor_name(name):
    """The case that is its floor, or None."""
    return next((floor + name[len(start):] for start, floor in FLOORS.items()
                 if name.startswith(start)), None)


class Costs:
    """What the cases cost on a system, by name and number of CPUs."""

    def __init__(self, run, system):
        self.of = {(row.name, row.number): math.exp(row.sides[system].value) for row in run.rows
                   if row.number and system in row.sides and row.name.startswith(SHOWN)}

    def growth(self, name, cpus):
        """(alone, together), or None where one is not known."""
        pair = self.of.get((name, 1.0)), self.of.get((name, cpus))
        return None if None in pair else pair

    def cells(self, name, cpus, unit):
        """Cost with so many CPUs, times that of one; times the floor's; the floor's share."""
        pair = self.growth(name, cpus)
        if pair is None:
            return "-", "-", "", ""
        shown = results.quantity(pair[1], unit), f"{pair[1] / pair[0]:.2f}"
        floor = floor_name(name) and self.growth(floor_name(name), cpus)
        if not floor:
            return *shown, "", ""
        return *shown, f"{pair[1] / floor[1]:.2f}", share_words(pair, floor)


def share_words(pair, floor):
    """How much of a growth is the floor's [C2]; nothing where there is none to be shared out."""
    grown = pair[1] - pair[0]
    return f"{100 * (floor[1] - floor[0]) / grown:.0f} %" if grown > 0.05 * pair[0] else "-"


def rows(run):
    """Cells of each case with more than one CPU, in the order of SHOWN."""
    costs = [Costs(run, system) for system in run.systems]
    found = [row for row in run.rows if row.name.startswith(SHOWN) and row.number
             and row.number > 1]
    found.sort(key=lambda row: next(i for i, s in enumerate(SHOWN) if row.name.startswith(s)))
    return [(row.name, f"{row.number:g}", *(cell for cost in costs
                                            for cell in cost.cells(row.name, row.number, row.unit)))
            for row in found]


def columns(run):
    return (*COLUMNS, *(cell for system in run.systems
                        for cell in (boots.NAMES[system], *OF_EACH)))


NOTE = (
    "One operation by each CPU at once, and how many times that of one CPU alone (1.00: more CPUs",
    "cost nothing). x floor: times cal.trap.scale of the same crew, an exception with next to no",
    "kernel behind it. floor's share: of what pf.scale grows by, how much cal.trap.scale grows by.",
    "About 100 % or more: the machine's exceptions do not scale, whatever the kernel does.")


def lines(run):
    """The section of a table; nothing where no case ran on more than one CPU."""
    found = rows(run)
    if found:
        yield from ("", "Scaling", *NOTE, *("  " + line for line in
                                            table.aligned([columns(run), *found])))
