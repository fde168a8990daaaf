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

/* Many readers or one writer; a waiting writer keeps new readers out.
 *
 * Readers that share nothing else must not meet in the lock either: each says in a slot of its own
 * CPU which lock it reads, and writes nothing that others read. Who writes then looks at the slots
 * of the CPUs that may name the lock. Both say first, then look, with a locked instruction between
 * (SDM vol. 3A 8.2.3.4):
 *
 *   reader                                writer
 *   slot := lock          (exchange)      word := WRITER       (compare-exchange)
 *   cpus |= self, unless it is there      seen := cpus, cpus := none   (locked)
 *   word has a writer?                    until no slot of `seen` names the lock: relax
 *     no: it reads
 *     yes: slot := none, and is counted
 *       in word as soon as that has none
 *
 * [B3] A CPU whose slot names a lock that it reads is in the lock's `cpus`, or a writer has seen it
 * there and waits for the slot. So a writer that has no CPU left to wait for is alone.
 * model/rwlock.pml explores this. A CPU that reads two locks is counted in the second's word. */
struct CAPABILITY rwlock {
  _Atomic uint32_t word; /* bit 31: writer holds; bit 30: writer waits; rest: counted readers */
  uint8_t rank;
  _Atomic uint64_t cpus; /* [a] whose slots may name the lock */
};

/* [a] written by its CPU alone. */
struct rw_slot {
  _Atomic(struct rwlock *) lock;
} __attribute__((aligned(CACHE_PAIR)));
extern struct rw_slot rw_slots[MAX_CPUS];

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
void rw_readers_wait(struct rwlock *l);

/* Debug builds, under stress: others come in between. */
static inline void given_back(void) {
  if (CATHODE_DEBUG && UNLIKELY(stress_armed)) {
    stress_unlocked();
  }
}

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
  given_back();
}

static inline void rw_init(struct rwlock *l, enum lock_rank rank) {
  atomic_init(&l->word, 0);
  atomic_init(&l->cpus, 0);
  l->rank = (uint8_t)rank;
}

#define RW_WRITER (1u << 31)
#define RW_WAITING (1u << 30)

static inline void rw_lock_shared(struct rwlock *l) ACQUIRES_SHARED(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_acquire(l, l->rank, false, __builtin_return_address(0));
  }
  uint32_t cpu = cpu_id();
  struct rw_slot *slot = &rw_slots[cpu];
  if (LIKELY(atomic_load_explicit(&slot->lock, memory_order_relaxed) == NULL)) {
    atomic_exchange(&slot->lock, l);
    if (UNLIKELY(!(atomic_load_explicit(&l->cpus, memory_order_relaxed) >> cpu & 1))) {
      atomic_fetch_or(&l->cpus, 1ul << cpu);
    }
    if (LIKELY(atomic_load_explicit(&l->word, memory_order_acquire) < RW_WAITING)) {
      return;
    }
    atomic_store_explicit(&slot->lock, NULL, memory_order_release);
  }
  rw_lock_shared_slow(l);
}

static inline void rw_unlock_shared(struct rwlock *l) RELEASES_SHARED(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_release(l);
  }
  struct rw_slot *slot = &rw_slots[cpu_id()];
  if (LIKELY(atomic_load_explicit(&slot->lock, memory_order_relaxed) == l)) {
    atomic_store_explicit(&slot->lock, NULL, memory_order_release);
  } else {
    atomic_fetch_sub_explicit(&l->word, 1, memory_order_release);
  }
  given_back();
}

/* The writer's bit is set: those who read still go first. */
static inline void rw_claim(struct rwlock *l) {
  uint32_t idle = 0;
  if (UNLIKELY(!atomic_compare_exchange_strong(&l->word, &idle, RW_WRITER))) {
    rw_lock_exclusive_slow(l);
  }
  if (UNLIKELY(atomic_load_explicit(&l->cpus, memory_order_acquire) & ~(1ul << cpu_id()))) {
    rw_readers_wait(l);
  }
}

static inline void rw_lock_exclusive(struct rwlock *l) ACQUIRES(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_acquire(l, l->rank, false, __builtin_return_address(0));
  }
  rw_claim(l);
}

/* A second one, ordered by address by the caller. */
static inline void rw_lock_exclusive_second(struct rwlock *l) ACQUIRES(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_acquire(l, l->rank, true, __builtin_return_address(0));
  }
  rw_claim(l);
}

static inline void rw_unlock_exclusive(struct rwlock *l) RELEASES(l) NO_LOCK_CHECK {
  if (CATHODE_DEBUG) {
    lock_debug_release(l);
  }
  atomic_fetch_and_explicit(&l->word, ~RW_WRITER, memory_order_release);
  given_back();
}

#endif
