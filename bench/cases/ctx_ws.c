/* What does a switch cost when both sides use memory in between?
 *
 * Two processes on one CPU take turns; each adds up its own working set in its turn. */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"
#include "../process.h"

enum { LINE_WORDS = 8, YIELDS_MOST = 100000 };

struct shared {
  _Alignas(64) _Atomic uint64_t turns;
  _Alignas(64) _Atomic bool stop;
};

static struct {
  struct shared *shared;
  uint64_t *set; /* each process has its own copy */
  size_t n_words;
  pid_t pid;
} pair;

/* Touches each cache line; every word is 1. */
static uint64_t set_use(void) {
  uint64_t sum = 0;
  for (size_t i = 0; i < pair.n_words; i += LINE_WORDS) {
    sum += pair.set[i];
    pair.set[i] = 1;
    run_barrier();
  }
  return sum;
}

static void set_fill(void) {
  for (size_t i = 0; i < pair.n_words; i++) {
    pair.set[i] = 1;
  }
}

static int partner_run(void) {
  set_fill();
  while (!atomic_load(&pair.shared->stop)) {
    if (set_use() != pair.n_words / LINE_WORDS) {
      return 1;
    }
    atomic_fetch_add(&pair.shared->turns, 1);
    sched_yield();
  }
  return 0;
}

static bool ws_setup(struct run *run) {
  pair.n_words = run->param * 1024 / sizeof(uint64_t);
  pair.set = calloc(pair.n_words, sizeof(uint64_t));
  pair.shared = process_shared_page(run);
  if (pair.set == NULL || pair.shared == NULL) {
    return run_fail(run, "no memory for a working set");
  }
  set_fill();
  pair.pid = process_fork(run);
  if (pair.pid == 0) {
    _exit(partner_run());
  }
  return pair.pid > 0;
}

/* Yields until the partner has had a turn; false when it never gets one. */
static bool turn_give(uint64_t *seen) {
  for (int i = 0; i < YIELDS_MOST; i++) {
    sched_yield();
    uint64_t turns = atomic_load(&pair.shared->turns);
    if (turns != *seen) {
      *seen = turns;
      return true;
    }
  }
  return false;
}

static void ws_measure(struct run *run, uint64_t n) {
  uint64_t seen = atomic_load(&pair.shared->turns);
  uint64_t rounds = 0, sum = 0;
  run_start(run);
  while (rounds < n && RUN_WORK(turn_give(&seen), true)) {
    sum += set_use();
    rounds++;
  }
  run_stop(run);
  run->confirmed = sum == rounds * (pair.n_words / LINE_WORDS) ? rounds : 0;
}

static void ws_teardown(struct run *run) {
  atomic_store(&pair.shared->stop, true);
  process_reap(run, pair.pid, 0);
  process_shared_page_free(pair.shared);
  free(pair.set);
}

static const uint64_t kibs[] = {4, 64, 512, 0};

const struct bench_case case_ctx_ws = {
    .name = "ctx.ws",
    .op = "two switches between two processes on one CPU, each of which uses so much memory a turn",
    .setup = ws_setup,
    .measure = ws_measure,
    .teardown = ws_teardown,
    .param_name = "kib",
    .params = kibs,
    .switches = 1,
};
