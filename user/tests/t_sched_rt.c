/* A real-time thread that never sleeps, with the throttle off: who waits behind it is moved to
 * another CPU, though that is busy too. Nothing else would end its wait. */
#define _GNU_SOURCE
#include <fcntl.h>

#include "tap.h"
#include "threads.h"

enum { WAITERS = 3, PATIENCE_MS = 20000 };

static volatile bool stop;
static volatile bool hog_runs[2]; /* by CPU */
static volatile unsigned long turns[WAITERS];

static bool share_set(const char *per_cent) {
  int fd = open("sys:/sched/rt_share", O_WRONLY);
  bool good = write(fd, per_cent, strlen(per_cent)) > 0;
  close(fd);
  return good;
}

static void *hog(void *arg) {
  int cpu = (int)(intptr_t)arg;
  thread_pin(cpu);
  while (!stop) {
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

static bool all_have_run(const unsigned long *from) {
  bool all = true;
  for (int i = 0; i < WAITERS; i++) {
    all = all && turns[i] != from[i];
  }
  return all;
}

/* Looks from CPU 1, as a better real-time thread that sleeps. */
static bool waiters_move(void) {
  unsigned long from[WAITERS];
  for (int i = 0; i < WAITERS; i++) {
    from[i] = turns[i];
  }
  for (int ms = 0; ms < PATIENCE_MS && !all_have_run(from); ms += 10) {
    sleep_ms(10);
  }
  return all_have_run(from);
}

static void cpus_set(pthread_t thread, const cpu_set_t *set) {
  if (pthread_setaffinity_np(thread, sizeof *set, set) != 0) {
    bail_out("pthread_setaffinity_np");
  }
}

static void test_waiters(void) {
  cpu_set_t all, first;
  pthread_t waiters[WAITERS], hogs[2];
  sched_getaffinity(0, sizeof all, &all);
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  hogs[1] = thread_start(0, hog, (void *)1);
  for (int i = 0; i < WAITERS; i++) {
    waiters[i] = thread_start(0, waiter, (void *)&turns[i]);
    cpus_set(waiters[i], &first);
  }
  thread_pin(1);
  pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){.sched_priority = 20});
  hogs[0] = thread_start(10, hog, (void *)0);
  while (!hog_runs[0]) {
    sleep_ms(1);
  }
  for (int i = 0; i < WAITERS; i++) {
    cpus_set(waiters[i], &all);
  }
  ok(waiters_move(), "who waits behind a real-time thread that never sleeps goes elsewhere");
  stop = true;
  for (int i = 0; i < WAITERS; i++) {
    pthread_join(waiters[i], NULL);
  }
  pthread_join(hogs[0], NULL);
  pthread_join(hogs[1], NULL);
}

int main(void) {
  if (open("sys:/sched/rt_share", O_RDONLY) < 0) {
    skip("behind a real-time thread", "this kernel has no throttle that can be turned off");
  } else if (sysconf(_SC_NPROCESSORS_ONLN) != 2) {
    skip("behind a real-time thread", "two CPUs are needed, and no third to steal");
  } else {
    ok(share_set("100"), "the throttle is off");
    test_waiters();
    ok(share_set("95"), "and on again");
  }
  return tap_done();
}
