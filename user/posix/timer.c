/* Timers: timerfd, POSIX timers, and the real interval timer. Each is a timer of the kernel's
 * (time:); a descriptor in the upper table unless it is the program's own.
 *
 * The kernel posts a timer's signal when it expires, and lets it rest until its expiries are
 * collected. That happens in the dispatcher, when the signal arrives (timer_take()): so an expiry
 * is told once however long its signal was blocked, the others are overruns, and the next one lies
 * a whole number of intervals after the first.
 *
 * POSIX timers end with fork and exec (their descriptors do); the real interval timer ends with
 * fork alone: exec hands its descriptor on.
 *
 * The lock is taken with handlers kept away, so the dispatcher never finds its own thread holding
 * it. Limits: TIMERS_MOST; clocks of CPU time have no timers. */
#include <limits.h>
#include <signal.h>
#include <sys/timerfd.h>

#include "posix/posix.h"
#include "posix/signal.h"
#include "posix/timer.h"
#include "runtime/process.h"

#define TIMERS_MOST 256
#define PRIVATE_FLAGS (O_ABI_RDWR | O_ABI_NONBLOCK | O_ABI_UPPER | O_ABI_CLOFORK)

/* What libc hands to timer_create. */
struct k_sigevent {
  union sigval value;
  int signo, notify, tid;
};

struct posix_timer {
  bool used;
  int fd;
  uint32_t signo; /* 0: nobody is told */
  uint32_t tid;   /* the thread that is told, 0: any */
  int overrun;    /* of the expiry last told */
  uint64_t value;
  uint64_t expired; /* collected, not told */
};

static struct rt_lock lock;
static struct posix_timer real;                      /* [lock] */
static struct posix_timer timers[TIMERS_MOST] LARGE; /* [lock] */
static int n_timers;                                 /* [lock] all used ones lie below */
uint64_t timer_signals;                              /* [lock/r] that a timer has ever used */

/* ---- the kernel's timers ------------------------------------------------------------------ */

static int64_t timer_open(int clock, uint32_t flags) {
  switch (clock) {
  case CLOCK_REALTIME:
    return sys_openat(FD_NS, "time:/realtime", 14, flags, 0);
  case CLOCK_MONOTONIC:
  case CLOCK_BOOTTIME:
    return sys_openat(FD_NS, "time:/monotonic", 15, flags, 0);
  case CLOCK_PROCESS_CPUTIME_ID:
  case CLOCK_THREAD_CPUTIME_ID:
    return -ABI_EOPNOTSUPP;
  default:
    return -ABI_EINVAL;
  }
}

static struct itimerspec itimerspec_of(const struct time_setting *setting) {
  return (struct itimerspec){.it_interval = posix_timespec_of(setting->interval_ns),
                             .it_value = posix_timespec_of(setting->value_ns)};
}

/* An absolute time 0 disarms, as a relative one does. */
static int64_t timer_write(int fd, bool absolute, const struct itimerspec *value,
                           struct itimerspec *old) {
  struct time_setting setting;
  int64_t result = posix_ns_of(&value->it_value, &setting.value_ns);
  result = result < 0 ? result : posix_ns_of(&value->it_interval, &setting.interval_ns);
  result = result < 0 ? result
                      : sys_call(fd, OP_TIME_SET, &setting, sizeof(setting), sizeof(setting),
                                 absolute ? TIME_ABSOLUTE : 0);
  if (result == 0) {
    *old = itimerspec_of(&setting);
  }
  return result;
}

static int64_t timer_read(int fd, struct itimerspec *now) {
  struct time_setting setting;
  int64_t result = sys_call(fd, OP_TIME_GET, &setting, 0, sizeof(setting), 0);
  if (result == 0) {
    *now = itimerspec_of(&setting);
  }
  return result;
}

/* ---- timerfd ------------------------------------------------------------------------------ */

_Static_assert(TFD_NONBLOCK == O_ABI_NONBLOCK && TFD_CLOEXEC == O_ABI_CLOEXEC, "the same bits");

/* A descriptor that is no timer knows no such operation, in the kernel's words or in a server's:
 * for libc that is EINVAL. */
static long timerfd_result(int64_t result) {
  return result == -ABI_ENOTTY || result == -ABI_EOPNOTSUPP ? -ABI_EINVAL : result;
}

long call_timerfd_create(int clock, int flags) {
  if (flags & ~(TFD_NONBLOCK | TFD_CLOEXEC)) {
    return -ABI_EINVAL;
  }
  int64_t fd = timer_open(clock, (uint32_t)flags | O_ABI_RDWR);
  return fd == -ABI_EOPNOTSUPP ? -ABI_EINVAL : fd;
}

