/* Sparse frames by their index: the pages of a memory object. A radix tree of nodes of one frame,
 * whose slots are physical addresses, 0 for none; each page in it has a reference of the tree's.
 *
 * Locks: the owner's for the tree; what rtree_trim() and rtree_destroy() cut off goes to a list of
 * nodes that are taken apart later, one by one (rtree_reap()), so that neither takes long. */
#ifndef CATHODE_MM_RTREE_H
#define CATHODE_MM_RTREE_H

#include "mm/mm_priv.h"

#define RTREE_PAGES_MOST (1ul << 36)

/* All zero: empty. */
struct rtree {
  uint32_t levels; /* 0: no node yet */
  paddr_t root;
};

/* The slot of a page; NULL when its node is missing and is not to be made, or cannot be. */
uint64_t *rtree_slot(struct rtree *t, uint64_t index, bool make);
/* Those pages of index + bit, for the bits of `wanted`, that are there, each with a reference. */
uint32_t rtree_run(struct rtree *t, uint64_t index, uint32_t wanted, struct memobj_run *run);
/* Drops all pages from an index on. */
void rtree_trim(struct rtree *t, uint64_t from);
void rtree_destroy(struct rtree *t);
/* Takes one node apart that was cut off; false when there is none. No lock is held. */
bool rtree_reap(void);

#endif
