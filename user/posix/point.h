/* Cancellation points: the calls of libc that pthread_cancel() ends whenever it comes.
 * syscall_arch.h includes this for libc.
 *
 * As long as nobody wants this thread to end, one is a call like any other between two stores,
 * which tell the signal that might come (signal.c). All else is libc's own: __syscall_cp(). Its two
 * words about a thread are known by their place behind the thread pointer; that they are there is
 * asserted in its pthread_cancel.c (musl/edits.sed). */
#ifndef CATHODE_POSIX_POINT_H
#define CATHODE_POSIX_POINT_H

#include "calls.h"

#define POINT_CANCEL 60  /* int: pthread_cancel() has been called */
#define POINT_DISABLE 64 /* char: not to be ended now */

/* 1 inside of a point. */
extern __thread volatile int posix_in_point __asm__("__cathode_in_point")
    __attribute__((tls_model("local-exec")));

/* Somebody has asked during the call, which answered this. */
long __cathode_point_end(long nr, long result);

/* Named by libc. */
long __syscall_cp(long nr, long a, long b, long c, long d, long e, long f)
    __attribute__((visibility("hidden")));

static inline __attribute__((always_inline)) _Bool point_cancel(void) {
  _Bool is;
  __asm__ volatile("cmpl $0, %%fs:%c1" : "=@ccne"(is) : "i"(POINT_CANCEL));
  return is;
}

static inline __attribute__((always_inline)) _Bool point_disable(void) {
  _Bool is;
  __asm__ volatile("cmpb $0, %%fs:%c1" : "=@ccne"(is) : "i"(POINT_DISABLE));
  return is;
}

static inline __attribute__((always_inline)) long point_call(long nr, long a, long b, long c,
                                                             long d, long e, long f) {
  if (__builtin_expect(point_disable(), 0)) {
    return (__syscall_cp)(nr, a, b, c, d, e, f);
  }
  posix_in_point = 1; /* before the look: a signal from here on ends the call */
  if (__builtin_expect(point_cancel(), 0)) {
    return (__syscall_cp)(nr, a, b, c, d, e, f);
  }
  long result = call_by_number(nr, a, b, c, d, e, f);
  posix_in_point = 0;
  return __builtin_expect(point_cancel(), 0) ? __cathode_point_end(nr, result) : result;
}

#endif
