/* Allocation of small numbers (descriptors, process ids), lowest free first or cyclically, in
 * constant time: a bitmap of three levels over words that the caller provides.
 *
 * Level 0 has a bit per id, set while the id is free. A bit of level 1 stands for a word of level
 * 0, a bit of the top for a word of level 1, each set while that word is not 0 [I1]. Three bit
 * scans find the lowest free id of 64^3. n_used is the number of clear level-0 bits below n [I2];
 * bits of level 0 at and above n are always clear, so that no such id is ever given out [I3].
 *
 * Locks: none; the owner provides them. */
#ifndef CATHODE_LIB_IDALLOC_H
#define CATHODE_LIB_IDALLOC_H

#include "lib/bits.h"

#define IDALLOC_MAX (64u * 64u * 64u)
#define IDALLOC_LEAVES(n) (((n) + 63u) / 64u)

/* Words that idalloc_init needs for n ids. */
#define IDALLOC_WORDS(n) (IDALLOC_LEAVES(n) + IDALLOC_LEAVES(IDALLOC_LEAVES(n)))

struct idalloc {
  uint64_t top;   /* bit i: mid[i] is not 0 */
  uint64_t *mid;  /* bit j of mid[i]: leaf[64 * i + j] is not 0 */
  uint64_t *leaf; /* bit k of leaf[j]: id 64 * j + k is free */
  uint32_t n, n_used;
};

/* All ids in [0, n) free; 0 < n <= IDALLOC_MAX. `words` has IDALLOC_WORDS(n) elements and stays the
 * caller's, who keeps it as long as the allocator. */
void idalloc_init(struct idalloc *a, uint64_t *words, uint32_t n);

/* More ids, with a new and longer `words`; what is used stays used. The old words are the caller's
 * again. n must not be less than it was. */
void idalloc_grow(struct idalloc *a, uint64_t *words, uint32_t n);

/* The lowest free id. Fails: false when all are used. O(1), as the next three. */
[[nodiscard]] bool idalloc_get(struct idalloc *a, uint32_t *id);

/* The lowest free id that is not below `least`. Fails: false when there is none. */
[[nodiscard]] bool idalloc_get_from(struct idalloc *a, uint32_t least, uint32_t *id);

/* The next free id after `last`, starting again at 0 behind the end: an id given back is not given
 * out again soon. Fails: false when all are used. */
[[nodiscard]] bool idalloc_get_after(struct idalloc *a, uint32_t last, uint32_t *id);

/* Exactly this id. Fails: false when it is used or not below n. */
[[nodiscard]] bool idalloc_take(struct idalloc *a, uint32_t id);

/* Gives a used id back. */
void idalloc_put(struct idalloc *a, uint32_t id);

/* Ids that are not below n count as unused. */
bool idalloc_is_used(const struct idalloc *a, uint32_t id);

/* The lowest used id not below `from`; false at the end. O(n / 64) for a whole walk. */
[[nodiscard]] bool idalloc_next_used(const struct idalloc *a, uint32_t from, uint32_t *id);

/* Whether [I1] to [I3] hold. O(n / 64). For tests. */
bool idalloc_check(const struct idalloc *a);

#endif
