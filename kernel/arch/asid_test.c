// test-sources:
/* The choice of slots against a TLB that keeps, under each tag, everything it ever saw: what a CPU
 * could still use must be what the space was at some moment since its last change. */
#include "arch/asid.h"

#include "lib/rng.h"
#include "lib/tap.h"

#define N_SPACES 12u
#define N_STEPS 300000u

static uint64_t changes[N_SPACES + 1];          /* of each space so far */
static uint64_t seen[ASID_SLOTS][N_SPACES + 1]; /* the oldest state that is cached, + 1; 0: none */
static struct asids asids;
static uint64_t loaded;
static uint64_t n_kept, n_wrong;

static void tag_flush(uint32_t tag) {
  for (uint32_t s = 0; s <= N_SPACES; s++) {
    seen[tag][s] = 0;
  }
}

/* The CPU walks: it caches the tables as they are, beside what it has. */
static void walk(void) {
  uint64_t *oldest = &seen[asids.current][loaded];
  *oldest = *oldest == 0 ? changes[loaded] + 1 : *oldest;
}

/* Nothing of another space, and nothing that a change took away. */
static bool tag_is_right(void) {
  for (uint32_t s = 1; s <= N_SPACES; s++) {
    uint64_t oldest = seen[asids.current][s];
    if (oldest != 0 && (s != loaded || oldest != changes[s] + 1)) {
      return false;
    }
  }
  return true;
}

static void space_load(uint64_t space) {
  bool flush = asid_choose(&asids, space, changes[space]);
  loaded = space;
  if (flush) {
    tag_flush(asids.current);
  } else {
    n_kept++;
  }
}

/* A change that another CPU makes, of which this one is not told. */
static void change_elsewhere(uint64_t space) {
  changes[space] += space != loaded;
}

/* A change of which this CPU is told at once; a range that is flushed is all there is to forget. */
static void change_here(void) {
  enum asid_need need = asid_need(&asids, ++changes[loaded]);
  if (need != ASID_NOTHING) {
    tag_flush(asids.current);
  }
  n_wrong += need != ASID_RANGE;
  (void)asid_catch_up(&asids, changes[loaded]);
}

/* A change while this CPU rests, and its return. */
static void change_resting(uint32_t n) {
  changes[loaded] += n;
  n_wrong += asid_need(&asids, changes[loaded]) != (n == 1 ? ASID_RANGE : ASID_ALL);
  if (asid_catch_up(&asids, changes[loaded])) {
    tag_flush(asids.current);
  }
}

static bool run(uint32_t n_slots, uint64_t seed) {
  struct rng rng;
  rng_seed(&rng, seed);
  asid_init(&asids, n_slots);
  for (uint32_t tag = 0; tag < ASID_SLOTS; tag++) {
    tag_flush(tag);
  }
  space_load(1);
  bool good = true;
  for (uint32_t i = 0; i < N_STEPS && good; i++) {
    switch (rng_below(&rng, 6)) {
    case 0:
      change_elsewhere(1 + rng_below(&rng, N_SPACES));
      break;
    case 1:
      change_here();
      break;
    case 2:
      change_resting(1 + (uint32_t)rng_below(&rng, 3));
      break;
    default:
      space_load(1 + rng_below(&rng, N_SPACES));
    }
    walk();
    good = tag_is_right();
  }
  return good;
}

static void test_life(void) {
  asid_init(&asids, 2);
  tap_ok(asid_choose(&asids, 7, 0) && asids.current == 0, "an unknown space is flushed");
  tap_ok(asid_choose(&asids, 8, 3) && asids.current == 1, "a second one has a tag of its own");
  tap_ok(!asid_choose(&asids, 7, 0) && asids.current == 0, "the first is known again");
  tap_ok(asid_choose(&asids, 8, 4) && asids.current == 1,
         "one that has changed is flushed, and stays");
  tap_ok(asid_choose(&asids, 9, 0) && asids.current == 0,
         "a third takes the tag that is next in turn");
  tap_ok(asid_choose(&asids, 7, 0) && asids.current == 1, "and the first comes back as unknown");
  tap_ok(asid_need(&asids, 0) == ASID_NOTHING, "what it has seen asks for nothing");
  tap_ok(asid_need(&asids, 1) == ASID_RANGE, "the next change asks for its range");
  tap_ok(asid_need(&asids, 2) == ASID_ALL, "one that it missed asks for all");
}

int main(void) {
  tap_plan(10 + 2 * ASID_SLOTS);
  test_life();
  for (uint32_t n = 1; n <= ASID_SLOTS; n++) {
    n_kept = 0;
    tap_ok(run(n, n), "random loads and changes with %u slots", n);
    tap_ok(n == 1 ? n_kept == 0 : n_kept > 10000,
           "spaces come back to what is cached, if there are tags");
  }
  tap_ok(n_wrong == 0, "each change asked for no more than it had to");
  return tap_done();
}
