/* stress [-s SEED] [-t SECONDS] [-l LIMIT]: a storm on the scheduler, and a watchdog that says who
 * has got stuck and what is known about it. TAP on stdout; run by tools/stress.py.
 *
 * Workers sleep and wake each other in all ways that there are: pipes, futexes, mutexes with
 * priority inheritance, timers, sleeps, joins, waits for children that are stopped, continued and
 * killed. Each counts its rounds. Chaos moves them between CPUs, changes policies, nice values and
 * parameters of the scheduler, and sends signals. A wake-up that is lost leaves some worker waiting
 * for ever: the watchdog, a real-time thread above all others, sees a count that stands still for
 * LIMIT seconds (of those that the host gave), stops the trace, prints the states of all threads
 * and the last events of all CPUs, and ends the test.
 *
 * What may starve others by right is kept from it: workers that can fill a CPU get real-time
 * priority 1 only, and parameters stay within the values (caps[]) at which nobody need get a turn
 * within LIMIT. Each run begins with a worker that is stuck on purpose, which the watchdog must
 * find, and with one whose whole world stands still for a while, which it must forgive. */
#define _GNU_SOURCE
#include "sched_says.h"
#include "stress_watch.h"
#include "threads.h"

enum { HOLDERS = 3, PARAMS_MOST = 64 };

/* ---- chaos ---------------------------------------------------------------------------------- */

struct param {
  char name[40];
  unsigned long initial, least, most;
};

/* More or less than this may keep somebody waiting for too long, by right: real-time workers have a
 * share of a period too. */
static const struct {
  const char *ends;
  unsigned long least, most;
} caps[] = {{"_us", 0, 20000}, {"rt_share", 20, 90}};

static struct param params[PARAMS_MOST];
static int n_params;

static void param_cap(struct param *p) {
  size_t n = strlen(p->name);
  for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
    size_t end = strlen(caps[i].ends);
    if (n >= end && strcmp(p->name + n - end, caps[i].ends) == 0) {
      p->most = p->most > caps[i].most ? caps[i].most : p->most;
      p->least = p->least < caps[i].least ? caps[i].least : p->least;
    }
  }
}

static void params_load(void) {
  FILE *file = fopen("sys:/sched", "r");
  struct param *p = params;
  if (!file) {
    bail_out("sys:/sched");
  }
  while (n_params < PARAMS_MOST &&
         fscanf(file, "%39s %lu %*s %lu %lu", p->name, &p->initial, &p->least, &p->most) == 4) {
    param_cap(p++);
    n_params++;
  }
  fclose(file);
  if (n_params == 0) {
    bail_out("sys:/sched has no parameters");
  }
}

static void chaos_policy(struct worker *w, struct worker *victim, int tid) {
  static const int policies[] = {SCHED_OTHER, SCHED_OTHER, SCHED_RR, SCHED_FIFO};
  int policy = policies[below(w, 4)];
  int most = victim->fills ? 1 : PRIORITY_WORKER;
  struct sched_param param = {.sched_priority = 0};
  if (policy != SCHED_OTHER) {
    param.sched_priority = 1 + (int)below(w, (uint32_t)most);
  }
  if (sched_setscheduler(tid, policy, &param) != 0 && errno != ESRCH) {
    fault("sched_setscheduler");
  }
}

static void chaos_affinity(struct worker *w, int tid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((int)below(w, (uint32_t)n_cpus), &set);
  for (int cpu = 0; cpu < n_cpus; cpu++) {
    if (below(w, 3) == 0) {
      CPU_SET(cpu, &set);
    }
  }
  if (sched_setaffinity(tid, sizeof set, &set) != 0 && errno != ESRCH) {
    fault("sched_setaffinity");
  }
}

static int chaos(struct worker *w) {
  struct worker *victim = &workers[below(w, (uint32_t)n_workers)];
  struct param *p = &params[below(w, (uint32_t)n_params)];
  int tid = atomic_load(&victim->tid);
  uint32_t what = tid == 0 || victim->run == chaos ? 9 : below(w, 10);
  if (what < 4) {
    chaos_affinity(w, tid);
  } else if (what < 6) {
    chaos_policy(w, victim, tid);
  } else if (what < 7) {
    setpriority(PRIO_PROCESS, (id_t)tid, (int)below(w, 40) - 20);
  } else if (what < 9) {
    pthread_kill(victim->thread, SIGUSR1);
  } else if (!param_set(p->name, p->least + random_next(&w->random) % (p->most - p->least + 1))) {
    fault("a parameter cannot be set");
  }
  nap(below(w, 2) ? 50 : below(w, SHORT_US));
  return chaos_stop;
}

