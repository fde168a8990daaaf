// test-sources: ptree.c ptree_range.c ptree_check.c
/* The page-table tree, one promise at a time: what is copied when, what is flushed when, and that
 * ptree_check() sees what it is there to see. */
#include "mm/ptree.h"

#include <string.h>

#include "lib/bits.h"
#include "mm/ptree_sim.h"

#define BASE UINT64_C(0x40000000) /* a page table and a directory begin here */
#define PT_SPAN (512 * FRAME_SIZE)

static struct {
  unsigned n;
  uint64_t lo, hi; /* of all flushes */
} flushes;

static void flush(struct ptree_gather *g) {
  flushes.lo = MIN(flushes.lo, g->lo);
  flushes.hi = MAX(flushes.hi, g->hi);
  flushes.n++;
  ptree_gather_release(g);
  while (!ptree_gather_drain(g, 3)) {
  }
}

static void gather_begin(struct ptree_gather *g) {
  flushes.n = 0;
  flushes.lo = UINT64_MAX;
  flushes.hi = 0;
  ptree_gather_init(g, flush, NULL);
}

/* True if the whole operation asked for exactly this to be flushed. */
static bool gather_end(struct ptree_gather *g, uint64_t lo, uint64_t hi) {
  if (ptree_gather_is_pending(g)) {
    flush(g);
  }
  return flushes.n == 0 ? lo == hi : flushes.lo == lo && flushes.hi == hi;
}

static uint64_t tree_create(void) {
  uint64_t root = (uint64_t)sim_frame_alloc(FRAME_TABLE) << FRAME_SHIFT;
  TAP_REQUIRE(root != 0);
  ptree_init(root);
  return root;
}

static void tree_destroy(uint64_t root) {
  while (!ptree_destroy(root, 3)) {
  }
  TAP_REQUIRE(sim_frames[sim_pfn(root)].refs-- == 1);
  sim_frame_free(sim_pfn(root));
}

/* A tree with n anonymous writable pages from va on. */
static uint64_t tree_with(uint64_t va, unsigned n, uint64_t extra_bits) {
  uint64_t root = tree_create();
  struct ptree_gather g;
  struct ptree_slot slot;
  gather_begin(&g);
  for (unsigned i = 0; i < n; i++) {
    uint64_t pte = (uint64_t)sim_frame_alloc(FRAME_ANON) << FRAME_SHIFT;
    TAP_REQUIRE(ptree_slot(root, va + i * FRAME_SIZE, &g, &slot) == OK);
    ptree_leaf_set(&slot, pte | PTE_P | PTE_W | PTE_U | PTE_COUNTED | extra_bits);
  }
  TAP_REQUIRE(gather_end(&g, 0, 0));
  return root;
}

static bool is_writable(uint64_t root, uint64_t va) {
  uint64_t pte;
  bool writable;
  ptree_lookup(root, va, &pte, &writable);
  return writable;
}

/* Tables made by making the path to va private. */
static uint64_t slot_cost(uint64_t root, uint64_t va, struct ptree_slot *slot) {
  uint64_t before = sim.n_tables_made;
  struct ptree_gather g;
  gather_begin(&g);
  TAP_REQUIRE(ptree_slot(root, va, &g, slot) == OK);
  if (ptree_gather_is_pending(&g)) {
    flush(&g);
  }
  return sim.n_tables_made - before;
}

static void check_clone(void) {
  struct ptree_slot slot;
  uint64_t parent = tree_with(BASE, 20, 0), child = tree_create(), third = tree_create();
  uint64_t made = sim.n_tables_made;
  tap_ok(ptree_clone(child, parent), "a clone takes the right to write from its source");
  tap_ok(!ptree_clone(third, parent), "but not a second time");
  tap_ok(made == sim.n_tables_made, "a clone copies no table");
  tap_ok(!is_writable(parent, BASE) && !is_writable(child, BASE), "neither side can write");
  tree_destroy(third);
  tap_ok(slot_cost(parent, BASE, &slot) == 3, "the first write after a clone copies 3 tables");
  tap_ok(flushes.lo == BASE && flushes.hi == BASE + FRAME_SIZE, "and flushes the way to them");
  tap_ok(!ptree_leaf_is_sole(&slot), "and its frame is shared");
  tap_ok(slot_cost(parent, BASE + FRAME_SIZE, &slot) == 0, "the next write beside it copies none");
  tap_ok(slot_cost(child, BASE, &slot) == 0, "nor does the child, alone with the old tables");
  tap_ok(slot_cost(parent, BASE + PT_SPAN, &slot) == 1 && flushes.n == 0,
         "a new page table is one table, and nothing to flush");
  tree_destroy(parent);
  tap_ok(slot_cost(child, BASE, &slot) == 0, "the parent's end costs the child nothing");
  tap_ok(ptree_leaf_is_sole(&slot), "the last user of a frame knows that it is");
  tree_destroy(child);
}

