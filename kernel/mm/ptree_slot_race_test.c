// test-sources: ptree.c ptree_range.c ptree_check.c
/* Faults of one tree side by side: ptree_slot_ready() without the tree's lock, while others make
 * and copy tables under it, with the locks that fault.c has.
 *
 * Two trees share what a clone left shared. Each thread writes pages of its own in both, which lie
 * among those of the others in the same tables, and must find in each what it wrote last. Now and
 * then one of them takes a tree for itself, as unmap and clone do, so that tables go and are shared
 * anew. Most telling built with -fsanitize=thread. */
#include "mm/ptree.h"

#include <pthread.h>

#include "lib/rng.h"
#include "mm/ptree_sim.h"

#define N_THREADS 4u
#define N_PAGES 48u /* in three page tables of two directories */
#define N_STEPS 300000u
#define TABLE_SHIFT 21
#define N_REGIONS 3u

struct tree {
  pthread_rwlock_t lock;              /* shared: faults */
  pthread_mutex_t tables;             /* above the last level */
  pthread_mutex_t regions[N_REGIONS]; /* of a page table each */
  uint64_t root;
  uint64_t content[N_PAGES]; /* the model, of each page's thread; 0: not mapped */
};

struct worker {
  pthread_t thread;
  unsigned id;
  struct rng rng;
  uint64_t n_ready, n_slow;
};

static struct tree trees[2];
static struct worker workers[N_THREADS];
static _Atomic uint64_t last_content;
static pthread_barrier_t together;

static uint64_t page_va(unsigned i) {
  static const uint64_t bases[N_REGIONS] = {0x400000, 0x600000, 0x7fffffe00000};
  return bases[i % N_REGIONS] + i / N_REGIONS * FRAME_SIZE;
}

static void flush(struct ptree_gather *g) {
  ptree_gather_release(g);
  while (!ptree_gather_drain(g, 3)) {
  }
}

static void root_make(struct tree *t) {
  uint32_t pfn = sim_frame_alloc(FRAME_TABLE);
  TAP_REQUIRE(pfn != 0);
  t->root = (uint64_t)pfn << FRAME_SHIFT;
  ptree_init(t->root);
}

static void root_destroy(struct tree *t) {
  while (!ptree_destroy(t->root, 3)) {
  }
  TAP_REQUIRE(sim_frames[sim_pfn(t->root)].refs-- == 1);
  sim_frame_free(sim_pfn(t->root));
}

/* ---- a fault ------------------------------------------------------------------------------ */

static void slot_find(struct worker *w, struct tree *t, uint64_t va, struct ptree_gather *g,
                      struct ptree_slot *slot) {
  if (ptree_slot_ready(t->root, va, slot)) {
    w->n_ready++;
    return;
  }
  w->n_slow++;
  pthread_mutex_lock(&t->tables);
  TAP_REQUIRE(ptree_slot(t->root, va, g, slot) == OK);
  pthread_mutex_unlock(&t->tables);
}

static void leaf_write(struct ptree_slot *slot, uint64_t va, uint64_t content,
                       struct ptree_gather *g) {
  uint64_t old = ptree_leaf_get(slot);
  if (old != 0 && ptree_leaf_is_sole(slot)) {
    ptree_leaf_widen(slot, PTE_W);
    sim_memory[sim_pfn(old)][0] = content;
    return;
  }
  uint64_t pfn = sim_frame_alloc(FRAME_ANON);
  TAP_REQUIRE(pfn != 0);
  uint64_t pte = pfn << FRAME_SHIFT | PTE_P | PTE_W | PTE_U | PTE_COUNTED;
  sim_memory[pfn][0] = content;
  if (old == 0) {
    ptree_leaf_set(slot, pte);
  } else {
    ptree_leaf_replace(slot, va, pte, g);
  }
}

