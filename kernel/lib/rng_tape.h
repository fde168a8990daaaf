/* rng.h's interface for the fuzzer: numbers come from its bytes, as few as a number needs, so that
 * each byte is a decision. Zeros follow the end. Included in rng.h's place (make fuzz). */
#ifndef CATHODE_LIB_RNG_TAPE_H
#define CATHODE_LIB_RNG_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
  const uint8_t *next, *end;
};

static inline void rng_tape(struct rng *r, const uint8_t *bytes, size_t n) {
  *r = (struct rng){bytes, bytes + n};
}

static inline void rng_seed(struct rng *r, uint64_t seed) {
  (void)seed;
  rng_tape(r, NULL, 0);
}

static inline bool rng_is_over(const struct rng *r) {
  return r->next == r->end;
}

static inline uint64_t rng_bytes(struct rng *r, unsigned n) {
  uint64_t value = 0;
  for (unsigned i = 0; i < n; i++) {
    value = value << 8 | (rng_is_over(r) ? 0 : *r->next++);
  }
  return value;
}

static inline uint64_t rng_next(struct rng *r) {
  return rng_bytes(r, 8);
}

static inline uint32_t rng_below(struct rng *r, uint32_t n) {
  return (uint32_t)(rng_bytes(r, n <= 256 ? 1 : 4) % n);
}

static inline bool rng_one_in(struct rng *r, uint32_t n) {
  return rng_below(r, n) == 0;
}

/* A host test's way in for the fuzzer: walk() is what it runs, on numbers from &rng. */
#define RNG_FUZZ(rng, walk)                                                                        \
  int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);                                      \
  int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {                                     \
    rng_tape(rng, bytes, n);                                                                       \
    walk;                                                                                          \
    return 0;                                                                                      \
  }                                                                                                \
  _Static_assert(true, "a semicolon follows")

#endif
