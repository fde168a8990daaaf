/* A small pseudo-random generator for tests, sampling and stress: xoshiro256**, seeded by
 * splitmix64 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021).
 *
 * Period 2^256 - 1. Not for secrets: 4 outputs tell the rest. */
#ifndef CATHODE_LIB_RNG_H
#define CATHODE_LIB_RNG_H

#ifdef CATHODE_FUZZ
#include "lib/rng_tape.h"
#else

#include <stdbool.h>
#include <stdint.h>

struct rng {
  uint64_t s[4]; /* never all zero */
};

/* One step of splitmix64: any seed, also 0, gives well-mixed numbers. */
static inline uint64_t rng_splitmix(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static inline void rng_seed(struct rng *r, uint64_t seed) {
  for (int i = 0; i < 4; i++) {
    r->s[i] = rng_splitmix(&seed);
  }
}

static inline uint64_t rng_rotl(uint64_t x, int n) {
  return (x << n) | (x >> (64 - n));
}

/* 64 random bits. */
static inline uint64_t rng_next(struct rng *r) {
  uint64_t *s = r->s;
  uint64_t result = rng_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rng_rotl(s[3], 45);
  return result;
}

/* A number in [0, n), n > 0. Multiply and shift, no division; the bias is below n / 2^32. */
static inline uint32_t rng_below(struct rng *r, uint32_t n) {
  return (uint32_t)(((rng_next(r) >> 32) * n) >> 32);
}

/* True once in n times on average. */
static inline bool rng_one_in(struct rng *r, uint32_t n) {
  return rng_below(r, n) == 0;
}

/* Only the fuzzer's numbers end (rng_tape.h). */
static inline bool rng_is_over(const struct rng *r) {
  (void)r;
  return false;
}

#define RNG_FUZZ(rng, walk) _Static_assert(true, "only the fuzzer comes in here")

#endif
#endif
