/* Page-table tree: whole trees, single pages, and the life of a table. See ptree.h.
 *
 * Copying a table is the heart: each used entry's target gets one more reference, and both the old
 * and the new entry lose W, so that [P2] and [P4] hold before the copy is reachable. Nobody needs
 * to flush for the W lost in the old table: it had refs > 1, so W was clear above it already. */
#include "mm/ptree_priv.h"

#define TABLE_COST 8u /* of emptying a table, in leaves */

static inline void frame_get(struct frame *frame) {
  atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
}

/* Drops a reference; true for the last. Release: our changes are seen by who finds itself alone.
 * Acquire: the last one sees everybody's before it frees. */
static bool frame_put(struct frame *frame) {
  if (atomic_load_explicit(&frame->refs, memory_order_acquire) == 1) {
    atomic_store_explicit(&frame->refs, 0, memory_order_relaxed);
    return true; /* ours is the only one, and new ones come only from holders */
  }
  uint32_t before = atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel);
  kassert(before != 0);
  return before == 1;
}

static void entry_clear_bits(_Atomic uint64_t *entry, uint64_t bits) {
  atomic_fetch_and_explicit(entry, ~bits, memory_order_relaxed);
}

/* Makes an entry point at a private table; what the table holds is seen before the entry is. */
static void entry_point_at(_Atomic uint64_t *entry, uint64_t table) {
  atomic_store_explicit(entry, table | PTE_TABLE, memory_order_release);
}

/* ---- the life of a table -------------------------------------------------------------------- */

static void table_init(struct frame *frame, int level) {
  atomic_store_explicit(&frame->refs, 1, memory_order_relaxed);
  frame->kind = FRAME_TABLE;
  frame->level = (uint8_t)level;
  frame->n_used = 0;
  frame->groups = 0;
}

static enum abi_error table_create(int level, uint64_t *paddr) {
  if (!ptree_env_table_alloc(paddr)) {
    return ABI_ENOMEM;
  }
  table_init(ptree_env_frame(*paddr), level);
  return OK;
}

static __attribute__((noinline)) void block_put(uint64_t pte) {
  struct frame *frame = counted_frame(pte);
  if (frame_put(frame)) {
    ptree_env_block_free((uint64_t)(frame - ptree_env.frames) << FRAME_SHIFT);
  }
}

static inline __attribute__((always_inline)) void leaf_put(uint64_t pte) {
  uint64_t paddr = pte & PTE_ADDR;
  if (UNLIKELY((pte & (PTE_PART | PTE_PS)) != 0)) {
    block_put(pte);
  } else if (frame_put(ptree_env_frame(paddr))) {
    ptree_env_leaf_free(paddr);
  }
}

static inline void leaf_put_counted(uint64_t pte) {
  if ((pte & PTE_COUNTED) != 0) {
    leaf_put(pte);
  }
}

/* Four entries at a time: tables are sparse, and what is used in them is mostly pages of files that
 * nobody counts and nobody writes to. */
struct quad {
  uint64_t e[4];
};

static inline struct quad quad_load(const _Atomic uint64_t *e) {
  return (struct quad){{atomic_load_explicit(&e[0], memory_order_relaxed),
                        atomic_load_explicit(&e[1], memory_order_relaxed),
                        atomic_load_explicit(&e[2], memory_order_relaxed),
                        atomic_load_explicit(&e[3], memory_order_relaxed)}};
}

static inline void quad_store(_Atomic uint64_t *e, struct quad q) {
  atomic_store_explicit(&e[0], q.e[0], memory_order_relaxed);
  atomic_store_explicit(&e[1], q.e[1], memory_order_relaxed);
  atomic_store_explicit(&e[2], q.e[2], memory_order_relaxed);
  atomic_store_explicit(&e[3], q.e[3], memory_order_relaxed);
}

/* What any of the four has. */
static inline uint64_t quad_bits(struct quad q) {
  return q.e[0] | q.e[1] | q.e[2] | q.e[3];
}

