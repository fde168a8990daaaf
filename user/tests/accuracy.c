/* accuracy: how late sleeps and timers are. For a guest that counts instructions as nanoseconds
 * (run.py --icount), where nothing outside can disturb it: late by at most 50 us, and never early.
 * Not one of testall's, since on any other machine the time of the host would be measured. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/timerfd.h>

#include "tap.h"

enum { MOST_NS = 50000, TURNS = 5 };

static const int64_t lengths[] = {1000, 10000, 60000, 100000, 999999, 3000000, 20000000, 100000000};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

static struct timespec spec(int64_t ns) {
  return (struct timespec){ns / 1000000000, ns % 1000000000};
}

static int64_t worst, earliest;

static void note(int64_t late) {
  worst = late > worst ? late : worst;
  earliest = late < earliest ? late : earliest;
}

static void tell(const char *what) {
  diag("%s: late by at most %lld ns", what, (long long)worst);
  ok(earliest >= 0 && worst <= MOST_NS, what);
  worst = earliest = 0;
}

static void test_sleep(void) {
  for (int i = 0; i < LENGTHS * TURNS; i++) {
    struct timespec wanted = spec(lengths[i % LENGTHS]);
    int64_t from = now_ns(CLOCK_MONOTONIC);
    nanosleep(&wanted, NULL);
    note(now_ns(CLOCK_MONOTONIC) - from - lengths[i % LENGTHS]);
  }
  tell("nanosleep");
}

static void test_sleep_until(clockid_t clock, const char *what) {
  for (int i = 0; i < LENGTHS * TURNS; i++) {
    int64_t goal = now_ns(clock) + lengths[i % LENGTHS];
    struct timespec wanted = spec(goal);
    clock_nanosleep(clock, TIMER_ABSTIME, &wanted, NULL);
    note(now_ns(clock) - goal);
  }
  tell(what);
}

/* The hundredth expiry is as late as the first: nothing adds up. */
static void test_periodic(int64_t interval, const char *what) {
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  int64_t first = now_ns(CLOCK_MONOTONIC) + interval;
  struct itimerspec setting = {.it_value = spec(first), .it_interval = spec(interval)};
  uint64_t n, sum = 0;
  timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, NULL);
  while (sum < 100 && read(fd, &n, sizeof n) == sizeof n) {
    sum += n;
    note(now_ns(CLOCK_MONOTONIC) - first - (int64_t)(sum - 1) * interval);
  }
  close(fd);
  tell(what);
}

static void test_signal(void) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  int64_t interval = 700000, first = now_ns(CLOCK_MONOTONIC) + interval, n = 0;
  struct itimerspec setting = {.it_value = spec(first), .it_interval = spec(interval)};
  sigset_t set;
  timer_t timer;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  timer_create(CLOCK_MONOTONIC, &event, &timer);
  timer_settime(timer, TIMER_ABSTIME, &setting, NULL);
  for (siginfo_t info; n < 100 && sigwaitinfo(&set, &info) == SIGUSR1; n++) {
    n += info.si_overrun;
    note(now_ns(CLOCK_MONOTONIC) - first - n * interval);
  }
  timer_delete(timer);
  tell("a POSIX timer's signal, a hundred times");
}

static void test_condition(void) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < LENGTHS * TURNS; i++) {
    int64_t goal = now_ns(CLOCK_REALTIME) + lengths[i % LENGTHS];
    struct timespec wanted = spec(goal);
    pthread_cond_timedwait(&cond, &mutex, &wanted);
    note(now_ns(CLOCK_REALTIME) - goal);
  }
  pthread_mutex_unlock(&mutex);
  tell("pthread_cond_timedwait");
}

int main(void) {
  test_sleep();
  test_sleep_until(CLOCK_MONOTONIC, "clock_nanosleep, absolute");
  test_sleep_until(CLOCK_REALTIME, "clock_nanosleep, absolute, on the real clock");
  test_periodic(200000, "a timer descriptor each 200 us, a hundred times");
  test_periodic(3333333, "a timer descriptor each 3.3 ms, a hundred times");
  test_signal();
  test_condition();
  return tap_done();
}
