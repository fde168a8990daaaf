/* fairness_smp: shares on two CPUs over ten seconds, within 5 % of what is due. In real time, for
 * QEMU loses interrupts when it counts the instructions of more than one CPU. A CPU that the host
 * stops is, for the kernel, a slice that was too long: it is paid back, but a light thread cannot
 * pay within ten seconds for what a heavy one has in a moment. So a thread of each CPU that is
 * better than all others sleeps and wakes, and what it comes too late is allowed for.
 * balance_shares_test.c simulates more mixes on more CPUs.
 *
 * Loads are processes that compute. This one is real-time and sleeps. Each is to have its share of
 * CPU time by weight, and nobody more than one CPU. Not one of testall's. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "sched_says.h"

enum { LOADS_MAX = 12, CPUS = 2, SETTLE_MS = 2000, LOOK_MS = 10000 };
enum { WATCH_MS = 5, LATE_US = 1000 }; /* nothing in the kernel takes that long */
static const double OFF_MOST = 0.05;
static _Atomic uint64_t stalled_us; /* of both CPUs, since the loads began */

static pid_t hog_start(int nice) {
  pid_t pid = fork();
  if (pid < 0) {
    bail_out("fork");
  }
  if (pid == 0) {
    if (setpriority(PRIO_PROCESS, 0, nice) != 0 ||
        sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}) != 0) {
      _exit(1);
    }
    for (volatile uint64_t count = 0;; count++) {
    }
  }
  return pid;
}

static void hog_end(pid_t pid) {
  int status;
  if (kill(pid, SIGKILL) != 0 || waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) {
    bail_out("a load ended by itself");
  }
}

static void nap(long ms) {
  nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Counts how long the host stops a CPU. */
static void *watch(void *arg) {
  cpu_set_t cpu;
  CPU_ZERO(&cpu);
  CPU_SET((int)(intptr_t)arg, &cpu);
  if (sched_setaffinity(0, sizeof cpu, &cpu) != 0) {
    bail_out("sched_setaffinity");
  }
  for (;;) {
    uint64_t due = now_us() + WATCH_MS * 1000;
    nap(WATCH_MS);
    uint64_t now = now_us();
    stalled_us += now > due + LATE_US ? now - due : 0;
  }
  return NULL;
}

/* What each is due of a CPU. */
static void due_find(double *due, const int *nices, int n) {
  double left = 0, cpus = CPUS;
  for (int i = 0; i < n; i++) {
    due[i] = 0;
    left += weight_of(nices[i]);
  }
  for (bool again = true; again;) {
    again = false;
    for (int i = 0; i < n; i++) {
      if (due[i] == 0 && weight_of(nices[i]) * cpus >= left) {
        due[i] = 1;
        cpus -= 1;
        left -= weight_of(nices[i]);
        again = true;
      }
    }
  }
  for (int i = 0; i < n; i++) {
    due[i] = due[i] == 1 ? 1 : weight_of(nices[i]) * cpus / left;
  }
}

static bool shares_check(const int *nices, const double *us, int n) {
  double due[LOADS_MAX], all = 0, stalled = (double)stalled_us;
  bool good = true;
  diag("the host stopped the CPUs for %.1f ms of %d", stalled / 1000, CPUS * (SETTLE_MS + LOOK_MS));
  due_find(due, nices, n);
  for (int i = 0; i < n; i++) {
    all += us[i];
  }
  good = all >= 0.9 * CPUS * LOOK_MS * 1000; /* the rest has who watches */
  for (int i = 0; i < n; i++) {
    double off = us[i] / all * CPUS / due[i] - 1;
    diag("nice %d: due %.2f %% of a CPU, off by %+.2f %%", nices[i], 100 * due[i], 100 * off);
    double most = OFF_MOST + stalled / (due[i] * LOOK_MS * 1000);
    good = good && off <= most && off >= -most;
  }
  return good;
}

static bool shares_are_even(const int *nices, int n) {
  pid_t pids[LOADS_MAX];
  double us[LOADS_MAX];
  stalled_us = 0;
  for (int i = 0; i < n; i++) {
    pids[i] = hog_start(nices[i]);
  }
  nap(SETTLE_MS);
  for (int i = 0; i < n; i++) {
    us[i] = -(double)cpu_time_us(pids[i]);
  }
  nap(LOOK_MS);
  for (int i = 0; i < n; i++) {
    us[i] += (double)cpu_time_us(pids[i]);
  }
  for (int i = 0; i < n; i++) {
    hog_end(pids[i]);
  }
  return shares_check(nices, us, n);
}

#define TEST_SHARES(what, ...)                                                                     \
  do {                                                                                             \
    static const int nices[] = {__VA_ARGS__};                                                      \
    ok(shares_are_even(nices, sizeof nices / sizeof nices[0]), what);                              \
  } while (0)

int main(void) {
  struct sched_param param = {.sched_priority = 50};
  if (sysconf(_SC_NPROCESSORS_ONLN) != CPUS || sched_setscheduler(0, SCHED_FIFO, &param) != 0) {
    bail_out("two CPUs and real-time priority");
  }
  for (intptr_t cpu = 0; cpu < CPUS; cpu++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch, (void *)cpu) != 0) {
      bail_out("pthread_create");
    }
  }
  TEST_SHARES("nice 0, 0, 5, 5: two pairs that fit", 0, 0, 5, 5);
  TEST_SHARES("nice 0, 0, 0: they take turns", 0, 0, 0);
  TEST_SHARES("nice -5, 0, 0, 5: one fills a CPU", -5, 0, 0, 5);
  TEST_SHARES("nice -7 to 4, one of each", -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4);
  TEST_SHARES("nice -15, -15, -11, -1, 1, 5: two nearly fill a CPU", -15, -15, -11, -1, 1, 5);
  return tap_done();
}
