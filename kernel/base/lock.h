/* Spinlocks with ranks, and the contracts that clang checks (-Wthread-safety).
 *
 * The kernel runs with interrupts disabled (arch.h), so one kind of lock serves everywhere. Who
 * waits calls arch_relax(), which answers TLB shootdowns meanwhile: the holder may be waiting for
 * just that [B1]. Nothing sleeps with a spinlock held [B2]. Ticket locks: first come, first served.
 *
 * In debug builds every CPU remembers what it holds, and a lock taken against lock_ranks.def
 * panics. There, stress.h may have its turn after a spin_unlock(). */
#ifndef CATHODE_BASE_LOCK_H
#define CATHODE_BASE_LOCK_H

#include "arch/arch.h"
#include "base/stress.h"
#include "lib/bits.h"

#ifdef __clang__
#define TS_ATTR(x) __attribute__((x))
#else
#define TS_ATTR(x)
#endif
#define CAPABILITY TS_ATTR(capability("lock"))
#define ACQUIRES(l) TS_ATTR(acquire_capability(l))
#define RELEASES(l) TS_ATTR(release_capability(l))
#define ACQUIRES_SHARED(l) TS_ATTR(acquire_shared_capability(l))
#define RELEASES_SHARED(l) TS_ATTR(release_shared_capability(l))
#define HOLDS(l) TS_ATTR(requires_capability(l))
#define NO_LOCK_CHECK TS_ATTR(no_thread_safety_analysis)

enum lock_rank {
#define LOCK_RANK(name, text) RANK_##name,
#include "base/lock_ranks.def"
#undef LOCK_RANK
  RANK_COUNT
};

struct CAPABILITY spinlock {
  union {
    _Atomic uint32_t word;
    struct {
      _Atomic uint16_t serving, next;
    };
  };
  uint8_t rank;
};

#define SPINLOCK(rank_name)                                                                        \
  { .word = 0, .rank = RANK_##rank_name }

/* Many readers or one writer; a waiting writer keeps new readers out. */
struct CAPABILITY rwlock {
  _Atomic uint32_t word; /* bit 31: writer holds; bit 30: writer waits; rest: readers */
  uint8_t rank;
};

void lock_debug_acquire(const void *lock, uint32_t rank, bool second, const void *site);
void lock_debug_release(const void *lock);
void lock_debug_none_held(const char *where); /* panics if this CPU holds a lock [B2] */
/* Between true and false this CPU may take only locks of one CPU each (RUNQ, WHEEL): others are
 * counted in COUNTER_LOCKS_SHARED. For the paths that must scale. */
void lock_debug_narrow_count(int by);
static inline void lock_debug_narrow(bool begin) {
  if (CATHODE_DEBUG) {
    lock_debug_narrow_count(begin ? 1 : -1);
  }
}
void spin_lock_slow(struct spinlock *l, uint16_t ticket);
void rw_lock_shared_slow(struct rwlock *l);
void rw_lock_exclusive_slow(struct rwlock *l);

static inline void spin_init(struct spinlock *l, enum lock_rank rank) {
  atomic_init(&l->word, 0);
  l->rank = (uint8_t)rank;
}

static inline void spin_lock(struct spinlock *l) ACQUIRES(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_acquire(l, l->rank, false, __builtin_return_address(0));
  }
  uint32_t old = atomic_fetch_add_explicit(&l->word, 1u << 16, memory_order_acquire);
  if (UNLIKELY(old != (old << 16 | old >> 16))) { /* not: the two halves are equal */
    spin_lock_slow(l, (uint16_t)(old >> 16));
  }
}

/* A second lock of the rank held already; the caller orders the two by address. */
static inline void spin_lock_second(struct spinlock *l) ACQUIRES(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_acquire(l, l->rank, true, __builtin_return_address(0));
  }
  uint32_t old = atomic_fetch_add_explicit(&l->word, 1u << 16, memory_order_acquire);
  if (UNLIKELY(old != (old << 16 | old >> 16))) { /* not: the two halves are equal */
    spin_lock_slow(l, (uint16_t)(old >> 16));
  }
}

static inline void spin_unlock(struct spinlock *l) RELEASES(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_release(l);
  }
  arch_next_u16(&l->serving);
  if (CATHODE_DEBUG && UNLIKELY(stress_armed)) {
    stress_unlocked();
  }
}

static inline void rw_init(struct rwlock *l, enum lock_rank rank) {
  atomic_init(&l->word, 0);
  l->rank = (uint8_t)rank;
}

#define RW_WRITER (1u << 31)
#define RW_WAITING (1u << 30)

static inline void rw_lock_shared(struct rwlock *l) ACQUIRES_SHARED(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_acquire(l, l->rank, false, __builtin_return_address(0));
  }
  uint32_t old = atomic_fetch_add_explicit(&l->word, 1, memory_order_acquire);
  if (UNLIKELY(old >= RW_WAITING)) {
    rw_lock_shared_slow(l);
  }
}

static inline void rw_unlock_shared(struct rwlock *l) RELEASES_SHARED(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_release(l);
  }
  atomic_fetch_sub_explicit(&l->word, 1, memory_order_release);
}

static inline void rw_lock_exclusive(struct rwlock *l) ACQUIRES(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_acquire(l, l->rank, false, __builtin_return_address(0));
  }
  uint32_t idle = 0;
  if (UNLIKELY(!atomic_compare_exchange_strong_explicit(
          &l->word, &idle, RW_WRITER, memory_order_acquire, memory_order_relaxed))) {
    rw_lock_exclusive_slow(l);
  }
}

/* A second one, ordered by address by the caller. */
static inline void rw_lock_exclusive_second(struct rwlock *l) ACQUIRES(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_acquire(l, l->rank, true, __builtin_return_address(0));
  }
  uint32_t idle = 0;
  if (UNLIKELY(!atomic_compare_exchange_strong_explicit(
          &l->word, &idle, RW_WRITER, memory_order_acquire, memory_order_relaxed))) {
    rw_lock_exclusive_slow(l);
  }
}

static inline void rw_unlock_exclusive(struct rwlock *l) RELEASES(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_release(l);
  }
  atomic_fetch_and_explicit(&l->word, ~RW_WRITER, memory_order_release);
}

#endif
