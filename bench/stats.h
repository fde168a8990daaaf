/* What is said about a set of samples. Pure: no clock, no output.
 *
 * Quantiles interpolate linearly between order statistics (h = (n - 1) p; Hyndman and Fan 1996,
 * type 7). The confidence interval is that of the median, from order statistics alone: samples k
 * and n + 1 - k (counted from 1) enclose the true median with probability 1 - 2 P(Bin(n, 1/2) < k),
 * and k is the largest for which that is at least 95 %. It assumes independent samples but no
 * distribution, which suits latencies: they have long tails. Under 6 samples there is no such k;
 * the interval is then the whole range and covers less (94 % at 5). */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stddef.h>

struct stats {
  size_t n;
  double min, median, p95, p99, max, mean;
  double ci_lo, ci_hi; /* of the median, 95 % */
};

/* Sorts the samples (finite numbers; at least one) and describes them. */
struct stats stats_describe(double *samples, size_t n);

/* The quantile p (0 to 1) of sorted samples. */
double stats_quantile(const double *sorted, size_t n, double p);

/* The rank k above, counted from 1; 1 when n is too small for 95 %. */
size_t stats_median_rank(size_t n);

#endif
