// test-sources:
/* Bit scans, alignment, ring indices, hashes, the generator: each against its definition. */
#include "lib/bits.h"

#include "lib/hash.h"
#include "lib/ring_idx.h"
#include "lib/rng.h"
#include "lib/tap.h"

#define N_STEPS 200000

static unsigned slow_first(uint64_t word) {
  unsigned i = 0;
  while (!(word >> i & 1)) {
    i++;
  }
  return i;
}

static unsigned slow_last(uint64_t word) {
  unsigned i = 63;
  while (!(word >> i & 1)) {
    i--;
  }
  return i;
}

static unsigned slow_count(uint64_t word) {
  unsigned n = 0;
  for (; word != 0; word >>= 1) {
    n += word & 1;
  }
  return n;
}

static bool scans_match(struct rng *rng) {
  for (unsigned i = 0; i < N_STEPS; i++) {
    uint64_t word = rng_next(rng);
    word = (word & rng_next(rng)) >> rng_below(rng, 64);
    if (bit_count(word) != slow_count(word) ||
        bit_is_power_of_two(word) != (slow_count(word) == 1)) {
      return false;
    }
    if (word != 0 && (bit_first(word) != slow_first(word) || bit_last(word) != slow_last(word))) {
      return false;
    }
  }
  return bit_count(0) == 0 && bit_count(UINT64_MAX) == 64;
}

static bool aligns(struct rng *rng) {
  for (unsigned i = 0; i < N_STEPS; i++) {
    uint64_t x = rng_next(rng) >> 8, to = UINT64_C(1) << rng_below(rng, 32);
    if (ALIGN_DOWN(x, to) != x / to * to || ALIGN_UP(x, to) != (x + to - 1) / to * to ||
        IS_ALIGNED(x, to) != (x % to == 0)) {
      return false;
    }
  }
  int n = 0;
  return MIN(++n, 5) == 1 && MAX(n, 0) == 1 && n == 1 && MIN(5, 2) == 2 && MAX(2, 5) == 5;
}

/* A ring of 8 whose indices wrap through 2^32 on the way. */
static bool ring_wraps(struct rng *rng) {
  uint32_t head = UINT32_MAX - 1000, tail = head, n = 8;
  for (unsigned i = 0; i < 100000; i++) {
    uint32_t room = ring_idx_free(head, tail, n), used = ring_idx_used(head, tail);
    if (room + used != n || !ring_idx_is_sane(head, tail, n)) {
      return false;
    }
    tail += rng_below(rng, room + 1);
    head += rng_below(rng, ring_idx_used(head, tail) + 1);
  }
  uint32_t shared = 0;
  ring_idx_publish(&shared, tail);
  return head < 1000000 && ring_idx_slot(UINT32_MAX, n) == 7 && ring_idx_load(&shared) == tail;
}

/* What a hostile peer may store: only steps forward, up to the limit, are accepted. */
static bool ring_refuses(struct rng *rng) {
  for (unsigned i = 0; i < N_STEPS; i++) {
    uint32_t n = 1u << rng_below(rng, 12), head = (uint32_t)rng_next(rng);
    uint32_t tail = head + rng_below(rng, n + 1), seen = head + rng_below(rng, tail - head + 1);
    uint32_t step = rng_one_in(rng, 2) ? rng_below(rng, 2 * n) : (uint32_t)rng_next(rng);
    bool honest = step <= tail - seen;
    if (ring_idx_may_move(seen, seen + step, tail) != honest ||
        ring_idx_is_sane(head, head + step, n) != (step <= n)) {
      return false;
    }
  }
  return true;
}

/* Each input bit flips each output bit about half of the time. */
static bool hash_mixes(struct rng *rng) {
  static unsigned flips[64][64];
  const unsigned rounds = 2000;
  for (unsigned r = 0; r < rounds; r++) {
    uint64_t x = rng_next(rng);
    for (unsigned in = 0; in < 64; in++) {
      uint64_t changed = hash_u64(x) ^ hash_u64(x ^ UINT64_C(1) << in);
      for (unsigned out = 0; out < 64; out++) {
        flips[in][out] += changed >> out & 1;
      }
    }
  }
  for (unsigned i = 0; i < 64 * 64; i++) {
    unsigned n = flips[i / 64][i % 64];
    if (n < rounds * 2 / 5 || n > rounds * 3 / 5) {
      return false;
    }
  }
  return hash_pair(1, 2) != hash_pair(2, 1) && hash_bytes("ab", 2) != hash_bytes("ba", 2);
}

/* The first outputs of the two generators for a known state, from the authors' definition. */
static bool rng_known_answers(void) {
  uint64_t state = 1234567;
  struct rng r = {{1, 2, 3, 4}};
  bool ok =
      rng_splitmix(&state) == 6457827717110365317u && rng_splitmix(&state) == 3203168211198807973u;
  return ok && rng_next(&r) == 11520 && rng_next(&r) == 0 && rng_next(&r) == 1509978240;
}

static bool rng_is_even(struct rng *rng) {
  unsigned counts[10] = {0};
  for (unsigned i = 0; i < N_STEPS; i++) {
    counts[rng_below(rng, ARRAY_LEN(counts))]++;
  }
  for (unsigned i = 0; i < ARRAY_LEN(counts); i++) {
    if (counts[i] < N_STEPS / 11 || counts[i] > N_STEPS / 9) {
      return false;
    }
  }
  return true;
}

int main(int argc, char **argv) {
  struct rng rng;
  tap_plan(7);
  rng_seed(&rng, tap_seed(argc, argv));
  tap_ok(scans_match(&rng), "bit scans and counts");
  tap_ok(aligns(&rng), "alignment, minimum and maximum");
  tap_ok(ring_wraps(&rng), "ring indices wrap");
  tap_ok(ring_refuses(&rng), "ring indices of a hostile peer are refused");
  tap_ok(hash_mixes(&rng), "the hash mixes");
  tap_ok(rng_known_answers(), "the generators' known answers");
  tap_ok(rng_is_even(&rng), "the generator is even");
  return tap_done();
}
