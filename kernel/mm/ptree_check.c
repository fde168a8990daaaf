/* Page-table tree: the walker that recounts all references and tests the invariants of ptree.h.
 *
 * First all trees are walked and the entries that point at each frame are counted, entering a table
 * only on its first entry. Then each table found is looked at once more, with all counts known. */
#include "mm/ptree_priv.h"

struct check {
  uint32_t *counts;
  uint32_t n_frames;
};

/* Of the frame that has the references. */
static uint32_t pfn_of(uint64_t pte) {
  return (uint32_t)(counted_frame(pte) - ptree_env.frames);
}

static unsigned n_entries_of(int level) {
  return level == PTREE_ROOT_LEVEL ? PTREE_N_USER : PTREE_N_ENTRIES;
}

/* [P5], [P6] of a table's record. */
static int record_check(const struct table *t, int level) {
  unsigned n_used = 0;
  bool listed = true;
  for (unsigned i = 0; i < n_entries_of(level); i++) {
    bool used = entry_load(t, i) != 0;
    n_used += used;
    listed = listed && (!used || (t->frame->groups >> (i / GROUP_SIZE) & 1) != 0);
  }
  if (t->frame->kind != FRAME_TABLE || t->frame->level != level) {
    return 6;
  }
  return listed && n_used == t->frame->n_used ? 0 : 5;
}

/* [P7] of a leaf. */
static bool leaf_fits(uint64_t pte) {
  const struct frame *frame = ptree_env_frame(pte & PTE_ADDR);
  bool counted = (pte & (PTE_COUNTED | PTE_SHARED)) == PTE_COUNTED;
  if ((pte & PTE_PS) != 0) {
    return counted && frame->kind == FRAME_BIG && IS_ALIGNED(pte & PTE_ADDR, BIG_SIZE);
  }
  bool in_block = frame->kind == FRAME_BIG || frame->kind == FRAME_PART;
  return ((pte & PTE_PART) != 0) == ((pte & PTE_COUNTED) != 0 && in_block) &&
         (counted || (pte & PTE_PART) == 0);
}

static int table_count(const struct check *c, uint64_t paddr, int level);

/* Counts what one entry points at, and what is below. */
static int entry_count(const struct check *c, uint64_t pte, int level) {
  if (level == 0 || (level == 1 && (pte & PTE_PS) != 0)) {
    if ((pte & PTE_COUNTED) != 0) {
      kassert(pfn_of(pte) < c->n_frames);
      c->counts[pfn_of(pte)]++;
    }
    return leaf_fits(pte) ? 0 : 7;
  }
  if ((pte & (PTE_P | PTE_U | PTE_PS)) != (PTE_P | PTE_U)) {
    return 6;
  }
  return table_count(c, pte & PTE_ADDR, level - 1);
}

static int table_count(const struct check *c, uint64_t paddr, int level) {
  kassert(pfn_of(paddr) < c->n_frames);
  struct table t = table_at(paddr);
  int broken = record_check(&t, level);
  if (broken != 0 || c->counts[pfn_of(paddr)]++ != 0) {
    return broken;
  }
  for (unsigned i = 0; i < n_entries_of(level) && broken == 0; i++) {
    uint64_t pte = entry_load(&t, i);
    broken = pte == 0 ? 0 : entry_count(c, pte, level);
  }
  return broken;
}

/* [P2], [P4] of one entry, when all is counted. */
static int entry_check(const struct check *c, uint64_t pte, int level) {
  bool leaf = level == 0 || (pte & PTE_PS) != 0;
  bool applies = !leaf || (pte & (PTE_COUNTED | PTE_SHARED)) == PTE_COUNTED;
  if (!applies || (pte & PTE_W) == 0 || c->counts[pfn_of(pte)] <= 1) {
    return 0;
  }
  return leaf ? 4 : 2;
}

/* [P1] to [P4] of a frame that is pointed at. */
static int frame_check(const struct check *c, uint32_t pfn) {
  uint64_t paddr = (uint64_t)pfn << FRAME_SHIFT;
  struct table t = {NULL, ptree_env_frame(paddr)};
  uint32_t refs = atomic_load_explicit(&t.frame->refs, memory_order_relaxed);
  if (t.frame->kind != FRAME_TABLE) {
    return refs >= c->counts[pfn] ? 0 : 3;
  }
  if (refs != c->counts[pfn]) {
    return 1;
  }
  t.entries = ptree_env_table(paddr);
  int broken = 0, level = t.frame->level;
  for (unsigned i = 0; i < n_entries_of(level) && broken == 0; i++) {
    broken = entry_check(c, entry_load(&t, i), level);
  }
  return broken;
}

int ptree_check(const uint64_t *roots, size_t n_roots, uint32_t *counts, uint32_t n_frames) {
  const struct check c = {counts, n_frames};
  int broken = 0;
  for (size_t i = 0; i < n_roots && broken == 0; i++) {
    broken = table_count(&c, roots[i], PTREE_ROOT_LEVEL);
  }
  for (uint32_t pfn = 0; pfn < n_frames && broken == 0; pfn++) {
    broken = counts[pfn] == 0 ? 0 : frame_check(&c, pfn);
  }
  return broken;
}
