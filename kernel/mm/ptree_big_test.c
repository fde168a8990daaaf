// test-sources: ptree.c ptree_range.c ptree_check.c
/* Big leaves of the page-table tree against a flat map: three regions of 2 MiB, on both sides of a
 * directory's end, in trees that are cloned from each other. Regions are mapped by one leaf or page
 * by page, written, protected and unmapped in part; writes to what is shared copy all of it or one
 * page. Every page of every tree is compared, and every reference counted. */
#include "mm/ptree.h"

#include <string.h>

#include "lib/bits.h"
#include "mm/ptree_sim_cpu.h"

#define N_TREES 4u
#define N_REGIONS 3u
#define N_PAGES (N_REGIONS * PTREE_N_ENTRIES)
#define BASE (UINT64_C(0x40000000) - BIG_SIZE)
#define N_STEPS 60000
#define CHECK_EVERY 211

enum { READ = 1, WRITE = 2, EXEC = 4 };

struct page {
  bool used;
  unsigned prot;
  uint64_t content;
};

struct tree {
  bool live;
  uint64_t root;
  struct page pages[N_PAGES];
  struct sim_cpu cpu;
};

static struct tree trees[N_TREES];
static uint64_t last_content;
static struct rng rng;
static unsigned n_failed_ops, n_big, n_big_copied, n_split_shared;

static uint64_t va_of(unsigned i) {
  return BASE + i * FRAME_SIZE;
}

static void flush(struct ptree_gather *g) {
  sim_cpu_verify_sizes(g->ctx);
  sim_cpu_invalidate(g->ctx, g->lo, g->hi);
  ptree_gather_release(g);
  while (!ptree_gather_drain(g, 3)) {
  }
}

static void gather_begin(struct ptree_gather *g, struct tree *t) {
  ptree_gather_init(g, flush, &t->cpu);
}

static void gather_end(struct ptree_gather *g) {
  if (ptree_gather_is_pending(g)) {
    flush(g);
  }
}

/* ---- comparing with the model --------------------------------------------------------------- */

static void page_verify(const struct tree *t, unsigned i) {
  const struct page *p = &t->pages[i];
  uint64_t pte;
  bool writable;
  (void)ptree_lookup(t->root, va_of(i), &pte, &writable);
  TAP_REQUIRE((pte != 0) == p->used);
  if (pte != 0) {
    TAP_REQUIRE(((pte & PTE_P) != 0) == (p->prot != 0));
    TAP_REQUIRE(((pte & PTE_NX) == 0) == ((p->prot & EXEC) != 0));
    TAP_REQUIRE(!writable || (p->prot & WRITE) != 0);
    TAP_REQUIRE(sim_memory[sim_pfn(pte)][0] == p->content);
  }
}

static void tree_verify(const struct tree *t) {
  uint64_t va = 0, pte;
  for (unsigned i = 0; i < N_PAGES; i++) {
    page_verify(t, i);
    if (t->pages[i].used) {
      TAP_REQUIRE(ptree_next(t->root, &va, PTREE_USER_END, &pte) && va == va_of(i) && pte != 0);
      va += FRAME_SIZE;
    }
  }
  TAP_REQUIRE(!ptree_next(t->root, &va, PTREE_USER_END, &pte));
}

static void world_verify(void) {
  static uint32_t counts[SIM_N_FRAMES];
  uint64_t roots[N_TREES];
  size_t n = 0;
  memset(counts, 0, sizeof(counts));
  for (unsigned i = 0; i < N_TREES; i++) {
    if (trees[i].live) {
      tree_verify(&trees[i]);
      sim_cpu_verify(&trees[i].cpu);
      roots[n++] = trees[i].root;
    }
  }
  TAP_REQUIRE(ptree_check(roots, n, counts, SIM_N_FRAMES) == 0);
  for (uint32_t pfn = 1; pfn < SIM_N_FRAMES; pfn++) {
    TAP_REQUIRE(sim_frames[pfn].refs == counts[pfn]);
    TAP_REQUIRE(sim_frames[pfn].refs == 0 || sim_frames[pfn].kind != FRAME_FREE);
  }
}

