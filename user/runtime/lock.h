/* A sleeping lock of one word, for the runtime's own tables, which may be held for as long as a
 * fork takes. Not recursive. A holder must not be diverted to a handler that takes the same lock:
 * callers in libc block signals first.
 *
 *   FREE     nobody has it
 *   HELD     somebody has it
 *   WAITED   somebody has it, and others may sleep
 *   PASSED   it is for one who was woken, and nobody else
 *
 *   FREE -> HELD or WAITED   taken               HELD -> FREE     dropped
 *   HELD -> WAITED           before a sleep      WAITED -> PASSED -> WAITED  dropped, and taken
 *   WAITED -> PASSED -> FREE dropped, but nobody slept: whoever then fell asleep on PASSED is woken
 *
 * It is passed on, because a lock that is free at once for who happens to run is never free for who
 * has to wake up first: where all forks of a program take turns, one of its threads could wait
 * for ever. model/lock.pml explores this. */
#ifndef CATHODE_RUNTIME_LOCK_H
#define CATHODE_RUNTIME_LOCK_H

#include <stdbool.h>

#include "runtime/syscall.h"

enum { RT_LOCK_FREE, RT_LOCK_HELD, RT_LOCK_WAITED, RT_LOCK_PASSED };

struct rt_lock {
  uint32_t word;
};

static inline bool rt_lock_turn(struct rt_lock *lock, uint32_t from, uint32_t to) {
  return __atomic_compare_exchange_n(&lock->word, &from, to, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED);
}

/* Sleeps until it may be had. Others may sleep too, so it is taken as waited for. */
static inline void rt_lock_wait(struct rt_lock *lock) {
  for (bool woken = false;;) {
    uint32_t seen = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
    if (seen == RT_LOCK_FREE || (seen == RT_LOCK_PASSED && woken)) {
      if (rt_lock_turn(lock, seen, RT_LOCK_WAITED)) {
        return;
      }
    } else if (seen != RT_LOCK_HELD || rt_lock_turn(lock, RT_LOCK_HELD, RT_LOCK_WAITED)) {
      uint32_t expected = seen == RT_LOCK_HELD ? RT_LOCK_WAITED : seen;
      /* 0: woken. Refused or interrupted: look again. */
      woken = sys_futex(&lock->word, FUTEX_OP_WAIT, expected, NO_DEADLINE, NULL, 0) == 0;
    }
  }
}

static inline void rt_lock_take(struct rt_lock *lock) {
  if (!rt_lock_turn(lock, RT_LOCK_FREE, RT_LOCK_HELD)) {
    rt_lock_wait(lock);
  }
}

static inline void rt_lock_drop(struct rt_lock *lock) {
  if (rt_lock_turn(lock, RT_LOCK_HELD, RT_LOCK_FREE)) {
    return;
  }
  __atomic_store_n(&lock->word, RT_LOCK_PASSED, __ATOMIC_RELEASE);
  if (sys_futex(&lock->word, FUTEX_OP_WAKE, 1, 0, NULL, 0) == 0 &&
      rt_lock_turn(lock, RT_LOCK_PASSED, RT_LOCK_FREE)) {
    (void)sys_futex(&lock->word, FUTEX_OP_WAKE, 1, 0, NULL, 0);
  }
}

#endif
