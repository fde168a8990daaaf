/* stress [-s SEED] [-t SECONDS] [-l LIMIT]: a storm on the scheduler, and a watchdog that says who
 * has got stuck and what is known about it. TAP on stdout; run by tools/stress.py.
 *
 * Workers sleep and wake each other in all ways that there are: pipes, futexes, mutexes with
 * priority inheritance, timers, sleeps, joins, waits for children that are stopped, continued and
 * killed. Each counts its rounds. Chaos moves them between CPUs, changes policies, nice values and
 * parameters of the scheduler, and sends signals. A wake-up that is lost leaves some worker waiting
 * for ever: the watchdog, a real-time thread above all others, sees a count that stands still for
 * LIMIT seconds, stops the trace, prints the states of all threads and the last events of all CPUs,
 * and ends the test.
 *
 * What may starve others by right is kept from it: workers that can fill a CPU get real-time
 * priority 1 only, and parameters stay below the values (caps[]) at which nobody need get a turn
 * within LIMIT. Each run begins with a worker that is stuck on purpose, which the watchdog must
 * find. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "abi/abi.h"
#include "tap.h"

#define FUTEX_WAIT_PRIVATE (0 | 128)
#define FUTEX_WAKE_PRIVATE (1 | 128)
#define SHORT_US 3000u /* sleeps are shorter */

enum { SETS_MOST = 8, WORKERS_MOST = 256, RING = 3, HOLDERS = 3, CPUS_MOST = 64, PARAMS_MOST = 64 };
enum { PRIORITY_WATCHDOG = 99, PRIORITY_CHAOS = 60, PRIORITY_WORKER = 50, STUCK_STATUS = 1 };

/* ---- workers ------------------------------------------------------------------------------- */

struct worker {
  const char *kind;
  bool fills;            /* it may use a whole CPU */
  uint64_t random;       /* its own generator */
  void *shared;          /* with others of its group */
  int index;             /* in its group */
  pthread_t thread;      /*                                               */
  _Atomic int tid;       /* 0 until it runs */
  _Atomic uint64_t laps; /* the watchdog's sign of life */
  _Atomic bool done;
  int (*run)(struct worker *w); /* one round; not 0 ends it */
};

static struct worker workers[WORKERS_MOST];
static int n_workers, n_cpus;
static uint64_t seed = 1;
static int seconds = 5, limit_s = 20;
static _Atomic bool stop, chaos_stop;
static _Atomic int n_faults;
static const char *_Atomic first_fault;

static void fault(const char *what) {
  const char *none = NULL;
  atomic_compare_exchange_strong(&first_fault, &none, what);
  atomic_fetch_add(&n_faults, 1);
}

static uint32_t below(struct worker *w, uint32_t n) {
  return (uint32_t)((random_next(&w->random) >> 32) % n);
}

static void *worker_main(void *arg) {
  struct worker *w = arg;
  atomic_store(&w->tid, gettid());
  while (w->run(w) == 0) {
    atomic_fetch_add_explicit(&w->laps, 1, memory_order_relaxed);
  }
  atomic_store(&w->done, true);
  return NULL;
}

static void worker_add(const char *kind, int (*run)(struct worker *w), bool fills, void *shared,
                       int index) {
  if (n_workers == WORKERS_MOST) {
    bail_out("too many workers");
  }
  workers[n_workers] = (struct worker){.kind = kind,
                                       .fills = fills,
                                       .random = seed * 1000 + (uint64_t)n_workers + 1,
                                       .shared = shared,
                                       .index = index,
                                       .run = run};
  n_workers++;
}

static void nap(uint64_t us) {
  struct timespec left = {0, (long)us * 1000};
  while (nanosleep(&left, &left) != 0) {
    if (errno != EINTR) {
      fault("nanosleep");
      return;
    }
  }
}

static void burn(uint32_t loops) {
  for (volatile uint32_t i = 0; i < loops; i++) {
  }
}

/* Wakes at the time it asked for, or later. */
static int sleeper(struct worker *w) {
  uint32_t us = below(w, 4) == 0 ? below(w, 20) : below(w, SHORT_US);
  int64_t from = now_ns(CLOCK_MONOTONIC);
  nap(us);
  if (now_ns(CLOCK_MONOTONIC) - from < (int64_t)us * 1000) {
    fault("a sleep ended early");
  }
  return stop;
}

static int yielder(struct worker *w) {
  burn(below(w, 2000));
  for (uint32_t n = below(w, 30); n > 0; n--) {
    sched_yield();
  }
  return stop;
}

static int burster(struct worker *w) {
  burn(below(w, 10000));
  nap(500 + below(w, SHORT_US));
  return stop;
}

/* ---- pipes: what is sent comes back with one added to each byte ---- */

struct pair {
  int there[2], back[2];
};

