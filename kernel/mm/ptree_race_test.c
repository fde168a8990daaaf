// test-sources: ptree.c ptree_range.c ptree_check.c
/* Page-table trees that share tables, at work at the same time: what ptree.h says of concurrency.
 *
 * Each round clones one tree to a few per thread; then the threads write, unmap, map, clone and
 * destroy their own, all copying the same shared tables, and each must see only its own history.
 * The gather releases at once, as there is no TLB. Most telling built with -fsanitize=thread. */
#include "mm/ptree.h"

#include <pthread.h>
#include <string.h>

#include "lib/rng.h"
#include "mm/ptree_sim.h"

#define N_THREADS 3u
#define N_OWN 2u /* trees of each thread */
#define N_PAGES 24u
#define N_ROUNDS 3000u
#define N_STEPS 60u /* of each thread, each round */

struct tree {
  uint64_t root;
  uint64_t content[N_PAGES]; /* the model: 0 is not mapped */
};

struct worker {
  pthread_t thread;
  struct rng rng;
  struct tree trees[N_OWN];
};

static struct worker workers[N_THREADS];
static struct tree origin;
static pthread_barrier_t barrier;
static _Atomic uint64_t last_content;

/* Three page tables in two directories, eight pages in each. */
static uint64_t page_va(unsigned i) {
  static const uint64_t bases[] = {0x400000, 0x600000, 0x7fffffe00000};
  return bases[i / 8] + i % 8 * FRAME_SIZE;
}

static void flush(struct ptree_gather *g) {
  ptree_gather_release(g);
  while (!ptree_gather_drain(g, 3)) {
  }
}

static void tree_create(struct tree *t) {
  uint32_t pfn = sim_frame_alloc(FRAME_TABLE);
  TAP_REQUIRE(pfn != 0);
  t->root = (uint64_t)pfn << FRAME_SHIFT;
  ptree_init(t->root);
  memset(t->content, 0, sizeof(t->content));
}

static void tree_destroy(struct tree *t) {
  while (!ptree_destroy(t->root, 3)) {
  }
  TAP_REQUIRE(sim_frames[sim_pfn(t->root)].refs-- == 1);
  sim_frame_free(sim_pfn(t->root));
}

static void tree_clone(struct tree *dst, const struct tree *src) {
  tree_create(dst);
  (void)!ptree_clone(dst->root, src->root);
  memcpy(dst->content, src->content, sizeof(dst->content));
}

/* Maps the page if it is not, else breaks copy-on-write; then writes. */
static void tree_write(struct tree *t, unsigned i) {
  struct ptree_gather g;
  struct ptree_slot slot;
  ptree_gather_init(&g, flush, NULL);
  TAP_REQUIRE(ptree_slot(t->root, page_va(i), &g, &slot) == OK);
  uint64_t old = ptree_leaf_get(&slot), content = ++last_content;
  TAP_REQUIRE((old != 0) == (t->content[i] != 0));
  if (old != 0 && ((old & PTE_W) != 0 || ptree_leaf_is_sole(&slot))) {
    ptree_leaf_widen(&slot, PTE_W);
    TAP_REQUIRE(sim_memory[sim_pfn(old)][0] == t->content[i]);
    sim_memory[sim_pfn(old)][0] = content;
  } else {
    uint64_t pfn = sim_frame_alloc(FRAME_ANON);
    uint64_t pte = pfn << FRAME_SHIFT | PTE_P | PTE_W | PTE_U | PTE_COUNTED;
    sim_memory[pfn][0] = content;
    if (old == 0) {
      ptree_leaf_set(&slot, pte);
    } else {
      ptree_leaf_replace(&slot, page_va(i), pte, &g);
    }
  }
  t->content[i] = content;
  ptree_gather_release(&g);
  while (!ptree_gather_drain(&g, 3)) {
  }
}

static void tree_unmap(struct tree *t, unsigned first, unsigned n) {
  struct ptree_gather g;
  ptree_gather_init(&g, flush, NULL);
  for (unsigned i = first; i < first + n && i < N_PAGES; i++) {
    t->content[i] = 0;
  }
  uint64_t end = page_va(first + n < N_PAGES ? first + n : N_PAGES - 1) + FRAME_SIZE;
  end -= first + n < N_PAGES ? FRAME_SIZE : 0;
  TAP_REQUIRE(ptree_unmap(t->root, page_va(first), end, &g) == OK);
  ptree_gather_release(&g);
  while (!ptree_gather_drain(&g, 3)) {
  }
}