/* ---- the storm ------------------------------------------------------------------------------ */

static void wake_only(int signo) {
  (void)signo;
}

static void signals_set(void) {
  struct sigaction action = {.sa_handler = wake_only};
  sigset_t set;
  sigaction(SIGUSR1, &action, NULL);
  sigemptyset(&set);
  for (int i = 0; i < SETS_MOST; i++) {
    sigaddset(&set, SIGRTMIN + i);
  }
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static struct held *helds[SETS_MOST];

static void set_add(int set) {
  struct pair *p = calloc(1, sizeof *p);
  _Atomic int *turn = calloc(1, sizeof *turn);
  if (!p || !turn || pipe2(p->there, O_CLOEXEC) != 0 || pipe2(p->back, O_CLOEXEC) != 0) {
    bail_out("a set of workers");
  }
  helds[set] = held_make();
  worker_add("sleeper", sleeper, false, NULL, 0);
  worker_add("yielder", yielder, true, NULL, 0);
  worker_add("burster", burster, false, NULL, 0);
  worker_add("pipe sender", pipe_sender, true, p, 0);
  worker_add("pipe answerer", pipe_answerer, true, p, 1);
  for (int i = 0; i < RING; i++) {
    worker_add("ring", ring, true, turn, i);
  }
  for (int i = 0; i < HOLDERS; i++) {
    worker_add("holder", holder, false, helds[set], i);
  }
  worker_add("timer", timer_user, false, NULL, set);
  worker_add("joiner", joiner, true, NULL, 0);
  worker_add("forker", forker, true, NULL, 0);
}

/* Chaos ends first: workers that it has sent away are still to end. */
static void storm_run(void) {
  pthread_t dog = thread_start(PRIORITY_WATCHDOG, watchdog, NULL);
  for (int i = 0; i < n_workers; i++) {
    int priority = workers[i].run == chaos ? PRIORITY_CHAOS : 0;
    workers[i].thread = thread_start(priority, worker_main, &workers[i]);
  }
  sleep((unsigned)seconds);
  atomic_store(&chaos_stop, true);
  for (int i = 0; i < n_workers; i++) {
    if (workers[i].run == chaos) {
      pthread_join(workers[i].thread, NULL);
    }
  }
  atomic_store(&stop, true);
  for (int i = 0; i < n_workers; i++) {
    if (workers[i].run != chaos) {
      pthread_join(workers[i].thread, NULL);
    }
  }
  pthread_join(dog, NULL);
}

/* ---- what must hold afterwards ---- */

static unsigned long counter_sum(const char *name) {
  static char text[4096];
  unsigned long sum = 0;
  for (int cpu = 0; cpu < n_cpus; cpu++) {
    char path[32], line[64];
    snprintf(path, sizeof path, "sys:/cpu/%d/stat", cpu);
    snprintf(line, sizeof line, "%s ", name);
    text[file_read(path, text, sizeof text - 1)] = '\0';
    char *at = strcasestr(text, line);
    if (!at) {
      bail_out(name);
    }
    sum += strtoul(at + strlen(line), NULL, 10);
  }
  return sum;
}

static void results_check(int n_sets) {
  unsigned long laps = 0;
  int torn = 0;
  for (int i = 0; i < n_workers; i++) {
    laps += workers[i].laps;
  }
  for (int i = 0; i < n_sets; i++) {
    torn += helds[i]->count != atomic_load(&helds[i]->wanted);
  }
  for (int i = 0; i < n_params; i++) {
    if (!param_set(params[i].name, params[i].initial)) {
      fault("a parameter cannot be set back");
    }
  }
  ok(true, "nobody is stuck");
  host_print();
  is(torn, 0, "a mutex with priority inheritance keeps others out");
  if (!is(n_faults, 0, "no call failed, no byte was lost, no sleep ended early")) {
    diag("first: %s", first_fault);
  }
  is(counter_sum("locks_shared"), 0, "switching, waking and timers took only locks of one CPU");
  diag("%d workers on %d CPUs: %lu rounds, %lu switches, %lu migrations, %lu preemptions",
       n_workers, n_cpus, laps, counter_sum("switches"),
       counter_sum("steals") + counter_sum("pushes"), counter_sum("preempts"));
}

/* ---- the watchdog's own proof ---- */

static int stuck(struct worker *w) {
  (void)w;
  return pause() == 0;
}

static int stuck_main(void *arg) {
  int *fds = arg;
  dup2(fds[1], 1);
  limit_s = 1;
  worker_add("stuck on purpose", stuck, false, NULL, 0);
  workers[0].thread = thread_start(0, worker_main, &workers[0]);
  watchdog(NULL);
  return 0;
}

static void watchdog_prove(void) {
  static char text[1 << 19], mask[32];
  int fds[2], status = -1;
  mask[file_read("sys:/trace/mask", mask, sizeof mask - 1)] = '\0';
  if (pipe(fds) != 0) {
    bail_out("pipe");
  }
  pid_t pid = fork();
  if (pid == 0) {
    _exit(stuck_main(fds));
  }
  close(fds[1]);
  size_t n = 0;
  for (ssize_t got;
       n < sizeof text - 1 && (got = read(fds[0], text + n, sizeof text - 1 - n)) > 0;) {
    n += (size_t)got;
  }
  close(fds[0]);
  trace_mask_set(mask); /* the watchdog has stopped the trace */
  ok(waitpid(pid, &status, 0) == pid && status == STUCK_STATUS << 8 &&
         strstr(text, "stuck: stuck on purpose") && strstr(text, "SWITCH thread") &&
         strstr(text, "not ok"),
     "the watchdog finds a worker that is stuck, and says what is known");
}

/* All threads of a process are stopped for longer than LIMIT, as by a host that is busy elsewhere.
 * A round is long enough that the watchdog looks again before the worker has ended the one that it
 * was stopped in. */
static int napper(struct worker *w) {
  (void)w;
  for (int i = 0; i < 10; i++) {
    nap(5000);
  }
  return stop;
}

static int stalled_main(const int *fds, int ready_fd) {
  char byte = 'r';
  dup2(open("/dev/null", O_WRONLY), 1);
  limit_s = 1;
  patience = 1000; /* the host may stall as well */
  worker_add("napper", napper, false, NULL, 0);
  pthread_t dog = thread_start(PRIORITY_WATCHDOG, watchdog, NULL);
  workers[0].thread = thread_start(0, worker_main, &workers[0]);
  while (*(volatile int *)&host.n_trials == 0 || atomic_load(&workers[0].laps) == 0) {
    nap(1000);
  }
  if (write(ready_fd, &byte, 1) != 1 || read(fds[0], &byte, 1) != 1) {
    return 2;
  }
  stop = true;
  pthread_join(dog, NULL);
  return host.late_most_ns < (int64_t)limit_s * 1000000000;
}

static void stall_prove(void) {
  int fds[2], ready[2], status = -1;
  char byte = 0;
  if (pipe(fds) != 0 || pipe(ready) != 0) {
    bail_out("pipe");
  }
  pid_t pid = fork();
  if (pid == 0) {
    _exit(stalled_main(fds, ready[1]));
  }
  close(ready[1]);
  bool good = read(ready[0], &byte, 1) == 1;
  kill(pid, SIGSTOP);
  sleep_ms(1500);
  kill(pid, SIGCONT);
  sleep_ms(300);
  good = good && write(fds[1], "x", 1) == 1 && waitpid(pid, &status, 0) == pid && status == 0;
  ok(good, "and forgives a worker that stood still with the whole machine");
  close(ready[0]);
  close(fds[0]);
  close(fds[1]);
}

static void arguments(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "s:t:l:")) != -1;) {
    if (option == 's') {
      seed = strtoull(optarg, NULL, 0);
    } else if (option == 't') {
      seconds = atoi(optarg);
    } else if (option == 'l') {
      limit_s = atoi(optarg);
    } else {
      exit(2);
    }
  }
}

int main(int argc, char **argv) {
  arguments(argc, argv);
  n_cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
  int n_sets = 1 + (n_cpus + 1) / 2 < SETS_MOST ? 1 + (n_cpus + 1) / 2 : SETS_MOST;
  diag("seed %llu, %d seconds", (unsigned long long)seed, seconds);
  watchdog_prove();
  stall_prove();
  signals_set();
  params_load();
  for (int i = 0; i < n_sets; i++) {
    set_add(i);
  }
  worker_add("chaos", chaos, false, NULL, 0);
  worker_add("chaos", chaos, false, NULL, 1);
  storm_run();
  results_check(n_sets);
  return tap_done();
}
