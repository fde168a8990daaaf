/* Copy-on-write page-table tree, x86-64, 4 levels (SDM vol. 3A, 4.5).
 *
 * A tree is named by the physical address of its root (level 3, PML4). Tables of level 2 (PDPT),
 * 1 (PD) and 0 (PT) may be shared by several trees: cloning a tree shares all of it by taking one
 * reference per root entry, and a later change walks down, copying one table a level, only where it
 * goes. The right to write is the AND of W along the path, so clearing W above write-protects all
 * below in one store.
 *
 * An entry of level 1 may map 2 MiB by itself, a big leaf (PTE_PS): 512 aligned frames, counted by
 * the record of the first (FRAME_BIG). Whatever touches a part of it splits it into 512 leaves of
 * the same rights first. If the big leaf had the block's only reference, the block becomes single
 * frames; else the leaves are PTE_PART, each with a reference to the block as a whole, which stays
 * until the last has gone.
 *
 * Entry 0 is empty; any other entry is used. A used leaf without PTE_P keeps its frame but is not
 * accessible (PROT_NONE). Entries 256..511 of a root are the kernel's and are not touched.
 *
 * Invariants, asserted by ptree_check():
 * [P1] a table's `refs` is the number of entries that point at it (a root: 1, its owner)
 * [P2] an entry that points at a table with refs > 1 has W clear
 * [P3] a frame has at least one reference for each PTE_COUNTED leaf that maps it
 * [P4] a PTE_COUNTED leaf without PTE_SHARED whose frame other leaves map too has W clear
 * [P5] `n_used` counts the used entries, and `groups` has the bit of each
 * [P6] a table has kind TABLE and the level of its place; entries to tables are P and U, not PS
 * [P7] big leaves are COUNTED, not SHARED, and map a block of kind BIG whole, PTE_PART leaves a
 *      frame of one; no other leaf maps a frame of a block
 * [P8] (of moments, so not among those) between a big leaf and a table in its place the entry is
 *      without P, and all CPUs have flushed: who has pages of two sizes in its TLB may use either
 *      (SDM vol. 3A, 4.10.2.3), and some end in a machine check (AMD family 10h, erratum 383;
 *      Intel, machine check error avoidance on page size change, CVE-2018-12207)
 *
 * Concurrency. The operations on one tree are serialized by its owner's lock, but for
 * ptree_slot_ready() and what is done with its slot: those are serialized a page table. Two trees
 * that share a table T may both be at work: references are atomic, and the entries of a table with
 * refs > 1 change only by losing W, or by the hardware's A and D. Both may see refs 2 and copy; T
 * dies with the last reference. Who sees refs 1 with all tables above private is alone: new
 * references come only from copying or cloning a table that holds one.
 *
 * Limits: no leaves of 1 GiB; big leaves are anonymous memory only; frame 0 is never mapped, as a
 * leaf without rights must not be 0; 2^32 - 1 references a frame. */
#ifndef CATHODE_MM_PTREE_H
#define CATHODE_MM_PTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/abi.h"
#include "mm/frame_rec.h"

#define PTE_P ((uint64_t)1 << 0)   /* present */
#define PTE_W ((uint64_t)1 << 1)   /* writable */
#define PTE_U ((uint64_t)1 << 2)   /* user */
#define PTE_PWT ((uint64_t)1 << 3) /* with PCD: memory type, through the PAT */
#define PTE_PCD ((uint64_t)1 << 4)
#define PTE_A ((uint64_t)1 << 5) /* accessed, set by hardware */
#define PTE_D ((uint64_t)1 << 6) /* dirty, set by hardware */
#define PTE_PS ((uint64_t)1 << 7)
#define PTE_G ((uint64_t)1 << 8)
#define PTE_COUNTED ((uint64_t)1 << 9) /* software: the leaf holds a reference to its frame */
#define PTE_SHARED                                                                                 \
  ((uint64_t)1 << 10)                /* software: a shared mapping, never copy-on-write, keeps W */
#define PTE_PART ((uint64_t)1 << 11) /* software: a 4 KiB leaf within a block that stayed one */
#define PTE_NX ((uint64_t)1 << 63)
#define PTE_ADDR UINT64_C(0x000ffffffffff000)

