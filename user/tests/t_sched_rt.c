/* A real-time thread that never sleeps, on a CPU of its own, with the throttle off, while the other
 * CPU is busy too. Who waits behind it is moved there, and who wakes up there goes where it can
 * run: nothing else would end the wait. */
#define _GNU_SOURCE
#include <sys/syscall.h>

#include "sched_says.h"
#include "threads.h"

enum { WAITERS = 3, PATIENCE_MS = 20000 };
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_REQUEUE = 3 }; /* futex(2) */
enum { HOG = 10, WAITER = 5, WATCHER = 20 };                /* real-time priorities */

static volatile bool stop;
static volatile bool hog_runs[2], hog_stop[2]; /* by CPU */
static volatile unsigned long turns[WAITERS];
static int parked, released; /* futex words */

static void *hog(void *arg) {
  int cpu = (int)(intptr_t)arg;
  thread_pin(cpu);
  while (!hog_stop[cpu]) {
    hog_runs[cpu] = true;
  }
  return NULL;
}

static void *waiter(void *arg) {
  while (!stop) {
    ++*(volatile unsigned long *)arg;
  }
  return NULL;
}

/* Sleeps on CPU 0, and says when it has woken up. */
static void *sleeper(void *arg) {
  thread_pin(0);
  syscall(SYS_futex, &parked, FUTEX_WAIT, 0, NULL);
  ++*(volatile unsigned long *)arg;
  return NULL;
}

static bool all_have_run(int n) {
  bool all = true;
  for (int i = 0; i < n; i++) {
    all = all && turns[i] != 0;
  }
  return all;
}

/* Whether all have run since their turns were set to 0. */
static bool all_run(int n) {
  for (int ms = 0; ms < PATIENCE_MS && !all_have_run(n); ms += 10) {
    sleep_ms(10);
  }
  return all_have_run(n);
}

/* This thread, which is above the hogs or as others are. */
static void watch(bool above) {
  struct sched_param param = {.sched_priority = above ? WATCHER : 0};
  if (pthread_setschedparam(pthread_self(), above ? SCHED_FIFO : SCHED_OTHER, &param) != 0) {
    bail_out("pthread_setschedparam");
  }
}

static pthread_t hog_start(int priority, int cpu) {
  pthread_t thread = thread_start(priority, hog, (void *)(intptr_t)cpu);
  while (!hog_runs[cpu]) {
    sleep_ms(1);
  }
  return thread;
}

static void hog_end(pthread_t thread, int cpu) {
  hog_stop[cpu] = true;
  pthread_join(thread, NULL);
  hog_stop[cpu] = hog_runs[cpu] = false;
}

static void stop_all(pthread_t *waiters, int n, pthread_t realtime_hog) {
  stop = true;
  hog_end(realtime_hog, 0);
  for (int i = 0; i < n; i++) {
    pthread_join(waiters[i], NULL);
  }
  stop = false;
  watch(false);
}

/* Waiters of a priority that may only run on CPU 0, until that has a hog. */
static void test_waiters(int n, int priority, const char *name) {
  pthread_t waiters[WAITERS];
  watch(priority > 0); /* and those of priority 0 are as this thread */
  for (int i = 0; i < n; i++) {
    waiters[i] = thread_start(priority, waiter, (void *)&turns[i]);
    cpus_set(waiters[i], 0, 0);
  }
  watch(true);
  pthread_t realtime = hog_start(HOG, 0);
  for (int i = 0; i < n; i++) {
    turns[i] = 0; /* nobody runs to count */
    cpus_set(waiters[i], 0, 1);
  }
  ok(all_run(n), name);
  stop_all(waiters, n, realtime);
}

/* One that sleeps while its CPU gets the hog. Nobody looks for threads to move meanwhile, and who
 * wakes it is worse. */
static void test_woken(void) {
  watch(true);
  pthread_t thread = thread_start(WAITER, sleeper, (void *)&turns[0]);
  while (syscall(SYS_futex, &parked, FUTEX_REQUEUE, 0, 1, &released) != 1) {
    sleep_ms(1); /* it does not sleep yet */
  }
  pthread_t realtime = hog_start(HOG, 0);
  cpus_set(thread, 0, 1);
  ok(param_set("balance_us", 0), "no looks for threads to move");
  turns[0] = 0;
  watch(false);
  syscall(SYS_futex, &released, FUTEX_WAKE, 1);
  ok(all_run(1), "a real-time thread wakes up where its priority gets it a CPU");
  ok(param_set("balance_us", 20000), "looks again");
  stop_all(&thread, 1, realtime);
}

