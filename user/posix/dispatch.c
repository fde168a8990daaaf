/* Calls whose number is known only when they are made: syscall(2), and libc's cancellation points
 * when there is more to them than point_call() does.
 *
 * Cancellation. libc asks for a blocking call that a pthread_cancel() ends whenever it comes. It
 * sets the target's flag and sends it a signal; if that signal's handler runs after the look at the
 * flag but before the kernel sleeps, the call still sees posix_self.cancelled and does not sleep.
 * Outside of points that is 0: only a signal inside of one sets it, and its end clears it.
 */
#include <sys/syscall.h>

#include "posix/posix.h"

__thread volatile int posix_in_point;

long __cathode_dispatch(long nr, long a, long b, long c, long d, long e, long f) {
  return call_by_number(nr, a, b, c, d, e, f);
}

/* Named by libc. */
long __syscall_cp_asm(volatile int *cancel, long nr, long a, long b, long c, long d, long e,
                      long f);
long __cancel(void);
void __testcancel(void);

long __syscall_cp_asm(volatile int *cancel, long nr, long a, long b, long c, long d, long e,
                      long f) {
  posix_in_point = 1;
  long result = *cancel ? __cancel() : call_by_number(nr, a, b, c, d, e, f);
  posix_in_point = 0;
  posix_self.cancelled = 0;
  return result;
}

/* A call that was over before the request stands; close() is over, even where it was interrupted.
 */
long __cathode_point_end(long nr, long result) {
  posix_self.cancelled = 0;
  if (result == -ABI_EINTR && nr != SYS_close) {
    __testcancel();
  }
  return result;
}