static void check_shared_leaf(void) {
  struct ptree_slot slot;
  uint64_t parent = tree_with(BASE, 2, PTE_SHARED), child = tree_create();
  TAP_REQUIRE(ptree_clone(child, parent));
  TAP_REQUIRE(slot_cost(parent, BASE, &slot) == 3 && slot_cost(child, BASE, &slot) == 0);
  tap_ok(is_writable(parent, BASE) && is_writable(child, BASE), "shared leaves keep W");
  tree_destroy(parent);
  tree_destroy(child);
}

static void check_unmap(void) {
  struct ptree_gather g;
  uint64_t parent = tree_with(BASE, 2 * 512 + 8, 0), child = tree_create(), va = 0, pte;
  TAP_REQUIRE(ptree_clone(child, parent));
  uint64_t made = sim.n_tables_made;
  gather_begin(&g);
  TAP_REQUIRE(ptree_unmap(child, BASE - 4 * PT_SPAN, BASE, &g) == OK);
  tap_ok(gather_end(&g, 0, 0) && sim.n_tables_made == made, "unmapping nothing changes nothing");
  gather_begin(&g);
  TAP_REQUIRE(ptree_unmap(child, BASE, BASE + 2 * PT_SPAN + FRAME_SIZE, &g) == OK);
  tap_ok(gather_end(&g, BASE, BASE + 2 * PT_SPAN + FRAME_SIZE), "all that went is flushed");
  tap_ok(sim.n_tables_made == made + 3, "only tables that are cut in two are copied");
  tap_ok(ptree_next(child, &va, PTREE_USER_END, &pte) && va == BASE + 2 * PT_SPAN + FRAME_SIZE,
         "the rest is still there");
  made = sim.n_tables_made;
  gather_begin(&g);
  TAP_REQUIRE(ptree_unmap(child, 0, PTREE_USER_END, &g) == OK);
  TAP_REQUIRE(ptree_unmap(parent, 0, PTREE_USER_END, &g) == OK);
  tap_ok(gather_end(&g, 0, (uint64_t)1 << 39) && sim.n_tables_made == made,
         "unmapping everything copies no table");
  tap_ok(sim_frames[sim_pfn(child)].n_used == 0, "and leaves none");
  tree_destroy(parent);
  tree_destroy(child);
}

static void check_unmap_private(void) {
  struct ptree_gather g;
  uint64_t root = tree_with(BASE, 512, 0);
  gather_begin(&g);
  TAP_REQUIRE(ptree_unmap(root, BASE + FRAME_SIZE, BASE + 501 * FRAME_SIZE, &g) == OK);
  tap_ok(flushes.n == 7 && g.n_refs == 500 - 7 * 64, "500 leaves need 7 flushes on the way");
  tap_ok(gather_end(&g, BASE + FRAME_SIZE, BASE + 501 * FRAME_SIZE), "of just those pages");
  gather_begin(&g);
  TAP_REQUIRE(ptree_unmap(root, BASE, BASE + FRAME_SIZE, &g) == OK);
  TAP_REQUIRE(ptree_unmap(root, BASE + 501 * FRAME_SIZE, BASE + 512 * FRAME_SIZE, &g) == OK);
  TAP_REQUIRE(gather_end(&g, BASE, BASE + 512 * FRAME_SIZE));
  tap_ok(sim_frames[sim_pfn(root)].n_used == 0, "tables that become empty go");
  tree_destroy(root);
}

