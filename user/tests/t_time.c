/* Clocks and timeouts: monotonic, never early, and not absurdly late. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/time.h>
#include <sys/times.h>

#include "tap.h"

enum { MS = 1000000 };
static const int64_t late_ns = 5000000000; /* a loaded, emulated machine is granted this much */

static void test_clocks(void) {
  struct timespec resolution;
  bool forward = true;
  int64_t last = now_ns(CLOCK_MONOTONIC), start = last;
  for (int i = 0; i < 20000; i++) {
    int64_t now = now_ns(CLOCK_MONOTONIC);
    forward = forward && now >= last;
    last = now;
  }
  ok(forward, "the monotonic clock never goes back");
  ok(last > start, "and goes on");
  ok(clock_getres(CLOCK_MONOTONIC, &resolution) == 0 && resolution.tv_sec == 0 &&
         resolution.tv_nsec <= 10 * MS,
     "clock_getres");
  struct timeval tv;
  gettimeofday(&tv, NULL);
  int64_t real = now_ns(CLOCK_REALTIME), day = (int64_t)tv.tv_sec * 1000000000 + tv.tv_usec * 1000;
  ok(real - day >= -1000 && real - day < late_ns, "gettimeofday agrees with CLOCK_REALTIME");
  ok(time(NULL) - tv.tv_sec >= 0 && time(NULL) - tv.tv_sec <= 5, "and so does time");
  ok(real > (int64_t)1577836800 * 1000000000, "it is later than the year 2020");
  fails_with(clock_gettime(12345, &resolution), EINVAL, "there is no clock 12345");
}

/* The time of the wall is read outside that of the processor: a stall between two readings, which
 * an emulated CPU has, is then in both or in the first alone. */
static void test_processor_time(void) {
  int64_t wall = now_ns(CLOCK_MONOTONIC);
  int64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID), thread = now_ns(CLOCK_THREAD_CPUTIME_ID);
  sleep_ms(30);
  int64_t slept = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  int64_t idle = now_ns(CLOCK_MONOTONIC) - wall - slept;
  ok(slept >= 0 && idle >= 29 * MS, "sleeping costs no processor time");
  while (now_ns(CLOCK_THREAD_CPUTIME_ID) - thread < 20 * MS) {
  }
  ok(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu >= 19 * MS, "working does, for thread and process");
  ok(now_ns(CLOCK_MONOTONIC) - wall >= 49 * MS, "and it cannot exceed the time that passed");
}

static bool slept_well(int64_t from, int64_t ns) {
  int64_t passed = now_ns(CLOCK_MONOTONIC) - from;
  if (passed < ns || passed > ns + late_ns) {
    diag("asked for %lld ns, got %lld", (long long)ns, (long long)passed);
    return false;
  }
  return true;
}

static void test_sleeps(void) {
  static const int durations_us[] = {0, 1, 50, 100, 999, 1000, 2500, 10000, 30000};
  bool good = true;
  for (size_t i = 0; i < sizeof durations_us / sizeof durations_us[0]; i++) {
    struct timespec t = {0, durations_us[i] * 1000L};
    int64_t from = now_ns(CLOCK_MONOTONIC);
    good = nanosleep(&t, NULL) == 0 && slept_well(from, durations_us[i] * 1000L) && good;
  }
  ok(good, "nanosleep is never early");
  for (int i = 1; i < 20; i++) {
    int64_t from = now_ns(CLOCK_MONOTONIC), goal = from + i * 300000;
    struct timespec t = {goal / 1000000000, goal % 1000000000};
    good = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == 0 &&
           slept_well(from, goal - from) && good;
  }
  ok(good, "nor is clock_nanosleep with an absolute time");
  struct timespec past = {0, 1}, bad = {0, 1000000000};
  int64_t from = now_ns(CLOCK_MONOTONIC);
  is(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL), 0, "a time in the past");
  ok(slept_well(from, 0), "is no sleep");
  fails_with(nanosleep(&bad, NULL), EINVAL, "a billion nanoseconds are no nanoseconds");
  is(usleep(2000), 0, "usleep");
}

static struct timespec realtime_in(int64_t ns) {
  int64_t goal = now_ns(CLOCK_REALTIME) + ns;
  return (struct timespec){goal / 1000000000, goal % 1000000000};
}

static void test_timeouts(void) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&cond, &attributes);
  pthread_mutex_lock(&mutex);
  int64_t from = now_ns(CLOCK_MONOTONIC), goal = from + 25 * MS;
  struct timespec limit = {goal / 1000000000, goal % 1000000000};
  is(pthread_cond_timedwait(&cond, &mutex, &limit), ETIMEDOUT, "a condition times out");
  ok(slept_well(from, 25 * MS), "in time");
  is(pthread_mutex_trylock(&mutex), EBUSY, "and holds the mutex again");
  pthread_mutex_unlock(&mutex);
  pthread_cond_destroy(&cond);
  sem_t sem;
  sem_init(&sem, 0, 0);
  from = now_ns(CLOCK_MONOTONIC); /* first: a stall behind it makes the wait longer, not shorter */
  limit = realtime_in(25 * MS);
  fails_with(sem_timedwait(&sem, &limit), ETIMEDOUT, "a semaphore times out");
  ok(slept_well(from, 25 * MS), "in time");
  sem_destroy(&sem);
}

static void *sleep_in_turn(void *arg) {
  int64_t from = now_ns(CLOCK_MONOTONIC), ms = 5 + 3 * (intptr_t)arg;
  sleep_ms((int)ms);
  return (void *)(intptr_t)slept_well(from, ms * MS);
}

static void test_many_sleepers(void) {
  enum { SLEEPERS = 20 };
  pthread_t threads[SLEEPERS];
  int64_t good = 0, from = now_ns(CLOCK_MONOTONIC);
  for (int i = 0; i < SLEEPERS; i++) {
    pthread_create(&threads[i], NULL, sleep_in_turn, (void *)(intptr_t)(SLEEPERS - i));
  }
  for (int i = 0; i < SLEEPERS; i++) {
    void *value;
    pthread_join(threads[i], &value);
    good += (intptr_t)value;
  }
  is(good, SLEEPERS, "twenty sleepers at once, none early");
  ok(now_ns(CLOCK_MONOTONIC) - from < 20 * 65 * MS + late_ns, "side by side, not one by one");
}

static void test_calendar(void) {
  struct tm tm;
  time_t t = 951827696; /* 2000-02-29 12:34:56 UTC */
  gmtime_r(&t, &tm);
  ok(tm.tm_year == 100 && tm.tm_mon == 1 && tm.tm_mday == 29 && tm.tm_hour == 12 && tm.tm_wday == 2,
     "gmtime");
  is(timegm(&tm), t, "timegm");
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
  is_str(text, "2000-02-29 12:34:56", "strftime");
  struct tms tms;
  clock_t a = times(&tms);
  sleep_ms(25);
  ok(times(&tms) > a && sysconf(_SC_CLK_TCK) == 100, "times");
}

int main(void) {
  test_clocks();
  test_processor_time();
  test_sleeps();
  test_timeouts();
  test_many_sleepers();
  test_calendar();
  return tap_done();
}
