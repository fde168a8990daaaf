/* Scheduling: yielding, affinity, priorities, and that threads of one process really run at the
 * same time on different CPUs. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "tap.h"
#include "threads.h"

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
      thread_pin(cpu);
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
  return nice(5) == 5 && getpriority(PRIO_PROCESS, 0) == 5 &&
                 getpriority(PRIO_PROCESS, getpid()) == 5 &&
                 setpriority(PRIO_PROCESS, getpid(), 100) == 0 && getpriority(PRIO_PROCESS, 0) == 19
             ? 0
             : 1;
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

static bool is_policy(pthread_t thread, int policy, int priority) {
  struct sched_param param = {0};
  int now = -1;
  return pthread_getschedparam(thread, &now, &param) == 0 && now == policy &&
         param.sched_priority == priority;
}

static bool policy_set(pthread_t thread, int policy, int priority) {
  struct sched_param param = {.sched_priority = priority};
  return pthread_setschedparam(thread, policy, &param) == 0;
}

static volatile int parked_tid;

static void *park(void *arg) {
  parked_tid = gettid();
  pthread_barrier_wait(arg);
  pthread_barrier_wait(arg);
  return (void *)(intptr_t)sched_getcpu();
}

/* The calls that name a thread change that one and no other. */
static void test_thread_calls(int cpus) {
  pthread_barrier_t barrier;
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, park, &barrier);
  pthread_barrier_wait(&barrier);
  ok(policy_set(thread, SCHED_RR, 7) && is_policy(thread, SCHED_RR, 7), "pthread_setschedparam");
  ok(is_policy(pthread_self(), SCHED_OTHER, 0), "leaves other threads alone");
  struct sched_param param = {0};
  ok(sched_getscheduler(parked_tid) == SCHED_RR && sched_getparam(parked_tid, &param) == 0 &&
         param.sched_priority == 7,
     "sched_getscheduler and sched_getparam of a thread by its id");
  ok(pthread_setschedprio(thread, 99) == 0 && is_policy(thread, SCHED_RR, 99),
     "pthread_setschedprio");
  struct timespec slice = {-1, -1};
  ok(sched_rr_get_interval(parked_tid, &slice) == 0 && slice.tv_sec == 0 && slice.tv_nsec > 0,
     "sched_rr_get_interval");
  ok(policy_set(thread, SCHED_OTHER, 0), "and back");
  ok(setpriority(PRIO_PROCESS, (id_t)parked_tid, 3) == 0 &&
         getpriority(PRIO_PROCESS, (id_t)parked_tid) == 3 && getpriority(PRIO_PROCESS, 0) == 0,
     "setpriority of a thread by its id");
  cpu_set_t last, now;
  CPU_ZERO(&last);
  CPU_SET(cpus - 1, &last);
  ok(pthread_setaffinity_np(thread, sizeof last, &last) == 0 &&
         pthread_getaffinity_np(thread, sizeof now, &now) == 0 && CPU_EQUAL(&last, &now),
     "pthread_setaffinity_np");
  pthread_barrier_wait(&barrier);
  void *cpu;
  pthread_join(thread, &cpu);
  is((intptr_t)cpu, cpus - 1, "the thread has gone where it was sent");
  pthread_barrier_destroy(&barrier);
}

static void *own_policy(void *arg) {
  (void)arg;
  struct sched_param param = {0};
  sched_getparam(0, &param);
  return (void *)(intptr_t)(sched_getscheduler(0) * 100 + param.sched_priority);
}

static void test_thread_attributes(void) {
  pthread_attr_t attributes;
  struct sched_param param = {.sched_priority = 5};
  pthread_t thread;
  void *value = NULL, *fifo_5 = (void *)(SCHED_FIFO * 100 + 5);
  pthread_attr_init(&attributes);
  pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
  pthread_attr_setschedparam(&attributes, &param);
  is(pthread_create(&thread, &attributes, own_policy, NULL), 0, "a thread with its own policy");
  pthread_join(thread, &value);
  ok(value == fifo_5, "has it from its first instruction");
  param.sched_priority = 98;
  ok(sched_setscheduler(0, SCHED_FIFO, &param) == 0 && sched_getscheduler(getpid()) == SCHED_FIFO,
     "sched_setscheduler");
  param.sched_priority = 5;
  ok(sched_setparam(0, &param) == 0 && own_policy(NULL) == fifo_5, "sched_setparam");
  pthread_create(&thread, NULL, own_policy, NULL);
  pthread_join(thread, &value);
  ok(value == fifo_5, "a thread inherits");
  struct timespec slice;
  ok(sched_rr_get_interval(0, &slice) == 0 && slice.tv_sec == 0 && slice.tv_nsec == 0,
     "SCHED_FIFO has no slice");
  policy_set(pthread_self(), SCHED_OTHER, 0);
}

static void test_errors(void) {
  struct sched_param one = {.sched_priority = 1}, zero = {0}, more = {.sched_priority = 100};
  fails_with(sched_setscheduler(0, SCHED_FIFO, &zero), EINVAL, "no real-time priority 0");
  fails_with(sched_setscheduler(0, SCHED_RR, &more), EINVAL, "nor 100");
  fails_with(sched_setscheduler(0, SCHED_OTHER, &one), EINVAL, "nor one without real time");
  fails_with(sched_setscheduler(0, 1000, &one), EINVAL, "no policy 1000");
  fails_with(sched_getscheduler(-5), EINVAL, "no thread below 0");
  fails_with(sched_getscheduler(4000000), ESRCH, "no thread of that id");
  fails_with(getpriority(1000, 0), EINVAL, "getpriority of no kind");
}

/* Nobody but root gets better; anybody may get worse. */
static int unprivileged(void *arg) {
  (void)arg;
  struct sched_param three = {.sched_priority = 3}, two = {.sched_priority = 2}, none = {0};
  sched_setscheduler(0, SCHED_RR, &two);
  if (setuid(12345) != 0) {
    return 1;
  }
  bool good = setpriority(PRIO_PROCESS, 0, 4) == 0 && setpriority(PRIO_PROCESS, 0, 3) == -1 &&
              errno == EACCES;
  good = good && sched_setparam(0, &three) == -1 && errno == EPERM;
  good = good && sched_setscheduler(0, SCHED_OTHER, &none) == 0 &&
         sched_setscheduler(0, SCHED_RR, &two) == -1 && errno == EPERM;
  return good ? 0 : 2;
}

static bool may_be_real_time(void) {
  bool may = policy_set(pthread_self(), SCHED_FIFO, 1);
  policy_set(pthread_self(), SCHED_OTHER, 0);
  return may;
}

int main(void) {
  int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
  diag("%d CPUs", cpus);
  test_yield();
  test_affinity(cpus);
  cpu_set_t all;
  sched_getaffinity(0, sizeof all, &all);
  thread_pin(0);
  is(child_exit(inherits_affinity, NULL), 0, "a child inherits the affinity");
  test_yield();
  sched_setaffinity(0, sizeof all, &all);
  test_parallel(cpus);
  test_fairness(cpus);
  test_policies();
  test_errors();
  if (may_be_real_time()) {
    test_thread_calls(cpus);
    test_thread_attributes();
    is(child_exit(unprivileged, NULL), 0, "who is not root cannot get better");
  } else {
    skip("real-time policies", "not allowed here");
  }
  return tap_done();
}
