/* Does a switch cost more when many threads are runnable?
 *
 * A crowd of threads on one CPU does nothing but yield, each counting its turns. When this side
 * runs again, everybody has had a turn: an operation is one turn of a thread, this one's included:
 * a switch and what a thread does in its turn. Memory grows with the crowd, instructions must not.
 * All wait at a gate until the last has been made: else each new one would let all before it run.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../cases.h"

enum { STACK_BYTES = 16384, TURNS_LEAST = 20000, TURNS_FIRST = 1000000 };

static struct {
  pthread_t *threads;
  uint64_t n;
  pthread_mutex_t gate;
  _Alignas(64) _Atomic uint64_t turns; /* of all; one CPU, so nobody contends */
  _Atomic uintptr_t last;              /* whose turn it was: members count from 1 */
  _Alignas(64) _Atomic bool stop;
} crowd;

/* A turn is one only if somebody else has had one since: a yield in vain counts nothing. */
static void turn_count(uintptr_t self) {
  if (atomic_load_explicit(&crowd.last, memory_order_relaxed) != self) {
    atomic_store_explicit(&crowd.last, self, memory_order_relaxed);
    atomic_fetch_add_explicit(&crowd.turns, 1, memory_order_relaxed);
  }
}

static void *member(void *argument) {
  pthread_mutex_lock(&crowd.gate);
  pthread_mutex_unlock(&crowd.gate);
  while (!atomic_load_explicit(&crowd.stop, memory_order_relaxed)) {
    turn_count((uintptr_t)argument);
    sched_yield();
  }
  return argument;
}

static bool crowd_end(struct run *run) {
  bool good = true;
  atomic_store(&crowd.stop, true);
  for (uint64_t i = 0; i < crowd.n; i++) {
    good = pthread_join(crowd.threads[i], NULL) == 0 && good;
  }
  free(crowd.threads);
  return good || run_fail(run, "pthread_join failed");
}

static bool crowd_start(struct run *run) {
  pthread_attr_t attr;
  int error = pthread_attr_init(&attr);
  crowd.n = 0;
  crowd.threads = calloc(run->param, sizeof(crowd.threads[0]));
  atomic_store(&crowd.stop, false);
  atomic_store(&crowd.turns, 0);
  pthread_mutex_init(&crowd.gate, NULL);
  pthread_mutex_lock(&crowd.gate);
  error = error != 0 ? error : pthread_attr_setstacksize(&attr, STACK_BYTES);
  for (; error == 0 && crowd.threads != NULL && crowd.n < run->param; crowd.n += error == 0) {
    error =
        pthread_create(&crowd.threads[crowd.n], &attr, member, (void *)(uintptr_t)(crowd.n + 1));
  }
  pthread_attr_destroy(&attr);
  pthread_mutex_unlock(&crowd.gate);
  if (crowd.n < run->param) {
    if (error == EAGAIN) {
      run_absent(run, "this system makes no more than %llu threads", (unsigned long long)crowd.n);
    } else {
      run_fail(run, "thread %llu: %s", (unsigned long long)crowd.n, strerror(error));
    }
    crowd_end(run);
    return false;
  }
  return true;
}

static void rounds_run(uint64_t turns) {
  for (uint64_t rounds = turns / crowd.n + 1; rounds > 0; rounds--) {
    turn_count(0);
    RUN_WORK((void)sched_yield(), 0);
  }
}

/* Credit for sleep before they began, and debts of their creation, are spent. */
static bool crowd_setup(struct run *run) {
  if (!crowd_start(run)) {
    return false;
  }
  rounds_run(TURNS_FIRST);
  return true;
}

/* So many rounds that there are about as many turns whatever the crowd. */
static void crowd_measure(struct run *run, uint64_t n) {
  (void)n;
  uint64_t before = atomic_load(&crowd.turns);
  run_start(run);
  rounds_run(TURNS_LEAST);
  run_stop(run);
  run->confirmed = atomic_load(&crowd.turns) - before;
  if (run->confirmed <= 1) {
    run_fail(run, "nobody else had a turn");
  }
}

static void crowd_teardown(struct run *run) {
  crowd_end(run);
}

static const uint64_t sizes[] = {10, 100, 1000, 10000, 0};

const struct bench_case case_ctx_yield_crowd = {
    .name = "ctx.yield.crowd",
    .op = "a turn of one of many threads of a process that yield on one CPU",
    .setup = crowd_setup,
    .measure = crowd_measure,
    .teardown = crowd_teardown,
    .param_name = "runnable",
    .params = sizes,
    .counts_itself = true,
};
