"""What a sweep says: which parameters mattered, how points stand to the base, what to choose. Pure.

Everything is done in logarithms of ratios: +0.1 is a tenth more, whatever the unit. Objectives are
the metrics below; for `gain` a positive value is always better. A comparison pairs two samples of
one block and workload whose settings differ in one parameter only. Holm's correction is over all
comparisons of all objectives, and once more over those of the score.
"""

import itertools
import math
import statistics

import tune_design
import tune_stats

THROUGHPUT, LATENCY = "throughput_per_s", "p99_ns"
OBJECTIVES = {THROUGHPUT: +1, LATENCY: -1}  # the sign of better
LEAST = 1.0  # what is below one a second, or a nanosecond, counts as that


class Effect:
    """What changing `name` from `before` to `after` did to one objective of one workload."""

    def __init__(self, objective, name, before, after, differences):
        self.objective, self.name, self.before, self.after = objective, name, before, after
        self.comparison = tune_stats.compare(differences)
        self.scatter = tune_stats.spread([differences]) or 0
        self.p_holm, self.verdict = 1.0, ""


class Analysis:
    """Samples as logarithms, by (objective) and point; objective: (workload, metric) or SCORE."""

    def __init__(self, sweep, levels, points, weight=0.5):
        self.levels, self.points, self.weight = levels, points, weight
        self.values = {}  # (workload, metric) -> {(point, block): log value}
        for sample in sweep.samples.values():
            for metric in OBJECTIVES:
                if metric in sample.metrics:
                    at = self.values.setdefault((sample.workload, metric), {})
                    point = int(sample.point[1:])
                    at[point, sample.block] = math.log(max(LEAST, sample.metrics[metric]))

    # ---- comparisons ----------------------------------------------------------------------------

    def differences(self, values, name, before, after):
        """after - before, of each pair of points and each block that has both."""
        blocks = sorted({block for _, block in values})
        return [values[b, block] - values[a, block]
                for a, b in tune_design.neighbours(self.points, name, before, after)
                for block in blocks
                if (a, block) in values and (b, block) in values]

    def effects_of(self, objective, values):
        out = []
        for name, (before, *others) in self.levels.items():
            for after in others:
                differences = self.differences(values, name, before, after)
                if differences:
                    out.append(Effect(objective, name, before, after, differences))
        return out

    def effects(self):
        """Every comparison of every objective, with verdicts."""
        out = [effect for objective, values in sorted(self.values.items())
               for effect in self.effects_of(objective, values)]
        return judged(out)

    def noise(self):
        """{objective: relative spread of repetitions of one point, or None}."""
        out = {}
        for objective, values in sorted(self.values.items()):
            groups = {}
            for (point, _), value in values.items():
                groups.setdefault(point, []).append(value)
            out[objective] = tune_stats.spread(groups.values())
        return out

    def visible(self):
        """{objective: (the fewest pairs of a comparison, the change that so many just show)}, by
        how much the differences of pairs scatter; without those that show none."""
        effects, out = self.effects(), {}
        for objective in self.values:
            of = [effect for effect in effects if effect.objective == objective]
            n = min((effect.comparison.n for effect in of), default=0)
            shift = tune_stats.visible(n, tune_stats.ALPHA / max(1, len(effects)))
            if math.isfinite(shift):
                out[objective] = n, shift * statistics.median(effect.scatter for effect in of)
        return out

    # ---- points ---------------------------------------------------------------------------------

    def mean_of(self, metric):
        """{(point, block): mean logarithm over the workloads}, where all of them were measured."""
        columns = [values for (_, m), values in sorted(self.values.items()) if m == metric]
        keys = set.intersection(*map(set, columns)) if columns else set()
        return {key: statistics.fmean(column[key] for column in columns) for key in keys}

    def gains(self, values, sign=1):
        """{(point, block): sign * (value - the base's in the same block)}."""
        return {(point, block): sign * (value - values[0, block])
                for (point, block), value in values.items() if (0, block) in values}

    def scores(self):
        """{(point, block): weighted gain in throughput and in p99 latency over the base}."""
        throughput, latency = self.mean_of(THROUGHPUT), self.mean_of(LATENCY)
        keys = set(throughput) & set(latency)
        return {key: self.weight * throughput[key] - (1 - self.weight) * latency[key]
                for key in keys}

    def score_effects(self):
        return judged(self.effects_of(("all", "score"), self.scores()))

    def stand(self, values):
        """{point: (median, lower quartile, upper quartile)} of gains over the base."""
        groups = {}
        for (point, _), gain in self.gains(values).items():
            groups.setdefault(point, []).append(gain)
        return {point: quartiles(group) for point, group in groups.items()}

    def pareto(self):
        """[(point, throughput stand, latency stand, on the front)] in order of points."""
        throughput, latency = (self.stand(self.mean_of(m)) for m in (THROUGHPUT, LATENCY))
        both = sorted(set(throughput) & set(latency))
        front = front_of({point: (throughput[point][0], latency[point][0]) for point in both})
        return [(point, throughput[point], latency[point], point in front) for point in both]

    def contexts(self, x, y):
        """[{(level of x, level of y): point}], one for each setting of everything else in which
        all combinations of the two were measured."""
        groups = {}
        for index, point in enumerate(self.points):
            rest = tuple(sorted((k, v) for k, v in point.items() if k not in (x, y)))
            groups.setdefault(rest, {})[point[x], point[y]] = index
        n_cells = len(self.levels[x]) * len(self.levels[y])
        return [cells for cells in groups.values() if len(cells) == n_cells]

    def matrix(self, values, sign, x, y):
        """{(level of x, level of y): gain over the base's cell}, the median over blocks and over
        the settings of everything else."""
        blocks, out = sorted({block for _, block in values}), {}
        base = self.levels[x][0], self.levels[y][0]
        for cells in self.contexts(x, y):
            for cell, point in cells.items():
                out.setdefault(cell, []).extend(
                    sign * (values[point, block] - values[cells[base], block]) for block in blocks
                    if (point, block) in values and (cells[base], block) in values)
        return {cell: statistics.median(gains) for cell, gains in out.items() if gains}

    # ---- the choice -----------------------------------------------------------------------------

    def within(self, values, fixed):
        """The values at points that have the fixed settings."""
        good = {i for i, point in enumerate(self.points)
                if all(point[name] == value for name, value in fixed.items())}
        return {key: value for key, value in values.items() if key[0] in good}

    def given(self, fixed):
        """Effects on the score among the settings that have the fixed ones."""
        return judged(self.effects_of(("all", "score"), self.within(self.scores(), fixed)))

    def choose(self):
        """(settings, {name: Effect or None}): step by step the change that betters the score most,
        beyond noise, given the changes before it; until there is none."""
        fixed, why = {}, dict.fromkeys(self.levels)
        while True:
            better = [effect for effect in self.given(fixed) if effect.name not in fixed
                      and effect.verdict == "matters" and effect.comparison.estimate > 0]
            if not better:
                return fixed, why
            best = max(better, key=lambda effect: effect.comparison.estimate)
            why[best.name] = best
            fixed[best.name] = best.after

    def point_of(self, settings):
        """The point with these settings and the base elsewhere; None when it was not measured."""
        wanted = {**self.points[0], **settings}
        return next((i for i, point in enumerate(self.points) if point == wanted), None)


def judged(effects):
    """Fills in corrected p-values and verdicts: matters, noise, or few (too few pairs to say)."""
    corrected = tune_stats.holm([effect.comparison.p for effect in effects])
    for effect, p in zip(effects, corrected):
        effect.p_holm = p
        can_tell = effect.comparison.p_least * len(effects) <= tune_stats.ALPHA
        effect.verdict = ("matters" if p <= tune_stats.ALPHA else "noise" if can_tell else "few")
    return effects


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def front_of(places):
    """Names of those {name: (throughput, latency)} that nothing beats in both."""
    beaten = {a for a, b in itertools.permutations(places, 2)
              if places[b][0] >= places[a][0] and places[b][1] <= places[a][1]
              and places[a] != places[b]}
    return set(places) - beaten


def percent(log_ratio):
    """A ratio as people say it: `+12 %`, `-0.4 %`."""
    value = 100 * math.expm1(log_ratio)
    digits = 1 if abs(value) < 9.95 else 0
    text = f"{value:+.{digits}f}"
    return ("0" if float(text) == 0 else text) + " %"
