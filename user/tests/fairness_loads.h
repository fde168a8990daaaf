/* What fairness.c measures: loads, which are processes that count in a page shared with it. */
#ifndef TESTS_FAIRNESS_LOADS_H
#define TESTS_FAIRNESS_LOADS_H

#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "sched_says.h"

enum {
  LOADS_MAX = 40,
  NICE_LEAST = -20,
  MS = 1000000,
  LATE_MOST_NS = 100000,
  TURN_COST_NS = 4000,
  DEBT_QUANTA = 16
};
static const int64_t SECOND = 1000000000;
static const double SLICE_FLOOR_S = 20e-6; /* no slice is shorter */

struct load {
  int policy, priority, nice;
  int64_t sleep_ns; /* of each turn of a sleeper; 0: a hog */
  int64_t work_ns;  /* that it does then */
  bool meddles;     /* a hog that sets another's affinity all the time, to what it is */
  bool plays;       /* throws a ball to and fro with the next load */
  pid_t pid;
};

struct seen {
  _Alignas(64) volatile uint64_t count; /* turns of a hog, wake-ups of a sleeper */
  volatile int64_t late_most_ns;        /* of a sleeper */
  volatile uint64_t late_n;             /* by more than LATE_MOST_NS */
  volatile pid_t other;                 /* whom it meddles with, once that is known */
  _Atomic uint32_t ball;                /* of the first load: which of two players has it */
};

static struct seen *seen; /* one a load, shared */

/* ---- loads -------------------------------------------------------------------------------- */

static _Noreturn void hog_run(struct seen *s) {
  for (;;) {
    s->count++;
  }
}

static void affinity_set_again(pid_t pid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  if (sched_setaffinity(pid, sizeof set, &set) != 0) {
    _exit(1);
  }
}

static _Noreturn void meddler_run(struct seen *s) {
  for (;;) {
    if (++s->count % 20000 == 0 && s->other != 0) {
      affinity_set_again(s->other);
    }
  }
}

/* Uses so much CPU time. */
static void work(int64_t ns) {
  int64_t until = now_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
  while (now_ns(CLOCK_THREAD_CPUTIME_ID) < until) {
  }
}

/* Sleeps until a deadline, notes how late it runs, and works for a little. */
static _Noreturn void sleeper_run(struct seen *s, int64_t sleep_ns, int64_t work_ns) {
  for (;;) {
    int64_t goal = now_ns(CLOCK_MONOTONIC) + sleep_ns;
    struct timespec wanted = {goal / SECOND, goal % SECOND};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wanted, NULL);
    int64_t late = now_ns(CLOCK_MONOTONIC) - goal;
    s->late_most_ns = late > s->late_most_ns ? late : s->late_most_ns;
    s->late_n += late > LATE_MOST_NS;
    s->count++;
    work(work_ns);
  }
}

/* Takes the ball when it comes, counts, and throws it to the other: one of the two always waits. */
static _Noreturn void player_run(struct seen *s) {
  enum { WAIT = 0, WAKE = 1 }; /* futex(2), between processes */
  uint32_t me = (uint32_t)(s - seen);
  _Atomic uint32_t *ball = &seen[0].ball;
  for (;;) {
    while (atomic_load(ball) != me) {
      syscall(SYS_futex, ball, WAIT, 1 - me, NULL, NULL, 0);
    }
    s->count++;
    atomic_store(ball, 1 - me);
    syscall(SYS_futex, ball, WAKE, 1, NULL, NULL, 0);
  }
}

static void load_start(struct load *load, struct seen *s) {
  struct sched_param param = {.sched_priority = load->priority};
  *s = (struct seen){0};
  load->pid = fork();
  if (load->pid < 0) {
    bail_out("fork");
  }
  if (load->pid > 0) {
    return;
  }
  if (setpriority(PRIO_PROCESS, 0, load->nice) != 0 ||
      sched_setscheduler(0, load->policy, &param) != 0) {
    _exit(1);
  }
  if (load->sleep_ns > 0) {
    sleeper_run(s, load->sleep_ns, load->work_ns);
  }
  if (load->meddles) {
    meddler_run(s);
  }
  if (load->plays) {
    player_run(s);
  }
  hog_run(s);
}

static void loads_start(struct load *loads, int n) {
  for (int i = 0; i < n; i++) {
    load_start(&loads[i], &seen[i]);
  }
}

static void loads_end(struct load *loads, int n) {
  for (int i = 0; i < n; i++) {
    int status;
    if (kill(loads[i].pid, SIGKILL) != 0 || waitpid(loads[i].pid, &status, 0) != loads[i].pid ||
        !WIFSIGNALED(status)) {
      bail_out("a load ended by itself");
    }
  }
}

static void nap(int64_t ns) {
  nanosleep(&(struct timespec){ns / SECOND, ns % SECOND}, NULL);
}

/* ---- what they have had -------------------------------------------------------------------- */

/* What the loads have had: counted, and CPU time. */
struct had {
  double count[LOADS_MAX], us[LOADS_MAX], count_all, us_all;
};

static void had_read(struct had *h, const struct load *loads, int n) {
  for (int i = 0; i < n; i++) {
    h->count[i] = (double)seen[i].count;
    h->us[i] = (double)cpu_time_us(loads[i].pid);
  }
}

static void had_since(struct had *h, const struct had *from, int n) {
  h->count_all = h->us_all = 0;
  for (int i = 0; i < n; i++) {
    h->count_all += h->count[i] -= from->count[i];
    h->us_all += h->us[i] -= from->us[i];
  }
}

#endif
