/* Buddy allocator: free physical memory in naturally aligned blocks of 2^order frames.
 *
 * Orders 0 (4 KiB) to 18 (1 GiB). One circular list a non-empty order, linked through the frame
 * records, and a bitmap of the orders that are not empty, so that allocation, splitting and merging
 * are O(orders) whatever the memory. Lists are LIFO: what was freed last is likely still cached.
 *
 * Invariants, asserted by buddy_check():
 * [B1] a listed frame has kind FREE, its list's order, no references, and is aligned to 2^order
 * [B2] lists are circular and doubly linked, and bit n of `orders` is set iff list n has a member
 * [B3] free blocks do not overlap; no frame inside a free block other than its first is FREE
 * [B4] two free buddies of one order below the top never coexist: they would have been merged
 * [B5] n_free is the number of frames in all free blocks
 *
 * Locks: none here; the caller serializes all calls on one allocator.
 * Limits: one allocator per record array (kind FREE does not say whose). */
#ifndef CATHODE_MM_BUDDY_H
#define CATHODE_MM_BUDDY_H

#include <stdbool.h>
#include <stdint.h>

#include "mm/frame_rec.h"

#define BUDDY_MAX_ORDER 18u
#define BUDDY_N_ORDERS (BUDDY_MAX_ORDER + 1)

struct buddy {
  struct frame *frames;           /* the record of frame 0 */
  uint32_t n_frames;              /* records in the array: nothing at or above it is ours */
  uint32_t orders;                /* bit n: list n has a member */
  uint64_t n_free;                /* frames */
  uint32_t heads[BUDDY_N_ORDERS]; /* first free block of each order, FRAME_NIL if none */
};

/* An empty allocator over `n_frames` zeroed records, indexed by pfn. */
void buddy_init(struct buddy *b, struct frame *frames, uint32_t n_frames);

/* Gives frames [first, first + n) to the allocator: RESERVED until now, and never given twice.
 * Ranges that touch merge. O(n / 2^18 + orders): the frames inside a block are not visited. */
void buddy_add_range(struct buddy *b, uint32_t first, uint32_t n);

/* Takes a block of 2^order frames. Its first frame's record has kind KERNEL and no references, the
 * rest of the record and the other records hold nothing. False: no block is big enough. */
bool buddy_alloc(struct buddy *b, unsigned order, uint32_t *pfn);

/* Gives a block back, whole or in aligned parts of any smaller order. Asserts that its first frame
 * is not free already. */
void buddy_free(struct buddy *b, uint32_t pfn, unsigned order);

/* Takes up to n single frames for a magazine, as contiguous as the free memory allows, each as from
 * buddy_alloc(b, 0). Answers how many. */
unsigned buddy_alloc_bulk(struct buddy *b, uint32_t *pfns, unsigned n);

/* Gives n single frames back. */
void buddy_free_bulk(struct buddy *b, const uint32_t *pfns, unsigned n);

/* Largest order of which a block is free; -1 when nothing is. */
int buddy_best_order(const struct buddy *b);

/* The number n of the first invariant [Bn] found broken, 0 when all hold. O(n_frames). */
int buddy_check(const struct buddy *b);

#endif