/* ---- the steps ------------------------------------------------------------------------------ */

static bool op_failed(enum abi_error err) {
  TAP_REQUIRE(err == OK || (err == ABI_ENOMEM && sim.failed));
  n_failed_ops += err != OK;
  return err != OK;
}

static uint64_t prot_bits(unsigned prot) {
  uint64_t bits = prot != 0 ? PTE_P | PTE_U : 0;
  bits |= (prot & WRITE) != 0 ? PTE_W : 0;
  return bits | ((prot & EXEC) != 0 ? 0 : PTE_NX);
}

static void big_fill(struct tree *t, unsigned first, uint32_t pfn, unsigned prot) {
  for (unsigned i = 0; i < PTREE_N_ENTRIES; i++) {
    sim_memory[pfn + i][0] = ++last_content;
    t->pages[first + i] = (struct page){true, prot, last_content};
  }
}

static void op_map_big(struct tree *t, unsigned region) {
  unsigned first = region * PTREE_N_ENTRIES, prot = rng_below(&rng, 8);
  struct ptree_gather g;
  struct ptree_slot slot;
  gather_begin(&g, t);
  if (!op_failed(ptree_slot_big(t->root, va_of(first), &g, &slot)) && ptree_leaf_get(&slot) == 0) {
    uint64_t pfn = sim_block_alloc();
    if (pfn != 0) {
      ptree_leaf_set(&slot, pfn << FRAME_SHIFT | prot_bits(prot) | PTE_COUNTED | PTE_PS);
      big_fill(t, first, (uint32_t)pfn, prot);
      n_big++;
    }
  }
  gather_end(&g);
}

static void op_map(struct tree *t, unsigned i) {
  struct page p = {true, rng_below(&rng, 8), ++last_content};
  struct ptree_gather g;
  struct ptree_slot slot;
  if (t->pages[i].used) {
    return;
  }
  gather_begin(&g, t);
  if (!op_failed(ptree_slot(t->root, va_of(i), &g, &slot))) {
    uint64_t pfn = sim_frame_alloc(FRAME_ANON);
    if (pfn != 0) {
      sim_memory[pfn][0] = p.content;
      ptree_leaf_set(&slot, pfn << FRAME_SHIFT | prot_bits(p.prot) | PTE_COUNTED);
      t->pages[i] = p;
    }
  }
  gather_end(&g);
}

/* A big leaf may be widened only where all that it maps may have the right. */
static bool region_is_writable(const struct tree *t, unsigned i) {
  const struct page *p = &t->pages[ALIGN_DOWN(i, PTREE_N_ENTRIES)];
  bool all = true;
  for (unsigned k = 0; k < PTREE_N_ENTRIES && all; k++) {
    all = p[k].used && p[k].prot == p[0].prot && (p[k].prot & WRITE) != 0;
  }
  return all;
}

/* A write to a big leaf: the last user takes it, others copy all of it, if there is a block. */
static bool big_own(struct ptree_slot *slot, uint64_t va, struct ptree_gather *g) {
  uint64_t old = ptree_leaf_get(slot);
  if ((old & PTE_PS) == 0) {
    return false;
  }
  if (ptree_leaf_is_sole(slot)) {
    ptree_leaf_widen(slot, PTE_W);
    return true;
  }
  uint64_t pfn = rng_one_in(&rng, 2) ? sim_block_alloc() : 0;
  if (pfn == 0) {
    return false;
  }
  for (unsigned i = 0; i < PTREE_N_ENTRIES; i++) {
    sim_memory[pfn + i][0] = sim_memory[sim_pfn(old) + i][0];
  }
  ptree_leaf_replace(slot, va, pfn << FRAME_SHIFT | (old & ~PTE_ADDR) | PTE_W, g);
  n_big_copied++;
  return true;
}

static enum abi_error page_own(struct ptree_slot *slot, uint64_t va, struct ptree_gather *g) {
  uint64_t old = ptree_leaf_get(slot);
  if (ptree_leaf_is_sole(slot)) {
    ptree_leaf_widen(slot, PTE_W);
    return OK;
  }
  uint64_t pfn = sim_frame_alloc(FRAME_ANON);
  if (pfn == 0) {
    return ABI_ENOMEM;
  }
  sim_memory[pfn][0] = sim_memory[sim_pfn(old)][0];
  uint64_t keep = old & ~(PTE_ADDR | PTE_PART);
  ptree_leaf_replace(slot, va, pfn << FRAME_SHIFT | keep | PTE_W, g);
  return OK;
}

