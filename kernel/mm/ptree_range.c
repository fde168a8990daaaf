/* Page-table tree: operations on ranges. See ptree.h.
 *
 * Both are done in two walks. The first makes private what must change, and can fail; it changes no
 * leaf, so that failing there is harmless. The second cannot fail. A walk enters a table only when
 * all tables above it are private. Recursion is once a level, at most four deep. */
#include "mm/ptree_priv.h"

static void range_check(uint64_t start, uint64_t end) {
  kassert(IS_ALIGNED(start | end, FRAME_SIZE) && start <= end && end <= PTREE_USER_END);
}

/* ---- unmap ---------------------------------------------------------------------------------- */

static inline uint64_t entry_bits(const _Atomic uint64_t *e) {
  return atomic_load_explicit(e, memory_order_relaxed);
}

static inline uint64_t quad_bits(const _Atomic uint64_t *e) {
  return entry_bits(&e[0]) | entry_bits(&e[1]) | entry_bits(&e[2]) | entry_bits(&e[3]);
}

/* What n entries have, as one. */
static inline __attribute__((always_inline)) uint64_t entries_bits(const _Atomic uint64_t *e,
                                                                   unsigned n) {
  uint64_t bits = 0;
  for (; n >= 4; n -= 4, e += 4) {
    bits |= quad_bits(e);
  }
  for (; n != 0; n--, e++) {
    bits |= entry_bits(e);
  }
  return bits;
}

static __attribute__((noinline)) bool many_are_used(struct table t, unsigned first, unsigned last) {
  return table_next_used(&t, first) <= last;
}

/* Whether any of entries first to last is used. A few are looked at without a search, which does
 * not know where to end. */
static inline bool table_is_used_between(struct table t, unsigned first, unsigned last) {
  return last - first < 2 * GROUP_SIZE ? entries_bits(&t.entries[first], last - first + 1) != 0
                                       : many_are_used(t, first, last);
}

static bool table_is_used_in(struct table t, struct range r) {
  int level = t.frame->level;
  return table_is_used_between(t, entry_index(r.start, level), entry_index(r.end - 1, level));
}

static enum abi_error edges_own(struct table t, struct range r, struct ptree_gather *g);

/* Makes private the table below entry i if r is only part of it and there is something in r. */
static enum abi_error edge_own(struct table t, unsigned i, struct range r, struct ptree_gather *g) {
  int level = t.frame->level;
  uint64_t pte = entry_load(&t, i);
  if (pte == 0 || range_is_whole(r, level)) {
    return OK;
  }
  if ((pte & PTE_PS) != 0) {
    return ptree_big_split(&t.entries[i], r.start, g);
  }
  struct table child = table_at(pte);
  if (!table_is_used_in(child, r)) {
    return OK;
  }
  enum abi_error err = ptree_entry_own(&t.entries[i], level, r.start, g);
  if (err != OK) {
    return err;
  }
  return edges_own(table_at(entry_load(&t, i)), r, g);
}

/* Only the first and the last entry that r touches can be touched in part. */
static enum abi_error edges_own(struct table t, struct range r, struct ptree_gather *g) {
  int level = t.frame->level;
  if (level == 0) {
    return OK;
  }
  unsigned first = entry_index(r.start, level), last = entry_index(r.end - 1, level);
  enum abi_error err = edge_own(t, first, range_clip(r, first, level), g);
  if (err != OK || first == last) {
    return err;
  }
  return edge_own(t, last, range_clip(r, last, level), g);
}

static void table_unmap(struct table t, struct range r, struct ptree_gather *g);

static uint64_t entry_take(struct table t, unsigned i) {
  table_note_empty(t.frame);
  return atomic_exchange_explicit(&t.entries[i], 0, memory_order_relaxed);
}

static void leaves_unmap(struct table t, struct range r, struct ptree_gather *g) {
  unsigned first = entry_index(r.start, 0), last = entry_index(r.end - 1, 0);
  for (unsigned i = table_next_used(&t, first); i <= last; i = table_next_used(&t, i + 1)) {
    ptree_gather_leaf(g, entry_take(t, i), r.start + (i - first) * FRAME_SIZE);
  }
}

