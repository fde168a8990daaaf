"""Paired comparisons without assumptions about distributions. Pure.

All three of one comparison come from the signed ranks of the differences (Wilcoxon 1945, Hodges and
Lehmann 1963): the p-value, the estimate (the median of all pairwise means of the differences) and
its 95 % interval (the same means, cut where the test would refuse). Under the null hypothesis each
difference is as likely to be positive as negative, which randomised order within blocks provides.
The distribution is exact up to EXACT_MOST pairs and normal beyond.
"""

import bisect
import functools
import itertools
import math
import statistics

EXACT_MOST = 100
ALPHA = 0.05
Z = 1.959964


class Comparison:
    """n pairs, the estimate and its interval [low, high] in the unit of the differences, and p."""

    def __init__(self, n, estimate, low, high, p):
        self.n, self.estimate, self.low, self.high, self.p = n, estimate, low, high, p

    @property
    def p_least(self):
        return p_least(self.n)


def p_least(n):
    """The smallest p that n pairs can have: all of them point one way."""
    return min(1.0, 2.0 ** (1 - n))


def pairs_needed(n_comparisons):
    """The fewest pairs that can tell anything after correction for so many comparisons."""
    return next(n for n in itertools.count(1) if p_least(n) * n_comparisons <= ALPHA)


@functools.lru_cache(maxsize=None)
def tail_counts(n):
    """counts[w]: in how many of the 2^n sign patterns the sum of positive ranks is at most w."""
    counts = [1] + [0] * (n * (n + 1) // 2)
    for rank in range(1, n + 1):
        for total in range(len(counts) - 1, rank - 1, -1):
            counts[total] += counts[total - rank]
    return list(itertools.accumulate(counts))


def rank_sum_p(w, n):
    """P(rank sum of n pairs <= w) under the null hypothesis."""
    if n <= EXACT_MOST:
        return tail_counts(n)[int(w)] / 2 ** n
    mean, deviation = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return statistics.NormalDist().cdf((w + 0.5 - mean) / deviation)


def midranks(values):
    """Ranks from 1, equal values sharing the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks, start = [0.0] * len(values), 0
    for _, group in itertools.groupby(order, key=values.__getitem__):
        members = list(group)
        for index in members:
            ranks[index] = start + (len(members) + 1) / 2
        start += len(members)
    return ranks


def signed_rank_p(differences):
    """Two-sided p-value; differences of zero say nothing either way and are left out."""
    moved = [d for d in differences if d]
    if not moved:
        return 1.0
    ranks = midranks([abs(d) for d in moved])
    positive = sum(rank for rank, d in zip(ranks, moved) if d > 0)
    least = min(positive, sum(ranks) - positive)
    return min(1.0, 2 * rank_sum_p(least, len(moved)))


def visible(n, p):
    """The shift, in standard deviations of a normal difference, at which the mean rank sum of n
    pairs is just significant at p: smaller shifts are rather missed than seen. Infinite when n
    pairs cannot have that p. The mean is that of n signs and of n (n - 1) / 2 signs of sums."""
    n_sums, cdf = n * (n - 1) // 2, statistics.NormalDist().cdf
    critical = bisect.bisect_right(range(n + n_sums), p, key=lambda w: 2 * rank_sum_p(w, n)) - 1
    if critical < 0:
        return math.inf
    missing = lambda shift: n * cdf(-shift) + n_sums * cdf(-shift * math.sqrt(2))
    return next(step / 100 for step in itertools.count() if missing(step / 100) <= critical + 0.5)


def interval_rank(n):
    """How many pairwise means to cut at each end for 95 %, plus one; 1 where there are too few."""
    if n > EXACT_MOST:
        mean, deviation = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(1, int(mean - Z * deviation))
    counts, k = tail_counts(n), 0
    while counts[k] / 2 ** n <= ALPHA / 2:
        k += 1
    return max(1, k)


def compare(differences):
    """The Comparison of at least one difference."""
    n = len(differences)
    means = sorted((differences[i] + differences[j]) / 2 for i in range(n) for j in range(i, n))
    rank = interval_rank(n)
    return Comparison(n, statistics.median(means), means[rank - 1], means[-rank],
                      signed_rank_p(differences))


def holm(ps):
    """p-values corrected for their number (Holm 1979), in the same order."""
    order, out, worst = sorted(range(len(ps)), key=ps.__getitem__), [1.0] * len(ps), 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, ps[index] * (len(ps) - place)))
        out[index] = worst
    return out


def spread(groups):
    """How much repetitions of the same thing differ: the standard deviation within groups, from the
    median distance of two values of a group (which is 0.9539 of it for a normal distribution, and
    hardly moved by outliers). None when no group has two values."""
    distances = [abs(a - b) for group in groups for a, b in itertools.combinations(group, 2)]
    return statistics.median(distances) / 0.9539 if distances else None