static enum abi_error write_fault(struct tree *t, unsigned i) {
  struct ptree_gather g;
  struct ptree_slot slot;
  gather_begin(&g, t);
  enum abi_error err = ptree_slot_big(t->root, va_of(i), &g, &slot);
  bool done = err == OK && region_is_writable(t, i) && big_own(&slot, va_of(i), &g);
  if (err == OK && !done) {
    bool shared = (ptree_leaf_get(&slot) & PTE_PS) != 0 && !ptree_leaf_is_sole(&slot);
    err = ptree_slot(t->root, va_of(i), &g, &slot);
    n_split_shared += err == OK && shared;
    err = err == OK ? page_own(&slot, va_of(i), &g) : err;
  }
  gather_end(&g);
  return err;
}

static void op_write(struct tree *t, unsigned i) {
  struct page *p = &t->pages[i];
  uint32_t pfn = 0;
  if (!p->used || (p->prot & WRITE) == 0) {
    TAP_REQUIRE(sim_cpu_access(&t->cpu, va_of(i), true) == 0);
    return;
  }
  for (int tries = 0; (pfn = sim_cpu_access(&t->cpu, va_of(i), true)) == 0; tries++) {
    TAP_REQUIRE(tries < 2);
    if (op_failed(write_fault(t, i))) {
      return;
    }
  }
  p->content = ++last_content;
  sim_memory[pfn][0] = last_content;
}

static void op_read(struct tree *t, unsigned i) {
  const struct page *p = &t->pages[i];
  uint32_t pfn = sim_cpu_access(&t->cpu, va_of(i), false);
  if (p->used && p->prot != 0 && pfn == 0) {
    pfn = sim_cpu_access(&t->cpu, va_of(i), false);
  }
  TAP_REQUIRE((pfn != 0) == (p->used && p->prot != 0));
  TAP_REQUIRE(pfn == 0 || sim_memory[pfn][0] == p->content);
}

/* Whole regions, parts of one, or across several. */
static void range_choose(unsigned *first, unsigned *end) {
  *first = rng_below(&rng, N_PAGES);
  *end = rng_one_in(&rng, 2) ? *first + 1 + rng_below(&rng, 40) : rng_below(&rng, N_PAGES) + 1;
  if (rng_one_in(&rng, 3)) {
    *first = (unsigned)ALIGN_DOWN(*first, PTREE_N_ENTRIES);
    *end = *first + PTREE_N_ENTRIES;
  }
  *end = MIN(*end, N_PAGES);
  if (*first >= *end) {
    *first = *end - 1;
  }
}

static void op_unmap(struct tree *t) {
  struct ptree_gather g;
  unsigned first, end;
  range_choose(&first, &end);
  gather_begin(&g, t);
  bool failed = op_failed(ptree_unmap(t->root, va_of(first), va_of(end), &g));
  gather_end(&g);
  for (unsigned i = first; i < end && !failed; i++) {
    t->pages[i].used = false;
  }
}

static void op_protect(struct tree *t) {
  struct ptree_gather g;
  unsigned first, end, prot = rng_below(&rng, 8);
  struct ptree_rights change = {PTE_P | PTE_W | PTE_U | PTE_NX, prot_bits(prot)};
  range_choose(&first, &end);
  gather_begin(&g, t);
  bool failed = op_failed(ptree_protect(t->root, va_of(first), va_of(end), change, &g));
  gather_end(&g);
  for (unsigned i = first; i < end && !failed; i++) {
    t->pages[i].prot = prot;
  }
}

static bool tree_create(struct tree *t) {
  uint32_t pfn = sim_frame_alloc(FRAME_TABLE);
  if (pfn == 0) {
    return false;
  }
  memset(t, 0, sizeof(*t));
  t->live = true;
  t->root = (uint64_t)pfn << FRAME_SHIFT;
  ptree_init(t->root);
  t->cpu.root = t->root;
  t->cpu.rng = &rng;
  return true;
}

