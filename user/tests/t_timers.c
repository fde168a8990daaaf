/* Timers: descriptors (timerfd), POSIX timers with signals and threads, the real interval timer.
 * Never early, counted exactly, and without drift: expiry n lies n intervals after the first. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include "tap.h"

enum { MS = 1000000 };

static struct timespec spec(int64_t ns) {
  return (struct timespec){ns / 1000000000, ns % 1000000000};
}

static int64_t spec_ns(struct timespec t) {
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct itimerspec setting(int64_t first, int64_t interval) {
  return (struct itimerspec){.it_value = spec(first), .it_interval = spec(interval)};
}

/* What is left of a timer that was set at or after `from`: nothing only when it is due. */
static bool is_left(struct itimerspec now, int64_t from, int64_t ns) {
  int64_t left = spec_ns(now.it_value);
  return left <= ns && (left > 0 || now_ns(CLOCK_MONOTONIC) >= from + ns);
}

static uint64_t expiries(int fd) {
  uint64_t n = 0;
  return read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

/* ---- timerfd ---- */

static void test_descriptor_once(void) {
  struct itimerspec now, once = setting(5 * MS, 0);
  uint64_t n;
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  ok(fd >= 0, "timerfd_create");
  is(fcntl(fd, F_GETFD), FD_CLOEXEC, "closes on exec as it was asked to");
  ok(timerfd_gettime(fd, &now) == 0 && spec_ns(now.it_value) == 0, "not armed at first");
  int64_t from = now_ns(CLOCK_MONOTONIC);
  is(timerfd_settime(fd, 0, &once, &now), 0, "timerfd_settime, from now");
  is(spec_ns(now.it_value), 0, "the old setting");
  ok(timerfd_gettime(fd, &now) == 0 && is_left(now, from, 5 * MS) && spec_ns(now.it_interval) == 0,
     "what is left of it");
  is(expiries(fd), 1, "a read waits for the expiry");
  ok(now_ns(CLOCK_MONOTONIC) - from >= 5 * MS, "which is not early");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  fails_with(read(fd, &n, sizeof n), EAGAIN, "and there is one only");
  fails_with(read(fd, &n, 7), EINVAL, "seven bytes are too few");
  ok(timerfd_gettime(fd, &now) == 0 && spec_ns(now.it_value) == 0, "then it is not armed");
  close(fd);
}

/* Reads at random times: the sum is always the number of whole intervals since the first. */
static void test_descriptor_periodic(void) {
  enum { INTERVAL = 700000 };
  int64_t first = now_ns(CLOCK_MONOTONIC) + 2 * MS;
  struct itimerspec periodic = setting(first, INTERVAL), now;
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  timerfd_settime(fd, TFD_TIMER_ABSTIME, &periodic, NULL);
  int64_t sum = 0;
  uint64_t seed = 5;
  bool exact = true;
  for (int i = 0; i < 40; i++) {
    sum += (int64_t)expiries(fd);
    int64_t after = now_ns(CLOCK_MONOTONIC);
    exact = exact && sum >= 1 && after >= first + (sum - 1) * INTERVAL;
    timerfd_gettime(fd, &now);
    exact = exact && spec_ns(now.it_value) <= INTERVAL;
    if (random_next(&seed) % 3 == 0) {
      usleep((useconds_t)(random_next(&seed) % 4000));
    }
  }
  ok(exact, "a periodic timer's expiries are never early");
  usleep(5000);
  int64_t before = now_ns(CLOCK_MONOTONIC);
  sum += (int64_t)expiries(fd);
  int64_t after = now_ns(CLOCK_MONOTONIC);
  ok(sum >= 1 + (before - first) / INTERVAL && sum <= 1 + (after - first) / INTERVAL,
     "and counted from the first deadline: no drift");
  close(fd);
}

static void test_descriptor_clocks(void) {
  struct itimerspec value = setting(now_ns(CLOCK_REALTIME) + 3600 * 1000000000ll, 0), old;
  int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
  is(timerfd_settime(fd, TFD_TIMER_ABSTIME, &value, NULL), 0, "an absolute time of the real clock");
  is(expiries(fd), 0, "a non-blocking read before it");
  value = setting(now_ns(CLOCK_REALTIME) + 3 * MS, 0);
  timerfd_settime(fd, TFD_TIMER_ABSTIME, &value, NULL);
  struct pollfd p = {.fd = fd, .events = POLLIN};
  is(poll(&p, 1, 5000), 1, "poll waits for it");
  ok(now_ns(CLOCK_REALTIME) >= spec_ns(value.it_value), "no earlier than it is");
  is(expiries(fd), 1, "then it has expired");
  is(poll(&p, 1, 0), 0, "and is not ready any more");
  value = setting(1, 0);
  timerfd_settime(fd, TFD_TIMER_ABSTIME, &value, NULL);
  is(poll(&p, 1, 5000), 1, "a time in the past expires at once");
  value = setting(3600 * 1000000000ll, 1000000000);
  is(timerfd_settime(fd, 0, &value, NULL), 0, "a new setting");
  is(poll(&p, 1, 0), 0, "undoes the expiry of the old one");
  value = setting(0, 0);
  is(timerfd_settime(fd, 0, &value, &old), 0, "disarmed");
  ok(spec_ns(old.it_value) > 3500 * 1000000000ll && spec_ns(old.it_interval) == 1000000000,
     "answering what it was set to");
  close(fd);
}

/* Files of the kernel, and files of servers. */
static void test_descriptor_of_no_timer(void) {
  struct itimerspec value = setting(MS, 0), old;
  char path[] = "/tmp/no_timer.XXXXXX";
  int fds[3] = {-1, -1, mkstemp(path)}, n_refused = 0;
  unlink(path);
  if (pipe(fds) != 0 || fds[2] < 0) {
    bail_out("files");
  }
  for (int i = 0; i < 3; i++) {
    n_refused += timerfd_settime(fds[i], 0, &value, &old) == -1 && errno == EINVAL;
    n_refused += timerfd_gettime(fds[i], &old) == -1 && errno == EINVAL;
    close(fds[i]);
  }
  is(n_refused, 6, "a file that is no timer is not a valid one");
  fails_with(timerfd_settime(fds[0], 0, &value, NULL), EBADF, "a closed one is none at all");
}

static void test_descriptor_queue(void) {
  int fd = timerfd_create(CLOCK_MONOTONIC, 0), queue = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 42};
  struct itimerspec value = setting(2 * MS, 2 * MS);
  epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event);
  timerfd_settime(fd, 0, &value, NULL);
  bool good = true;
  for (int i = 0; i < 5; i++) {
    struct epoll_event got = {0};
    good = epoll_wait(queue, &got, 1, 5000) == 1 && got.data.u64 == 42 && expiries(fd) >= 1 && good;
  }
  ok(good, "an event queue reports each expiry");
  close(fd);
  close(queue);
}