/* Behind a hog whose slice has no end: a changed parameter gives it one. */
static void test_changed(void) {
  pthread_t waiting = thread_start(0, waiter, (void *)&turns[0]);
  cpus_set(waiting, 0, 0);
  watch(true);
  ok(param_set("balance_us", 0), "nothing sets the timer of that CPU");
  pthread_t realtime = hog_start(HOG, 0);
  turns[0] = 0;
  sleep_ms(50);
  ok(turns[0] == 0, "without the throttle a real-time hog leaves nothing");
  ok(param_set("rt_share", 50), "with the throttle on again");
  ok(all_run(1), "it leaves some, at once");
  ok(param_set("rt_share", 100), "off again");
  ok(param_set("balance_us", 20000), "looks again");
  stop_all(&waiting, 1, realtime);
}

/* wake_preempt is not for real-time threads: who is better runs. */
static void test_always_preempts(void) {
  parked = 0;
  watch(true);
  pthread_t thread = thread_start(WATCHER - 1, sleeper, (void *)&turns[0]);
  while (syscall(SYS_futex, &parked, FUTEX_REQUEUE, 0, 1, &released) != 1) {
    sleep_ms(1); /* it does not sleep yet */
  }
  pthread_t realtime = hog_start(HOG, 0);
  ok(param_set("wake_preempt", 0) && param_set("balance_us", 0), "no preemption by who wakes up");
  turns[0] = 0;
  syscall(SYS_futex, &released, FUTEX_WAKE, 1);
  ok(all_run(1), "but by a better real-time thread");
  ok(param_set("wake_preempt", 1) && param_set("balance_us", 20000), "preemption again");
  stop_all(&thread, 1, realtime);
}

static unsigned long timer_interrupts(void) {
  static char text[4096];
  int fd = open("sys:/cpu/0/stat", O_RDONLY);
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  const char *at = strcasestr(text, "timer_irqs ");
  return at ? strtoul(at + strlen("timer_irqs "), NULL, 10) : 0;
}

/* However often a look is wanted: interrupts leave threads time to run. */
static void test_storm(void) {
  pthread_t waiting = thread_start(0, waiter, (void *)&turns[0]);
  cpus_set(waiting, 0, 0);
  watch(true);
  pthread_t realtime = hog_start(HOG, 0);
  ok(param_set("balance_us", 1), "looks all the time");
  int64_t from = now_ns(CLOCK_MONOTONIC);
  unsigned long before = timer_interrupts();
  sleep_ms(200);
  unsigned long came = timer_interrupts() - before;
  int64_t us = (now_ns(CLOCK_MONOTONIC) - from) / 1000;
  diag("%lu interrupts in %lld us", came, (long long)us);
  ok(came > 0 && came <= (unsigned long)us / 400, "not more than a few interrupts a millisecond");
  ok(param_set("balance_us", 20000), "looks again");
  stop_all(&waiting, 1, realtime);
}

static void tests(void) {
  pthread_t other = hog_start(0, 1);
  thread_pin(1);
  test_waiters(1, WAITER, "a real-time thread that waits behind a better one goes elsewhere");
  test_woken();
  test_waiters(WAITERS, 0, "who waits behind a real-time thread that never sleeps goes elsewhere");
  test_storm();
  test_changed();
  test_always_preempts();
  hog_end(other, 1);
}

int main(void) {
  if (open("sys:/sched/rt_share", O_RDONLY) < 0) {
    skip("behind a real-time thread", "this kernel has no throttle that can be turned off");
  } else if (sysconf(_SC_NPROCESSORS_ONLN) != 2) {
    skip("behind a real-time thread", "two CPUs are needed, and no third to steal");
  } else {
    ok(param_set("rt_share", 100), "the throttle is off");
    tests();
    ok(param_set("rt_share", 95), "and on again");
  }
  return tap_done();
}
