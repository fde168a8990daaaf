// test-sources: gtree.c
/* The grant tree against a plain array of pages: random inserts, removals, resizes and searches in
 * a small space where everything collides, then a large one where the tree is deep. */
#include "mm/gtree.h"

#include <string.h>

#include "lib/bits.h"
#include "lib/rng.h"
#include "lib/tap.h"

#define N_PAGES 700u
#define N_NODES 256u
#define N_STEPS 1000000
#define CHECK_EVERY 101
#define N_DEEP 20000u
#define PAGE ((uint64_t)ABI_PAGE_SIZE)

static struct gtree t;
static struct gnode nodes[N_NODES]; /* in the tree iff height != 0 */
static struct gnode
    *owner[N_PAGES + 1]; /* the model: which node has each page; the last is never */

static void model_set(const struct gnode *node, struct gnode *who) {
  for (uint64_t page = node->start / PAGE; page < node->end / PAGE; page++) {
    owner[page] = who;
  }
}

static bool model_is_free(uint64_t first, uint64_t end, const struct gnode *except) {
  bool is_free = true;
  for (uint64_t page = first; page < end; page++) {
    is_free = is_free && (owner[page] == NULL || owner[page] == except);
  }
  return is_free;
}

/* True if only free pages and node's own lie between node and [first, end). */
static bool model_can_resize(const struct gnode *node, uint64_t first, uint64_t end) {
  uint64_t low = MIN(first, node->start / PAGE), high = MAX(end, node->end / PAGE);
  return model_is_free(low, high, node);
}

static void step_insert(struct rng *r, struct gnode *node) {
  uint64_t first = rng_below(r, N_PAGES), n = 1 + rng_below(r, 12);
  uint64_t end = MIN(first + n, (uint64_t)N_PAGES);
  node->start = first * PAGE;
  node->end = end * PAGE;
  node->data = rng_one_in(r, 2);
  node->grows = rng_one_in(r, 4);
  bool fits = model_is_free(first, end, NULL);
  TAP_REQUIRE(gtree_is_free(&t, node->start, node->end) == fits);
  TAP_REQUIRE((gtree_insert(&t, node) == OK) == fits);
  TAP_REQUIRE((node->height != 0) == fits);
  if (fits) {
    model_set(node, node);
  }
}

static void step_resize(struct rng *r, struct gnode *node) {
  uint64_t first = node->start / PAGE, end = node->end / PAGE;
  first -= MIN(first, (uint64_t)rng_below(r, 6));
  first += rng_below(r, 6);
  end = MIN(MAX(end + rng_below(r, 6), first + 4) - rng_below(r, 4), (uint64_t)N_PAGES);
  if (first >= end) {
    return;
  }
  bool fits = model_can_resize(node, first, end);
  struct gnode old = *node;
  enum abi_error err = gtree_resize(&t, node, first * PAGE, end * PAGE);
  if (fits) {
    TAP_REQUIRE(err == OK);
    model_set(&old, NULL);
    model_set(node, node);
  } else {
    TAP_REQUIRE(err == ABI_EEXIST && node->start == old.start && node->end == old.end);
  }
}

static void step_search(struct rng *r) {
  uint64_t page = rng_below(r, N_PAGES), addr = page * PAGE + rng_below(r, PAGE);
  TAP_REQUIRE(gtree_find(&t, addr) == owner[page]);
  while (page < N_PAGES && owner[page] == NULL) {
    page++;
  }
  struct gnode *node = gtree_first_from(&t, addr);
  TAP_REQUIRE(node == owner[page]);
  if (node != NULL) {
    struct gnode *next = gtree_next(node), *prev = gtree_prev(node);
    TAP_REQUIRE(next == NULL || (next->start >= node->end && gtree_prev(next) == node));
    TAP_REQUIRE(prev == NULL || (prev->end <= node->start && gtree_next(prev) == node));
  }
}

