/* The boundary between libc and this folder: call_NAME() for every line of calls.def, under a
 * symbol that no program can have, and the choice of one by its number.
 *
 * libc includes this in place of its system-call instructions. A number that is constant where it
 * is used becomes a plain call of that one function; any other goes through __cathode_dispatch().
 * Names are only pasted, never expanded: headers of libc define some of them as macros (pread64,
 * prlimit64). */
#ifndef CATHODE_POSIX_CALLS_H
#define CATHODE_POSIX_CALLS_H

#include <stddef.h>

struct stat;
struct pollfd;
struct k_sigaction;
struct iovec;
struct timeval;
struct timespec;
struct itimerval;
struct itimerspec;
struct k_sigevent;
struct rusage;
struct utsname;
struct rlimit;
struct sysinfo;
struct tms;
struct sigaltstack;
struct statfs;
struct sched_param;
struct epoll_event;
#define CALL0(nr, name) long call_##name(void) __asm__("__cathode_" #name);
#define CALL1(nr, name, t1, a1) long call_##name(t1 a1) __asm__("__cathode_" #name);
#define CALL2(nr, name, t1, a1, t2, a2) long call_##name(t1 a1, t2 a2) __asm__("__cathode_" #name);
#define CALL3(nr, name, t1, a1, t2, a2, t3, a3)                                                    \
  long call_##name(t1 a1, t2 a2, t3 a3) __asm__("__cathode_" #name);
#define CALL4(nr, name, t1, a1, t2, a2, t3, a3, t4, a4)                                            \
  long call_##name(t1 a1, t2 a2, t3 a3, t4 a4) __asm__("__cathode_" #name);
#define CALL5(nr, name, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5)                                    \
  long call_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5) __asm__("__cathode_" #name);
#define CALL6(nr, name, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5, t6, a6)                            \
  long call_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5, t6 a6) __asm__("__cathode_" #name);
#include "calls.def"
#undef CALL0
#undef CALL1
#undef CALL2
#undef CALL3
#undef CALL4
#undef CALL5
#undef CALL6

long __cathode_dispatch(long nr, long a, long b, long c, long d, long e, long f);

/* The same as a switch; with a constant number one plain call is left of it. */
static inline __attribute__((always_inline)) long call_by_number(long nr, long a, long b, long c,
                                                                 long d, long e, long f) {
  (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
  switch (nr) {
#define CALL0(nr, name)                                                                            \
  case nr:                                                                                         \
    return call_##name();
#define CALL1(nr, name, t1, a1)                                                                    \
  case nr:                                                                                         \
    return call_##name((t1)a);
#define CALL2(nr, name, t1, a1, t2, a2)                                                            \
  case nr:                                                                                         \
    return call_##name((t1)a, (t2)b);
#define CALL3(nr, name, t1, a1, t2, a2, t3, a3)                                                    \
  case nr:                                                                                         \
    return call_##name((t1)a, (t2)b, (t3)c);
#define CALL4(nr, name, t1, a1, t2, a2, t3, a3, t4, a4)                                            \
  case nr:                                                                                         \
    return call_##name((t1)a, (t2)b, (t3)c, (t4)d);
#define CALL5(nr, name, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5)                                    \
  case nr:                                                                                         \
    return call_##name((t1)a, (t2)b, (t3)c, (t4)d, (t5)e);
#define CALL6(nr, name, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5, t6, a6)                            \
  case nr:                                                                                         \
    return call_##name((t1)a, (t2)b, (t3)c, (t4)d, (t5)e, (t6)f);
#include "calls.def"
#undef CALL0
#undef CALL1
#undef CALL2
#undef CALL3
#undef CALL4
#undef CALL5
#undef CALL6
  default:
    return -38; /* ENOSYS */
  }
}

#endif
