// test-sources: latency.c ../stats.c
/* The histogram's quantiles against those of the sorted samples. */
#include "tune/latency.h"

#include <math.h>
#include <string.h>

#include "lib/tap.h"
#include "stats.h"

enum { N = 20000 };

static uint64_t random_next(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
  return *state >> 24;
}

/* Latencies over twenty powers of two, as schedulers make them. */
static uint64_t random_latency(uint64_t *state) {
  uint64_t octave = random_next(state) % 20;
  return 100 + (random_next(state) & (((uint64_t)1 << (octave + 7)) - 1));
}

static bool quantiles_near(const struct latency *latency, double *samples) {
  struct stats s = stats_describe(samples, N);
  const double ps[] = {0.01, 0.5, 0.9, 0.99, 0.999};
  for (unsigned i = 0; i < sizeof(ps) / sizeof(ps[0]); i++) {
    double exact = stats_quantile(samples, N, ps[i]);
    if (fabs(latency_quantile(latency, ps[i]) - exact) > exact / 30 + 2) {
      return false;
    }
  }
  return (double)latency->max_ns == s.max && latency->n == N;
}

static void random_test(uint64_t seed) {
  static struct latency whole, half, other;
  static double samples[N];
  uint64_t state = seed;
  for (unsigned i = 0; i < N; i++) {
    uint64_t ns = random_latency(&state);
    samples[i] = (double)ns;
    latency_add(&whole, ns);
    latency_add(i % 2 ? &half : &other, ns);
  }
  tap_ok(quantiles_near(&whole, samples), "quantiles are within a bucket of the samples'");
  latency_merge(&half, &other);
  tap_ok(memcmp(&half, &whole, sizeof(whole)) == 0, "two halves merged are the whole");
}

static void edges_test(void) {
  static struct latency latency;
  tap_ok(latency_quantile(&latency, 0.99) <= 0, "nothing has no quantile");
  latency_add(&latency, 0);
  tap_ok(latency_quantile(&latency, 0.5) <= 0 && latency.n == 1, "zero is a value");
  latency_add(&latency, UINT64_MAX);
  tap_ok(latency.max_ns == UINT64_MAX && latency.n == 2, "the greatest is kept, whatever it is");
  tap_ok(latency_quantile(&latency, 0.99) < 0x1p40 + 1, "and counts in the last bucket");
}

int main(int argc, char **argv) {
  tap_plan(6);
  random_test(tap_seed(argc, argv));
  edges_test();
  return tap_done();
}