static void check_protect(void) {
  struct ptree_gather g;
  struct ptree_rights none = {PTE_P | PTE_W, PTE_NX}, read = {PTE_W, 0};
  struct ptree_rights all = {PTE_NX, PTE_P | PTE_W | PTE_U}, data = {0, PTE_NX},
                      unnamed = {PTE_U, 0};
  uint64_t parent = tree_with(BASE, 600, 0), child = tree_create(), made, pte;
  bool writable;
  gather_begin(&g);
  TAP_REQUIRE(ptree_protect(parent, BASE, BASE + FRAME_SIZE, read, &g) == OK);
  tap_ok(gather_end(&g, BASE, BASE + FRAME_SIZE), "a right taken is flushed");
  gather_begin(&g);
  TAP_REQUIRE(ptree_protect(parent, BASE, BASE + FRAME_SIZE, all, &g) == OK);
  tap_ok(gather_end(&g, 0, 0) && !is_writable(parent, BASE),
         "a right given is not, nor is W given");
  TAP_REQUIRE(ptree_clone(child, parent));
  made = sim.n_tables_made;
  gather_begin(&g);
  TAP_REQUIRE(ptree_protect(child, BASE, BASE + FRAME_SIZE, read, &g) == OK);
  tap_ok(gather_end(&g, 0, 0) && sim.n_tables_made == made, "no change, no copy");
  gather_begin(&g);
  TAP_REQUIRE(ptree_protect(child, BASE, BASE + 4 * FRAME_SIZE, none, &g) == OK);
  tap_ok(gather_end(&g, BASE, BASE + 4 * FRAME_SIZE) && sim.n_tables_made == made + 3,
         "only tables with a change are copied");
  ptree_lookup(child, BASE, &pte, &writable);
  tap_ok((pte & PTE_P) == 0 && (pte & PTE_ADDR) != 0, "a page without rights keeps its frame");
  gather_begin(&g);
  TAP_REQUIRE(ptree_protect(child, BASE, BASE + 4 * FRAME_SIZE, unnamed, &g) == OK);
  tap_ok(gather_end(&g, 0, 0), "what was not present needs no flush");
  gather_begin(&g);
  TAP_REQUIRE(ptree_protect(child, BASE + 5 * FRAME_SIZE, BASE + 6 * FRAME_SIZE, data, &g) == OK);
  tap_ok(gather_end(&g, BASE + 5 * FRAME_SIZE, BASE + 6 * FRAME_SIZE), "NX takes a right");
  tree_destroy(parent);
  tree_destroy(child);
}

static int tree_check(uint64_t root) {
  static uint32_t counts[SIM_N_FRAMES];
  memset(counts, 0, sizeof(counts));
  return ptree_check(&root, 1, counts, SIM_N_FRAMES);
}

static void check_check(void) {
  uint64_t root = tree_with(BASE, 2, 0), pte;
  _Atomic uint64_t *entries = sim_memory[sim_pfn(root)];
  struct frame *record = ptree_env_frame(root), *pdpt = ptree_env_frame(entries[0]);
  bool writable;
  tap_ok(tree_check(root) == 0, "check is content with what is right");
  pdpt->refs++;
  tap_ok(tree_check(root) == 1, "check sees a wrong count of references to a table [P1]");
  entries[1] = entries[0];
  record->n_used++;
  tap_ok(tree_check(root) == 2, "check sees a writable shared table [P2]");
  entries[1] = 0;
  tap_ok(tree_check(root) == 5, "check sees a wrong count of entries [P5]");
  record->n_used--;
  pdpt->refs--;
  ptree_lookup(root, BASE, &pte, &writable);
  ptree_env_frame(pte)->refs--;
  tap_ok(tree_check(root) == 3, "check sees too few references to a leaf [P3]");
  ptree_env_frame(pte)->refs += 2;
  struct ptree_slot slot;
  TAP_REQUIRE(slot_cost(root, BASE + 5 * FRAME_SIZE, &slot) == 0);
  ptree_leaf_set(&slot, pte);
  tap_ok(tree_check(root) == 4, "check sees a private frame writable twice [P4]");
  pdpt->level = 1;
  tap_ok(tree_check(root) == 6, "check sees a table out of place [P6]");
  pdpt->level = 2;
  ptree_env_frame(pte)->kind = FRAME_BIG;
  tap_ok(tree_check(root) == 7, "check sees a page of a block that does not say so [P7]");
  ptree_env_frame(pte)->kind = FRAME_ANON;
  tree_destroy(root);
}

int main(int argc, char **argv) {
  (void)tap_seed(argc, argv);
  tap_plan(38);
  sim_init();
  check_clone();
  check_shared_leaf();
  check_unmap();
  check_unmap_private();
  check_protect();
  check_check();
  tap_ok(sim.n_free == SIM_N_SMALL - 1, "nothing leaked");
  return tap_done();
}
