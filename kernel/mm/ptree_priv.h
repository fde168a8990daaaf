/* Page-table tree: what its files share. See ptree.h for the structure and the invariants.
 *
 * Levels count from the leaves: an entry of a level-0 table maps 4 KiB, of a level-n table 512^n
 * times that. A `struct table` is a handle, valid as long as there is a reference to the table. */
#ifndef CATHODE_MM_PTREE_PRIV_H
#define CATHODE_MM_PTREE_PRIV_H

#include "lib/bits.h"
#include "lib/kassert.h"
#include "mm/ptree.h"
#include "mm/ptree_env.h"

#define PTE_TABLE (PTE_P | PTE_W | PTE_U) /* an entry that points at a private table */
#define GROUP_SIZE 16u                    /* entries a bit of frame.groups stands for */

struct table {
  _Atomic uint64_t *entries;
  struct frame *frame;
};

/* [start, end) in bytes, not empty, within the table that it is used on. */
struct range {
  uint64_t start, end;
};

static inline struct table table_at(uint64_t pte) {
  uint64_t paddr = pte & PTE_ADDR;
  return (struct table){ptree_env_table(paddr), ptree_env_frame(paddr)};
}

static inline uint64_t entry_load(const struct table *t, unsigned i) {
  return atomic_load_explicit(&t->entries[i], memory_order_relaxed);
}

/* Bytes that one entry of a table of this level maps. */
static inline uint64_t entry_span(int level) {
  return 1ull << (FRAME_SHIFT + 9 * level);
}

static inline unsigned entry_index(uint64_t va, int level) {
  return (unsigned)(va >> (FRAME_SHIFT + 9 * level)) % PTREE_N_ENTRIES;
}

/* The part of a big leaf that maps va, as a leaf of its own but for PTE_PS. */
static inline uint64_t big_part(uint64_t pte, uint64_t va) {
  return pte + (va & (BIG_SIZE - 1) & ~(FRAME_SIZE - 1));
}

/* The record that has the references of a counted leaf, big or not, or of a table. */
static inline struct frame *counted_frame(uint64_t pte) {
  if (UNLIKELY((pte & (PTE_PART | PTE_PS)) != 0)) {
    return ptree_env_frame(pte & PTE_ADDR & ~(BIG_SIZE - 1));
  }
  return ptree_env_frame(pte & PTE_ADDR);
}

/* True while others may reference the table. Pairs with the release of their last put: who reads 1
 * sees all that they have done to the entries. */
static inline bool table_is_shared(const struct table *t) {
  return atomic_load_explicit(&t->frame->refs, memory_order_acquire) > 1;
}

/* [P5] after entry i of a private table went from empty to used, and back. */
static inline void table_note_used(struct frame *frame, unsigned i) {
  frame->n_used++;
  frame->groups |= 1u << (i / GROUP_SIZE);
}

static inline void table_note_empty(struct frame *frame) {
  if (--frame->n_used == 0) {
    frame->groups = 0;
  }
}

/* The first used entry from i on; PTREE_N_ENTRIES when there is none. A root's kernel half is never
 * in `groups`, so it is never found. */
static inline unsigned table_next_used(const struct table *t, unsigned i) {
  if (i % GROUP_SIZE != 0 && entry_load(t, i) != 0) { /* mostly: neighbours are used together */
    return i;
  }
  while (i < PTREE_N_ENTRIES) {
    uint32_t groups = t->frame->groups >> (i / GROUP_SIZE);
    if (groups == 0) {
      break;
    }
    if ((groups & 1) == 0) {
      i = (i / GROUP_SIZE + bit_first(groups)) * GROUP_SIZE;
    }
    for (unsigned end = (i / GROUP_SIZE + 1) * GROUP_SIZE; i < end; i++) {
      if (entry_load(t, i) != 0) {
        return i;
      }
    }
  }
  return PTREE_N_ENTRIES;
}

/* The part of r that entry i of a table of this level maps. */
static inline struct range range_clip(struct range r, unsigned i, int level) {
  uint64_t span = entry_span(level);
  uint64_t base = ALIGN_DOWN(r.start, span * PTREE_N_ENTRIES) + i * span;
  uint64_t end = base + span;
  return (struct range){MAX(r.start, base), MIN(r.end, end)};
}

/* True if r is all that an entry of this level maps. */
static inline bool range_is_whole(struct range r, int level) {
  return r.end - r.start == entry_span(level);
}

/* Makes the table private at which a used entry of a private table points, copying it if others
 * reference it too. `level` is the entry's, va is within what it maps. Fails: ABI_ENOMEM, and
 * nothing has changed. */
enum abi_error ptree_entry_own(_Atomic uint64_t *entry, int level, uint64_t va,
                               struct ptree_gather *g);

/* Puts a private table with 512 leaves in the place of a big leaf of a private table; va is within
 * it. Flushes the gather on the way [P8]. Fails: ABI_ENOMEM, and nothing has changed. */
enum abi_error ptree_big_split(_Atomic uint64_t *entry, uint64_t va, struct ptree_gather *g);

/* Hands the reference of a leaf, big or not, that was at va to the gather. */
void ptree_gather_leaf(struct ptree_gather *g, uint64_t pte, uint64_t va);

/* Hands the reference to a table to the gather, from an entry that was just emptied; r is what the
 * table mapped there, or what of it has been in use. */
void ptree_gather_table(struct ptree_gather *g, uint64_t pte, struct range r);

#endif
