/* Logarithmic histogram: a value's bucket is its power of two and the six bits that follow. */
#include "latency.h"

enum { SUBS = 1 << LATENCY_SUB_BITS };

/* Below 2 * SUBS each value has a bucket of its own; above, `shift` low bits are dropped. */
static unsigned bucket_of(uint64_t ns) {
  if (ns < SUBS) {
    return (unsigned)ns;
  }
  unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - LATENCY_SUB_BITS;
  return (shift << LATENCY_SUB_BITS) + (unsigned)(ns >> shift);
}

static unsigned bucket_shift(unsigned bucket) {
  return bucket < 2 * SUBS ? 0 : (bucket >> LATENCY_SUB_BITS) - 1;
}

static double bucket_low(unsigned bucket) {
  unsigned shift = bucket_shift(bucket);
  return (double)((uint64_t)(bucket - (shift << LATENCY_SUB_BITS)) << shift);
}

void latency_add(struct latency *latency, uint64_t ns) {
  const uint64_t top = ((uint64_t)1 << LATENCY_TOP_BITS) - 1;
  latency->counts[bucket_of(ns < top ? ns : top)]++;
  latency->max_ns = ns > latency->max_ns ? ns : latency->max_ns;
  latency->n++;
}

void latency_merge(struct latency *into, const struct latency *from) {
  for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
    into->counts[i] += from->counts[i];
  }
  into->max_ns = from->max_ns > into->max_ns ? from->max_ns : into->max_ns;
  into->n += from->n;
}

double latency_quantile(const struct latency *latency, double p) {
  double rank = p * (double)latency->n;
  double below = 0;
  for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
    double count = latency->counts[i];
    if (count > 0 && below + count >= rank) {
      double width = (double)((uint64_t)1 << bucket_shift(i));
      double value = bucket_low(i) + width * (rank - below) / count;
      return value < (double)latency->max_ns ? value : (double)latency->max_ns;
    }
    below += count;
  }
  return (double)latency->max_ns;
}