#define PTREE_N_ENTRIES 512u
#define PTREE_N_USER 256u /* root entries of the user half */
#define PTREE_ROOT_LEVEL 3
#define PTREE_USER_END ((uint64_t)1 << 47)

/* ---- the gather: what must wait for the TLB flush ------------------------------------------- */

/* Collects the range of addresses whose translations have gone stale, and the references that may
 * be dropped only when no CPU can use those any more. When it is full in the middle of an operation
 * it calls `flush`; the caller does the same at the end if ptree_gather_is_pending(). flush()
 * invalidates [lo, hi) on all CPUs that may have it, including paging-structure caches (any INVLPG
 * does: SDM vol. 3A, 4.10.4.1), and then calls ptree_gather_release(). If `resizes` is set it also
 * reaches those CPUs whose hardware alone may still load translations. */
#define PTREE_GATHER_REFS 64u

struct ptree_gather {
  uint64_t lo, hi; /* bytes; lo >= hi: nothing to flush, nothing to release */
  void (*flush)(struct ptree_gather *g);
  void *ctx;                 /* the caller's */
  uint32_t chain, chain_end; /* pfns of detached private tables, linked by frame.next */
  uint32_t dead;             /* those that have been flushed, and wait for ptree_gather_drain() */
  uint32_t n_refs;
  bool resizes;                     /* a page is about to become smaller [P8] */
  uint64_t refs[PTREE_GATHER_REFS]; /* leaves' addresses; bit 0 set: a table's */
};

void ptree_gather_init(struct ptree_gather *g, void (*flush)(struct ptree_gather *g), void *ctx);
static inline bool ptree_gather_is_pending(const struct ptree_gather *g) {
  return g->lo < g->hi;
}
/* Whether tables are among what waits, so that hardware must not walk through them any more. */
bool ptree_gather_has_tables(const struct ptree_gather *g);
/* Adds addresses to flush, for changes that the caller made by itself. */
void ptree_gather_range(struct ptree_gather *g, uint64_t start, uint64_t end);
/* After the flush: drops all references and frees what has none left. Detached private tables,
 * which may hold any number of leaves, are only put aside. */
void ptree_gather_release(struct ptree_gather *g);
/* Tears down what was put aside, about `budget` leaves of it; needs no lock. Answers whether
 * nothing is left. */
[[nodiscard]] bool ptree_gather_drain(struct ptree_gather *g, unsigned budget);

/* ---- whole trees ---------------------------------------------------------------------------- */

/* Makes an empty tree of a frame whose user half is zero, and fills in the frame's record. The
 * root's kernel half is the caller's. */
void ptree_init(uint64_t root);

/* Shares the whole user half of src with dst, an empty tree. O(used root entries).
 * Answers whether src lost the right to write anywhere: the caller flushes all of src's TLB entries
 * before either tree runs in user mode again, and before it lets go of src's lock. */
[[nodiscard]] bool ptree_clone(uint64_t dst, uint64_t src);

/* Drops about `budget` leaves of the user half; answers whether nothing is left of it. The root's
 * frame stays the caller's, as an empty tree. No CPU uses the tree any more. All calls together are
 * O(what no other tree shares). */
[[nodiscard]] bool ptree_destroy(uint64_t root, unsigned budget);

/* ---- one page ------------------------------------------------------------------------------- */

/* Walks to va without changing anything. Answers the level at which the walk ended: 0 when there is
 * a page table (the leaf is *pte, perhaps 0), else the level of the empty entry, and *pte is 0; or
 * 1 for a big leaf, and *pte is as that page's own leaf would be, but with PTE_PS.
 * *writable: W is set in the leaf and in all entries above it. */
int ptree_lookup(uint64_t root, uint64_t va, uint64_t *pte, bool *writable);

/* The first used leaf at or above *va and below end: its address and entry, as above. False: none.
 * Skips empty tables as a whole. */
bool ptree_next(uint64_t root, uint64_t *va, uint64_t end, uint64_t *pte);

/* A leaf entry of a private table; valid until the tree is cloned or the range unmapped. */
struct ptree_slot {
  _Atomic uint64_t *entry;
  struct frame *table; /* the record of its table */
};

