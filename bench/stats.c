/* Order statistics of samples; definitions and sources in stats.h. */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

enum { EXACT_MAX = 1000 }; /* 2^-1000 is still a normal double */

static int double_compare(const void *left, const void *right) {
  double a = *(const double *)left;
  double b = *(const double *)right;
  return (a > b) - (a < b);
}

double stats_quantile(const double *sorted, size_t n, double p) {
  double position = (double)(n - 1) * p;
  size_t below = (size_t)position;
  if (below + 1 >= n) {
    return sorted[n - 1];
  }
  double part = position - (double)below;
  return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

/* Adds up binomial probabilities from the left while the tail stays within 2.5 %. */
static size_t median_rank_exact(size_t n) {
  double term = ldexp(1.0, -(int)n); /* P(Bin = 0) */
  double tail = term;                /* P(Bin <= k) */
  size_t k = 0;
  while (tail <= 0.025) {
    k++;
    term *= (double)(n - k + 1) / (double)k;
    tail += term;
  }
  return k > 0 ? k : 1;
}

size_t stats_median_rank(size_t n) {
  if (n <= EXACT_MAX) {
    return median_rank_exact(n);
  }
  return (size_t)(((double)n - 1.959964 * sqrt((double)n)) / 2.0);
}

static double mean_of(const double *samples, size_t n) {
  double mean = 0;
  for (size_t i = 0; i < n; i++) {
    mean += (samples[i] - mean) / (double)(i + 1);
  }
  return mean;
}

struct stats stats_describe(double *samples, size_t n) {
  qsort(samples, n, sizeof(samples[0]), double_compare);
  size_t rank = stats_median_rank(n);
  return (struct stats){
      .n = n,
      .min = samples[0],
      .median = stats_quantile(samples, n, 0.5),
      .p95 = stats_quantile(samples, n, 0.95),
      .p99 = stats_quantile(samples, n, 0.99),
      .max = samples[n - 1],
      .mean = mean_of(samples, n),
      .ci_lo = samples[rank - 1],
      .ci_hi = samples[n - rank],
  };
}