/* Empties four leaves. */
static inline void quad_drop(_Atomic uint64_t *e) {
  struct quad q = quad_load(e);
  uint64_t bits = quad_bits(q);
  if (bits != 0) {
    quad_store(e, (struct quad){{0}});
  }
  if ((bits & PTE_COUNTED) != 0) {
    leaf_put_counted(q.e[0]);
    leaf_put_counted(q.e[1]);
    leaf_put_counted(q.e[2]);
    leaf_put_counted(q.e[3]);
  }
}

/* Empties a last-level table that nobody can reach, not even hardware. */
static void leaves_empty(struct table t) {
  for (uint32_t groups = t.frame->groups; groups != 0; groups &= groups - 1) {
    _Atomic uint64_t *e = &t.entries[bit_first(groups) * GROUP_SIZE];
    for (unsigned i = 0; i != GROUP_SIZE; i += 4) {
      quad_drop(&e[i]);
    }
  }
  t.frame->n_used = 0;
  t.frame->groups = 0;
}

static bool table_put(uint64_t paddr, unsigned *budget);

/* Empties a table that nobody else can reach, a last-level one at once; the budget pays for leaves
 * and tables. False: it ran out, and what is left in the table is as it was. It recurses at most
 * once a level. */
static bool table_empty(struct table t, unsigned *budget) {
  unsigned cost = TABLE_COST + (t.frame->level == 0 ? t.frame->n_used : 0);
  *budget -= MIN(*budget, cost);
  if (t.frame->level == 0) {
    leaves_empty(t);
    return true;
  }
  for (unsigned i = table_next_used(&t, 0); i < PTREE_N_ENTRIES; i = table_next_used(&t, i + 1)) {
    uint64_t pte = entry_load(&t, i);
    if ((pte & PTE_PS) != 0) {
      leaf_put(pte);
      *budget -= MIN(*budget, TABLE_COST);
    } else if (!table_put(pte & PTE_ADDR, budget)) {
      return false;
    }
    atomic_store_explicit(&t.entries[i], 0, memory_order_relaxed);
    table_note_empty(t.frame);
    if (*budget == 0) { /* after an entry, so that each call gets on */
      return t.frame->n_used == 0;
    }
  }
  return true;
}

/* Drops a reference, and the table with the last. False: the budget ran out; the reference, now the
 * only one, stays the caller's. */
static bool table_put(uint64_t paddr, unsigned *budget) {
  struct table t = table_at(paddr);
  if (!frame_put(t.frame)) {
    return true;
  }
  if (!table_empty(t, budget)) {
    atomic_store_explicit(&t.frame->refs, 1, memory_order_relaxed);
    return false;
  }
  ptree_env_table_free(paddr);
  return true;
}

/* The entry for the copy, after the original and its target have been told: [P1] to [P4]. */
static inline uint64_t entry_share(_Atomic uint64_t *entry, uint64_t pte, bool is_leaf,
                                   bool in_blocks) {
  if (!is_leaf || (pte & PTE_COUNTED) != 0) {
    frame_get(in_blocks ? counted_frame(pte) : ptree_env_frame(pte & PTE_ADDR));
  }
  if ((pte & PTE_W) != 0 && !(is_leaf && (pte & PTE_SHARED) != 0)) {
    entry_clear_bits(entry, PTE_W);
    pte &= ~PTE_W;
  }
  return pte;
}

static inline __attribute__((always_inline)) void
quad_share_each(_Atomic uint64_t *to, _Atomic uint64_t *from, bool is_leaf, bool in_blocks) {
  for (unsigned i = 0; i < 4; i++) {
    uint64_t pte = atomic_load_explicit(&from[i], memory_order_relaxed);
    if (pte != 0) {
      atomic_store_explicit(&to[i], entry_share(&from[i], pte, is_leaf, in_blocks),
                            memory_order_relaxed);
    }
  }
}

/* The same where some may be big leaves or parts of a block: seldom, so the others do not ask. */
static __attribute__((noinline)) void quad_share_blocks(_Atomic uint64_t *to,
                                                        _Atomic uint64_t *from, bool is_leaf) {
  quad_share_each(to, from, is_leaf, true);
}

