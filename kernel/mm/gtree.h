/* Grant tree: the ordered, non-overlapping address ranges of one address space.
 *
 * An AVL tree, intrusive, keyed by start address. Each node knows the free bytes right below it,
 * and for its subtree a bound that no such gap exceeds. A bound may be too wide: what narrows a gap
 * leaves the bounds above it alone, so that mapping and unmapping in the widest hole of all, which
 * every process does all the time, walk up no further than balance asks; a search that looks in
 * vain makes the bounds tight again where it was. Finding, inserting, removing and resizing are
 * O(log n), the search for a hole is O(log n) for each change since the last.
 *
 * Invariants, asserted by gtree_check():
 * [G1] start < end, both page aligned
 * [G2] in-order nodes ascend and do not overlap: a node's end <= its successor's start
 * [G3] a child's parent is its parent, and the root has none
 * [G4] height is 1 + the larger child's, and children's heights differ by at most 1
 * [G5] gap is the distance to the predecessor's end, to address 0 for the first
 * [G6] max_gap is at least the node's gap and its children's max_gap
 * [G7] n is the number of nodes
 * [G8] bytes[1] is the sum of the lengths of those that are data, bytes[0] of the others
 * [G9] end is the last node's end, 0 without nodes
 *
 * Locks: none here; the caller's address-space lock (shared for the const functions).
 * Limits: a hole answers no alignment but the page's: ask for len + align - page and round. */
#ifndef CATHODE_MM_GTREE_H
#define CATHODE_MM_GTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/abi.h"

/* [start, end) in bytes. All but start, end, and what a node is, belongs to the tree while the node
 * is in one. */
struct gnode {
  struct gnode *left, *right, *parent;
  uint64_t start, end;
  uint64_t gap;     /* free bytes right below */
  uint64_t max_gap; /* no gap of the subtree is wider */
  uint32_t height;  /* of the subtree, 1 for a leaf; 0 when in no tree */
  bool data;        /* set before it is inserted; then by gtree_set_data() */
  bool grows;       /* down: the gap below is not free for everybody. Set before it is inserted */
};

struct gtree {
  struct gnode *root;
  size_t n;          /* nodes */
  uint64_t bytes[2]; /* in them, by whether they are data */
  uint64_t end;      /* of the last */
};

static inline uint64_t gtree_bytes(const struct gtree *t) {
  return t->bytes[0] + t->bytes[1];
}

void gtree_init(struct gtree *t);

/* The node that contains addr, or NULL. */
struct gnode *gtree_find(const struct gtree *t, uint64_t addr);

/* The first node with end > addr (it contains addr, or is the next above), or NULL. */
struct gnode *gtree_first_from(const struct gtree *t, uint64_t addr);

/* Neighbours in address order, NULL at the ends. */
struct gnode *gtree_next(const struct gnode *node);
struct gnode *gtree_prev(const struct gnode *node);

/* True if no node overlaps [start, end). */
bool gtree_is_free(const struct gtree *t, uint64_t start, uint64_t end);

/* Inserts a node whose start and end are set. Fails: ABI_EEXIST when it overlaps another. */
enum abi_error gtree_insert(struct gtree *t, struct gnode *node);

/* Removes a node that is in the tree; its start and end stay. */
void gtree_remove(struct gtree *t, struct gnode *node);

/* Moves the bounds of a node in place. Fails: ABI_EEXIST when they would overlap or pass a
 * neighbour. */
enum abi_error gtree_resize(struct gtree *t, struct gnode *node, uint64_t start, uint64_t end);

/* What a node is from now on. */
void gtree_set_data(struct gtree *t, struct gnode *node, bool data);

/* Where a range would go: its neighbours-to-be. Good until the tree changes. */
struct gplace {
  struct gnode *parent, *below, *above; /* NULL: none */
};

/* False when [start, end) overlaps a node. */
bool gtree_place(const struct gtree *t, uint64_t start, uint64_t end, struct gplace *place);
/* Inserts a node whose range was found a place for. */
void gtree_insert_at(struct gtree *t, const struct gplace *place, struct gnode *node);

/* What is not free for a search below a node that grows: `guard` bytes, and those that it needs to
 * become `reach` bytes long. */
struct groom {
  uint64_t reach, guard;
};

/* A search for len > 0 free bytes in [lo, hi). */
struct ghole {
  uint64_t len, lo, hi;
  const struct groom *room;
  uint64_t start; /* the answer */
};

/* The highest there is. False: none. Tightens bounds. */
bool gtree_hole_below(struct gtree *t, struct ghole *h);

/* Makes dst, of no nodes, a copy of src: copy() answers memory for the copy of a node, whose fields
 * beyond the gnode it has filled in, or NULL. False: out of memory, and dst is good for nothing but
 * gtree_drain(). O(n), without a comparison. */
bool gtree_copy(struct gtree *dst, const struct gtree *src,
                struct gnode *(*copy)(const struct gnode *node));

/* Hands each node to drop(), which may free it, and leaves an empty tree. */
void gtree_drain(struct gtree *t, void (*drop)(struct gnode *node));

/* The number n of the first invariant [Gn] found broken, 0 when all hold. O(n). */
int gtree_check(const struct gtree *t);

#endif
