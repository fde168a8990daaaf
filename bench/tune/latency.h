/* A histogram of latencies in nanoseconds: constant memory, O(1) to add to, mergeable.
 *
 * Buckets grow with the value: 64 to each power of two, so that a quantile is off by at most 1/64
 * of itself; the greatest value is kept exactly. Values from 2^40 ns (18 minutes) on count as just
 * below. Pure; one thread at a time. */
#ifndef BENCH_TUNE_LATENCY_H
#define BENCH_TUNE_LATENCY_H

#include <stdint.h>

enum { LATENCY_SUB_BITS = 6, LATENCY_TOP_BITS = 40 };
enum { LATENCY_BUCKETS = (LATENCY_TOP_BITS - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS };

/* All zeroes is an empty one. */
struct latency {
  uint64_t n, max_ns;
  uint32_t counts[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t ns);
void latency_merge(struct latency *into, const struct latency *from);

/* The quantile p (0 to 1), interpolated within its bucket; 0 when there is nothing. */
double latency_quantile(const struct latency *latency, double p);

#endif