static inline void quad_share(_Atomic uint64_t *to, _Atomic uint64_t *from, bool is_leaf) {
  struct quad q = quad_load(from);
  uint64_t bits = quad_bits(q);
  if (bits == 0) {
    return;
  }
  if (is_leaf && (bits & (PTE_COUNTED | PTE_W)) == 0) { /* nothing to count, nothing to take */
    quad_store(to, q);
  } else if (UNLIKELY((bits & (PTE_PART | PTE_PS)) != 0)) {
    quad_share_blocks(to, from, is_leaf);
  } else {
    quad_share_each(to, from, is_leaf, false);
  }
}

/* Shares with `to`, empty and private, all that `from` holds. The first write after a fork pays for
 * three tables that are mostly empty. */
static void table_share(struct table to, struct table from) {
  bool is_leaf = from.frame->level == 0;
  for (uint32_t groups = from.frame->groups; groups != 0; groups &= groups - 1) {
    unsigned first = bit_first(groups) * GROUP_SIZE;
    for (unsigned i = first; i != first + GROUP_SIZE; i += 4) {
      quad_share(&to.entries[i], &from.entries[i], is_leaf);
    }
  }
  to.frame->n_used = from.frame->n_used;
  to.frame->groups = from.frame->groups;
}

enum abi_error ptree_entry_own(_Atomic uint64_t *entry, int level, uint64_t va,
                               struct ptree_gather *g) {
  uint64_t pte = atomic_load_explicit(entry, memory_order_relaxed), copy;
  if ((pte & PTE_W) != 0) { /* [P2]: refs is 1 */
    return OK;
  }
  struct table shared = table_at(pte);
  if (!table_is_shared(&shared)) {
    atomic_fetch_or_explicit(entry, PTE_W, memory_order_relaxed);
    return OK;
  }
  enum abi_error err = table_create(level - 1, &copy);
  if (err != OK) {
    return err;
  }
  table_share(table_at(copy), shared);
  entry_point_at(entry, copy);
  uint64_t page = ALIGN_DOWN(va, FRAME_SIZE); /* any INVLPG drops paging-structure caches */
  ptree_gather_table(g, pte, (struct range){page, page + FRAME_SIZE});
  return OK;
}

/* ---- splitting ------------------------------------------------------------------------------ */

/* A block of which the caller has the only reference becomes 512 single frames. */
static void block_dissolve(struct frame *block) {
  for (unsigned i = 0; i < PTREE_N_ENTRIES; i++) {
    block[i].kind = FRAME_ANON;
    atomic_store_explicit(&block[i].refs, 1, memory_order_relaxed);
  }
}

/* Who shares the block may not write to its part of it: W goes, and the first write copies [P4]. */
static uint64_t block_divide(struct frame *block, uint64_t pte) {
  if (atomic_load_explicit(&block->refs, memory_order_acquire) == 1) {
    block_dissolve(block);
    return pte & ~PTE_PS;
  }
  atomic_fetch_add_explicit(&block->refs, PTREE_N_ENTRIES - 1, memory_order_relaxed);
  return (pte & ~(PTE_PS | PTE_W)) | PTE_PART;
}

/* Takes a big leaf away from all CPUs, and answers what it was [P8]. Hardware marks only what is
 * present, so A and D are final then. */
static uint64_t big_withdraw(_Atomic uint64_t *entry, uint64_t va, struct ptree_gather *g) {
  uint64_t start = ALIGN_DOWN(va, BIG_SIZE);
  uint64_t before = atomic_fetch_and_explicit(entry, ~PTE_P, memory_order_relaxed);
  ptree_gather_range(g, start, start + BIG_SIZE);
  g->resizes = true;
  g->flush(g);
  return atomic_load_explicit(entry, memory_order_relaxed) | (before & PTE_P);
}