/* Makes the path to va private and answers the leaf's slot. Missing tables are created and shared
 * ones copied, three at most, and a big leaf is split. Setting W in the path widens rights: what
 * other CPUs have cached costs them a spurious fault at worst. Fails: ABI_ENOMEM; what was done at
 * the levels above remains, and is harmless. */
enum abi_error ptree_slot(uint64_t root, uint64_t va, struct ptree_gather *g,
                          struct ptree_slot *slot);

/* The same for the entry of level 1: it is empty, a big leaf, or points at a table. A big leaf that
 * allows less than its pages do may have pages of several rights: only who knows that all may have
 * W widens or replaces it, others take a slot of their page, which splits it. */
enum abi_error ptree_slot_big(uint64_t root, uint64_t va, struct ptree_gather *g,
                              struct ptree_slot *slot);

/* The slot when the path to va is private already, and not to a big leaf. It changes nothing, and
 * may run while ptree_slot() works on another page of the same tree: an entry with W points at a
 * table that is the tree's own, and stays so until a clone, an unmap or a protect, which the caller
 * keeps out. */
bool ptree_slot_ready(uint64_t root, uint64_t va, struct ptree_slot *slot);

/* The slot of the next page, or false at the end of the table. */
bool ptree_slot_step(struct ptree_slot *slot);

/* The slot n pages on (or back), which must be in the same table. */
struct ptree_slot ptree_slot_near(const struct ptree_slot *slot, int64_t n);

static inline uint64_t ptree_leaf_get(const struct ptree_slot *slot) {
  return atomic_load_explicit(slot->entry, memory_order_relaxed);
}

/* True if the leaf holds the only reference to its frame: copy-on-write may then take the frame as
 * it is, with ptree_leaf_widen(slot, PTE_W). */
bool ptree_leaf_is_sole(const struct ptree_slot *slot);

/* Fills an empty slot. A PTE_COUNTED leaf takes over one reference from the caller. */
void ptree_leaf_set(struct ptree_slot *slot, uint64_t pte);

/* Adds bits to a used leaf: W when copy-on-write finds itself the last user, A, D, P. */
void ptree_leaf_widen(struct ptree_slot *slot, uint64_t set_bits);

/* Puts another leaf in the place of a used one, as breaking copy-on-write does. The old reference
 * goes to the gather; the new leaf takes one over from the caller. */
void ptree_leaf_replace(struct ptree_slot *slot, uint64_t va, uint64_t pte, struct ptree_gather *g);

/* Empties a used slot and answers its leaf, whose reference becomes the caller's; records the
 * flush. The table stays even when that was its last entry. */
uint64_t ptree_leaf_take(struct ptree_slot *slot, uint64_t va, struct ptree_gather *g);

/* ---- ranges: page aligned, below PTREE_USER_END ---------------------------------------------- */

/* Removes all leaves of [start, end). Tables that lie wholly inside go as one: shared ones are
 * dropped without a look inside, private ones are torn down after the flush. Private tables at the
 * edges that become empty go as well. Fails: ABI_ENOMEM when a shared table at an edge cannot be
 * copied, or a big leaf there not be split; then no leaf has changed. */
enum abi_error ptree_unmap(uint64_t root, uint64_t start, uint64_t end, struct ptree_gather *g);

/* Leaf bits to change: of P, W, U, NX and SHARED. A bit in both is set. */
struct ptree_rights {
  uint64_t clear, set;
};

/* Changes all used leaves of [start, end) to (leaf & ~clear) | set, but gives W to no leaf that has
 * neither W nor PTE_SHARED: there the fault path decides on copy-on-write. Copies those shared
 * tables only in which a leaf really changes. Records what was narrowed for the flush.
 * Fails: ABI_ENOMEM; then no leaf has changed. */
enum abi_error ptree_protect(uint64_t root, uint64_t start, uint64_t end,
                             struct ptree_rights change, struct ptree_gather *g);

/* ---- checking ------------------------------------------------------------------------------- */

/* Given all trees, at rest and with no gather pending: the number n of the first invariant [Pn]
 * found broken, 0 when all hold. `counts` is scratch, one zero per frame, and holds on return how
 * many entries point at each frame. */
int ptree_check(const uint64_t *roots, size_t n_roots, uint32_t *counts, uint32_t n_frames);

#endif
