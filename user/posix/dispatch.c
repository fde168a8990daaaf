/* Calls whose number is known only when they are made: syscall(2), and libc's cancellation points.
 *
 * Cancellation. libc asks for a blocking call that a pthread_cancel() ends whenever it comes. It
 * sets the target's flag and sends it a signal; if that signal's handler runs after the look at the
 * flag but before the kernel sleeps, rt_block() still sees posix_self.cancelled and does not sleep.
 */
#include "posix/posix.h"

long __cathode_dispatch(long nr, long a, long b, long c, long d, long e, long f) {
  return call_by_number(nr, a, b, c, d, e, f);
}

/* Named by libc. */
long __syscall_cp_asm(volatile int *cancel, long nr, long a, long b, long c, long d, long e,
                      long f);
long __cancel(void);

long __syscall_cp_asm(volatile int *cancel, long nr, long a, long b, long c, long d, long e,
                      long f) {
  struct posix_thread *self = &posix_self;
  self->cancelled = 0;
  self->in_point = 1;
  long result = *cancel ? __cancel() : call_by_number(nr, a, b, c, d, e, f);
  self->in_point = 0;
  self->cancelled = 0;
  return result;
}