static void tree_protect(struct tree *t) {
  struct ptree_gather g;
  ptree_gather_init(&g, flush, NULL);
  struct ptree_rights change = {PTE_W, 0};
  TAP_REQUIRE(ptree_protect(t->root, page_va(0), page_va(12), change, &g) == OK);
  ptree_gather_release(&g);
  while (!ptree_gather_drain(&g, 3)) {
  }
}

static void tree_verify(const struct tree *t) {
  for (unsigned i = 0; i < N_PAGES; i++) {
    uint64_t pte;
    bool writable;
    ptree_lookup(t->root, page_va(i), &pte, &writable);
    TAP_REQUIRE((pte != 0) == (t->content[i] != 0));
    TAP_REQUIRE(pte == 0 || sim_memory[sim_pfn(pte)][0] == t->content[i]);
  }
}

static void worker_step(struct worker *w) {
  struct tree *t = &w->trees[rng_below(&w->rng, N_OWN)];
  unsigned what = rng_below(&w->rng, 100), page = rng_below(&w->rng, N_PAGES);
  if (what < 80) {
    tree_write(t, page);
  } else if (what < 90) {
    tree_unmap(t, page, 1 + rng_below(&w->rng, 16));
  } else if (what < 94) {
    tree_protect(t);
  } else if (t != &w->trees[0]) {
    tree_destroy(t);
    tree_clone(t, &w->trees[0]);
  }
  tree_verify(t);
}

static void *worker_run(void *arg) {
  struct worker *w = arg;
  for (unsigned round = 0; round < N_ROUNDS; round++) {
    pthread_barrier_wait(&barrier); /* the trees are there */
    for (unsigned i = 0; i < N_STEPS; i++) {
      worker_step(w);
    }
    pthread_barrier_wait(&barrier); /* they can be looked at */
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < N_OWN; i++) {
      tree_destroy(&w->trees[i]);
    }
    pthread_barrier_wait(&barrier); /* they are gone */
  }
  return NULL;
}

static void round_begin(void) {
  tree_create(&origin);
  for (unsigned i = 0; i < N_PAGES; i++) {
    tree_write(&origin, i);
  }
  for (unsigned i = 0; i < N_THREADS * N_OWN; i++) {
    tree_clone(&workers[i / N_OWN].trees[i % N_OWN], &origin);
  }
  tree_destroy(&origin);
}

static void world_verify(void) {
  static uint32_t counts[SIM_N_FRAMES];
  uint64_t roots[N_THREADS * N_OWN];
  memset(counts, 0, sizeof(counts));
  for (unsigned i = 0; i < N_THREADS * N_OWN; i++) {
    roots[i] = workers[i / N_OWN].trees[i % N_OWN].root;
  }
  TAP_REQUIRE(ptree_check(roots, N_THREADS * N_OWN, counts, SIM_N_FRAMES) == 0);
  for (uint32_t pfn = 1; pfn < SIM_N_FRAMES; pfn++) {
    TAP_REQUIRE(sim_frames[pfn].refs == counts[pfn]);
  }
}

int main(int argc, char **argv) {
  uint64_t seed = tap_seed(argc, argv);
  tap_plan(2);
  sim_init();
  pthread_barrier_init(&barrier, NULL, N_THREADS + 1);
  for (unsigned i = 0; i < N_THREADS; i++) {
    rng_seed(&workers[i].rng, seed * N_THREADS + i);
    TAP_REQUIRE(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0);
  }
  for (unsigned round = 0; round < N_ROUNDS; round++) {
    round_begin();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    world_verify();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
  }
  for (unsigned i = 0; i < N_THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
  }
  tap_ok(true, "trees that share tables, each with its own history, in %u rounds", N_ROUNDS);
  tap_ok(sim.n_free == SIM_N_SMALL - 1, "nothing leaked");
  return tap_done();
}
