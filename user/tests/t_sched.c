/* Scheduling: yielding, affinity, priorities, and that threads of one process really run at the
 * same time on different CPUs. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "tap.h"

static volatile int turn, stop;

static void *alternate(void *arg) {
  int me = (int)(intptr_t)arg;
  for (int i = 0; i < 500; i++) {
    while (turn != me) {
      sched_yield();
    }
    turn = !me;
  }
  return NULL;
}

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    bail_out("sched_setaffinity");
  }
}

static void test_yield(void) {
  pthread_t threads[2];
  is(sched_yield(), 0, "sched_yield");
  for (intptr_t i = 0; i < 2; i++) {
    pthread_create(&threads[i], NULL, alternate, (void *)i);
  }
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
  ok(true, "two threads take turns by yielding");
}

static void test_affinity(int cpus) {
  cpu_set_t set, before;
  is(sched_getaffinity(0, sizeof before, &before), 0, "sched_getaffinity");
  is(CPU_COUNT(&before), cpus, "all CPUs at first");
  bool good = true;
  for (int cpu = 0; cpu < cpus; cpu++) {
    if (CPU_ISSET(cpu, &before)) {
      pin(cpu);
      good = sched_getcpu() == cpu && sched_getaffinity(0, sizeof set, &set) == 0 &&
             CPU_COUNT(&set) == 1 && CPU_ISSET(cpu, &set) && good;
      sched_yield();
      good = sched_getcpu() == cpu && good;
    }
  }
  ok(good, "a pinned thread runs where it was pinned");
  CPU_ZERO(&set);
  fails_with(sched_setaffinity(0, sizeof set, &set), EINVAL, "an empty set");
  CPU_SET(1000, &set);
  fails_with(sched_setaffinity(0, sizeof set, &set), EINVAL, "a set without any CPU that exists");
  is(sched_setaffinity(0, sizeof before, &before), 0, "back to all");
}

static int inherits_affinity(void *arg) {
  cpu_set_t set;
  (void)arg;
  return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1 ? 0 : 1;
}

static void *meet(void *arg) {
  volatile int *flags = arg;
  int64_t limit = now_ns(CLOCK_MONOTONIC) + 5000000000;
  flags[0] = 1;
  while (!flags[1] && now_ns(CLOCK_MONOTONIC) < limit) { /* no yield: needs a CPU of its own */
  }
  return (void *)(intptr_t)flags[1];
}

/* Two threads wait for each other without ever giving up their CPUs, many times. */
static void test_parallel(int cpus) {
  if (cpus < 2) {
    skip("two threads run at the same time", "there is one CPU");
    return;
  }
  int met = 0;
  int64_t from = now_ns(CLOCK_MONOTONIC);
  for (int i = 0; i < 20; i++) {
    volatile int flags[2] = {0, 0};
    pthread_t thread;
    pthread_create(&thread, NULL, meet, (void *)flags);
    while (!flags[0] && now_ns(CLOCK_MONOTONIC) - from < 20000000000) {
    }
    flags[1] = 1;
    void *value;
    pthread_join(thread, &value);
    met += (int)(intptr_t)value;
  }
  is(met, 20, "two threads run at the same time");
}

static void *spin(void *arg) {
  (void)arg;
  while (!stop) {
  }
  return NULL;
}

/* More busy threads than CPUs: everyone still gets a turn. */
static void test_fairness(int cpus) {
  enum { EXTRA = 3, MAX = 64 };
  pthread_t threads[MAX];
  int n = cpus + EXTRA < MAX ? cpus + EXTRA : MAX;
  for (int i = 0; i < n; i++) {
    pthread_create(&threads[i], NULL, spin, NULL);
  }
  bool good = true;
  for (int i = 0; i < 5; i++) {
    int64_t from = now_ns(CLOCK_MONOTONIC);
    sleep_ms(2);
    good = now_ns(CLOCK_MONOTONIC) - from < 5000000000 && good;
  }
  stop = 1;
  for (int i = 0; i < n; i++) {
    pthread_join(threads[i], NULL);
  }
  ok(good, "a sleeper gets its turn among busy threads");
}

static int change_nice(void *arg) {
  (void)arg;
  errno = 0;
  return nice(5) == 5 && getpriority(PRIO_PROCESS, 0) == 5 ? 0 : 1;
}

static void test_policies(void) {
  struct sched_param param = {0};
  int policy = -1;
  is(pthread_getschedparam(pthread_self(), &policy, &param), 0, "pthread_getschedparam");
  is(policy, SCHED_OTHER, "the policy at first");
  is(param.sched_priority, 0, "no priority without real time");
  is(sched_get_priority_max(SCHED_FIFO), 99, "the highest real-time priority");
  is(sched_get_priority_min(SCHED_RR), 1, "the lowest");
  is(child_exit(change_nice, NULL), 0, "nice");
  is(getpriority(PRIO_PROCESS, 0), 0, "a child's nice value is its own");
}

int main(void) {
  int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
  diag("%d CPUs", cpus);
  test_yield();
  test_affinity(cpus);
  cpu_set_t all;
  sched_getaffinity(0, sizeof all, &all);
  pin(0);
  is(child_exit(inherits_affinity, NULL), 0, "a child inherits the affinity");
  test_yield();
  sched_setaffinity(0, sizeof all, &all);
  test_parallel(cpus);
  test_fairness(cpus);
  test_policies();
  return tap_done();
}