static void test_descriptor_errors(void) {
  struct itimerspec value = setting(MS, 0), bad = setting(MS, 0);
  bad.it_value.tv_nsec = 1000000000;
  int fd = timerfd_create(CLOCK_MONOTONIC, 0), fds[2];
  fails_with(timerfd_create(12345, 0), EINVAL, "no clock");
  fails_with(timerfd_create(CLOCK_MONOTONIC, 1 << 20), EINVAL, "no flag");
  fails_with(timerfd_settime(fd, 0, &bad, NULL), EINVAL, "no time");
  fails_with(timerfd_settime(fd, 64, &value, NULL), EINVAL, "no flag of timerfd_settime");
  fails_with(timerfd_settime(-1, 0, &value, NULL), EBADF, "no descriptor");
  if (pipe(fds) == 0) {
    fails_with(timerfd_settime(fds[0], 0, &value, NULL), EINVAL, "no timer");
    close(fds[0]);
    close(fds[1]);
  }
  close(fd);
}

static int expect_one(void *arg) {
  return expiries(*(int *)arg) == 1 ? 0 : 1;
}

static void test_descriptor_fork(void) {
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec value = setting(3 * MS, 0);
  timerfd_settime(fd, 0, &value, NULL);
  is(child_exit(expect_one, &fd), 0, "a child has the same timer");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  is(expiries(fd), 0, "and has taken its expiry");
  close(fd);
}

