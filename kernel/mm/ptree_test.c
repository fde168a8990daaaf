// test-sources: ptree.c ptree_range.c ptree_check.c
/* The page-table tree against a flat map: trees cloned from each other are mapped, written,
 * protected, moved and unmapped at random, and each must show what its own history says.
 *
 * Accesses go through a simulated processor that forgets only what the gather tells it to: a
 * missing flush shows as wrong content or as the release of a frame in use. After each step the TLB
 * is compared with the tables; at times everything is, reference by reference. */
#include "mm/ptree.h"

#include <string.h>

#include "lib/bits.h"
#include "mm/ptree_sim_cpu.h"

#define N_TREES 6u
#define N_CPUS 2u
#define CLUSTER 8u /* neighbouring pages around each boundary */
#define N_OBJECTS 8u
#define N_STEPS 2000000
#define CHECK_EVERY 1009
#define KERNEL_ENTRY 0x8000000000000063ul /* what the kernel half holds and must still hold */

/* Page tables, directories and pointer tables end here; the last is the end of the user half. */
static const uint64_t boundaries[] = {
    0x10000,        0x200000,       0x400000,       0x40000000,    0x40200000,
    0x7fc0000000,   0x8000000000,   0x18140000000,  0x18140800000, 0x7f8000000000,
    0x7fffc0000000, 0x7fffffe00000, 0x7fffffffc000,
};
#define N_PAGES (ARRAY_LEN(boundaries) * CLUSTER)

enum kind { NONE, ANON, ZERO, OBJECT, OBJECT_PRIVATE, DEVICE, N_KINDS };
enum { READ = 1, WRITE = 2, EXEC = 4 };

/* The model of one page of one tree. */
struct page {
  enum kind kind;
  unsigned prot;
  unsigned object;  /* OBJECT, OBJECT_PRIVATE */
  uint64_t content; /* ANON */
};

struct tree {
  bool live;
  uint64_t root;
  struct page pages[N_PAGES];
  struct sim_cpu cpus[N_CPUS]; /* two threads at work */
};

static struct tree trees[N_TREES];
static uint64_t vas[N_PAGES]; /* ascending */
static uint32_t objects[N_OBJECTS], zero_pfn, device_pfn;
static uint64_t last_content;
static struct rng rng;
static unsigned n_failed_ops;

static void cpus_invalidate(struct tree *t, uint64_t lo, uint64_t hi) {
  for (unsigned i = 0; i < N_CPUS; i++) {
    sim_cpu_invalidate(&t->cpus[i], lo, hi);
  }
}

static void cpus_verify(const struct tree *t) {
  for (unsigned i = 0; i < N_CPUS; i++) {
    sim_cpu_verify(&t->cpus[i]);
  }
}

static struct sim_cpu *cpu_choose(struct tree *t) {
  return &t->cpus[rng_below(&rng, N_CPUS)];
}

static void flush(struct ptree_gather *g) {
  TAP_REQUIRE(ptree_gather_is_pending(g));
  cpus_invalidate(g->ctx, g->lo, g->hi);
  ptree_gather_release(g);
  while (!ptree_gather_drain(g, 3)) {
  }
  TAP_REQUIRE(!ptree_gather_is_pending(g) && g->n_refs == 0 && g->chain == FRAME_NIL);
}

static void gather_begin(struct ptree_gather *g, struct tree *t) {
  ptree_gather_init(g, flush, t);
}

static void gather_end(struct ptree_gather *g) {
  TAP_REQUIRE(ptree_gather_is_pending(g) || (g->n_refs == 0 && g->chain == FRAME_NIL));
  if (ptree_gather_is_pending(g)) {
    flush(g);
  }
}

/* ---- comparing with the model --------------------------------------------------------------- */

static uint64_t page_content(const struct page *p) {
  switch (p->kind) {
  case ANON:
    return p->content;
  case OBJECT:
  case OBJECT_PRIVATE:
    return sim_memory[objects[p->object]][0];
  case DEVICE:
    return sim_memory[device_pfn][0];
  default:
    return 0;
  }
}

static void page_verify(const struct tree *t, unsigned i) {
  const struct page *p = &t->pages[i];
  uint64_t pte;
  bool writable;
  int level = ptree_lookup(t->root, vas[i] + 123, &pte, &writable);
  TAP_REQUIRE((pte != 0) == (p->kind != NONE) && (pte == 0 || level == 0));
  if (pte == 0) {
    TAP_REQUIRE(!writable);
    return;
  }
  TAP_REQUIRE(((pte & PTE_P) != 0) == (p->prot != 0));
  TAP_REQUIRE(((pte & PTE_NX) == 0) == ((p->prot & EXEC) != 0));
  TAP_REQUIRE(!writable || (p->prot & WRITE) != 0);
  TAP_REQUIRE(((pte & PTE_SHARED) != 0) == (p->kind == OBJECT || p->kind == DEVICE));
  TAP_REQUIRE(((pte & PTE_COUNTED) == 0) == (p->kind == ZERO || p->kind == DEVICE));
  TAP_REQUIRE(sim_memory[sim_pfn(pte)][0] == page_content(p));
}

