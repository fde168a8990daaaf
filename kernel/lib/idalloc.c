/* Three-level bitmap of free numbers, see idalloc.h for the invariants. */
#include "lib/idalloc.h"

#include "lib/kassert.h"

#define BIT(i) (UINT64_C(1) << ((i)&63))
#define BITS_FROM(i) (UINT64_MAX << ((i)&63))

static void idalloc_mark_free(struct idalloc *a, uint32_t id) {
  a->leaf[id >> 6] |= BIT(id);
  a->mid[id >> 12] |= BIT(id >> 6);
  a->top |= BIT(id >> 12);
}

/* Clears bits upwards for as long as a word becomes 0 [I1]. */
static void idalloc_mark_used(struct idalloc *a, uint32_t id) {
  a->n_used++;
  a->leaf[id >> 6] &= ~BIT(id);
  if (a->leaf[id >> 6] != 0) {
    return;
  }
  a->mid[id >> 12] &= ~BIT(id >> 6);
  if (a->mid[id >> 12] == 0) {
    a->top &= ~BIT(id >> 12);
  }
}

static void idalloc_attach(struct idalloc *a, uint64_t *words, uint32_t n) {
  kassert(n > 0 && n <= IDALLOC_MAX);
  a->leaf = words;
  a->mid = words + IDALLOC_LEAVES(n);
  a->top = 0;
  a->n = n;
  for (size_t i = 0; i < IDALLOC_WORDS(n); i++) {
    words[i] = 0;
  }
}

/* Bits first..n - 1 become free, a leaf at a time [I3]. */
static void idalloc_free_range(struct idalloc *a, uint32_t first, uint32_t n) {
  while (first < n) {
    uint32_t end = MIN(n, (first | 63u) + 1);
    uint64_t bits = BITS_FROM(first);
    if (end & 63u) {
      bits &= ~BITS_FROM(end);
    }
    idalloc_mark_free(a, first);
    a->leaf[first >> 6] |= bits;
    first = end;
  }
}

void idalloc_init(struct idalloc *a, uint64_t *words, uint32_t n) {
  idalloc_attach(a, words, n);
  a->n_used = 0;
  idalloc_free_range(a, 0, n);
}

void idalloc_grow(struct idalloc *a, uint64_t *words, uint32_t n) {
  struct idalloc old = *a;
  kassert(n >= old.n);
  idalloc_attach(a, words, n);
  for (uint32_t i = 0; i < IDALLOC_LEAVES(old.n); i++) {
    if (old.leaf[i]) {
      idalloc_mark_free(a, i << 6 | bit_first(old.leaf[i]));
      a->leaf[i] = old.leaf[i];
    }
  }
  idalloc_free_range(a, old.n, n);
}

/* The lowest free id of the lowest word of level 1 that has one, given such a word. */
static uint32_t idalloc_first_below(const struct idalloc *a, uint32_t mid) {
  uint32_t leaf = mid << 6 | bit_first(a->mid[mid]);
  return leaf << 6 | bit_first(a->leaf[leaf]);
}

/* The lowest free id >= least: in its own leaf, in a later leaf of the same word of level 1, or in
 * a later word of level 1. */
static bool idalloc_find(const struct idalloc *a, uint32_t least, uint32_t *id) {
  if (least >= a->n) {
    return false;
  }
  uint64_t bits = a->leaf[least >> 6] & BITS_FROM(least);
  if (bits) {
    *id = (least & ~63u) | bit_first(bits);
    return true;
  }
  uint32_t leaf = least >> 6;
  bits = a->mid[leaf >> 6] & BITS_FROM(leaf) & ~BIT(leaf);
  if (bits) {
    leaf = (leaf & ~63u) | bit_first(bits);
    *id = leaf << 6 | bit_first(a->leaf[leaf]);
    return true;
  }
  bits = a->top & BITS_FROM(least >> 12) & ~BIT(least >> 12);
  if (bits) {
    *id = idalloc_first_below(a, bit_first(bits));
    return true;
  }
  return false;
}

bool idalloc_get(struct idalloc *a, uint32_t *id) {
  if (a->top == 0) {
    return false;
  }
  *id = idalloc_first_below(a, bit_first(a->top));
  idalloc_mark_used(a, *id);
  return true;
}

bool idalloc_get_from(struct idalloc *a, uint32_t least, uint32_t *id) {
  if (!idalloc_find(a, least, id)) {
    return false;
  }
  idalloc_mark_used(a, *id);
  return true;
}

bool idalloc_get_after(struct idalloc *a, uint32_t last, uint32_t *id) {
  return (last < a->n && idalloc_get_from(a, last + 1, id)) || idalloc_get(a, id);
}

bool idalloc_take(struct idalloc *a, uint32_t id) {
  if (id >= a->n || idalloc_is_used(a, id)) {
    return false;
  }
  idalloc_mark_used(a, id);
  return true;
}

void idalloc_put(struct idalloc *a, uint32_t id) {
  kassert(idalloc_is_used(a, id));
  a->n_used--;
  idalloc_mark_free(a, id);
}

bool idalloc_is_used(const struct idalloc *a, uint32_t id) {
  return id < a->n && !(a->leaf[id >> 6] & BIT(id));
}

bool idalloc_next_used(const struct idalloc *a, uint32_t from, uint32_t *id) {
  if (from >= a->n) {
    return false;
  }
  uint64_t bits = ~a->leaf[from >> 6] & BITS_FROM(from);
  uint32_t leaf = from >> 6;
  while (bits == 0) {
    if (++leaf == IDALLOC_LEAVES(a->n)) {
      return false;
    }
    bits = ~a->leaf[leaf];
  }
  *id = leaf << 6 | bit_first(bits);
  return *id < a->n;
}

bool idalloc_check(const struct idalloc *a) {
  uint32_t n_free = 0, leaves = IDALLOC_LEAVES(a->n), mids = IDALLOC_LEAVES(leaves);
  bool ok = (a->n & 63) == 0 || (a->leaf[leaves - 1] & BITS_FROM(a->n)) == 0; /* [I3] */
  for (uint32_t i = 0; i < mids * 64; i++) {
    uint64_t leaf = i < leaves ? a->leaf[i] : 0;
    n_free += bit_count(leaf);
    ok = ok && !(a->mid[i >> 6] & BIT(i)) == (leaf == 0); /* [I1] */
  }
  for (uint32_t i = 0; i < 64; i++) {
    uint64_t mid = i < mids ? a->mid[i] : 0;
    ok = ok && !(a->top & BIT(i)) == (mid == 0); /* [I1] */
  }
  return ok && n_free == a->n - a->n_used; /* [I2] */
}