/* ---- POSIX timers ---- */

static volatile sig_atomic_t n_told, n_overrun, last_value, last_code;

static void on_timer(int sig, siginfo_t *info, void *context) {
  (void)sig;
  (void)context;
  n_told++;
  n_overrun += info->si_overrun;
  last_value = info->si_value.sival_int;
  last_code = info->si_code;
}

static void handle(int sig) {
  struct sigaction action = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO};
  sigaction(sig, &action, NULL);
  n_told = n_overrun = last_value = last_code = 0;
}

static timer_t make_timer(int notify, int signo, int value) {
  struct sigevent event = {.sigev_notify = notify, .sigev_signo = signo};
  event.sigev_value.sival_int = value;
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
    bail_out("timer_create");
  }
  return timer;
}

static void mask(int how, int sig) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, sig);
  sigprocmask(how, &set, NULL);
}

/* With the signal blocked but in here: no expiry can come between the look and the sleep. */
static void wait_told(int n) {
  sigset_t none;
  sigemptyset(&none);
  while (n_told < n) {
    sigsuspend(&none);
  }
}

static siginfo_t wait_signal(int sig) {
  sigset_t set;
  siginfo_t info = {0};
  struct timespec limit = {5, 0};
  sigemptyset(&set);
  sigaddset(&set, sig);
  return sigtimedwait(&set, &info, &limit) == sig ? info : (siginfo_t){0};
}

static void test_signal_once(void) {
  handle(SIGUSR1);
  mask(SIG_BLOCK, SIGUSR1);
  timer_t timer = make_timer(SIGEV_SIGNAL, SIGUSR1, 77);
  struct itimerspec value = setting(3 * MS, 0), old;
  int64_t from = now_ns(CLOCK_MONOTONIC);
  is(timer_settime(timer, 0, &value, NULL), 0, "timer_settime");
  ok(timer_gettime(timer, &old) == 0 && is_left(old, from, 3 * MS), "timer_gettime");
  wait_told(1);
  ok(now_ns(CLOCK_MONOTONIC) - from >= 3 * MS, "its signal is not early");
  is(last_value, 77, "and carries the value");
  is(last_code, SI_TIMER, "and says that a timer sent it");
  is(timer_getoverrun(timer), 0, "no overrun");
  is(timer_delete(timer), 0, "timer_delete");
  fails_with(timer_settime(timer, 0, &value, NULL), EINVAL, "a deleted timer is none");
  mask(SIG_UNBLOCK, SIGUSR1);
}

/* While the signal is blocked, expiries pile up: one is told, the others are its overruns. */
static void test_signal_overrun(void) {
  enum { INTERVAL = 500000 };
  handle(SIGUSR1);
  mask(SIG_BLOCK, SIGUSR1);
  timer_t timer = make_timer(SIGEV_SIGNAL, SIGUSR1, 1);
  int64_t first = now_ns(CLOCK_MONOTONIC) + MS;
  struct itimerspec value = setting(first, INTERVAL);
  timer_settime(timer, TIMER_ABSTIME, &value, NULL);
  sleep_ms(20);
  int64_t least = (now_ns(CLOCK_MONOTONIC) - first) / INTERVAL;
  siginfo_t info = wait_signal(SIGUSR1);
  int64_t most = (now_ns(CLOCK_MONOTONIC) - first) / INTERVAL;
  ok(info.si_overrun >= least && info.si_overrun <= most, "a blocked signal's overruns");
  is(timer_getoverrun(timer), info.si_overrun, "timer_getoverrun agrees");
  wait_told(20);
  least = n_told + n_overrun + 1 + info.si_overrun;
  most = 1 + (now_ns(CLOCK_MONOTONIC) - first) / INTERVAL;
  ok(least <= most, "twenty signals later, none was early");
  struct itimerspec stop = setting(0, 0), left;
  timer_gettime(timer, &left);
  ok(spec_ns(left.it_interval) == INTERVAL && spec_ns(left.it_value) <= INTERVAL,
     "the next one is less than an interval away: no drift");
  timer_settime(timer, 0, &stop, NULL);
  mask(SIG_UNBLOCK, SIGUSR1);
  int told = n_told;
  sleep_ms(3);
  is(n_told, told, "a disarmed timer is silent");
  timer_delete(timer);
}

