/* Futexes as libc uses them: wait, wake, requeue, and locks with priority inheritance. Linux's
 * relative timeout becomes a deadline; that of a lock is a time of the real clock already. */
#include "posix/posix.h"
#include "posix/timer.h"

enum {
  LINUX_FUTEX_WAIT = 0,
  LINUX_FUTEX_WAKE = 1,
  LINUX_FUTEX_REQUEUE = 3,
  LINUX_FUTEX_LOCK_PI = 6,
  LINUX_FUTEX_UNLOCK_PI = 7,
  LINUX_FUTEX_TRYLOCK_PI = 8,
  LINUX_FUTEX_PRIVATE = 128,
};

static long futex_wait(unsigned *word, uint64_t shared, unsigned value,
                       const struct timespec *timeout) {
  uint64_t deadline;
  int64_t result = posix_deadline(timeout, &deadline);
  return result < 0 ? result
                    : posix_retry6(SYS_NR_futex, (uint64_t)word, FUTEX_OP_WAIT | shared, value,
                                   deadline, 0, 0);
}

static long futex_lock_pi(unsigned *word, uint64_t shared, const struct timespec *until) {
  uint64_t deadline;
  int64_t result = posix_deadline_real(until, &deadline);
  return result < 0
             ? result
             : posix_wait(SYS_NR_futex, (uint64_t)word, FUTEX_OP_LOCK_PI | shared, 0, deadline);
}

static long futex_trylock_pi(unsigned *word, uint64_t shared) {
  int64_t result = sys_futex(word, FUTEX_OP_LOCK_PI | shared, 0, 0, NULL, 0);
  return result == -ABI_ETIMEDOUT ? -ABI_EAGAIN : result;
}

/* For REQUEUE the timeout argument is a number: how many may move. */
long call_futex(unsigned *word, int op, unsigned value, const struct timespec *timeout,
                unsigned *word2, unsigned value3) {
  (void)value3;
  uint64_t shared = op & LINUX_FUTEX_PRIVATE ? 0 : FUTEX_OP_SHARED;
  switch (op & ~LINUX_FUTEX_PRIVATE) {
  case LINUX_FUTEX_WAIT:
    return futex_wait(word, shared, value, timeout);
  case LINUX_FUTEX_WAKE:
    return sys_futex(word, FUTEX_OP_WAKE | shared, value, 0, NULL, 0);
  case LINUX_FUTEX_REQUEUE:
    return sys_futex(word, FUTEX_OP_REQUEUE | shared, value, 0, word2, (uint64_t)timeout);
  case LINUX_FUTEX_LOCK_PI:
    return futex_lock_pi(word, shared, timeout);
  case LINUX_FUTEX_UNLOCK_PI:
    return sys_futex(word, FUTEX_OP_UNLOCK_PI | shared, 0, 0, NULL, 0);
  case LINUX_FUTEX_TRYLOCK_PI:
    return futex_trylock_pi(word, shared);
  default:
    return -ABI_ENOSYS;
  }
}
