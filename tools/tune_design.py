"""The design of a sweep: which settings are measured, how often, in which order. Pure.

The first parameters of sweep.conf are crossed: every combination of their levels is a point. Each
further parameter varies alone, in a few contexts: the base, and the base with one crossed parameter
at another level. A repetition of everything is a block, in which each (point, workload) stands
once, in an order of its own drawn from the seed. So each comparison is made within a block, between
points that differ in one parameter only, and slow drift of the machine meets both sides alike.
There are as many blocks as it takes for every comparison to be able to tell something.
"""

import itertools
import random

import tune_stats

CROSSED_POINTS = 24     # at most so many combinations of crossed parameters
LEVELS_SMALL_RANGE = 4  # a parameter with no more values than these is tried with all of them
BLOCKS_LEAST, BLOCKS_MOST = 3, 30


class DesignError(Exception):
    """What was asked for cannot be swept."""


class Param:
    """A parameter as the kernel declares it; `base` is the value that changes are compared with."""

    def __init__(self, name, base, least, most):
        self.name, self.base, self.least, self.most = name, base, least, most

    def takes(self, value):
        return self.least <= value <= self.most


class Design:
    """levels: {name: [base, other, ...]}; crossed: names; points: [{name: value}], base first."""

    def __init__(self, levels, crossed, points):
        self.levels, self.crossed, self.points = levels, crossed, points

    def changes(self):
        """Every (name, base, other level)."""
        return [(name, base, other) for name, (base, *others) in self.levels.items()
                for other in others]

    def blocks_least(self, n_objectives):
        """How many blocks it takes until the comparison with the fewest pairs can tell, be it the
        clearest of all comparisons."""
        pairs = min(len(neighbours(self.points, *change)) for change in self.changes())
        needed = tune_stats.pairs_needed(n_objectives * len(self.changes()))
        return max(BLOCKS_LEAST, -(-needed // pairs))


def conf_read(path):
    """(workloads, {param: [values]}) of sweep.conf."""
    workloads, grid = [], {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            words = line.partition("#")[0].split()
            if len(words) == 2 and words[0] == "workload":
                workloads.append(words[1])
            elif len(words) > 2 and words[0] == "param" and all(map(str.isdigit, words[2:])):
                grid[words[1]] = [int(word) for word in words[2:]]
            elif words:
                raise DesignError(f"{path}:{number}: neither `workload NAME` nor `param NAME N N`")
    return workloads, grid


def levels_guess(param):
    """Levels of a parameter of which nothing is known but default and range."""
    if param.most - param.least < LEVELS_SMALL_RANGE:
        values = range(param.least, param.most + 1)
    elif param.base == 0:
        values = [0, max(1, int(param.most ** 0.5))]
    else:
        values = [max(param.least, param.base // 4), min(param.most, param.base * 4)]
    return levels_order(param, values)


def levels_order(param, values):
    """The base first, then the others as they come, each once."""
    return list(dict.fromkeys([param.base, *values]))


def levels_choose(params, grid):
    """({name: levels}, notes): the grid as far as the kernel has it, then what else it has."""
    known, out, notes = {param.name: param for param in params}, {}, []
    for name, values in grid.items():
        if name not in known:
            notes.append(f"{name}: this kernel has no such parameter; left out")
            continue
        good = [value for value in values if known[name].takes(value)]
        if len(good) < len(values):
            notes.append(f"{name}: {sorted(set(values) - set(good))} out of range; left out")
        out[name] = levels_order(known[name], good)
    for param in params:
        if param.name not in out:
            out[param.name] = levels_guess(param)
            notes.append(f"{param.name}: not in sweep.conf; tried with {out[param.name]}")
    return {name: levels for name, levels in out.items() if len(levels) > 1}, notes


def values_asked(param, word):
    """The values of a word NAME=VALUE,VALUE..., every one of which must be possible."""
    values = word.partition("=")[2].split(",")
    if not all(value.isdigit() for value in values):
        raise DesignError(f"{word!r} is neither NAME nor NAME=VALUE,VALUE...")
    for value in map(int, values):
        if not param.takes(value):
            raise DesignError(f"{param.name}={value}: not within {param.least} to {param.most}")
    return [int(value) for value in values]


def levels_asked(params, words, grid):
    """{name: levels} of words NAME=VALUE,VALUE..., or NAME for what levels_choose() gives it."""
    known, chosen, out = {param.name: param for param in params}, levels_choose(params, grid)[0], {}
    for word in words:
        name, equals, _ = word.partition("=")
        if name not in known:
            raise DesignError(f"{name}: the kernel has no such parameter; it has "
                              f"{', '.join(known) or 'none'}")
        values = values_asked(known[name], word) if equals else chosen.get(name, [])
        out[name] = levels_order(known[name], values)
        if len(out[name]) < 2:
            raise DesignError(f"{word}: that is what it is already; give another value")
    return out


def levels_extreme(levels, n):
    """For a quick sweep: the first n parameters with the base and one more."""
    return {name: levels[name][:2] for name in list(levels)[:n]}


def crossed_names(levels, most):
    """The longest head of the parameters whose combinations are at most `most`."""
    names, n_points = [], 1
    for name, values in levels.items():
        if n_points * len(values) > most:
            break
        names.append(name)
        n_points *= len(values)
    return names or list(levels)[:1]


def neighbours(points, name, before, after):
    """Pairs of points, by index, that differ in `name` only: (with before, with after)."""
    rest = lambda point: tuple(sorted((k, v) for k, v in point.items() if k != name))
    first = {rest(p): i for i, p in enumerate(points) if p[name] == before}
    return [(first[rest(p)], i) for i, p in enumerate(points)
            if p[name] == after and rest(p) in first]


def contexts_of(points):
    """The crossed points that differ from the base in one parameter at most."""
    base = points[0]
    return [point for point in points if sum(point[name] != base[name] for name in base) <= 1]


def design_make(levels, most=CROSSED_POINTS):
    if not levels:
        raise DesignError("there is no parameter to vary")
    crossed = crossed_names(levels, most)
    alone = [name for name in levels if name not in crossed]
    rest = {name: levels[name][0] for name in alone}
    points = [{**dict(zip(crossed, values)), **rest}
              for values in itertools.product(*(levels[name] for name in crossed))]
    contexts = contexts_of(points)
    for name in alone:
        points += [{**context, name: value} for value in levels[name][1:] for context in contexts]
    return Design(levels, crossed, points)


def blocks_count(seconds, block_seconds, least):
    """As many repetitions as the time allows, never fewer than can tell anything."""
    return max(least, min(BLOCKS_MOST, int(seconds / block_seconds)))


def order_make(n_points, workloads, n_blocks, seed):
    """[(block, point, workload)] of the whole sweep."""
    rng, out = random.Random(seed), []
    for block in range(n_blocks):
        pairs = [(point, workload) for point in range(n_points) for workload in workloads]
        rng.shuffle(pairs)
        out += [(block, point, workload) for point, workload in pairs]
    return out


def plan_lines(design, order):
    """The plan as the guest reads it (bench/tune/plan.h)."""
    texts = [" ".join(f"{name}={value}" for name, value in point.items())
             for point in design.points]
    return [f"p{point} {workload} {block} {texts[point]}\n" for block, point, workload in order]