enum abi_error ptree_big_split(_Atomic uint64_t *entry, uint64_t va, struct ptree_gather *g) {
  uint64_t paddr;
  enum abi_error err = table_create(0, &paddr);
  if (err != OK) {
    return err;
  }
  struct table t = table_at(paddr);
  uint64_t big = big_withdraw(entry, va, g);
  uint64_t leaf = block_divide(counted_frame(big), big);
  for (unsigned i = 0; i < PTREE_N_ENTRIES; i++) {
    atomic_store_explicit(&t.entries[i], leaf + i * FRAME_SIZE, memory_order_relaxed);
  }
  t.frame->n_used = PTREE_N_ENTRIES;
  t.frame->groups = UINT32_MAX;
  entry_point_at(entry, paddr);
  return OK;
}

/* ---- the gather ----------------------------------------------------------------------------- */

static void gather_reset(struct ptree_gather *g) {
  g->lo = UINT64_MAX;
  g->hi = 0;
  g->chain = g->chain_end = FRAME_NIL;
  g->n_refs = 0;
  g->resizes = false;
}

void ptree_gather_init(struct ptree_gather *g, void (*flush)(struct ptree_gather *g), void *ctx) {
  gather_reset(g);
  g->dead = FRAME_NIL;
  g->flush = flush;
  g->ctx = ctx;
}

void ptree_gather_range(struct ptree_gather *g, uint64_t start, uint64_t end) {
  g->lo = MIN(g->lo, start);
  g->hi = MAX(g->hi, end);
}

bool ptree_gather_has_tables(const struct ptree_gather *g) {
  uint64_t tables = g->chain != FRAME_NIL;
  for (uint32_t i = 0; i < g->n_refs; i++) {
    tables |= g->refs[i] & 1;
  }
  return tables != 0;
}

/* The flush comes before the new reference and its range, so that a reference in the gather always
 * has its range there too. */
static inline __attribute__((always_inline)) void gather_add(struct ptree_gather *g, uint64_t ref,
                                                             struct range r) {
  if (g->n_refs == PTREE_GATHER_REFS) {
    g->flush(g);
    kassert(g->n_refs == 0);
  }
  ptree_gather_range(g, r.start, r.end);
  g->refs[g->n_refs++] = ref;
}

void ptree_gather_leaf(struct ptree_gather *g, uint64_t pte, uint64_t va) {
  uint64_t span = (pte & PTE_PS) != 0 ? BIG_SIZE : FRAME_SIZE;
  struct range r = {ALIGN_DOWN(va, span), ALIGN_DOWN(va, span) + span};
  if ((pte & PTE_COUNTED) != 0) {
    gather_add(g, pte & (PTE_ADDR | PTE_PART | PTE_PS), r);
  } else {
    ptree_gather_range(g, r.start, r.end);
  }
}

/* Only a private table is chained through its record: a shared one may be in several gathers. */
void ptree_gather_table(struct ptree_gather *g, uint64_t pte, struct range r) {
  uint64_t paddr = pte & PTE_ADDR;
  struct table t = table_at(paddr);
  if (table_is_shared(&t)) {
    gather_add(g, paddr | 1, r);
    return;
  }
  ptree_gather_range(g, r.start, r.end);
  t.frame->next = g->chain;
  g->chain = (uint32_t)(paddr >> FRAME_SHIFT);
  g->chain_end = g->chain_end == FRAME_NIL ? g->chain : g->chain_end;
}

void ptree_gather_release(struct ptree_gather *g) {
  unsigned unlimited = UINT32_MAX;
  for (uint32_t i = 0; i < g->n_refs; i++) {
    if ((g->refs[i] & 1) != 0) {
      (void)table_put(g->refs[i] & PTE_ADDR, &unlimited);
    } else {
      leaf_put(g->refs[i]);
    }
  }
  if (g->chain != FRAME_NIL) {
    ptree_env_frame((uint64_t)g->chain_end << FRAME_SHIFT)->next = g->dead;
    g->dead = g->chain;
  }
  gather_reset(g);
}

bool ptree_gather_drain(struct ptree_gather *g, unsigned budget) {
  while (g->dead != FRAME_NIL && budget != 0) {
    uint64_t paddr = (uint64_t)g->dead << FRAME_SHIFT;
    uint32_t next = ptree_env_frame(paddr)->next;
    if (!table_put(paddr, &budget)) {
      return false;
    }
    g->dead = next;
  }
  return g->dead == FRAME_NIL;
}

