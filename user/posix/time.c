/* Clocks and sleeps. The monotonic clock is the time stamp counter, scaled by the start block's
 * abi_clock: reading it enters no kernel. Deadlines are monotonic nanoseconds. */
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include "posix/posix.h"
#include "posix/timer.h"
#include "runtime/process.h"

#define NS_PER_SECOND 1000000000ull
#define TICKS_PER_SECOND 100ull /* of times(2), and AT_CLKTCK */

uint64_t posix_now(void) {
  const struct abi_clock *clock = &rt_start_block()->clock;
  uint64_t ticks = __builtin_ia32_rdtsc() - clock->base_tsc;
  return clock->base_ns + (uint64_t)(((unsigned __int128)ticks * clock->mult) >> 32);
}

struct timespec posix_timespec_of(uint64_t ns) {
  return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_SECOND),
                           .tv_nsec = (long)(ns % NS_PER_SECOND)};
}

static struct timeval timeval_of(uint64_t ns) {
  return (struct timeval){.tv_sec = (time_t)(ns / NS_PER_SECOND),
                          .tv_usec = (suseconds_t)(ns % NS_PER_SECOND / 1000)};
}

static uint64_t realtime(void) {
  return posix_now() + (uint64_t)rt_start_block()->clock.realtime_offset_ns;
}

/* ---- reading ------------------------------------------------------------------------------ */

static int64_t clock_read(int clock) {
  switch (clock) {
  case CLOCK_REALTIME:
  case CLOCK_REALTIME_COARSE:
    return (int64_t)realtime();
  case CLOCK_MONOTONIC:
  case CLOCK_MONOTONIC_RAW:
  case CLOCK_MONOTONIC_COARSE:
  case CLOCK_BOOTTIME:
    return (int64_t)posix_now();
  case CLOCK_PROCESS_CPUTIME_ID:
    return sys_clock(CLOCK_ID_CPU_GROUP);
  case CLOCK_THREAD_CPUTIME_ID:
    return sys_clock(CLOCK_ID_CPU_CONTEXT);
  default:
    return -ABI_EINVAL;
  }
}

long call_clock_gettime(int clock, struct timespec *user) {
  int64_t ns = clock_read(clock);
  struct timespec time = posix_timespec_of((uint64_t)ns);
  return ns < 0 ? ns : user_put(user, &time, sizeof(time));
}

long call_clock_getres(int clock, struct timespec *user) {
  int64_t ns = clock_read(clock);
  struct timespec resolution = {.tv_nsec = 1};
  return ns < 0 ? ns : user ? user_put(user, &resolution, sizeof(resolution)) : 0;
}

/* Nobody may set a clock: it is the machine's. */
long call_clock_settime(int clock, const struct timespec *user) {
  struct timespec time;
  if (clock_read(clock) < 0 || clock != CLOCK_REALTIME) {
    return -ABI_EINVAL;
  }
  return user_get(&time, user, sizeof(time)) < 0 ? -ABI_EFAULT : -ABI_EPERM;
}

long call_gettimeofday(struct timeval *user, void *zone) {
  (void)zone;
  struct timeval time = timeval_of(realtime());
  return user ? user_put(user, &time, sizeof(time)) : 0;
}

/* ---- deadlines ---------------------------------------------------------------------------- */

int64_t posix_ns_of(const struct timespec *time, uint64_t *ns) {
  if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec >= (long)NS_PER_SECOND) {
    return -ABI_EINVAL;
  }
  if (__builtin_mul_overflow((uint64_t)time->tv_sec, NS_PER_SECOND, ns) ||
      __builtin_add_overflow(*ns, (uint64_t)time->tv_nsec, ns)) {
    *ns = NO_DEADLINE - 1;
  }
  return 0;
}

static int64_t timespec_take(const struct timespec *user, uint64_t *ns) {
  struct timespec time;
  return user_get(&time, user, sizeof(time)) < 0 ? -ABI_EFAULT : posix_ns_of(&time, ns);
}

static uint64_t deadline_after(uint64_t ns) {
  uint64_t deadline;
  return __builtin_add_overflow(posix_now(), ns, &deadline) || deadline == NO_DEADLINE
             ? NO_DEADLINE - 1
             : deadline;
}