/* Whether a free page is kept for the node above it, if that grows. */
static bool model_is_kept(uint64_t page, uint64_t reach, uint64_t guard) {
  uint64_t above = page;
  while (above < N_PAGES && owner[above] == NULL) {
    above++;
  }
  const struct gnode *node = owner[above];
  if (node == NULL || !node->grows) {
    return false;
  }
  uint64_t first = node->start / PAGE, end = node->end / PAGE;
  uint64_t wanted = end - MIN(end, reach);
  return page + guard >= MIN(first, wanted);
}

/* The highest first page of n free ones in [lo, hi), N_PAGES if there is none. */
static uint64_t model_hole(uint64_t n, uint64_t lo, uint64_t hi, uint64_t reach, uint64_t guard) {
  uint64_t found = N_PAGES, run = 0;
  for (uint64_t page = lo; page < hi; page++) {
    run = owner[page] == NULL && !model_is_kept(page, reach, guard) ? run + 1 : 0;
    if (run >= n) {
      found = page + 1 - n;
    }
  }
  return found;
}

static void step_hole(struct rng *r) {
  uint64_t n = 1 + rng_below(r, 24), lo = rng_below(r, N_PAGES), hi = rng_below(r, N_PAGES + 1);
  uint64_t reach = rng_below(r, 20), guard = rng_below(r, 4);
  if (rng_one_in(r, 3)) {
    lo = 0;
    hi = N_PAGES;
  }
  uint64_t want = model_hole(n, lo, hi, reach, guard);
  struct groom room = {reach * PAGE, guard * PAGE};
  struct ghole h = {n * PAGE, lo * PAGE, hi * PAGE, &room, 0};
  bool found = gtree_hole_below(&t, &h);
  TAP_REQUIRE(found == (want != N_PAGES) && (!found || h.start == want * PAGE));
}

static void step_change(struct rng *r) {
  struct gnode *node = &nodes[rng_below(r, N_NODES)];
  if (node->height == 0) {
    step_insert(r, node);
  } else if (rng_one_in(r, 2)) {
    step_resize(r, node);
  } else if (rng_one_in(r, 3)) {
    gtree_set_data(&t, node, rng_one_in(r, 2));
  } else {
    model_set(node, NULL);
    gtree_remove(&t, node);
  }
}

static void walk_random(uint64_t seed) {
  struct rng r;
  rng_seed(&r, seed);
  gtree_init(&t);
  for (int step = 0; step < N_STEPS; step++) {
    step_change(&r);
    step_search(&r);
    if (step % 8 == 0) {
      step_hole(&r);
    }
    TAP_REQUIRE(step % CHECK_EVERY != 0 || gtree_check(&t) == 0);
  }
  for (unsigned i = 0; i < N_NODES; i++) {
    if (nodes[i].height != 0) {
      gtree_remove(&t, &nodes[i]);
    }
  }
}

/* Ascending inserts with one-page gaps, then one wide gap: a lopsided tree would show. */
static void walk_deep(void) {
  static struct gnode deep[N_DEEP];
  static const struct groom none;
  struct ghole h = {.room = &none, .len = 3 * PAGE, .hi = 2 * (N_DEEP - 1) * PAGE};
  for (uint64_t i = 0; i < N_DEEP; i++) {
    deep[i].start = 2 * i * PAGE;
    deep[i].end = (2 * i + 1) * PAGE;
    TAP_REQUIRE(gtree_insert(&t, &deep[i]) == OK);
  }
  tap_ok(gtree_check(&t) == 0 && t.root->height <= 20, "20000 ascending inserts stay balanced");
  gtree_remove(&t, &deep[777]);
  TAP_REQUIRE(gtree_hole_below(&t, &h));
  tap_ok(h.start == (2 * 777 - 1) * PAGE, "the one wide hole is found");
  for (uint64_t i = 0; i < N_DEEP; i++) {
    if (i != 777) {
      gtree_remove(&t, &deep[i]);
    }
    TAP_REQUIRE(i % 1000 != 0 || gtree_check(&t) == 0);
  }
  tap_ok(t.n == 0 && t.root == NULL, "all removed again");
}