/* Removes what entry i maps within r: all of it, or a part of a table that is private, or that is
 * shared but has nothing in r. Removes the table too when it has become empty. */
static void entry_unmap(struct table t, unsigned i, struct range r, struct ptree_gather *g) {
  if (!range_is_whole(r, t.frame->level)) {
    struct table child = table_at(entry_load(&t, i));
    table_unmap(child, r, g);
    if (child.frame->n_used != 0) {
      return;
    }
  }
  uint64_t pte = entry_take(t, i);
  if ((pte & PTE_PS) != 0) {
    ptree_gather_leaf(g, pte, r.start);
  } else {
    ptree_gather_table(g, pte, r);
  }
}

static void table_unmap(struct table t, struct range r, struct ptree_gather *g) {
  int level = t.frame->level;
  if (level == 0) {
    leaves_unmap(t, r, g);
    return;
  }
  unsigned last = entry_index(r.end - 1, level);
  for (unsigned i = table_next_used(&t, entry_index(r.start, level)); i <= last;
       i = table_next_used(&t, i + 1)) {
    entry_unmap(t, i, range_clip(r, i, level), g);
  }
}

/* The entry for va in the table at which `pte` points, 0 for none. */
static inline uint64_t entry_below(uint64_t pte, uint64_t va, int level) {
  return pte == 0 ? 0 : entry_bits(&ptree_env_table(pte & PTE_ADDR)[entry_index(va, level)]);
}

/* False if nothing is used in r, which one table maps: most ranges of address space that are given
 * back are so, and were never touched. */
static inline bool leaves_are_used(uint64_t root, struct range r) {
  _Static_assert(PTREE_ROOT_LEVEL == 3, "so many steps down");
  uint64_t va = r.start;
  uint64_t pte = entry_below(entry_below(entry_below(root, va, 3), va, 2), va, 1);
  if (pte == 0 || UNLIKELY((pte & PTE_PS) != 0)) {
    return pte != 0;
  }
  return table_is_used_between(table_at(pte), entry_index(va, 0), entry_index(r.end - 1, 0));
}

/* False if surely nothing is used in r, which several tables map, found on a single path down: it
 * may still lie below one entry of each upper level. */
static bool tables_may_be_used(uint64_t root, struct range r) {
  uint64_t pte = root;
  for (int level = PTREE_ROOT_LEVEL; (r.start ^ (r.end - 1)) < entry_span(level); level--) {
    pte = entry_below(pte, r.start, level);
  }
  return pte != 0 && table_is_used_in(table_at(pte), r);
}

static __attribute__((noinline)) enum abi_error tree_unmap(uint64_t root, struct range r,
                                                           struct ptree_gather *g) {
  struct table t = table_at(root);
  enum abi_error err = edges_own(t, r, g);
  if (err == OK) {
    table_unmap(t, r, g);
  }
  return err;
}

enum abi_error ptree_unmap(uint64_t root, uint64_t start, uint64_t end, struct ptree_gather *g) {
  range_check(start, end);
  struct range r = {start, end};
  if (start == end) {
    return OK;
  }
  bool one = LIKELY((start ^ (end - 1)) < entry_span(1));
  bool used = one ? leaves_are_used(root, r) : tables_may_be_used(root, r);
  return used ? tree_unmap(root, r, g) : OK;
}

/* ---- protect -------------------------------------------------------------------------------- */

/* What becomes of a leaf. */
static uint64_t leaf_changed(uint64_t pte, struct ptree_rights change) {
  uint64_t set = change.set;
  if ((pte & (PTE_SHARED | PTE_W)) == 0) {
    set &= ~PTE_W;
  }
  return (pte & ~change.clear) | set;
}

/* True if a TLB entry made from `old` allows what `new` does not. NX is a right taken. */
static bool leaf_is_narrowed(uint64_t old, uint64_t new) {
  return (old & PTE_P) != 0 && ((old ^ PTE_NX) & ~(new ^ PTE_NX)) != 0;
}

