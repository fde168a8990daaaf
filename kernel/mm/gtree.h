/* Grant tree: the ordered, non-overlapping address ranges of one address space.
 *
 * An AVL tree, intrusive, keyed by start address. Each node also knows of its subtree the lowest
 * start, the highest end, and the widest gap between two neighbours in it, so that the search for a
 * hole of a given length descends without visiting what cannot hold one: everything is O(log n).
 *
 * Invariants, asserted by gtree_check():
 * [G1] start < end, both page aligned
 * [G2] in-order nodes ascend and do not overlap: a node's end <= its successor's start
 * [G3] a child's parent is its parent, and the root has none
 * [G4] height is 1 + the larger child's, and children's heights differ by at most 1
 * [G5] sub_lo, sub_hi and max_gap are what they say
 * [G6] n is the number of nodes
 *
 * Locks: none here; the caller's address-space lock (shared for the const functions).
 * Limits: a hole answers no alignment but the page's: ask for len + align - page and round. */
#ifndef CATHODE_MM_GTREE_H
#define CATHODE_MM_GTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/abi.h"

/* [start, end) in bytes. All but start and end belongs to the tree while the node is in one. */
struct gnode {
  struct gnode *left, *right, *parent;
  uint64_t start, end;
  uint64_t sub_lo, sub_hi, max_gap;
  uint32_t height; /* of the subtree, 1 for a leaf; 0 when in no tree */
};

struct gtree {
  struct gnode *root;
  size_t n; /* nodes */
};

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

/* The highest (below) or lowest (above) start of len > 0 free bytes in [lo, hi). False: none. */
bool gtree_hole_below(const struct gtree *t, uint64_t len, uint64_t lo, uint64_t hi,
                      uint64_t *start);
bool gtree_hole_above(const struct gtree *t, uint64_t len, uint64_t lo, uint64_t hi,
                      uint64_t *start);

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