/* ---- copies -------------------------------------------------------------------------------- */

static struct gnode copies[64];
static size_t n_copied, n_copies_most, n_dropped;

static struct gnode *copy_give(const struct gnode *node) {
  TAP_REQUIRE(node->height != 0);
  return n_copied < n_copies_most ? &copies[n_copied++] : NULL;
}

static void copy_drop(struct gnode *node) {
  TAP_REQUIRE(node >= copies && node < copies + n_copied && node->height != 0);
  node->height = 0; /* not twice */
  n_dropped++;
}

static bool trees_equal(const struct gtree *a, const struct gtree *b) {
  const struct gnode *x = gtree_first_from(a, 0), *y = gtree_first_from(b, 0);
  while (x != NULL && y != NULL && x->start == y->start && x->end == y->end) {
    x = gtree_next(x);
    y = gtree_next(y);
  }
  return x == NULL && y == NULL;
}

/* A tree of 50 nodes copied with memory for 0 to 50 of them. */
static void walk_copy(void) {
  static struct gnode from[50];
  struct gtree src, dst;
  bool partial = true;
  gtree_init(&src);
  for (uint64_t i = 0; i < 50; i++) {
    from[i] = (struct gnode){.start = (i * 37 % 50) * 3 * PAGE};
    from[i].end = from[i].start + (1 + i % 2) * PAGE;
    TAP_REQUIRE(gtree_insert(&src, &from[i]) == OK);
  }
  for (n_copies_most = 0; n_copies_most <= 50; n_copies_most++) {
    n_copied = n_dropped = 0;
    bool whole = gtree_copy(&dst, &src, copy_give);
    TAP_REQUIRE(whole == (n_copies_most == 50));
    TAP_REQUIRE(!whole || (gtree_check(&dst) == 0 && trees_equal(&dst, &src)));
    gtree_drain(&dst, copy_drop);
    partial = partial && n_dropped == n_copies_most && dst.root == NULL && dst.n == 0;
  }
  tap_ok(partial, "a copy is the same tree, and drains whole or in part to the last node");
  tap_ok(gtree_check(&src) == 0 && src.n == 50, "the original is as it was");
}

/* The walker must see what it is there to see. */
static void check_check(void) {
  struct gnode a = {.start = 0, .end = PAGE}, c = {.start = 4 * PAGE, .end = 5 * PAGE};
  TAP_REQUIRE(gtree_insert(&t, &a) == OK && gtree_insert(&t, &c) == OK && gtree_check(&t) == 0);
  c.start = 0;
  tap_ok(gtree_check(&t) == 2, "check sees an overlap [G2]");
  c.start = 4 * PAGE;
  t.root->height = 9;
  tap_ok(gtree_check(&t) == 4, "check sees a wrong height [G4]");
  t.root->height = 2;
  c.gap += PAGE;
  tap_ok(gtree_check(&t) == 5, "check sees a wrong gap [G5]");
  c.gap -= PAGE;
  t.root->max_gap = c.gap - 1;
  tap_ok(gtree_check(&t) == 6, "check sees a bound that is too narrow [G6]");
  t.root->max_gap = c.gap;
  t.n++;
  tap_ok(gtree_check(&t) == 7, "check sees a wrong count [G7]");
  t.n--;
  t.bytes[0] += PAGE;
  tap_ok(gtree_check(&t) == 8, "check sees a wrong sum [G8]");
  t.bytes[0] -= PAGE;
  t.end += PAGE;
  tap_ok(gtree_check(&t) == 9, "check sees a wrong end [G9]");
}

int main(int argc, char **argv) {
  uint64_t seed = tap_seed(argc, argv);
  tap_plan(13);
  walk_random(seed);
  tap_ok(t.n == 0 && t.root == NULL, "random operations agree with the model");
  walk_deep();
  walk_copy();
  check_check();
  return tap_done();
}