/* Nobody can set the clock, so TFD_TIMER_CANCEL_ON_SET has nothing to do. */
long call_timerfd_settime(int fd, int flags, const struct itimerspec *user_value,
                          struct itimerspec *user_old) {
  struct itimerspec value, old;
  if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) {
    return -ABI_EINVAL;
  }
  if (user_get(&value, user_value, sizeof(value)) < 0) {
    return -ABI_EFAULT;
  }
  int64_t result = timer_write(fd, flags & TFD_TIMER_ABSTIME, &value, &old);
  return result < 0 ? timerfd_result(result) : user_old ? user_put(user_old, &old, sizeof(old)) : 0;
}

long call_timerfd_gettime(int fd, struct itimerspec *user) {
  struct itimerspec now;
  int64_t result = timer_read(fd, &now);
  return result < 0 ? timerfd_result(result) : user_put(user, &now, sizeof(now));
}

/* ---- POSIX timers ------------------------------------------------------------------------- */

/* Under the lock; NULL when all are in use. */
static struct posix_timer *timer_free_slot(int *id) {
  for (*id = 0; *id < TIMERS_MOST; (*id)++) {
    if (!timers[*id].used) {
      return &timers[*id];
    }
  }
  return NULL;
}

/* Under the lock; NULL for an id that is none. */
static struct posix_timer *timer_find(int id) {
  return id >= 0 && id < n_timers && timers[id].used ? &timers[id] : NULL;
}

/* Under the lock: opened, and bound to its signal. */
static int64_t timer_bind(struct posix_timer *t, int clock, uint32_t flags) {
  int64_t fd = timer_open(clock, PRIVATE_FLAGS | flags);
  if (fd < 0) {
    return fd;
  }
  int64_t result = t->signo == 0 ? 0
                                 : sys_call((int)fd, OP_TIME_SIGNAL, NULL, 0, 0,
                                            t->signo | (uint64_t)t->tid << 32);
  if (result < 0) {
    (void)sys_close((int)fd);
    return result;
  }
  t->fd = (int)fd;
  t->used = true;
  if (t->signo != 0) {
    __atomic_fetch_or(&timer_signals, signal_bit(t->signo), __ATOMIC_RELEASE);
  }
  return 0;
}

static int64_t event_check(const struct k_sigevent *event) {
  bool thread = event->notify == SIGEV_THREAD_ID;
  if (event->notify == SIGEV_NONE) {
    return 0;
  }
  return (event->notify != SIGEV_SIGNAL && !thread) || event->signo < 1 || event->signo > 64 ||
                 (thread && event->tid <= 0)
             ? -ABI_EINVAL
             : 0;
}

static int64_t timer_make(int clock, const struct k_sigevent *event, bool value_is_id, int *id) {
  posix_lock_take(&lock);
  struct posix_timer *t = timer_free_slot(id);
  int64_t result = -ABI_EAGAIN;
  if (t) {
    *t = (struct posix_timer){
        .fd = FD_NONE,
        .signo = event->notify == SIGEV_NONE ? 0 : (uint32_t)event->signo,
        .tid = event->notify == SIGEV_THREAD_ID ? (uint32_t)event->tid : 0,
        .value = value_is_id ? (uint64_t)*id : (uint64_t)event->value.sival_ptr,
    };
    result = timer_bind(t, clock, O_ABI_CLOEXEC);
    n_timers = result == 0 && *id >= n_timers ? *id + 1 : n_timers;
  }
  posix_lock_drop(&lock);
  return result == -ABI_ESRCH ? -ABI_EINVAL : result;
}

static int64_t timer_drop(int id) {
  posix_lock_take(&lock);
  struct posix_timer *t = timer_find(id);
  if (t) {
    (void)sys_close(t->fd); /* ours: it is open */
    t->used = false;
  }
  posix_lock_drop(&lock);
  return t ? 0 : -ABI_EINVAL;
}

long call_timer_create(int clock, struct k_sigevent *user_event, int *user_id) {
  struct k_sigevent event = {.notify = SIGEV_SIGNAL, .signo = SIGALRM};
  int id;
  if (user_event && user_get(&event, user_event, sizeof(event)) < 0) {
    return -ABI_EFAULT;
  }
  int64_t result = event_check(&event);
  result = result < 0 ? result : timer_make(clock, &event, !user_event, &id);
  if (result == 0 && user_put(user_id, &id, sizeof(id)) < 0) {
    (void)timer_drop(id); /* made just now */
    return -ABI_EFAULT;
  }
  return result;
}

long call_timer_delete(int id) {
  return timer_drop(id);
}

long call_timer_settime(int id, int flags, const struct itimerspec *user_value,
                        struct itimerspec *user_old) {
  struct itimerspec value, old;
  if (user_get(&value, user_value, sizeof(value)) < 0) {
    return -ABI_EFAULT;
  }
  posix_lock_take(&lock);
  struct posix_timer *t = timer_find(id);
  int64_t result = t ? timer_write(t->fd, flags & TIMER_ABSTIME, &value, &old) : -ABI_EINVAL;
  if (result == 0) {
    t->expired = 0;
  }
  posix_lock_drop(&lock);
  return result < 0 ? result : user_old ? user_put(user_old, &old, sizeof(old)) : 0;
}