/* Reads exactly n bytes; false at the end of the pipe. */
static bool read_all(int fd, unsigned char *to, size_t n) {
  for (size_t done = 0; done < n;) {
    ssize_t got = read(fd, to + done, n - done);
    if (got == 0) {
      return false;
    }
    if (got < 0 && errno != EINTR) {
      fault("read");
      return false;
    }
    done += got > 0 ? (size_t)got : 0;
  }
  return true;
}

/* Pipes take up to PIPE_BUF bytes whole or not at all, and ours are drained. */
static void write_whole(int fd, const unsigned char *from, size_t n) {
  ssize_t put;
  do {
    put = write(fd, from, n);
  } while (put < 0 && errno == EINTR);
  if (put != (ssize_t)n) {
    fault("write");
  }
}

static int pipe_sender(struct worker *w) {
  struct pair *p = w->shared;
  unsigned char out[64], in[64];
  size_t n = 1 + below(w, sizeof out - 1);
  if (stop) {
    close(p->there[1]);
    return 1;
  }
  memset(out, (int)below(w, 256), sizeof out);
  out[0] = (unsigned char)n;
  write_whole(p->there[1], out, n);
  if (!read_all(p->back[0], in, n)) {
    fault("an answer ended early");
    return 1;
  }
  for (size_t i = 0; i < n; i++) {
    if (in[i] != (unsigned char)(out[i] + 1)) {
      fault("an answer with wrong bytes");
    }
  }
  return 0;
}

static int pipe_answerer(struct worker *w) {
  struct pair *p = w->shared;
  unsigned char block[64];
  struct pollfd wait = {.fd = p->there[0], .events = POLLIN};
  if (below(w, 3) == 0 && poll(&wait, 1, (int)below(w, 5)) < 0 && errno != EINTR) {
    fault("poll");
  }
  if (!read_all(p->there[0], block, 1)) {
    return 1;
  }
  size_t n = block[0];
  if (n == 0 || n > sizeof block || (n > 1 && !read_all(p->there[0], block + 1, n - 1))) {
    fault("a message that was not sent");
    return 1;
  }
  for (size_t i = 0; i < n; i++) {
    block[i]++;
  }
  write_whole(p->back[1], block, n);
  return 0;
}

/* ---- a ring: each waits on one word for its turn, at times with a deadline ---- */

static void futex_wait_for(_Atomic int *word, int now, uint32_t us) {
  struct timespec most = {0, (long)us * 1000};
  long r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, now, us ? &most : NULL, NULL, 0);
  if (r != 0 && errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT) {
    fault("futex wait");
  }
}

static int ring(struct worker *w) {
  _Atomic int *turn = w->shared;
  for (int now; (now = atomic_load(turn)) != w->index;) {
    futex_wait_for(turn, now, below(w, 4) == 0 ? 1 + below(w, 1000) : 0);
  }
  bool last = stop;
  atomic_store(turn, (w->index + 1) % RING);
  if (syscall(SYS_futex, turn, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) < 0) {
    fault("futex wake");
  }
  return last;
}

/* ---- a mutex with priority inheritance ---- */

struct held {
  pthread_mutex_t mutex;
  volatile uint64_t count;
  _Atomic uint64_t wanted;
};

static int holder(struct worker *w) {
  struct held *h = w->shared;
  if (pthread_mutex_lock(&h->mutex) != 0) {
    fault("pthread_mutex_lock");
  }
  uint64_t count = h->count;
  if (below(w, 4) == 0) {
    nap(below(w, 300));
  } else if (below(w, 3) == 0) {
    sched_yield();
  }
  h->count = count + 1;
  if (pthread_mutex_unlock(&h->mutex) != 0) {
    fault("pthread_mutex_unlock");
  }
  atomic_fetch_add(&h->wanted, 1);
  nap(below(w, 1000));
  return stop;
}

static struct held *held_make(void) {
  struct held *h = calloc(1, sizeof *h);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if (!h || pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) != 0 ||
      pthread_mutex_init(&h->mutex, &attributes) != 0) {
    bail_out("a mutex with priority inheritance");
  }
  return h;
}

/* ---- timers, threads, processes ---- */

static int timer_user(struct worker *w) {
  sigset_t set;
  timer_t timer;
  int signo = SIGRTMIN + w->index;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo};
  long ns = 1000 * (long)(50 + below(w, SHORT_US));
  struct itimerspec when = {{0, below(w, 2) ? ns : 0}, {0, ns}};
  sigemptyset(&set);
  sigaddset(&set, signo);
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
      timer_settime(timer, 0, &when, NULL) != 0) {
    fault("timer_create or timer_settime");
    return 1;
  }
  for (uint32_t n = when.it_interval.tv_nsec ? 1 + below(w, 4) : 1; n > 0; n--) {
    while (sigtimedwait(&set, NULL, NULL) != signo) {
    }
  }
  timer_delete(timer);
  struct timespec none = {0, 0};
  while (sigtimedwait(&set, NULL, &none) == signo) { /* one that came before it was deleted */
  }
  return stop;
}

