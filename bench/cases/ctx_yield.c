/* What does it cost to switch between two processes, or two threads, on one CPU?
 *
 * The partner counts its turns in memory that both see. An operation is complete when this side
 * runs again and finds that the partner had run in between: two switches, at least. A kernel may
 * let a yield return to the same side; such a yield is in the time but confirms nothing. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"
#include "../process.h"

enum { YIELDS_MOST = 100000 }; /* in vain, before we conclude that there is nobody to yield to */

struct shared {
  _Alignas(64) _Atomic uint64_t turns;
  _Alignas(64) _Atomic bool stop;
};

static struct {
  struct shared *shared;
  struct shared here; /* of threads */
  pid_t pid;
  pthread_t thread;
} pair;

static void partner_run(struct shared *shared) {
  while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
    uint64_t turns = atomic_load_explicit(&shared->turns, memory_order_relaxed);
    atomic_store_explicit(&shared->turns, turns + 1, memory_order_relaxed);
    sched_yield();
  }
}

static void *partner_thread(void *argument) {
  partner_run(argument);
  return argument;
}

/* Yields until the partner has had a turn. False when it never gets one. */
static inline bool turn_give(struct shared *shared, uint64_t *seen) {
  for (int i = 0; i < YIELDS_MOST; i++) {
    RUN_WORK((void)sched_yield(), 0);
    uint64_t turns = atomic_load_explicit(&shared->turns, memory_order_relaxed);
    if (turns != *seen) {
      *seen = turns;
      return true;
    }
  }
  return false;
}

static void yield_measure(struct run *run, uint64_t n) {
  struct shared *shared = pair.shared;
  uint64_t seen = atomic_load(&shared->turns);
  uint64_t rounds = 0;
  run_start(run);
  while (rounds < n && turn_give(shared, &seen)) {
    rounds++;
  }
  run_stop(run);
  run->confirmed = rounds;
}

static bool process_setup(struct run *run) {
  pair.shared = process_shared_page(run);
  if (pair.shared == NULL) {
    return false;
  }
  pair.pid = process_fork(run);
  if (pair.pid == 0) {
    partner_run(pair.shared);
    _exit(0);
  }
  return pair.pid > 0;
}

static void process_teardown(struct run *run) {
  atomic_store(&pair.shared->stop, true);
  process_reap(run, pair.pid, 0);
  process_shared_page_free(pair.shared);
}

const struct bench_case case_ctx_yield_process = {
    .name = "ctx.yield.process",
    .op = "two switches by sched_yield between two processes on one CPU",
    .setup = process_setup,
    .measure = yield_measure,
    .switches = 1,
    .teardown = process_teardown,
};

static bool thread_setup(struct run *run) {
  pair.shared = &pair.here;
  atomic_store(&pair.here.stop, false);
  int error = pthread_create(&pair.thread, NULL, partner_thread, pair.shared);
  if (error != 0) {
    return run_fail(run, "pthread_create: %s", strerror(error));
  }
  return true;
}

static void thread_teardown(struct run *run) {
  atomic_store(&pair.here.stop, true);
  void *result = NULL;
  int error = pthread_join(pair.thread, &result);
  if (error != 0 || result != pair.shared) {
    run_fail(run, "pthread_join: %s", error != 0 ? strerror(error) : "wrong result");
  }
}

const struct bench_case case_ctx_yield_thread = {
    .name = "ctx.yield.thread",
    .op = "two switches by sched_yield between two threads of a process on one CPU",
    .setup = thread_setup,
    .measure = yield_measure,
    .switches = 1,
    .teardown = thread_teardown,
};