/* Several timers of one signal: each is told, with its own value. */
static void test_signal_shared(void) {
  enum { TIMERS = 5 };
  timer_t timers[TIMERS];
  struct itimerspec value = setting(MS, 0);
  handle(SIGUSR2);
  mask(SIG_BLOCK, SIGUSR2);
  for (int i = 0; i < TIMERS; i++) {
    timers[i] = make_timer(SIGEV_SIGNAL, SIGUSR2, 1 << i);
    timer_settime(timers[i], 0, &value, NULL);
  }
  sleep_ms(3);
  int seen = 0, values = 0;
  for (siginfo_t info; seen < TIMERS && (info = wait_signal(SIGUSR2)).si_code == SI_TIMER;) {
    seen++;
    values += info.si_value.sival_int;
  }
  is(seen, TIMERS, "five timers of one signal are told one by one");
  is(values, (1 << TIMERS) - 1, "each with its own value");
  for (int i = 0; i < TIMERS; i++) {
    timer_delete(timers[i]);
  }
  mask(SIG_UNBLOCK, SIGUSR2);
}

static void test_signal_ignored(void) {
  signal(SIGUSR1, SIG_IGN);
  timer_t timer = make_timer(SIGEV_SIGNAL, SIGUSR1, 1);
  struct itimerspec value = setting(MS, MS);
  timer_settime(timer, 0, &value, NULL);
  sleep_ms(5);
  mask(SIG_BLOCK, SIGUSR1);
  handle(SIGUSR1);
  wait_told(3);
  ok(n_told >= 3, "a timer goes on after its signal was ignored");
  timer_delete(timer);
  mask(SIG_UNBLOCK, SIGUSR1);
}

static void test_none(void) {
  timer_t timer = make_timer(SIGEV_NONE, 0, 0);
  struct itimerspec value = setting(MS, 0), left;
  timer_settime(timer, 0, &value, NULL);
  sleep_ms(3);
  ok(timer_gettime(timer, &left) == 0 && spec_ns(left.it_value) == 0, "SIGEV_NONE only counts");
  timer_delete(timer);
}

static sem_t notified;
static int notify_sum;

static void notify(union sigval value) {
  __atomic_fetch_add(&notify_sum, value.sival_int, __ATOMIC_RELAXED);
  sem_post(&notified);
}

static void test_thread(void) {
  sem_init(&notified, 0, 0);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify};
  event.sigev_value.sival_int = 7;
  timer_t timer;
  is(timer_create(CLOCK_REALTIME, &event, &timer), 0, "SIGEV_THREAD");
  struct itimerspec value = setting(MS, MS);
  timer_settime(timer, 0, &value, NULL);
  for (int i = 0; i < 3; i++) {
    while (sem_wait(&notified) != 0) {
    }
  }
  ok(__atomic_load_n(&notify_sum, __ATOMIC_RELAXED) >= 21, "its function runs at each expiry");
  is(timer_delete(timer), 0, "and the timer is deleted");
}