int64_t posix_deadline(const struct timespec *wanted, uint64_t *deadline) {
  uint64_t ns;
  *deadline = NO_DEADLINE;
  if (!wanted) {
    return 0;
  }
  int64_t result = timespec_take(wanted, &ns);
  if (result == 0) {
    *deadline = ns == 0 ? 0 : deadline_after(ns); /* 0 is always past */
  }
  return result;
}

/* The monotonic time at which the real clock shows ns. */
static uint64_t monotonic_of(uint64_t ns) {
  uint64_t offset = (uint64_t)rt_start_block()->clock.realtime_offset_ns;
  return ns > offset ? ns - offset : 0;
}

int64_t posix_deadline_real(const struct timespec *until, uint64_t *deadline) {
  uint64_t ns = 0;
  int64_t result = until ? timespec_take(until, &ns) : 0;
  *deadline = until ? monotonic_of(ns) : NO_DEADLINE;
  return result;
}

uint64_t posix_deadline_ms(int timeout_ms) {
  return timeout_ms < 0    ? NO_DEADLINE
         : timeout_ms == 0 ? 0
                           : deadline_after((uint64_t)timeout_ms * 1000000);
}

/* ---- sleeping ----------------------------------------------------------------------------- */

/* Sleeps even when the deadline has passed meanwhile; EINTR fills in what is left. */
static long sleep_until(uint64_t deadline, struct timespec *left) {
  int64_t result = posix_wait(SYS_NR_sleep, deadline, 0, 0, 0);
  if (result == -ABI_EINTR && left) {
    uint64_t now = posix_now();
    struct timespec rest = posix_timespec_of(now < deadline ? deadline - now : 0);
    return user_put(left, &rest, sizeof(rest)) < 0 ? -ABI_EFAULT : -ABI_EINTR;
  }
  return result == -ABI_ETIMEDOUT ? 0 : result;
}

long call_clock_nanosleep(int clock, int flags, const struct timespec *wanted,
                          struct timespec *left) {
  uint64_t ns;
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME) {
    return clock == CLOCK_PROCESS_CPUTIME_ID ? -ABI_EOPNOTSUPP : -ABI_EINVAL;
  }
  int64_t result = timespec_take(wanted, &ns);
  if (result < 0) {
    return result;
  }
  if (!(flags & TIMER_ABSTIME)) {
    return sleep_until(deadline_after(ns), left);
  }
  return sleep_until(clock == CLOCK_REALTIME ? monotonic_of(ns) : ns, NULL);
}

long call_nanosleep(const struct timespec *wanted, struct timespec *left) {
  return call_clock_nanosleep(CLOCK_MONOTONIC, 0, wanted, left);
}

/* ---- CPU time ----------------------------------------------------------------------------- */

/* The kernel counts a living process's time in one sum; all of it is shown as user time. */
static int64_t cpu_times(int who, uint64_t *user_ns, uint64_t *system_ns) {
  *system_ns = 0;
  if (who == RUSAGE_CHILDREN) {
    rt_wait_times(user_ns, system_ns);
    return 0;
  }
  int64_t ns = sys_clock(who == RUSAGE_THREAD ? CLOCK_ID_CPU_CONTEXT : CLOCK_ID_CPU_GROUP);
  *user_ns = (uint64_t)ns;
  return ns < 0 ? ns : 0;
}

long call_getrusage(int who, struct rusage *user) {
  uint64_t user_ns, system_ns;
  if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD) {
    return -ABI_EINVAL;
  }
  int64_t result = cpu_times(who, &user_ns, &system_ns);
  /* Linux's structure ends where libc's reserve begins. */
  struct rusage usage = {.ru_utime = timeval_of(user_ns), .ru_stime = timeval_of(system_ns)};
  return result < 0 ? result : user_put(user, &usage, offsetof(struct rusage, __reserved));
}

long call_times(struct tms *user) {
  uint64_t own[2], dead[2], tick = NS_PER_SECOND / TICKS_PER_SECOND;
  int64_t result = cpu_times(RUSAGE_SELF, &own[0], &own[1]);
  result = result < 0 ? result : cpu_times(RUSAGE_CHILDREN, &dead[0], &dead[1]);
  struct tms times = {(clock_t)(own[0] / tick), (clock_t)(own[1] / tick), (clock_t)(dead[0] / tick),
                      (clock_t)(dead[1] / tick)};
  if (result < 0 || (user && user_put(user, &times, sizeof(times)) < 0)) {
    return result < 0 ? result : -ABI_EFAULT;
  }
  return (long)(posix_now() / tick);
}