static void *short_thread(void *arg) {
  burn((uint32_t)(uintptr_t)arg);
  sched_yield();
  return arg;
}

static int joiner(struct worker *w) {
  pthread_t threads[4];
  uintptr_t loops[4];
  uint32_t n = 1 + below(w, 4);
  for (uint32_t i = 0; i < n; i++) {
    loops[i] = below(w, 2000);
    if (pthread_create(&threads[i], NULL, short_thread, (void *)loops[i]) != 0) {
      fault("pthread_create");
      return 1;
    }
  }
  for (uint32_t i = 0; i < n; i++) {
    void *value;
    if (pthread_join(threads[i], &value) != 0 || (uintptr_t)value != loops[i]) {
      fault("pthread_join");
    }
  }
  return stop;
}

/* Two threads of a child that wake each other, for a while or until it is killed. */
static void *child_echo(void *arg) {
  int *fds = arg;
  char byte;
  while (read(fds[0], &byte, 1) == 1 && write(fds[3], &byte, 1) == 1) {
  }
  return NULL;
}

static int child_main(uint32_t rounds) {
  int fds[4];
  pthread_t thread;
  char byte = 0;
  if (pipe(fds) != 0 || pipe(fds + 2) != 0 || pthread_create(&thread, NULL, child_echo, fds) != 0) {
    return 1;
  }
  while (rounds-- > 0) {
    if (write(fds[1], &byte, 1) != 1 || read(fds[2], &byte, 1) != 1) {
      return 2;
    }
  }
  close(fds[1]);
  pthread_join(thread, NULL);
  return 0;
}

static int forker(struct worker *w) {
  uint32_t rounds = below(w, 50);
  int how = (int)below(w, 4), status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    _exit(child_main(rounds));
  }
  if (pid < 0) {
    fault("fork");
    return 1;
  }
  if (how >= 2) {
    nap(below(w, SHORT_US));
    kill(pid, SIGSTOP);
    kill(pid, how == 2 ? SIGCONT : SIGKILL);
  } else if (how == 1) {
    nap(below(w, 2000));
    kill(pid, SIGKILL);
  }
  pid_t got;
  do {
    got = waitpid(pid, &status, 0);
  } while (got < 0 && errno == EINTR);
  bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  if (got != pid || (status != 0 && !(killed && (how & 1)))) {
    fault("a child that ended in a wrong way");
  }
  return stop;
}

/* ---- chaos ---------------------------------------------------------------------------------- */

struct param {
  char name[40];
  unsigned long initial, least, most;
};

/* More than this may keep somebody waiting for too long, by right. */
static const struct {
  const char *ends;
  unsigned long most;
} caps[] = {{"_us", 20000}, {"rt_share", 90}};

static struct param params[PARAMS_MOST];
static int n_params;

static bool param_set(const struct param *p, unsigned long value) {
  char path[64], text[24];
  snprintf(path, sizeof path, "sys:/sched/%s", p->name);
  int fd = open(path, O_WRONLY | O_CLOEXEC), n = snprintf(text, sizeof text, "%lu", value);
  bool good = fd >= 0 && write(fd, text, (size_t)n) == n;
  close(fd);
  return good;
}

static void param_cap(struct param *p) {
  size_t n = strlen(p->name);
  for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
    size_t end = strlen(caps[i].ends);
    if (n >= end && strcmp(p->name + n - end, caps[i].ends) == 0 && p->most > caps[i].most) {
      p->most = caps[i].most;
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
  } else if (!param_set(p, p->least + random_next(&w->random) % (p->most - p->least + 1))) {
    fault("a parameter cannot be set");
  }
  nap(below(w, 2) ? 50 : below(w, SHORT_US));
  return chaos_stop;
}

/* ---- the watchdog --------------------------------------------------------------------------- */

enum { EVENTS_SHOWN = 40, RING_BYTES = 1 << 16 };

static const char *const event_names[32] = {
#define TRACE_EVENT(number, name, a, b, text) [number] = #name,
#include "abi/trace_events.def"
#undef TRACE_EVENT
};

static size_t file_read(const char *path, char *out, size_t cap) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  size_t n = 0;
  for (ssize_t got; fd >= 0 && n < cap && (got = read(fd, out + n, cap - n)) > 0;) {
    n += (size_t)got;
  }
  close(fd);
  return n;
}

static void lines_print(const char *path) {
  static char text[1 << 16];
  text[file_read(path, text, sizeof text - 1)] = '\0';
  diag("%s:", path);
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    diag("  %s", line);
  }
}

