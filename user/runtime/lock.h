/* A sleeping lock of one word, for the runtime's own tables: 0 free, 1 held, 2 held and waited for
 * (Drepper, "Futexes are tricky", mutex 2). Not recursive. A holder must not be diverted to a
 * handler that takes the same lock: callers in libc block signals first. */
#ifndef CATHODE_RUNTIME_LOCK_H
#define CATHODE_RUNTIME_LOCK_H

#include <stdbool.h>

#include "runtime/syscall.h"

struct rt_lock {
  uint32_t word;
};

static inline void rt_lock_take(struct rt_lock *lock) {
  uint32_t seen = 0;
  if (__atomic_compare_exchange_n(&lock->word, &seen, 1, false, __ATOMIC_ACQUIRE,
                                  __ATOMIC_RELAXED)) {
    return;
  }
  while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0) {
    /* Woken, refused or interrupted: all mean to look again. */
    (void)sys_futex(&lock->word, FUTEX_OP_WAIT, 2, NO_DEADLINE, NULL, 0);
  }
}

static inline void rt_lock_drop(struct rt_lock *lock) {
  if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2) {
    (void)sys_futex(&lock->word, FUTEX_OP_WAKE, 1, 0, NULL, 0);
  }
}

#endif
