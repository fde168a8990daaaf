/* libc's system calls for Cathode: function calls into user/posix. */
#include "point.h"

#define __SYSCALL_LL_E(x) (x)
#define __SYSCALL_LL_O(x) (x)

static inline __attribute__((always_inline)) long __cathode_call(long nr, long a, long b, long c,
                                                                 long d, long e, long f) {
  return __builtin_constant_p(nr) ? call_by_number(nr, a, b, c, d, e, f)
                                  : __cathode_dispatch(nr, a, b, c, d, e, f);
}

#define __cathode_call_inline static inline __attribute__((always_inline)) long

__cathode_call_inline __syscall0(long nr) {
  return __cathode_call(nr, 0, 0, 0, 0, 0, 0);
}

__cathode_call_inline __syscall1(long nr, long a) {
  return __cathode_call(nr, a, 0, 0, 0, 0, 0);
}

__cathode_call_inline __syscall2(long nr, long a, long b) {
  return __cathode_call(nr, a, b, 0, 0, 0, 0);
}

__cathode_call_inline __syscall3(long nr, long a, long b, long c) {
  return __cathode_call(nr, a, b, c, 0, 0, 0);
}

__cathode_call_inline __syscall4(long nr, long a, long b, long c, long d) {
  return __cathode_call(nr, a, b, c, d, 0, 0);
}

__cathode_call_inline __syscall5(long nr, long a, long b, long c, long d, long e) {
  return __cathode_call(nr, a, b, c, d, e, 0);
}

__cathode_call_inline __syscall6(long nr, long a, long b, long c, long d, long e, long f) {
  return __cathode_call(nr, a, b, c, d, e, f);
}

#define IPC_64 0