/* ---- whole trees ---------------------------------------------------------------------------- */

void ptree_init(uint64_t root) {
  table_init(ptree_env_frame(root), PTREE_ROOT_LEVEL);
}

bool ptree_clone(uint64_t dst, uint64_t src) {
  struct table to = table_at(dst), from = table_at(src);
  kassert(to.frame->n_used == 0);
  bool lost = false;
  for (unsigned i = table_next_used(&from, 0); i < PTREE_N_ENTRIES && !lost;
       i = table_next_used(&from, i + 1)) {
    lost = (entry_load(&from, i) & PTE_W) != 0;
  }
  table_share(to, from);
  return lost;
}

bool ptree_destroy(uint64_t root, unsigned budget) {
  return table_empty(table_at(root), &budget);
}

/* ---- one page ------------------------------------------------------------------------------- */

int ptree_lookup(uint64_t root, uint64_t va, uint64_t *pte, bool *writable) {
  kassert(va < PTREE_USER_END);
  uint64_t entry = root, rights = PTE_W;
  int level = PTREE_ROOT_LEVEL + 1;
  while (level > 0 && entry != 0 && (entry & PTE_PS) == 0) {
    level--;
    _Atomic uint64_t *entries = ptree_env_table(entry & PTE_ADDR);
    entry = atomic_load_explicit(&entries[entry_index(va, level)], memory_order_relaxed);
    rights &= entry;
  }
  *pte = (entry & PTE_PS) != 0 ? big_part(entry, va) : entry;
  *writable = rights != 0;
  return level;
}

static bool table_next(struct table t, uint64_t *va, uint64_t end, uint64_t *pte) {
  int level = t.frame->level;
  uint64_t span = entry_span(level), base = ALIGN_DOWN(*va, span * PTREE_N_ENTRIES);
  for (unsigned i = table_next_used(&t, entry_index(*va, level)); i < PTREE_N_ENTRIES;
       i = table_next_used(&t, i + 1)) {
    uint64_t at = base + i * span;
    *va = MAX(*va, at);
    if (*va >= end) {
      break;
    }
    *pte = entry_load(&t, i);
    if ((*pte & PTE_PS) != 0) {
      *pte = big_part(*pte, *va);
      return true;
    }
    if (level == 0 || table_next(table_at(*pte), va, end, pte)) {
      return true;
    }
  }
  return false;
}

bool ptree_next(uint64_t root, uint64_t *va, uint64_t end, uint64_t *pte) {
  kassert(IS_ALIGNED(*va, FRAME_SIZE) && end <= PTREE_USER_END);
  return *va < end && table_next(table_at(root), va, end, pte);
}

/* Makes the entry for va in a private table point at a private table, creating it if need be. */
static inline __attribute__((always_inline)) enum abi_error
entry_ready(struct table t, int level, uint64_t va, struct ptree_gather *g) {
  unsigned i = entry_index(va, level);
  uint64_t old = entry_load(&t, i);
  if ((old & PTE_PS) != 0) {
    return ptree_big_split(&t.entries[i], va, g);
  }
  if (old != 0) {
    return ptree_entry_own(&t.entries[i], level, va, g);
  }
  uint64_t created;
  enum abi_error err = table_create(level - 1, &created);
  if (err == OK) {
    entry_point_at(&t.entries[i], created);
    table_note_used(t.frame, i);
  }
  return err;
}

bool ptree_slot_ready(uint64_t root, uint64_t va, struct ptree_slot *slot) {
  kassert(va < PTREE_USER_END);
  uint64_t pte = root | PTE_W;
  for (int level = PTREE_ROOT_LEVEL; level > 0; level--) {
    _Atomic uint64_t *entries = ptree_env_table(pte & PTE_ADDR);
    pte = atomic_load_explicit(&entries[entry_index(va, level)], memory_order_acquire);
    if (UNLIKELY((pte & PTE_W) == 0)) {
      return false;
    }
  }
  if (UNLIKELY((pte & PTE_PS) != 0)) {
    return false;
  }
  struct table t = table_at(pte);
  *slot = (struct ptree_slot){&t.entries[entry_index(va, 0)], t.frame};
  return true;
}

