/* Workers of stress.c: what each does in a round, and how it knows that the round was right. */
#ifndef TESTS_STRESS_WORKERS_H
#define TESTS_STRESS_WORKERS_H

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

#include "tap.h"

#define FUTEX_WAIT_PRIVATE (0 | 128)
#define FUTEX_WAKE_PRIVATE (1 | 128)
#define SHORT_US 3000u /* sleeps are shorter */

enum { SETS_MOST = 8, WORKERS_MOST = 256, RING = 3 };
enum { PRIORITY_WATCHDOG = 99, PRIORITY_CHAOS = 60, PRIORITY_WORKER = 50, STUCK_STATUS = 1 };

/* ---- workers ------------------------------------------------------------------------------- */

struct worker {
  const char *kind;
  bool fills;      /* it may use a whole CPU */
  uint64_t random; /* its own generator */
  void *shared;    /* with others of its group */
  int index;       /* in its group */
  pthread_t thread;
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

#endif
