"""Medians of benchmarks that were booted several times, their intervals, and comparisons. Pure.

[E1] Samples of one boot have their layout of memory, their random numbers and their drift in
     common: as evidence a boot counts once, however many samples it took. A side of a comparison
     is therefore a list of boots, each a list of samples.
[E2] No sample is dropped. Outliers are counted, drift and heaps are flagged.

Everything is done in logarithms, in which a ratio is a difference.

  value     the median of the boots' medians
  error     its standard error, from a bootstrap in two levels (Davison and Hinkley, Bootstrap
            Methods, 3.8): boots are drawn, and in each boot its median is drawn from the exact
            distribution of a resampled median. A bootstrap over n boots is too narrow by
            sqrt((n - 1) / n), which is put right.
  interval  Student's t with as many degrees of freedom as boots allow (Welch and Satterthwaite),
            because few boots say little about how much boots differ. With one boot only the
            samples are left, and the answer says so (`boots_vary` is False).

The random numbers have a fixed seed: the same samples always give the same answer."""

import functools
import math
import random
import statistics

DRAWS = 1000
SEED = 20
LEAST = 1e-3          # a sample of 0 has no logarithm
OUTLIER_FENCE = 3.0   # times the distance of the quartiles beyond them (Tukey, far out)
DRIFT_P = 0.01
DRIFT_LEAST = 0.01    # a drift or a gap of less than 1 % of the median is not worth a flag
MODES_GAP = 0.5       # of the range, between samples of two modes
MODES_SAMPLES = 9     # fewer fall into heaps by chance
MODE_SHARE = 0.2      # of the samples, in the smaller of two modes


def logarithms(samples):
    return sorted(math.log(max(LEAST, value)) for value in samples)


class Side:
    """The samples of one case on one system: boots, in logarithms and sorted."""

    def __init__(self, boots):
        self.boots = [logarithms(samples) for samples in boots if samples]
        self.medians = [statistics.median(boot) for boot in self.boots]
        self.value = statistics.median(self.medians)
        self.error = self.standard_error()

    @property
    def n(self):
        return len(self.boots)

    def standard_error(self):
        rng = random.Random(SEED)
        draws = [statistics.median(median_drawn(rng, rng.choice(self.boots)) for _ in self.boots)
                 for _ in range(DRAWS)]
        widened = math.sqrt(self.n / (self.n - 1)) if self.n > 1 else 1.0
        return max(statistics.pstdev(draws) * widened, self.error_of_mean())

    def error_of_mean(self):
        """The median of few boots can repeat itself in most draws: never below the mean's error."""
        return statistics.stdev(self.medians) / math.sqrt(self.n) if self.n > 1 else 0.0


def median_drawn(rng, ordered):
    """The median of as many draws with replacement from a sorted list, at one stroke: the k-th of
    n uniform numbers has the distribution Beta(k, n - k + 1)."""
    n = len(ordered)
    k = (n + 1) // 2
    low = rng.betavariate(k, n - k + 1)
    if n % 2:
        return ordered[min(n - 1, int(n * low))]
    high = low + (1 - low) * (1 - rng.random() ** (1 / (n - k)))
    return (ordered[min(n - 1, int(n * low))] + ordered[min(n - 1, int(n * high))]) / 2


class Estimate:
    """A value with its 95 % interval, both as logarithms, and the p-value of its being 0."""

    def __init__(self, value, error, freedom, boots_vary):
        reach = error * t_quantile(0.975, freedom)
        self.value, self.low, self.high = value, value - reach, value + reach
        self.p = 2 * t_tail(abs(value) / error, freedom) if error > 0 else float(value == 0)
        self.boots_vary = boots_vary

    @property
    def includes_one(self):
        """Whether the ratio may be 1."""
        return self.low <= 0 <= self.high


def own(side):
    """The Estimate of one side by itself."""
    return Estimate(side.value, side.error, freedom_of(side), side.n > 1)


def ratio(above, below):
    """The Estimate of above / below, of two Sides."""
    error = math.hypot(above.error, below.error)
    return Estimate(above.value - below.value, error, freedom_both(above, below),
                    above.n > 1 and below.n > 1)


def freedom_of(side):
    """One boot has only its samples to go by."""
    return max(1, side.n - 1 if side.n > 1 else len(side.boots[0]) - 1)


def freedom_both(a, b):
    shares = [(side.error ** 2, freedom_of(side)) for side in (a, b)]
    below = sum(share * share / freedom for share, freedom in shares)
    if below == 0:
        return min(freedom for _, freedom in shares)
    return sum(share for share, _ in shares) ** 2 / below


# ---- Student's t --------------------------------------------------------------------------------


def t_tail(t, freedom):
    """P(T > t) for t >= 0."""
    return beta_regular(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


@functools.lru_cache(maxsize=None)
def t_quantile(p, freedom):
    """By bisection; p in (0.5, 1), freedom at least 1."""
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > 1 - p:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, freedom) > 1 - p else (low, middle)
    return high


def beta_regular(x, a, b):
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_regular(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
                     + a * math.log(x) + b * math.log1p(-x)) / a
    return front / fraction(x, a, b)


def fraction(x, a, b):
    """1 + d1/(1 + d2/(1 + ...)) from the far end; it needs about sqrt(max(a, b)) terms."""
    out = 1.0
    for index in range(60 + int(4 * math.sqrt(a + b)), 0, -1):
        m = index // 2
        if index % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        out = 1 + d / out
    return out


# ---- what is odd about samples ------------------------------------------------------------------


def outliers(samples):
    """How many are far out of their own boot's quartiles. They are counted, never dropped."""
    if len(samples) < 5:
        return 0
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    fence = OUTLIER_FENCE * (high - low)
    return sum(value < low - fence or value > high + fence for value in samples)


def drift(boots):
    """Whether samples tend up or down while a boot takes them: the sum over the boots of Kendall's
    S, which is 0 when order says nothing, against its standard deviation; and by how much the last
    third differs from the first."""
    score, variance, moves = 0, 0.0, []
    for samples in boots:
        n = len(samples)
        score += sum((b > a) - (b < a) for i, a in enumerate(samples) for b in samples[i + 1:])
        variance += n * (n - 1) * (2 * n + 5) / 18
        third = max(1, n // 3)
        first, last = statistics.median(samples[:third]), statistics.median(samples[-third:])
        moves.append(abs(last - first) / max(LEAST, abs(first)))
    if variance == 0 or statistics.median(moves) < DRIFT_LEAST:
        return False
    return 2 * statistics.NormalDist().cdf(-abs(score) / math.sqrt(variance)) < DRIFT_P


def two_modes(samples):
    """Whether samples fall into two heaps: a gap of half their range (a tenth left out at each
    end), with a fifth of the samples on either side of it."""
    ordered, n = sorted(samples), len(samples)
    cut = n // 10
    ordered = ordered[cut:n - cut]
    if len(ordered) < MODES_SAMPLES:
        return False
    whole = ordered[-1] - ordered[0]
    least = max(MODES_GAP * whole, DRIFT_LEAST * abs(statistics.median(ordered)))
    room = int(MODE_SHARE * len(ordered))
    gaps = (b - a for a, b in zip(ordered[room - 1 if room else 0:],
                                  ordered[max(1, room):len(ordered) - room + 1]))
    return whole > 0 and max(gaps, default=0) >= least