static void tree_destroy(struct tree *t) {
  uint32_t pfn = sim_pfn(t->root);
  sim_cpu_invalidate(&t->cpu, 0, PTREE_USER_END);
  while (!ptree_destroy(t->root, 3)) {
  }
  TAP_REQUIRE(sim_frames[pfn].refs-- == 1);
  sim_frame_free(pfn);
  t->live = false;
}

static void op_clone(struct tree *src) {
  struct tree *dst = &trees[rng_below(&rng, N_TREES)];
  if (dst == src) {
    return;
  }
  if (dst->live) {
    tree_destroy(dst);
  }
  if (!tree_create(dst)) {
    return;
  }
  if (ptree_clone(dst->root, src->root)) {
    sim_cpu_invalidate(&src->cpu, 0, PTREE_USER_END);
  }
  memcpy(dst->pages, src->pages, sizeof(dst->pages));
}

static struct tree *tree_choose(void) {
  struct tree *t = &trees[rng_below(&rng, N_TREES)];
  while (!t->live) {
    t = t + 1 == trees + N_TREES ? trees : t + 1;
  }
  return t;
}

static void step(void) {
  struct tree *t = tree_choose();
  unsigned what = rng_below(&rng, 100), page = rng_below(&rng, N_PAGES);
  if (what < 40) {
    op_write(t, page);
  } else if (what < 65) {
    op_read(t, page);
  } else if (what < 75) {
    op_map(t, page);
  } else if (what < 83) {
    op_map_big(t, rng_below(&rng, N_REGIONS));
  } else if (what < 90) {
    op_unmap(t);
  } else if (what < 96) {
    op_protect(t);
  } else {
    op_clone(t);
  }
  sim_cpu_verify(&t->cpu);
}

/* ---- the runs ------------------------------------------------------------------------------- */

static void world_create(uint64_t seed) {
  rng_seed(&rng, seed);
  sim.fail_at = 0;
  sim.failed = false;
  TAP_REQUIRE(tree_create(&trees[0]));
}

static bool world_destroy(void) {
  sim.fail_at = 0;
  for (unsigned i = 0; i < N_TREES; i++) {
    if (trees[i].live) {
      tree_destroy(&trees[i]);
    }
  }
  bool all = sim.n_free == SIM_N_SMALL - 1;
  for (unsigned b = 0; b < SIM_N_BLOCKS; b++) {
    all = all && sim.block_used[b] == 0;
  }
  return all;
}

static bool run_random(uint64_t seed, bool failing) {
  world_create(seed);
  for (int i = 0; i < N_STEPS; i++) {
    if (failing && sim.fail_at == 0) {
      sim.fail_at = 1 + rng_below(&rng, 30);
    }
    sim.failed = false;
    step();
    if (i % CHECK_EVERY == 0) {
      world_verify();
    }
  }
  return world_destroy();
}

static unsigned run_each_failing(uint64_t seed) {
  for (unsigned n = 1;; n++) {
    bool fired = false;
    world_create(seed);
    sim.fail_at = n;
    for (int i = 0; i < 300; i++) {
      sim.failed = false;
      step();
      if (sim.failed) {
        fired = true;
        world_verify();
      }
    }
    world_verify();
    TAP_REQUIRE(world_destroy());
    if (!fired) {
      return n - 1;
    }
  }
}

int main(int argc, char **argv) {
  uint64_t seed = tap_seed(argc, argv);
  tap_plan(4);
  sim_init();
  tap_ok(run_random(seed, false), "random operations agree with the model, nothing leaked");
  tap_ok(n_big > 100 && n_big_copied > 20 && n_split_shared > 20,
         "big leaves: %u made, %u copied whole, %u split while shared", n_big, n_big_copied,
         n_split_shared);
  bool came_back = run_random(seed + 1, true);
  tap_ok(came_back && n_failed_ops > 100, "the same, with %u steps out of memory", n_failed_ops);
  tap_ok(run_each_failing(seed) > 30, "every allocation of a run failed in turn");
  return tap_done();
}