static void trace_mask_set(const char *mask) {
  int fd = open("sys:/trace/mask", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, mask, strlen(mask)) != (ssize_t)strlen(mask)) {
    diag("the trace's mask cannot be set");
  }
  close(fd);
}

static void trace_print(int cpu) {
  static struct trace_record records[RING_BYTES / sizeof(struct trace_record)];
  char path[32];
  snprintf(path, sizeof path, "sys:/trace/cpu%d", cpu);
  size_t n = file_read(path, (char *)records, sizeof records) / sizeof records[0];
  diag("%s: the last of %zu records", path, n);
  for (size_t i = n > EVENTS_SHOWN ? n - EVENTS_SHOWN : 0; i < n; i++) {
    const struct trace_record *r = &records[i];
    const char *name = r->event < 32 && event_names[r->event] ? event_names[r->event] : "?";
    diag("  %llu %s thread %u a %llx b %llx", (unsigned long long)r->tsc, name, r->thread,
         (unsigned long long)r->a, (unsigned long long)r->b);
  }
}

static void worker_print(const struct worker *w, int64_t still_ms) {
  char path[40];
  int tid = atomic_load(&w->tid);
  diag("stuck: %s (thread %d): %llu rounds, the last %lld ms ago", w->kind, tid,
       (unsigned long long)w->laps, (long long)still_ms);
  if (tid != 0) {
    snprintf(path, sizeof path, "proc:/%d/sched", tid);
    lines_print(path);
  }
}

static void state_print(void) {
  char path[32];
  for (int cpu = 0; cpu < n_cpus; cpu++) {
    trace_print(cpu);
  }
  lines_print("sys:/context");
  lines_print("sys:/sched");
  for (int cpu = 0; cpu < n_cpus; cpu++) {
    snprintf(path, sizeof path, "sys:/cpu/%d/stat", cpu);
    lines_print(path);
  }
}

/* Looks once a tenth of LIMIT, until every worker is done. */
static void *watchdog(void *arg) {
  static uint64_t seen[WORKERS_MOST];
  static int64_t moved[WORKERS_MOST];
  int64_t most = (int64_t)limit_s * 1000000000, begin = now_ns(CLOCK_MONOTONIC);
  for (int n_done = 0; n_done < n_workers;) {
    int n_stuck = 0;
    int64_t now = now_ns(CLOCK_MONOTONIC);
    n_done = 0;
    for (int i = 0; i < n_workers; i++) {
      uint64_t laps = atomic_load(&workers[i].laps);
      moved[i] = laps != seen[i] || moved[i] == 0 ? now : moved[i];
      seen[i] = laps;
      bool done = atomic_load(&workers[i].done);
      n_done += done;
      if (!done && now - moved[i] > most) {
        if (n_stuck++ == 0) {
          trace_mask_set("0x0");
        }
        worker_print(&workers[i], (now - moved[i]) / 1000000);
      }
    }
    if (n_stuck > 0) {
      diag("%d workers stuck, %lld ms after the start", n_stuck,
           (long long)(now_ns(CLOCK_MONOTONIC) - begin) / 1000000);
      state_print();
      ok(false, "nobody is stuck");
      _exit(STUCK_STATUS);
    }
    usleep((useconds_t)limit_s * 20000);
  }
  return arg;
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

static pthread_t start(int priority, void *(*run)(void *), void *arg) {
  pthread_attr_t attributes;
  struct sched_param param = {.sched_priority = priority};
  pthread_t thread;
  pthread_attr_init(&attributes);
  if (priority > 0) {
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
    pthread_attr_setschedparam(&attributes, &param);
  }
  if (pthread_create(&thread, &attributes, run, arg) != 0) {
    bail_out("pthread_create");
  }
  pthread_attr_destroy(&attributes);
  return thread;
}

/* Chaos ends first: workers that it has sent away are still to end. */
static void storm_run(void) {
  pthread_t dog = start(PRIORITY_WATCHDOG, watchdog, NULL);
  for (int i = 0; i < n_workers; i++) {
    int priority = workers[i].run == chaos ? PRIORITY_CHAOS : 0;
    workers[i].thread = start(priority, worker_main, &workers[i]);
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
  int idle = 0, torn = 0;
  for (int i = 0; i < n_workers; i++) {
    laps += workers[i].laps;
    idle += workers[i].laps == 0;
  }
  for (int i = 0; i < n_sets; i++) {
    torn += helds[i]->count != atomic_load(&helds[i]->wanted);
  }
  for (int i = 0; i < n_params; i++) {
    if (!param_set(&params[i], params[i].initial)) {
      fault("a parameter cannot be set back");
    }
  }
  ok(true, "nobody is stuck");
  is(idle, 0, "every worker made progress");
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
  workers[0].thread = start(0, worker_main, &workers[0]);
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
