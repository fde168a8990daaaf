/* Does a switch cost more when many threads are runnable?
 *
 * A crowd of threads on one CPU does nothing but yield, each counting its turns, while this side
 * sleeps. An operation is one turn of a thread: a switch and what a thread does in its turn. The
 * thread that has the first turn of a sample reads the clock, and so does the one that has the last
 * and then wakes this side. (Were this side to yield with them, it might have to wait for its turn
 * until each of them has spent what a scheduler owes to those who have slept.) Memory grows with
 * the crowd, instructions must not.
 *
 * All wait at a gate until the last has been made: else each new one would let all before it run.
 * The gate is the end of a pipe, which all see at once. Nobody should have to sleep there, for a
 * scheduler owes time to those who have slept, and a switch that pays such a debt can be another
 * one: who makes them is a real-time thread meanwhile, where it may be, and keeps the CPU. What is
 * owed to new threads they forgo: what 10,000 are owed would take minutes before all have turns
 * alike.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"
#include "../os.h"

enum { STACK_BYTES = 16384, MAKER_PRIORITY = 1, TURNS_SAMPLE = 30000, TURNS_FIRST = 200000 };
/* Yields in a row to nobody: more than a scheduler owes to anybody at the beginning. The control,
 * in which nobody yields, need not be as patient: it would see a turn with each slice. */
enum { VAIN_MOST = RUN_WORK(1000000, 2000) };

static struct {
  pthread_t *threads;
  uint64_t n;
  int gate_fds[2], bell_fds[2];        /* who has the last turn of a sample rings */
  uint64_t begin, end;                 /* the clock in the first and the last turn of a sample */
  _Alignas(64) _Atomic uint64_t turns; /* of all; one CPU, so nobody contends */
  _Atomic uint64_t wanted;             /* turns of a sample that has not begun */
  _Atomic uint64_t final;              /* its last turn, once it has */
  _Atomic uintptr_t last;              /* whose turn it was: members count from 1 */
  _Alignas(64) _Atomic bool stop;
  _Atomic bool given_up;
} crowd;

static void bell_ring(void) {
  if (write(crowd.bell_fds[1], "!", 1) != 1) {
    abort();
  }
}

/* The first turn after a sample has been asked for begins it, whoever has it. */
static void turn_watched(uint64_t turn) {
  uint64_t wanted = atomic_load_explicit(&crowd.wanted, memory_order_relaxed);
  if (wanted != 0 && atomic_compare_exchange_strong(&crowd.wanted, &wanted, 0)) {
    crowd.begin = ticks_now();
    atomic_store_explicit(&crowd.final, turn + wanted, memory_order_relaxed);
  } else if (turn == atomic_load_explicit(&crowd.final, memory_order_relaxed)) {
    crowd.end = ticks_now();
    bell_ring();
  }
}

/* A turn is one only if somebody else has had one since: a yield in vain counts nothing. */
static bool turn_count(uintptr_t self) {
  if (atomic_load_explicit(&crowd.last, memory_order_relaxed) == self) {
    return false;
  }
  atomic_store_explicit(&crowd.last, self, memory_order_relaxed);
  turn_watched(atomic_fetch_add_explicit(&crowd.turns, 1, memory_order_relaxed) + 1);
  return true;
}

/* Who yields in vain too often leaves, and the first who does rings: the sample has no end then. */
static void *member(void *argument) {
  char byte;
  unsigned in_vain = 0;
  os_credit_forgo();
  bool open = read(crowd.gate_fds[0], &byte, 1) == 0;
  while (open && in_vain < VAIN_MOST && !atomic_load_explicit(&crowd.stop, memory_order_relaxed)) {
    in_vain = turn_count((uintptr_t)argument) ? 0 : in_vain + 1;
    RUN_WORK((void)sched_yield(), 0);
  }
  if (in_vain == VAIN_MOST && !atomic_exchange(&crowd.given_up, true)) {
    bell_ring();
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
  close(crowd.gate_fds[0]);
  close(crowd.bell_fds[0]);
  close(crowd.bell_fds[1]);
  return good || run_fail(run, "pthread_join failed");
}

/* The policy of the calling thread. Who may not be a real-time thread stays what it is. */
static int policy_set(int policy, int priority) {
  int error = pthread_setschedparam(pthread_self(), policy,
                                    &(struct sched_param){.sched_priority = priority});
  return error == EPERM ? 0 : error;
}

/* Threads that are not real-time ones, whoever makes them. */
static int attr_set(pthread_attr_t *attr) {
  int error = pthread_attr_setstacksize(attr, STACK_BYTES);
  error = error != 0 ? error : pthread_attr_setinheritsched(attr, PTHREAD_EXPLICIT_SCHED);
  return error != 0 ? error : pthread_attr_setschedpolicy(attr, SCHED_OTHER);
}

static int members_make(uint64_t n) {
  pthread_attr_t attr;
  int error = pthread_attr_init(&attr);
  error = error != 0 ? error : attr_set(&attr);
  error = error != 0 ? error : policy_set(SCHED_FIFO, MAKER_PRIORITY);
  for (; error == 0 && crowd.n < n; crowd.n += error == 0) {
    error =
        pthread_create(&crowd.threads[crowd.n], &attr, member, (void *)(uintptr_t)(crowd.n + 1));
  }
  pthread_attr_destroy(&attr);
  close(crowd.gate_fds[1]);
  int back = policy_set(SCHED_OTHER, 0);
  return error != 0 ? error : back;
}

static bool crowd_start(struct run *run) {
  crowd.n = 0;
  crowd.threads = calloc(run->param, sizeof(crowd.threads[0]));
  atomic_store(&crowd.stop, false);
  atomic_store(&crowd.given_up, false);
  atomic_store(&crowd.turns, 0);
  atomic_store(&crowd.final, 0);
  if (pipe(crowd.gate_fds) != 0 || pipe(crowd.bell_fds) != 0) {
    return run_fail(run, "pipe: %s", strerror(errno));
  }
  int error = crowd.threads == NULL ? ENOMEM : members_make(run->param);
  if (error != 0) {
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

/* So many turns from now on. */
static void turns_run(struct run *run, uint64_t n) {
  char byte;
  crowd.end = 0;
  atomic_store(&crowd.wanted, n);
  if (read(crowd.bell_fds[0], &byte, 1) != 1 || crowd.end == 0) {
    run_fail(run, "nobody else had a turn");
  }
}

/* Credit for sleep before they began, and debts of their creation, are spent. */
static bool crowd_setup(struct run *run) {
  if (!crowd_start(run)) {
    return false;
  }
  turns_run(run, TURNS_FIRST);
  if (run->state != RUN_OK) {
    crowd_end(run);
  }
  return run->state == RUN_OK;
}

static void crowd_measure(struct run *run, uint64_t n) {
  (void)n;
  turns_run(run, TURNS_SAMPLE);
  run->ticks = crowd.end - crowd.begin;
  run->confirmed = run->state == RUN_OK ? TURNS_SAMPLE : 0;
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