/* The slot for va in the table of level `bottom`. An entry with W is ready as it is [P2], unless it
 * is a big leaf. */
static inline __attribute__((always_inline)) enum abi_error
slot_at(uint64_t root, uint64_t va, int bottom, struct ptree_gather *g, struct ptree_slot *slot) {
  kassert(va < PTREE_USER_END);
  uint64_t pte = root;
  for (int level = PTREE_ROOT_LEVEL; level > bottom; level--) {
    _Atomic uint64_t *entry = &ptree_env_table(pte & PTE_ADDR)[entry_index(va, level)];
    uint64_t next = atomic_load_explicit(entry, memory_order_relaxed);
    if (UNLIKELY((next & (PTE_W | PTE_PS)) != PTE_W)) {
      enum abi_error err = entry_ready(table_at(pte), level, va, g);
      if (err != OK) {
        return err;
      }
      next = atomic_load_explicit(entry, memory_order_relaxed);
    }
    pte = next;
  }
  struct table t = table_at(pte);
  *slot = (struct ptree_slot){&t.entries[entry_index(va, bottom)], t.frame};
  return OK;
}

enum abi_error ptree_slot(uint64_t root, uint64_t va, struct ptree_gather *g,
                          struct ptree_slot *slot) {
  return slot_at(root, va, 0, g, slot);
}

enum abi_error ptree_slot_big(uint64_t root, uint64_t va, struct ptree_gather *g,
                              struct ptree_slot *slot) {
  return slot_at(root, va, 1, g, slot);
}

/* A table fills its page, so an entry's address tells its index. */
static unsigned slot_index(const struct ptree_slot *slot) {
  return (unsigned)((uintptr_t)slot->entry / sizeof(uint64_t)) % PTREE_N_ENTRIES;
}

bool ptree_slot_step(struct ptree_slot *slot) {
  if (slot_index(slot) == PTREE_N_ENTRIES - 1) {
    return false;
  }
  slot->entry++;
  return true;
}

struct ptree_slot ptree_slot_near(const struct ptree_slot *slot, int64_t n) {
  kassert((uint64_t)((int64_t)slot_index(slot) + n) < PTREE_N_ENTRIES);
  return (struct ptree_slot){slot->entry + n, slot->table};
}

bool ptree_leaf_is_sole(const struct ptree_slot *slot) {
  uint64_t pte = ptree_leaf_get(slot);
  if ((pte & PTE_COUNTED) == 0) {
    return false;
  }
  const struct frame *frame = counted_frame(pte);
  return atomic_load_explicit(&frame->refs, memory_order_acquire) == 1;
}

void ptree_leaf_set(struct ptree_slot *slot, uint64_t pte) {
  kassert(pte != 0 && ptree_leaf_get(slot) == 0);
  atomic_store_explicit(slot->entry, pte, memory_order_release);
  table_note_used(slot->table, slot_index(slot));
}

void ptree_leaf_widen(struct ptree_slot *slot, uint64_t set_bits) {
  uint64_t old = atomic_fetch_or_explicit(slot->entry, set_bits, memory_order_release);
  kassert(old != 0);
}

void ptree_leaf_replace(struct ptree_slot *slot, uint64_t va, uint64_t pte,
                        struct ptree_gather *g) {
  uint64_t old = atomic_exchange_explicit(slot->entry, pte, memory_order_release);
  kassert(old != 0 && pte != 0);
  ptree_gather_leaf(g, old, va);
}

uint64_t ptree_leaf_take(struct ptree_slot *slot, uint64_t va, struct ptree_gather *g) {
  uint64_t old = atomic_exchange_explicit(slot->entry, 0, memory_order_relaxed);
  kassert(old != 0);
  table_note_empty(slot->table);
  uint64_t page = ALIGN_DOWN(va, FRAME_SIZE);
  ptree_gather_range(g, page, page + FRAME_SIZE);
  return old;
}
