// test-sources: buddy.c
/* The buddy allocator against a map of who owns each frame: random allocations and frees of all
 * orders and in bulk, until memory is full of holes, and back to the state of the beginning. */
#include "mm/buddy.h"

#include <string.h>

#include "lib/bits.h"
#include "lib/rng.h"
#include "lib/tap.h"

#define N_FRAMES 5000u
#define N_BLOCKS 600u
#define N_STEPS 2000000
#define CHECK_EVERY 499

struct block {
  uint32_t pfn;
  unsigned order;
};

static struct frame frames[N_FRAMES];
static bool owned[N_FRAMES]; /* the model: handed out, or never the allocator's */
static struct block blocks[N_BLOCKS];
static unsigned n_blocks;
static uint64_t n_model_free;
static struct buddy b;

/* The ranges leave holes, touch each other at 1500, start at odd frames, and end with the array. */
static const struct {
  uint32_t first, n;
} ranges[] = {{3, 1000}, {1024, 476}, {1500, 1037}, {2600, 2400}};

static void setup(void) {
  memset(frames, 0, sizeof(frames));
  memset(owned, true, sizeof(owned));
  buddy_init(&b, frames, N_FRAMES);
  n_blocks = 0;
  n_model_free = 0;
  for (unsigned i = 0; i < ARRAY_LEN(ranges); i++) {
    buddy_add_range(&b, ranges[i].first, ranges[i].n);
    memset(&owned[ranges[i].first], false, ranges[i].n);
    n_model_free += ranges[i].n;
  }
}

static void model_set(uint32_t pfn, uint32_t n, bool now_owned) {
  TAP_REQUIRE(pfn < N_FRAMES && n <= N_FRAMES - pfn);
  for (uint32_t i = pfn; i < pfn + n; i++) {
    TAP_REQUIRE(owned[i] != now_owned);
    owned[i] = now_owned;
  }
  n_model_free += now_owned ? -(uint64_t)n : n;
  TAP_REQUIRE(b.n_free == n_model_free);
}

/* True if the model has an aligned free block of this order: then the allocator must find it. */
static bool model_has(unsigned order) {
  uint32_t size = 1u << order;
  for (uint32_t pfn = 0; pfn + size <= N_FRAMES; pfn += size) {
    if (memchr(&owned[pfn], true, size) == NULL) {
      return true;
    }
  }
  return false;
}

static void block_alloc(unsigned order) {
  uint32_t pfn;
  if (n_blocks == N_BLOCKS) {
    return;
  }
  if (!buddy_alloc(&b, order, &pfn)) {
    TAP_REQUIRE(!model_has(order));
    return;
  }
  TAP_REQUIRE(IS_ALIGNED(pfn, 1u << order) && frames[pfn].kind == FRAME_KERNEL);
  model_set(pfn, 1u << order, true);
  blocks[n_blocks++] = (struct block){pfn, order};
}

/* Frees a block whole, or every second time as two halves. */
static void block_free(unsigned i, bool halves) {
  struct block block = blocks[i];
  blocks[i] = blocks[--n_blocks];
  frames[block.pfn].refs = 7; /* a careless owner */
  if (halves && block.order > 0) {
    uint32_t upper = block.pfn + (1u << (block.order - 1));
    buddy_free(&b, upper, block.order - 1);
    buddy_free(&b, block.pfn, block.order - 1);
  } else {
    buddy_free(&b, block.pfn, block.order);
  }
  model_set(block.pfn, 1u << block.order, false);
}

static void bulk_try(struct rng *r) {
  static uint32_t pfns[100];
  unsigned n = 1 + rng_below(r, ARRAY_LEN(pfns));
  unsigned got = buddy_alloc_bulk(&b, pfns, n);
  TAP_REQUIRE(got == n || (got < n && n_model_free == got));
  for (unsigned i = 0; i < got; i++) {
    TAP_REQUIRE(frames[pfns[i]].kind == FRAME_KERNEL && !owned[pfns[i]]);
    owned[pfns[i]] = true;
  }
  n_model_free -= got;
  buddy_free_bulk(&b, pfns, got);
  for (unsigned i = 0; i < got; i++) {
    owned[pfns[i]] = false;
  }
  n_model_free += got;
}

static void walk_random(uint64_t seed) {
  struct rng r;
  rng_seed(&r, seed);
  for (int step = 0; step < N_STEPS; step++) {
    bool grow = rng_below(&r, 100) < (step / 5000 % 2 == 0 ? 65u : 35u);
    if (rng_one_in(&r, 50)) {
      bulk_try(&r);
    } else if (grow) {
      block_alloc(MIN(rng_below(&r, 11), rng_below(&r, 11)));
    } else if (n_blocks > 0) {
      block_free(rng_below(&r, n_blocks), rng_one_in(&r, 2));
    }
    TAP_REQUIRE(step % CHECK_EVERY != 0 || buddy_check(&b) == 0);
  }
  while (n_blocks > 0) {
    block_free(n_blocks - 1, false);
  }
  TAP_REQUIRE(buddy_check(&b) == 0);
}

/* Free blocks a list holds. */
static unsigned list_len(unsigned order) {
  uint32_t head = b.heads[order];
  unsigned n = head != FRAME_NIL;
  for (uint32_t pfn = head; n > 0 && frames[pfn].next != head; pfn = frames[pfn].next) {
    n++;
  }
  return n;
}

static bool lists_equal(const unsigned *lens) {
  bool equal = true;
  for (unsigned order = 0; order < BUDDY_N_ORDERS; order++) {
    equal = equal && lens[order] == list_len(order);
  }
  return equal;
}

/* The walker must see what it is there to see. */
static void check_check(void) {
  uint32_t head = b.heads[0];
  frames[head].kind = FRAME_KERNEL;
  tap_ok(buddy_check(&b) == 1, "check sees a listed frame that is not free [B1]");
  frames[head].kind = FRAME_FREE;
  b.orders ^= 1u << 18;
  tap_ok(buddy_check(&b) == 2, "check sees a wrong bitmap [B2]");
  b.orders ^= 1u << 18;
  frames[0].kind = FRAME_FREE;
  tap_ok(buddy_check(&b) == 3, "check sees a free frame on no list [B3]");
  frames[0].kind = FRAME_RESERVED;
  b.n_free++;
  tap_ok(buddy_check(&b) == 5, "check sees a wrong count [B5]");
  b.n_free--;
}

int main(int argc, char **argv) {
  unsigned lens[BUDDY_N_ORDERS];
  uint64_t seed = tap_seed(argc, argv);
  tap_plan(9);
  setup();
  tap_ok(buddy_check(&b) == 0 && b.n_free == 4913, "ranges added");
  tap_ok(buddy_best_order(&b) == 10, "ranges that touch were merged");
  for (unsigned order = 0; order < BUDDY_N_ORDERS; order++) {
    lens[order] = list_len(order);
  }
  walk_random(seed);
  tap_ok(b.n_free == 4913, "random operations, nothing leaked");
  tap_ok(lists_equal(lens), "all merged back to the first state");
  check_check();
  while (n_blocks < N_BLOCKS && b.n_free > 0) {
    block_alloc((unsigned)MAX(buddy_best_order(&b), 0));
  }
  tap_ok(b.n_free == 0 && buddy_best_order(&b) == -1, "all memory can be handed out");
  return tap_done();
}
