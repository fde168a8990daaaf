/* How long does a ball take to another thread and back, through two futexes?
 *
 * Each side has a word that the other sets and wakes. Nobody spins: a side that finds its word
 * unset waits in the kernel. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "../cases.h"
#include "../process.h"
#include "../word.h"

enum { BALL = 1, STOP };

static struct {
  _Alignas(64) _Atomic uint32_t there;
  _Alignas(64) _Atomic uint32_t back;
  _Alignas(64) _Atomic uint64_t returned; /* balls, by the partner */
  unsigned cpu;
  bool broken;
  pthread_t partner;
} game;

static void *partner_run(void *argument) {
  struct run run = {0};
  game.broken = !process_pin(&run, game.cpu);
  while (word_take(&game.there) == BALL) {
    atomic_fetch_add_explicit(&game.returned, 1, memory_order_relaxed);
    word_set(&game.back, BALL);
  }
  return argument;
}

static bool game_start(struct run *run, unsigned cpu) {
  game.cpu = cpu;
  game.there = game.back = WORD_EMPTY;
  int error = pthread_create(&game.partner, NULL, partner_run, NULL);
  return error == 0 || run_fail(run, "pthread_create: %s", strerror(error));
}

static bool one_setup(struct run *run) {
  return game_start(run, 0);
}

static bool two_setup(struct run *run) {
  if (process_cpus() < 2) {
    return run_absent(run, "this machine has one CPU");
  }
  return game_start(run, 1);
}

static uint32_t ball_play(void) {
  word_set(&game.there, BALL);
  return word_take(&game.back);
}

static void game_measure(struct run *run, uint64_t n) {
  uint64_t before = atomic_load(&game.returned);
  run_start(run);
  for (uint64_t i = 1; i <= n; i++) {
    uint32_t got = RUN_WORK(ball_play(), BALL);
    uint64_t returned = atomic_load_explicit(&game.returned, memory_order_relaxed) - before;
    run->confirmed += got == BALL && returned == i;
  }
  run_stop(run);
}

static void game_teardown(struct run *run) {
  word_set(&game.there, STOP);
  pthread_join(game.partner, NULL);
  if (game.broken) {
    run_fail(run, "the partner could not be bound to CPU %u", game.cpu);
  }
}

const struct bench_case case_futex_rtt_1cpu = {
    .name = "futex.rtt.1cpu",
    .op = "a ball to another thread on the same CPU and back, through two futexes",
    .setup = one_setup,
    .measure = game_measure,
    .teardown = game_teardown,
    .switches = 1,
};

const struct bench_case case_futex_rtt_2cpu = {
    .name = "futex.rtt.2cpu",
    .op = "a ball to another thread on another CPU and back, through two futexes",
    .setup = two_setup,
    .measure = game_measure,
    .teardown = game_teardown,
};
