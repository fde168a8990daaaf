/* Futexes as libc uses them: wait, wake, requeue. Linux's relative timeout becomes a deadline. */
#include "posix/posix.h"

enum {
  LINUX_FUTEX_WAIT = 0,
  LINUX_FUTEX_WAKE = 1,
  LINUX_FUTEX_REQUEUE = 3,
  LINUX_FUTEX_PRIVATE = 128,
};

static long futex_wait(unsigned *word, uint64_t shared, unsigned value,
                       const struct timespec *timeout) {
  uint64_t deadline;
  int64_t result = posix_deadline(timeout, &deadline);
  return result < 0 ? result
                    : posix_retry(SYS_NR_futex, (uint64_t)word, FUTEX_OP_WAIT | shared, value,
                                  deadline, 0, 0);
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
  default:
    return -ABI_ENOSYS;
  }
}
