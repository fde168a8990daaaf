/* Between timer.c, which has the timers of this process that signal it, and signal.c, start.c. */
#ifndef CATHODE_POSIX_TIMER_H
#define CATHODE_POSIX_TIMER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#include "posix/signal.h"

/* Whose expiry a signal tells. */
struct timer_event {
  int id;         /* of timer_create(); TIMER_REAL: the real interval timer */
  int overrun;    /* expiries beyond the one that is told */
  uint64_t value; /* sigev_value */
};
#define TIMER_REAL (-1)

/* Has a timer brought this signal? Collects its expiries, which arms it again. `tid`: the calling
 * thread, diverted and inhibited. Where several timers share the signal, it is sent again for the
 * next. */
bool timer_collect_all(unsigned sig, uint32_t tid, struct timer_event *event);
extern uint64_t timer_signals; /* that a timer has ever used; grows under timer.c's lock */
static inline bool timer_take(unsigned sig, uint32_t tid, struct timer_event *event) {
  return (__atomic_load_n(&timer_signals, __ATOMIC_ACQUIRE) & signal_bit(sig)) &&
         timer_collect_all(sig, tid, event);
}

/* The signal has got a handler: timers that expired while it was ignored go on. */
void timer_resume(unsigned sig);

/* In the child of a fork: timers are not inherited. */
void timer_forget(void);
/* In the child of a vfork: it has none, and leaves the parent's as they are. */
void timer_hide(void);

/* The real interval timer's descriptor, which exec passes on; FD_NONE: there is none. */
int timer_real_fd(void);
void timer_real_adopt(int fd);

/* Set and ask the real interval timer; relative. */
[[nodiscard]] int64_t timer_real_set(const struct itimerspec *value, struct itimerspec *old);
[[nodiscard]] int64_t timer_real_get(struct itimerspec *now);

/* Nanoseconds of a valid time, at most NO_DEADLINE - 1. Fails: EINVAL. */
[[nodiscard]] int64_t posix_ns_of(const struct timespec *time, uint64_t *ns);
struct timespec posix_timespec_of(uint64_t ns);

#endif
