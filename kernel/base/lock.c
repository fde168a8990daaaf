/* The waiting halves of the locks, and the debug build's check of their order. */
#include "base/lock.h"
#include "base/counter.h"
#include "base/panic.h"

#define HELD_MAX 12u

struct held_lock {
  const void *lock;
  const void *site;
  uint32_t rank;
};

struct held_locks {
  struct held_lock stack[HELD_MAX];
  uint32_t n;
  int narrow; /* > 0: in a path that should take no shared lock */
} __attribute__((aligned(64)));

static struct held_locks held_locks[MAX_CPUS]; /* [o] each CPU its own */

static const char *const rank_names[RANK_COUNT] = {
#define LOCK_RANK(name, text) #name,
#include "base/lock_ranks.def"
#undef LOCK_RANK
};

void spin_lock_slow(struct spinlock *l, uint16_t ticket) {
  while (atomic_load_explicit(&l->serving, memory_order_acquire) != ticket) {
    arch_relax();
  }
}

OF_EACH_CPU struct rw_slot rw_slots[MAX_CPUS];

/* A reader without a slot counts itself; it steps back while a writer holds or waits. */
void rw_lock_shared_slow(struct rwlock *l) {
  while (atomic_fetch_add_explicit(&l->word, 1, memory_order_acquire) >= RW_WAITING) {
    atomic_fetch_sub_explicit(&l->word, 1, memory_order_relaxed);
    while (atomic_load_explicit(&l->word, memory_order_relaxed) >= RW_WAITING) {
      arch_relax();
    }
  }
}

/* Taken out of `cpus` before their slots are looked at: a reader that comes meanwhile enters
 * itself anew, and one that came before has its slot filled [B3]. */
void rw_readers_wait(struct rwlock *l) {
  uint64_t self = 1ul << cpu_id(), seen = atomic_fetch_and(&l->cpus, self) & ~self;
  for (uint64_t rest = seen; rest != 0; rest &= rest - 1) {
    const struct rw_slot *slot = &rw_slots[bit_first(rest)];
    while (atomic_load_explicit(&slot->lock, memory_order_acquire) == l) {
      arch_relax();
    }
  }
}

/* RW_WAITING keeps new readers out; it is dropped by the write that takes the lock, and set again
 * by whoever still waits. */
void rw_lock_exclusive_slow(struct rwlock *l) {
  for (;;) {
    uint32_t old = atomic_load_explicit(&l->word, memory_order_relaxed);
    if ((old & ~RW_WAITING) == 0) {
      if (atomic_compare_exchange_weak(&l->word, &old, RW_WRITER)) {
        return;
      }
    } else if (!(old & RW_WAITING)) {
      atomic_fetch_or_explicit(&l->word, RW_WAITING, memory_order_relaxed);
    }
    arch_relax();
  }
}

void lock_debug_acquire(const void *lock, uint32_t rank, bool second, const void *site) {
  struct held_locks *h = &held_locks[cpu_id()];
  if (h->narrow > 0 && rank != RANK_RUNQ && rank != RANK_WHEEL) {
    counter_add(COUNTER_LOCKS_SHARED, 1);
  }
  if (h->n > 0) {
    const struct held_lock *top = &h->stack[h->n - 1];
    if (second ? top->rank > rank : top->rank >= rank) {
      panic("lock order: %s at %p, while %s is held since %p", rank_names[rank], site,
            rank_names[top->rank], top->site);
    }
  }
  if (h->n == HELD_MAX) {
    panic("more than %u locks held", HELD_MAX);
  }
  h->stack[h->n++] = (struct held_lock){lock, site, rank};
}

void lock_debug_release(const void *lock) {
  struct held_locks *h = &held_locks[cpu_id()];
  for (uint32_t i = h->n; i > 0; i--) {
    if (h->stack[i - 1].lock == lock) {
      for (uint32_t j = i; j < h->n; j++) {
        h->stack[j - 1] = h->stack[j];
      }
      h->n--;
      return;
    }
  }
  panic("unlock of a lock that is not held: %p", lock);
}

void lock_debug_none_held(const char *where) {
  const struct held_locks *h = &held_locks[cpu_id()];
  if (h->n != 0) {
    panic("%s with a lock held: %s since %p", where, rank_names[h->stack[0].rank],
          h->stack[0].site);
  }
}

void lock_debug_narrow_count(int by) {
  held_locks[cpu_id()].narrow += by;
}