static void test_timer_errors(void) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 100};
  timer_t timer;
  fails_with(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL, "no signal");
  fails_with(timer_create(12345, NULL, &timer), EINVAL, "no clock for a timer");
  timer_create(CLOCK_MONOTONIC, NULL, &timer);
  struct itimerspec bad = setting(MS, 0);
  bad.it_value.tv_nsec = -1;
  fails_with(timer_settime(timer, 0, &bad, NULL), EINVAL, "no time for a timer");
  timer_delete(timer);
}

static int timer_is_gone(void *arg) {
  struct itimerspec left;
  return timer_gettime(*(timer_t *)arg, &left) == -1 && errno == EINVAL ? 0 : 1;
}

static void test_timer_fork(void) {
  timer_t timer = make_timer(SIGEV_SIGNAL, SIGUSR1, 1);
  is(child_exit(timer_is_gone, &timer), 0, "a child has no timers");
  timer_delete(timer);
}

/* ---- the real interval timer ---- */

static void test_interval(void) {
  handle(SIGALRM);
  mask(SIG_BLOCK, SIGALRM);
  struct itimerval value = {{0, 2000}, {0, 1000}}, now;
  int64_t from = now_ns(CLOCK_MONOTONIC);
  is(setitimer(ITIMER_REAL, &value, NULL), 0, "setitimer");
  wait_told(6);
  ok(now_ns(CLOCK_MONOTONIC) - from >= 11 * MS, "six expiries, none early");
  ok(getitimer(ITIMER_REAL, &now) == 0 && now.it_interval.tv_usec == 2000 &&
         now.it_value.tv_sec == 0 && now.it_value.tv_usec <= 2000,
     "getitimer");
  struct itimerval stop = {0};
  is(setitimer(ITIMER_REAL, &stop, &now), 0, "and stopped");
  is(now.it_interval.tv_usec, 2000, "answering what it was");
  mask(SIG_UNBLOCK, SIGALRM);
}

/* A program that waits for nothing but the signal that its alarm sends it after exec. */
static int exec_pause(void *arg) {
  char *argv[] = {arg, "pause", NULL};
  signal(SIGALRM, SIG_DFL);
  struct itimerval value = {.it_value = {0, 200000}};
  setitimer(ITIMER_REAL, &value, NULL);
  execv(self_path(arg), argv);
  return 1;
}

static int exec_cancel(void *arg) {
  char *argv[] = {arg, "cancel", NULL};
  struct itimerval value = {.it_value = {100, 0}};
  setitimer(ITIMER_REAL, &value, NULL);
  execv(self_path(arg), argv);
  return 1;
}

static void test_exec(char *program) {
  is(child_exit(exec_pause, program), -SIGALRM, "an alarm outlives exec");
  is(child_exit(exec_cancel, program), 0, "and the new program can ask and stop it");
}

static int run_as(const char *what) {
  if (strcmp(what, "cancel") == 0) {
    unsigned left = alarm(0);
    return left >= 95 && left <= 100 && alarm(0) == 0 ? 0 : 1;
  }
  for (;;) {
    pause();
  }
}

/* No thread gives way here: the signal must find the one that runs. */
static void test_busy(void) {
  handle(SIGALRM);
  struct itimerval value = {.it_value = {0, 3000}};
  setitimer(ITIMER_REAL, &value, NULL);
  int64_t limit = now_ns(CLOCK_MONOTONIC) + 20000000000;
  while (!n_told && now_ns(CLOCK_MONOTONIC) < limit) {
  }
  is(n_told, 1, "a busy thread is interrupted by its timer");
}

int main(int argc, char **argv) {
  if (argc > 1) {
    return run_as(argv[1]);
  }
  test_descriptor_once();
  test_descriptor_periodic();
  test_descriptor_clocks();
  test_descriptor_of_no_timer();
  test_descriptor_queue();
  test_descriptor_errors();
  test_descriptor_fork();
  test_signal_once();
  test_signal_overrun();
  test_signal_shared();
  test_signal_ignored();
  test_none();
  test_thread();
  test_timer_errors();
  test_timer_fork();
  test_interval();
  test_exec(argv[0]);
  test_busy();
  return tap_done();
}