static void page_write(struct worker *w, struct tree *t, unsigned page) {
  struct ptree_gather g;
  struct ptree_slot slot;
  ptree_gather_init(&g, flush, NULL);
  pthread_rwlock_rdlock(&t->lock);
  pthread_mutex_lock(&t->regions[page % N_REGIONS]);
  slot_find(w, t, page_va(page), &g, &slot);
  uint64_t old = ptree_leaf_get(&slot), content = ++last_content;
  TAP_REQUIRE((old != 0) == (t->content[page] != 0));
  TAP_REQUIRE(old == 0 || sim_memory[sim_pfn(old)][0] == t->content[page]);
  leaf_write(&slot, page_va(page), content, &g);
  t->content[page] = content;
  flush(&g);
  pthread_mutex_unlock(&t->regions[page % N_REGIONS]);
  pthread_rwlock_unlock(&t->lock);
}

/* ---- what keeps faults out ---------------------------------------------------------------- */

static void tree_unmap(struct tree *t, unsigned region) {
  struct ptree_gather g;
  uint64_t start = page_va(region) >> TABLE_SHIFT << TABLE_SHIFT;
  ptree_gather_init(&g, flush, NULL);
  pthread_rwlock_wrlock(&t->lock);
  TAP_REQUIRE(ptree_unmap(t->root, start, start + (1ul << TABLE_SHIFT), &g) == OK);
  flush(&g);
  for (unsigned i = region; i < N_PAGES; i += N_REGIONS) {
    t->content[i] = 0;
  }
  pthread_rwlock_unlock(&t->lock);
}

static void tree_clone(void) {
  pthread_rwlock_wrlock(&trees[0].lock);
  pthread_rwlock_wrlock(&trees[1].lock);
  root_destroy(&trees[1]);
  root_make(&trees[1]);
  (void)!ptree_clone(trees[1].root, trees[0].root);
  for (unsigned i = 0; i < N_PAGES; i++) {
    trees[1].content[i] = trees[0].content[i];
  }
  pthread_rwlock_unlock(&trees[1].lock);
  pthread_rwlock_unlock(&trees[0].lock);
}

static void *worker_run(void *arg) {
  struct worker *w = arg;
  pthread_barrier_wait(&together);
  for (unsigned step = 0; step < N_STEPS; step++) {
    struct tree *t = &trees[rng_below(&w->rng, 2)];
    unsigned what = rng_below(&w->rng, 30);
    if (what == 0) {
      tree_clone();
    } else if (what == 1) {
      tree_unmap(t, rng_below(&w->rng, N_REGIONS));
    } else {
      page_write(w, t, rng_below(&w->rng, N_PAGES / N_THREADS) * N_THREADS + w->id);
    }
  }
  return NULL;
}

/* ---- the test ----------------------------------------------------------------------------- */

static void tree_start(struct tree *t) {
  pthread_rwlock_init(&t->lock, NULL);
  pthread_mutex_init(&t->tables, NULL);
  for (unsigned i = 0; i < N_REGIONS; i++) {
    pthread_mutex_init(&t->regions[i], NULL);
  }
  root_make(t);
}

static bool world_is_right(void) {
  static uint32_t counts[SIM_N_FRAMES];
  uint64_t roots[] = {trees[0].root, trees[1].root};
  bool good = ptree_check(roots, 2, counts, SIM_N_FRAMES) == 0;
  for (uint32_t pfn = 1; pfn < SIM_N_FRAMES; pfn++) {
    good = good && sim_frames[pfn].refs == counts[pfn];
  }
  return good;
}

int main(int argc, char **argv) {
  uint64_t seed = tap_seed(argc, argv), n_ready = 0, n_slow = 0;
  tap_plan(4);
  sim_init();
  pthread_barrier_init(&together, NULL, N_THREADS);
  tree_start(&trees[0]);
  tree_start(&trees[1]);
  for (unsigned i = 0; i < N_THREADS; i++) {
    workers[i].id = i;
    rng_seed(&workers[i].rng, seed * N_THREADS + i);
    TAP_REQUIRE(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0);
  }
  for (unsigned i = 0; i < N_THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    n_ready += workers[i].n_ready;
    n_slow += workers[i].n_slow;
  }
  tap_ok(true, "each finds what it wrote, in %u steps of each", N_STEPS);
  tap_ok(n_ready > 1000 && n_slow > 1000, "slots that were ready and that were made");
  tap_ok(world_is_right(), "the trees are right, and each reference is counted");
  root_destroy(&trees[0]);
  root_destroy(&trees[1]);
  tap_ok(sim.n_free == SIM_N_SMALL - 1, "nothing leaked");
  return tap_done();
}