static void tree_verify(const struct tree *t) {
  uint64_t va = 0, pte;
  for (unsigned i = 0; i < N_PAGES; i++) {
    page_verify(t, i);
    if (t->pages[i].kind != NONE) {
      TAP_REQUIRE(ptree_next(t->root, &va, PTREE_USER_END, &pte) && va == vas[i] && pte != 0);
      va += FRAME_SIZE;
    }
  }
  TAP_REQUIRE(!ptree_next(t->root, &va, PTREE_USER_END, &pte));
  for (unsigned i = PTREE_N_USER; i < PTREE_N_ENTRIES; i++) {
    TAP_REQUIRE(sim_memory[sim_pfn(t->root)][i] == KERNEL_ENTRY);
  }
}

/* Everything: all invariants, exact references, and no frame in use that nobody refers to. */
static void world_verify(void) {
  static uint32_t counts[SIM_N_FRAMES];
  uint64_t roots[N_TREES];
  size_t n = 0;
  memset(counts, 0, sizeof(counts));
  for (unsigned i = 0; i < N_TREES; i++) {
    if (trees[i].live) {
      tree_verify(&trees[i]);
      cpus_verify(&trees[i]);
      roots[n++] = trees[i].root;
    }
  }
  TAP_REQUIRE(ptree_check(roots, n, counts, SIM_N_FRAMES) == 0);
  for (uint32_t pfn = 1; pfn < SIM_N_FRAMES; pfn++) {
    unsigned own = sim_frames[pfn].kind == FRAME_OBJECT;
    TAP_REQUIRE(sim_frames[pfn].refs == counts[pfn] + own);
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

/* The leaf for a page that is mapped afresh; 0 when no frame is left for it. */
static uint64_t page_leaf(const struct page *p) {
  uint64_t rights = prot_bits(p->prot), pfn;
  switch (p->kind) {
  case ANON:
    pfn = sim_frame_alloc(FRAME_ANON);
    sim_memory[pfn][0] = p->content;
    return pfn == 0 ? 0 : pfn << FRAME_SHIFT | rights | PTE_COUNTED;
  case ZERO:
    return (uint64_t)zero_pfn << FRAME_SHIFT | (rights & ~PTE_W);
  case DEVICE:
    return (uint64_t)device_pfn << FRAME_SHIFT | rights | PTE_SHARED;
  default:
    pfn = objects[p->object];
    sim_frames[pfn].refs++;
    rights = p->kind == OBJECT ? rights | PTE_SHARED : rights & ~PTE_W;
    return pfn << FRAME_SHIFT | rights | PTE_COUNTED;
  }
}

static void op_map(struct tree *t, unsigned i) {
  struct page p = {.content = ++last_content};
  p.kind = ANON + rng_below(&rng, N_KINDS - 1);
  p.prot = rng_below(&rng, 8);
  p.object = rng_below(&rng, N_OBJECTS);
  struct ptree_gather g;
  struct ptree_slot slot;
  if (t->pages[i].kind != NONE) {
    return;
  }
  gather_begin(&g, t);
  if (!op_failed(ptree_slot(t->root, vas[i], &g, &slot))) {
    uint64_t pte = page_leaf(&p);
    if (pte != 0) {
      ptree_leaf_set(&slot, pte);
      t->pages[i] = p;
    }
  }
  gather_end(&g);
}

/* Replaces the leaf by a private copy of its frame. */
static enum abi_error cow_break(struct ptree_slot *slot, unsigned i, struct ptree_gather *g) {
  uint64_t old = ptree_leaf_get(slot), keep = old & ~(PTE_ADDR | PTE_SHARED);
  uint64_t pfn = sim_frame_alloc(FRAME_ANON);
  if (pfn == 0) {
    return ABI_ENOMEM;
  }
  sim_memory[pfn][0] = sim_memory[sim_pfn(old)][0];
  ptree_leaf_replace(slot, vas[i], pfn << FRAME_SHIFT | keep | PTE_COUNTED | PTE_W, g);
  return OK;
}

/* What a kernel does on a write fault in a writable grant. */
static enum abi_error write_fault(struct tree *t, unsigned i) {
  struct ptree_gather g;
  struct ptree_slot slot;
  gather_begin(&g, t);
  enum abi_error err = ptree_slot(t->root, vas[i], &g, &slot);
  if (err == OK) {
    uint64_t pte = ptree_leaf_get(&slot);
    if ((pte & PTE_SHARED) != 0 || ptree_leaf_is_sole(&slot)) {
      ptree_leaf_widen(&slot, PTE_W);
    } else if ((pte & PTE_W) == 0) {
      err = cow_break(&slot, i, &g);
    }
  }
  gather_end(&g);
  return err;
}

static void op_write(struct tree *t, unsigned i) {
  struct page *p = &t->pages[i];
  struct sim_cpu *cpu = cpu_choose(t);
  uint32_t pfn = 0;
  if (p->kind == NONE || (p->prot & WRITE) == 0) {
    return;
  }
  for (int tries = 0; (pfn = sim_cpu_access(cpu, vas[i], true)) == 0; tries++) {
    TAP_REQUIRE(tries < 2);
    if (op_failed(write_fault(t, i))) {
      return;
    }
  }
  sim_memory[pfn][0] = ++last_content;
  if (p->kind == ZERO || p->kind == OBJECT_PRIVATE) {
    p->kind = ANON;
  }
  if (p->kind == ANON) {
    p->content = last_content;
  }
  TAP_REQUIRE(page_content(p) == last_content);
}

static void op_read(struct tree *t, unsigned i) {
  struct sim_cpu *cpu = cpu_choose(t);
  const struct page *p = &t->pages[i];
  if (p->kind == NONE || p->prot == 0) {
    TAP_REQUIRE(sim_cpu_access(cpu, vas[i], false) == 0);
    return;
  }
  uint32_t pfn = sim_cpu_access(cpu, vas[i], false);
  if (pfn == 0) { /* a stale way: once */
    pfn = sim_cpu_access(cpu, vas[i], false);
  }
  TAP_REQUIRE(pfn != 0 && sim_memory[pfn][0] == page_content(p));
}

/* A range between two pages, or that and more, to the bounds of the tables around. */
static void range_choose(uint64_t *start, uint64_t *end) {
  uint64_t a = vas[rng_below(&rng, N_PAGES)], b = vas[rng_below(&rng, N_PAGES)];
  if (rng_one_in(&rng, 2)) {
    b = MIN(a + rng_below(&rng, 16) * FRAME_SIZE, PTREE_USER_END - 1);
  }
  *start = MIN(a, b);
  *end = MAX(a, b) + FRAME_SIZE;
  uint64_t to = 1ul << (12 + 9 * rng_below(&rng, 4));
  if (rng_one_in(&rng, 3)) {
    *start = ALIGN_DOWN(*start, to);
  }
  if (rng_one_in(&rng, 3)) {
    *end = ALIGN_UP(*end, to);
  }
  *start = ALIGN_DOWN(*start, FRAME_SIZE);
  *end = MIN(ALIGN_DOWN(*end, FRAME_SIZE), PTREE_USER_END);
}

static void op_unmap(struct tree *t) {
  struct ptree_gather g;
  uint64_t start, end;
  range_choose(&start, &end);
  gather_begin(&g, t);
  bool failed = op_failed(ptree_unmap(t->root, start, end, &g));
  gather_end(&g);
  for (unsigned i = 0; i < N_PAGES && !failed; i++) {
    if (vas[i] >= start && vas[i] < end) {
      t->pages[i].kind = NONE;
    }
  }
}

static void op_protect(struct tree *t) {
  struct ptree_gather g;
  uint64_t start, end;
  unsigned prot = rng_below(&rng, 8);
  struct ptree_rights change = {PTE_P | PTE_W | PTE_U | PTE_NX, prot_bits(prot)};
  range_choose(&start, &end);
  gather_begin(&g, t);
  bool failed = op_failed(ptree_protect(t->root, start, end, change, &g));
  gather_end(&g);
  for (unsigned i = 0; i < N_PAGES && !failed; i++) {
    if (vas[i] >= start && vas[i] < end) {
      t->pages[i].prot = prot;
    }
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
  for (unsigned i = 0; i < PTREE_N_ENTRIES; i++) {
    sim_memory[pfn][i] = i < PTREE_N_USER ? 0 : KERNEL_ENTRY;
  }
  ptree_init(t->root);
  for (unsigned i = 0; i < N_CPUS; i++) {
    t->cpus[i].root = t->root;
    t->cpus[i].rng = &rng;
  }
  return true;
}

static void tree_destroy(struct tree *t) {
  uint32_t pfn = sim_pfn(t->root);
  cpus_invalidate(t, 0, PTREE_USER_END);
  while (!ptree_destroy(t->root, 3)) {
  }
  for (unsigned i = 0; i < PTREE_N_ENTRIES; i++) {
    TAP_REQUIRE(sim_memory[pfn][i] == (i < PTREE_N_USER ? 0 : KERNEL_ENTRY));
    sim_memory[pfn][i] = 0;
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
    cpus_invalidate(src, 0, PTREE_USER_END);
  }
  memcpy(dst->pages, src->pages, sizeof(dst->pages));
  cpus_verify(src);
}

static void op_move(struct tree *from, unsigned i, struct tree *to, unsigned j) {
  struct ptree_gather gf, gt;
  struct ptree_slot source, target;
  if (from->pages[i].kind == NONE || to->pages[j].kind != NONE) {
    return;
  }
  gather_begin(&gf, from);
  gather_begin(&gt, to);
  if (!op_failed(ptree_slot(to->root, vas[j], &gt, &target)) &&
      !op_failed(ptree_slot(from->root, vas[i], &gf, &source))) {
    uint64_t pte = ptree_leaf_take(&source, vas[i], &gf);
    gather_end(&gf);
    ptree_leaf_set(&target, pte);
    to->pages[j] = from->pages[i];
    from->pages[i].kind = NONE;
  }
  gather_end(&gf);
  gather_end(&gt);
}

static void op_next(const struct tree *t) {
  uint64_t start, end, va, pte;
  unsigned i = 0;
  range_choose(&start, &end);
  va = start;
  while (i < N_PAGES && (vas[i] < start || t->pages[i].kind == NONE)) {
    i++;
  }
  bool found = ptree_next(t->root, &va, end, &pte);
  TAP_REQUIRE(found == (i < N_PAGES && vas[i] < end));
  TAP_REQUIRE(!found || va == vas[i]);
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
  unsigned what = rng_below(&rng, 1000), page = rng_below(&rng, N_PAGES);
  if (what < 360) {
    op_write(t, page);
  } else if (what < 640) {
    op_map(t, page);
  } else if (what < 840) {
    op_read(t, page);
  } else if (what < 870) {
    op_next(t);
  } else if (what < 900) {
    op_unmap(t);
  } else if (what < 940) {
    op_protect(t);
  } else if (what < 970) {
    op_clone(t);
  } else {
    struct tree *to = tree_choose();
    op_move(t, page, to, rng_below(&rng, N_PAGES));
  }
  cpus_verify(t);
}

/* ---- the runs ------------------------------------------------------------------------------- */

static void world_create(uint64_t seed) {
  rng_seed(&rng, seed);
  sim.fail_at = 0;
  sim.failed = false;
  for (unsigned i = 0; i < N_OBJECTS; i++) {
    objects[i] = sim_frame_alloc(FRAME_OBJECT);
  }
  zero_pfn = sim_frame_alloc(FRAME_OBJECT);
  device_pfn = sim_frame_alloc(FRAME_OBJECT);
  TAP_REQUIRE(tree_create(&trees[0]));
}

/* Also says whether everything that was allocated has come back. */
static bool world_destroy(void) {
  sim.fail_at = 0;
  for (unsigned i = 0; i < N_TREES; i++) {
    if (trees[i].live) {
      tree_destroy(&trees[i]);
    }
  }
  for (unsigned i = 0; i < N_OBJECTS; i++) {
    TAP_REQUIRE(sim_frames[objects[i]].refs-- == 1);
    sim_frame_free(objects[i]);
  }
  TAP_REQUIRE(sim_frames[zero_pfn].refs-- == 1 && sim_frames[device_pfn].refs-- == 1);
  sim_frame_free(zero_pfn);
  sim_frame_free(device_pfn);
  return sim.n_free == SIM_N_SMALL - 1;
}

static bool run_random(uint64_t seed, bool failing) {
  world_create(seed);
  for (int i = 0; i < N_STEPS; i++) {
    if (failing && sim.fail_at == 0) {
      sim.fail_at = 1 + rng_below(&rng, 40);
    }
    sim.failed = false;
    step();
    if (i % CHECK_EVERY == 0) {
      world_verify();
    }
  }
  return world_destroy();
}

/* The same 400 steps again and again, each time with the next allocation failing. */
static unsigned run_each_failing(uint64_t seed) {
  for (unsigned n = 1;; n++) {
    bool fired = false;
    world_create(seed);
    sim.fail_at = n;
    for (int i = 0; i < 400; i++) {
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
  tap_plan(3);
  sim_init();
  for (unsigned i = 0; i < N_PAGES; i++) {
    vas[i] = boundaries[i / CLUSTER] - CLUSTER / 2 * FRAME_SIZE + i % CLUSTER * FRAME_SIZE;
  }
  tap_ok(run_random(seed, false), "random operations agree with the model, nothing leaked");
  bool came_back = run_random(seed + 1, true);
  tap_ok(came_back && n_failed_ops > 1000, "the same, with %u steps out of memory", n_failed_ops);
  tap_ok(run_each_failing(seed) > 50, "every allocation of a run failed in turn");
  return tap_done();
}