/* True if any leaf within r would change. */
static bool table_would_change(struct table t, struct range r, struct ptree_rights change) {
  int level = t.frame->level;
  unsigned last = entry_index(r.end - 1, level);
  for (unsigned i = table_next_used(&t, entry_index(r.start, level)); i <= last;
       i = table_next_used(&t, i + 1)) {
    uint64_t pte = entry_load(&t, i);
    if (level == 0 || (pte & PTE_PS) != 0
            ? leaf_changed(pte, change) != pte
            : table_would_change(table_at(pte), range_clip(r, i, level), change)) {
      return true;
    }
  }
  return false;
}

static enum abi_error table_own_changing(struct table t, struct range r, struct ptree_rights change,
                                         struct ptree_gather *g);

/* First walk, entry i: a shared table is made private if a leaf within r will change. */
static enum abi_error entry_own_changing(struct table t, unsigned i, struct range r,
                                         struct ptree_rights change, struct ptree_gather *g) {
  int level = t.frame->level;
  uint64_t pte = entry_load(&t, i);
  if ((pte & PTE_PS) != 0) {
    bool as_it_is = range_is_whole(r, level) || leaf_changed(pte, change) == pte;
    return as_it_is ? OK : ptree_big_split(&t.entries[i], r.start, g);
  }
  struct table child = table_at(pte);
  if (table_is_shared(&child)) {
    if (!table_would_change(child, r, change)) {
      return OK;
    }
    enum abi_error err = ptree_entry_own(&t.entries[i], level, r.start, g);
    if (err != OK) {
      return err;
    }
    child = table_at(entry_load(&t, i));
  }
  return table_own_changing(child, r, change, g);
}

static enum abi_error table_own_changing(struct table t, struct range r, struct ptree_rights change,
                                         struct ptree_gather *g) {
  int level = t.frame->level;
  if (level == 0) {
    return OK;
  }
  unsigned last = entry_index(r.end - 1, level);
  for (unsigned i = table_next_used(&t, entry_index(r.start, level)); i <= last;
       i = table_next_used(&t, i + 1)) {
    enum abi_error err = entry_own_changing(t, i, range_clip(r, i, level), change, g);
    if (err != OK) {
      return err;
    }
  }
  return OK;
}

/* Atomically, as hardware may set A and D at any time. */
static void leaf_protect(_Atomic uint64_t *entry, uint64_t va, struct ptree_rights change,
                         struct ptree_gather *g) {
  uint64_t old = atomic_load_explicit(entry, memory_order_relaxed), new;
  do {
    new = leaf_changed(old, change);
  } while (new != old && !atomic_compare_exchange_weak_explicit(
                             entry, &old, new, memory_order_relaxed, memory_order_relaxed));
  if (leaf_is_narrowed(old, new)) {
    ptree_gather_range(g, va, va + ((old & PTE_PS) != 0 ? BIG_SIZE : FRAME_SIZE));
  }
}

/* Second walk. A table still shared has nothing that changes. */
static void table_protect(struct table t, struct range r, struct ptree_rights change,
                          struct ptree_gather *g) {
  int level = t.frame->level;
  unsigned last = entry_index(r.end - 1, level);
  for (unsigned i = table_next_used(&t, entry_index(r.start, level)); i <= last;
       i = table_next_used(&t, i + 1)) {
    struct range part = range_clip(r, i, level);
    uint64_t pte = entry_load(&t, i);
    if (level == 0 || (pte & PTE_PS) != 0) {
      leaf_protect(&t.entries[i], part.start, change, g);
      continue;
    }
    struct table child = table_at(pte);
    if (!table_is_shared(&child)) {
      table_protect(child, part, change, g);
    }
  }
}

enum abi_error ptree_protect(uint64_t root, uint64_t start, uint64_t end,
                             struct ptree_rights change, struct ptree_gather *g) {
  range_check(start, end);
  if (start == end) {
    return OK;
  }
  struct table t = table_at(root);
  struct range r = {start, end};
  enum abi_error err = table_own_changing(t, r, change, g);
  if (err == OK) {
    table_protect(t, r, change, g);
  }
  return err;
}
