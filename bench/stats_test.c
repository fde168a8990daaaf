// test-sources: stats.c
/* Statistics against values worked out by hand or found in tables. */
#include "stats.h"

#include <math.h>

#include "lib/tap.h"

static bool near(double a, double b) {
  return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b));
}

static void quantiles_test(void) {
  const double five[] = {10, 20, 30, 40, 50};
  tap_ok(near(stats_quantile(five, 5, 0), 10), "quantile 0 is the least");
  tap_ok(near(stats_quantile(five, 5, 1), 50), "quantile 1 is the greatest");
  tap_ok(near(stats_quantile(five, 5, 0.5), 30), "median of an odd number is the middle one");
  tap_ok(near(stats_quantile(five, 4, 0.5), 25), "median of an even number lies between two");
  tap_ok(near(stats_quantile(five, 5, 0.95), 48), "p95 interpolates: 40 + 0.8 * 10");
  tap_ok(near(stats_quantile(five, 1, 0.99), 10), "one sample is every quantile");
}

/* Ranks from tables of the sign test (two-sided, 5 %). */
static void ranks_test(void) {
  static const struct {
    size_t n, rank;
  } table[] = {{1, 1},  {5, 1},  {6, 1},   {8, 1},   {9, 2},
               {11, 2}, {20, 6}, {31, 10}, {50, 18}, {100, 40}};
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    tap_ok(stats_median_rank(table[i].n) == table[i].rank,
           "rank of the interval for n = %zu is %zu", table[i].n, table[i].rank);
  }
  size_t exact = stats_median_rank(1000);
  size_t normal = stats_median_rank(1001);
  tap_ok(normal == exact || normal == exact + 1, "the approximation goes on where the sum ends");
}

static void describe_test(void) {
  double samples[] = {7, 1, 9, 3, 5, 8, 2, 6, 4};
  struct stats s = stats_describe(samples, 9);
  tap_ok(s.n == 9 && near(s.min, 1) && near(s.max, 9), "least and greatest of unsorted samples");
  tap_ok(near(s.median, 5) && near(s.mean, 5), "median and mean");
  tap_ok(near(s.ci_lo, 2) && near(s.ci_hi, 8), "interval from the second to the second last");
  double outlier[] = {1, 1, 1, 1, 1e12};
  s = stats_describe(outlier, 5);
  tap_ok(near(s.median, 1) && near(s.max, 1e12), "an outlier does not move the median");
  double same[] = {0, 0, 0, 0, 0, 0};
  s = stats_describe(same, 6);
  tap_ok(near(s.ci_lo, 0) && near(s.p99, 0) && near(s.mean, 0), "zeroes stay zeroes");
}

/* The interval must cover the true median about as often as it says. */
static void coverage_test(unsigned long long seed) {
  enum { ROUNDS = 4000, N = 31 };
  uint64_t state = seed;
  int covered = 0;
  for (int round = 0; round < ROUNDS; round++) {
    double samples[N];
    for (int i = 0; i < N; i++) {
      state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
      samples[i] = -log((double)((state >> 11) + 1) * 0x1p-53);    /* exponential: skewed */
    }
    struct stats s = stats_describe(samples, N);
    covered += s.ci_lo <= log(2) && log(2) <= s.ci_hi;
  }
  tap_ok(covered >= ROUNDS * 94 / 100, "the interval covers the true median: %d of %d", covered,
         ROUNDS);
}

int main(int argc, char **argv) {
  tap_plan(6 + 11 + 5 + 1);
  quantiles_test();
  ranks_test();
  describe_test();
  coverage_test(tap_seed(argc, argv));
  return tap_done();
}
