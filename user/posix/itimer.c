/* alarm() and the real interval timer: a thread of our own that sleeps until the deadline and then
 * signals the process. It is made when the first timer is set and has no thread-local storage, so
 * it may use nothing of libc nor posix_self; its signal mask is full. The timers of CPU time are
 * not offered. A timer does not survive exec. */
#include <signal.h>
#include <sys/time.h>

#include "posix/posix.h"
#include "posix/timer.h"
#include "runtime/lock.h"
#include "runtime/process.h"

#define NS_PER_SECOND 1000000000ull
#define STACK_SIZE 16384u

static struct {
  struct rt_lock lock;
  bool running;      /* [lock] the thread exists */
  uint64_t deadline; /* [lock] monotonic ns, 0: disarmed */
  uint64_t interval; /* [lock] ns, 0: once */
  uint32_t changes;  /* [lock/r] what the thread sleeps on */
} timer;

static struct sig_control timer_control = {.blocked = ~0ull};

/* Answers the time to sleep until, or 0 when the timer has just expired. */
static uint64_t timer_check(uint32_t *changes) {
  rt_lock_take(&timer.lock);
  uint64_t until = timer.deadline == 0 ? NO_DEADLINE : timer.deadline;
  *changes = timer.changes;
  if (timer.deadline != 0 && posix_now() >= timer.deadline) {
    timer.deadline = timer.interval ? timer.deadline + timer.interval : 0;
    until = 0;
  }
  rt_lock_drop(&timer.lock);
  return until;
}

static void timer_thread(void *unused) {
  (void)unused;
  for (;;) {
    uint32_t changes;
    uint64_t until = timer_check(&changes);
    if (until == 0) {
      struct proc_op op = {.code = PROC_SIGNAL, .a = SIGALRM};
      (void)rt_apply(FD_SELF, &op, 1); /* to our own process: cannot fail */
    } else {
      /* A change, the deadline and an interruption all mean to look again. */
      (void)sys_futex(&timer.changes, FUTEX_OP_WAIT, changes, until, NULL, 0);
    }
  }
}

/* Under the lock. */
static int64_t timer_run(void) {
  if (timer.running) {
    return 0;
  }
  int64_t stack = sys_mmap(0, STACK_SIZE, PROT_ABI_READ | PROT_ABI_WRITE,
                           MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS, FD_NONE, 0);
  if (stack < 0) {
    return stack;
  }
  static uint32_t tid;
  struct rt_context context = {.control = (uint64_t)&timer_control};
  int result = rt_thread_create(&context, timer_thread, NULL, (char *)stack + STACK_SIZE, &tid);
  if (result < 0) {
    (void)sys_munmap((uint64_t)stack, STACK_SIZE);
    return result;
  }
  timer.running = true;
  return 0;
}

void timer_forget(void) {
  timer.lock.word = 0;
  timer.running = false;
  timer.deadline = timer.interval = 0;
}

static uint64_t ns_of(const struct timeval *tv) {
  return (uint64_t)tv->tv_sec * NS_PER_SECOND + (uint64_t)tv->tv_usec * 1000;
}

static struct timeval timeval_of(uint64_t ns) {
  return (struct timeval){.tv_sec = (time_t)(ns / NS_PER_SECOND),
                          .tv_usec = (suseconds_t)(ns % NS_PER_SECOND / 1000)};
}

/* Under the lock. */
static struct itimerval timer_value(void) {
  uint64_t now = posix_now();
  uint64_t left = timer.deadline > now ? timer.deadline - now : timer.deadline != 0 ? 1000 : 0;
  return (struct itimerval){.it_interval = timeval_of(timer.interval),
                            .it_value = timeval_of(left)};
}

static int64_t timer_set(const struct itimerval *value, struct itimerval *old) {
  posix_guard_enter();
  rt_lock_take(&timer.lock);
  *old = timer_value();
  uint64_t first = ns_of(&value->it_value);
  int64_t result = first == 0 ? 0 : timer_run();
  if (result == 0) {
    timer.deadline = first == 0 ? 0 : posix_now() + first;
    timer.interval = ns_of(&value->it_interval);
    __atomic_add_fetch(&timer.changes, 1, __ATOMIC_RELEASE);
  }
  rt_lock_drop(&timer.lock);
  posix_guard_leave();
  (void)sys_futex(&timer.changes, FUTEX_OP_WAKE, 1, 0, NULL, 0);
  return result;
}

static bool timeval_valid(const struct timeval *tv) {
  return tv->tv_sec >= 0 && tv->tv_sec < (1ll << 32) && tv->tv_usec >= 0 && tv->tv_usec < 1000000;
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
  if (which != ITIMER_REAL) {
    return -ABI_EINVAL;
  }
  posix_guard_enter();
  rt_lock_take(&timer.lock);
  struct itimerval value = timer_value();
  rt_lock_drop(&timer.lock);
  posix_guard_leave();
  return user_put(user, &value, sizeof(value));
}

/* Seconds that were left are rounded to the nearest, at least 1, as in Linux. */
long call_alarm(unsigned seconds) {
  struct itimerval value = {.it_value = {.tv_sec = seconds}}, old;
  int64_t result = timer_set(&value, &old);
  long left = (long)old.it_value.tv_sec + (old.it_value.tv_usec >= 500000);
  bool armed = old.it_value.tv_sec != 0 || old.it_value.tv_usec != 0;
  return result < 0 ? result : armed && left == 0 ? 1 : left;
}
