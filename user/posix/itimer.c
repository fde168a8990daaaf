/* alarm() and the real interval timer, on timer.c's. The timers of CPU time are not offered. */
#include <sys/time.h>

#include "posix/posix.h"
#include "posix/timer.h"

static bool timeval_valid(const struct timeval *tv) {
  return tv->tv_sec >= 0 && tv->tv_usec >= 0 && tv->tv_usec < 1000000;
}

static struct timespec timespec_of(const struct timeval *tv) {
  return (struct timespec){.tv_sec = tv->tv_sec, .tv_nsec = tv->tv_usec * 1000};
}

/* Rounded up: what is armed never shows as 0. */
static struct timeval timeval_of(const struct timespec *ts) {
  long us = (ts->tv_nsec + 999) / 1000;
  return (struct timeval){.tv_sec = ts->tv_sec + us / 1000000, .tv_usec = us % 1000000};
}

static struct itimerval itimerval_of(const struct itimerspec *spec) {
  return (struct itimerval){.it_interval = timeval_of(&spec->it_interval),
                            .it_value = timeval_of(&spec->it_value)};
}

static int64_t timer_set(const struct itimerval *value, struct itimerval *old) {
  struct itimerspec before;
  struct itimerspec wanted = {.it_interval = timespec_of(&value->it_interval),
                              .it_value = timespec_of(&value->it_value)};
  int64_t result = timer_real_set(&wanted, &before);
  *old = itimerval_of(&before);
  return result;
}

long call_setitimer(int which, const struct itimerval *user_value, struct itimerval *user_old) {
  struct itimerval value, old;
  if (which != ITIMER_REAL) {
    return -ABI_EINVAL;
  }
  if (user_get(&value, user_value, sizeof(value)) < 0) {
    return -ABI_EFAULT;
  }
  if (!timeval_valid(&value.it_value) || !timeval_valid(&value.it_interval)) {
    return -ABI_EINVAL;
  }
  int64_t result = timer_set(&value, &old);
  return result < 0 ? result : user_old ? user_put(user_old, &old, sizeof(old)) : 0;
}

long call_getitimer(int which, struct itimerval *user) {
  struct itimerspec now;
  if (which != ITIMER_REAL) {
    return -ABI_EINVAL;
  }
  int64_t result = timer_real_get(&now);
  struct itimerval value = itimerval_of(&now);
  return result < 0 ? result : user_put(user, &value, sizeof(value));
}

/* Seconds that were left are rounded to the nearest, at least 1, as in Linux. */
long call_alarm(unsigned seconds) {
  struct itimerval value = {.it_value = {.tv_sec = seconds}}, old;
  int64_t result = timer_set(&value, &old);
  long left = (long)old.it_value.tv_sec + (old.it_value.tv_usec >= 500000);
  bool armed = old.it_value.tv_sec != 0 || old.it_value.tv_usec != 0;
  return result < 0 ? result : armed && left == 0 ? 1 : left;
}