long call_timer_gettime(int id, struct itimerspec *user) {
  struct itimerspec now;
  posix_lock_take(&lock);
  struct posix_timer *t = timer_find(id);
  int64_t result = t ? timer_read(t->fd, &now) : -ABI_EINVAL;
  posix_lock_drop(&lock);
  return result < 0 ? result : user_put(user, &now, sizeof(now));
}

long call_timer_getoverrun(int id) {
  posix_lock_take(&lock);
  struct posix_timer *t = timer_find(id);
  long result = t ? t->overrun : -ABI_EINVAL;
  posix_lock_drop(&lock);
  return result;
}

/* ---- expiries ----------------------------------------------------------------------------- */

/* Under the lock: does it tell this thread by this signal, and has it expired? */
static bool timer_collect(struct posix_timer *t, unsigned sig, uint32_t tid) {
  uint64_t n;
  if (!t->used || t->signo != sig || (t->tid != 0 && t->tid != tid)) {
    return false;
  }
  if (sys_read(t->fd, &n, sizeof(n)) == sizeof(n)) { /* else EAGAIN: not expired */
    t->expired += n;
  }
  return t->expired != 0;
}

static void timer_tell(struct posix_timer *t, struct timer_event *event) {
  t->overrun = t->expired - 1 < INT_MAX ? (int)(t->expired - 1) : INT_MAX;
  t->expired = 0;
  *event = (struct timer_event){
      .id = t == &real ? TIMER_REAL : (int)(t - timers), .overrun = t->overrun, .value = t->value};
}

static void signal_again(const struct posix_timer *t) {
  struct proc_op op = {.code = t->tid != 0 ? PROC_SIGNAL_THREAD : PROC_SIGNAL, .a = t->signo};
  (void)rt_apply(FD_SELF, &op, 1); /* to ourselves: cannot fail */
}

bool timer_collect_all(unsigned sig, uint32_t tid, struct timer_event *event) {
  struct posix_timer *found = NULL, *next = NULL;
  rt_lock_take(&lock);
  for (int i = -1; i < n_timers; i++) {
    struct posix_timer *t = i < 0 ? &real : &timers[i];
    if (timer_collect(t, sig, tid)) {
      next = found && !next ? t : next;
      found = found ? found : t;
    }
  }
  if (found) {
    timer_tell(found, event);
  }
  if (next) {
    signal_again(next);
  }
  rt_lock_drop(&lock);
  return found;
}

void timer_resume(unsigned sig) {
  if (!(__atomic_load_n(&timer_signals, __ATOMIC_ACQUIRE) & signal_bit(sig))) {
    return;
  }
  posix_lock_take(&lock);
  for (int i = -1; i < n_timers; i++) {
    struct posix_timer *t = i < 0 ? &real : &timers[i];
    (void)timer_collect(t, sig, t->tid); /* told with the next one, or by a signal on its way */
  }
  posix_lock_drop(&lock);
}

/* ---- the real interval timer -------------------------------------------------------------- */

static const struct posix_timer real_unused = {.fd = FD_NONE, .signo = SIGALRM};

int64_t timer_real_set(const struct itimerspec *value, struct itimerspec *old) {
  *old = (struct itimerspec){0};
  bool disarm = value->it_value.tv_sec == 0 && value->it_value.tv_nsec == 0;
  posix_lock_take(&lock);
  int64_t result = 0;
  if (!real.used && !disarm) {
    real = real_unused;
    result = timer_bind(&real, CLOCK_MONOTONIC, 0);
  }
  if (result == 0 && real.used) {
    result = timer_write(real.fd, false, value, old);
    real.expired = 0;
  }
  posix_lock_drop(&lock);
  return result;
}

int64_t timer_real_get(struct itimerspec *now) {
  *now = (struct itimerspec){0};
  posix_lock_take(&lock);
  int64_t result = real.used ? timer_read(real.fd, now) : 0;
  posix_lock_drop(&lock);
  return result;
}

int timer_real_fd(void) {
  return real.used ? real.fd : FD_NONE;
}

void timer_real_adopt(int fd) {
  real = real_unused;
  real.fd = fd;
  real.used = true;
  timer_signals = signal_bit(SIGALRM);
}

void timer_hide(void) {
  lock.word = 0;
  real.used = false;
  n_timers = 0;
  timer_signals = 0;
}

void timer_forget(void) {
  for (int i = 0; i < n_timers; i++) {
    timers[i].used = false;
  }
  timer_hide();
}
