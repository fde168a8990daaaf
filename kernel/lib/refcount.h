/* Reference counts of objects.
 *
 * Memory order: get is relaxed, because whoever gets one more reference holds one already, and what
 * gave it that one ordered the object's contents. put is a release, and the last put an acquire as
 * well, so that every access made through any reference happens before the object is destroyed.
 *
 * [C1] A count that reaches 2^31 saturates: it stays there, and the object is leaked rather than
 * freed under a user. [C2] get and put on a count of 0 are bugs of ours (kassert). */
#ifndef CATHODE_LIB_REFCOUNT_H
#define CATHODE_LIB_REFCOUNT_H

#include "lib/kassert.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define REFCOUNT_SATURATED 0x80000000u
#define REFCOUNT_PARKED                                                                            \
  0xc0000000u /* where a saturated count is kept: 2^30 races from either end */

struct refcount {
  _Atomic uint32_t n; /* [a] */
};

static inline void refcount_init(struct refcount *r, uint32_t n) {
  atomic_init(&r->n, n);
}

/* The count a moment ago. "Am I alone" can be asked only where nobody else can make a reference. */
static inline uint32_t refcount_read(const struct refcount *r) {
  return atomic_load_explicit(&r->n, memory_order_relaxed);
}

/* The rare end of get and put: `old` was 0 [C2] or saturated [C1]. */
static inline void refcount_park(struct refcount *r, uint32_t old) {
  kassert(old != 0);
  atomic_store_explicit(&r->n, REFCOUNT_PARKED, memory_order_relaxed);
}

/* One more reference; the caller holds one. */
static inline void refcount_get(struct refcount *r) {
  uint32_t old = atomic_fetch_add_explicit(&r->n, 1, memory_order_relaxed);
  if (UNLIKELY(old - 1 >= REFCOUNT_SATURATED - 1)) {
    refcount_park(r, old);
  }
}

/* One more reference unless the last has gone, for lookups in a table that holds none of its own.
 * The table's lock must order the object's contents. */
[[nodiscard]] static inline bool refcount_get_unless_zero(struct refcount *r) {
  uint32_t old = refcount_read(r);
  do {
    if (old == 0) {
      return false;
    }
    if (UNLIKELY(old >= REFCOUNT_SATURATED)) {
      return true;
    }
  } while (!atomic_compare_exchange_weak_explicit(&r->n, &old, old + 1, memory_order_relaxed,
                                                  memory_order_relaxed));
  return true;
}

/* Gives one reference up. Answers true for the last: the caller then owns the object alone. */
[[nodiscard]] static inline bool refcount_put(struct refcount *r) {
  uint32_t old = atomic_fetch_sub_explicit(&r->n, 1, memory_order_release);
  if (old == 1) {
    atomic_thread_fence(memory_order_acquire);
    return true;
  }
  if (UNLIKELY(old - 1 >= REFCOUNT_SATURATED - 1)) {
    refcount_park(r, old);
  }
  return false;
}

#endif
