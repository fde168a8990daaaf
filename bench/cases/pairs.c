/* Do pairs of threads that have nothing to do with each other get in each other's way?
 *
 * Each pair passes a ball to and fro through two futexes, on a CPU of its own. An operation is a
 * round trip of any pair: with two pairs on two CPUs it should take half the time. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "../cases.h"
#include "../process.h"
#include "../word.h"

enum { PAIRS_MAX = 2, TRIPS = 10000, BALL = 1 };

static struct pair {
  _Alignas(64) _Atomic uint32_t there;
  _Alignas(64) _Atomic uint32_t back;
  _Alignas(64) uint64_t echoed; /* of the partner */
  uint64_t trips;               /* round trips that came back */
  unsigned cpu;
  bool broken;
  pthread_t server, client;
} pairs[PAIRS_MAX];

static pthread_barrier_t gate;

static void *server_run(void *argument) {
  struct pair *pair = argument;
  struct run run = {0};
  pair->broken |= !process_pin(&run, pair->cpu);
  for (int i = 0; i < TRIPS; i++) {
    word_take(&pair->there);
    pair->echoed++;
    word_set(&pair->back, BALL);
  }
  return NULL;
}

static uint64_t trip_make(struct pair *pair) {
  word_set(&pair->there, BALL);
  word_take(&pair->back);
  return pair->echoed;
}

static void *client_run(void *argument) {
  struct pair *pair = argument;
  struct run run = {0};
  bool pinned = process_pin(&run, pair->cpu);
  pthread_barrier_wait(&gate);
  for (uint64_t i = 1; pinned && i <= TRIPS; i++) {
    pair->trips += RUN_WORK(trip_make(pair), 0) == i;
  }
  pthread_barrier_wait(&gate);
  while (pair->trips < TRIPS && pair->echoed < TRIPS) { /* nobody waits for it in vain */
    word_set(&pair->there, BALL);
    word_take(&pair->back);
  }
  return NULL;
}

static bool pair_start(struct run *run, struct pair *pair, unsigned cpu) {
  *pair = (struct pair){.cpu = cpu};
  int error = pthread_create(&pair->server, NULL, server_run, pair);
  error = error != 0 ? error : pthread_create(&pair->client, NULL, client_run, pair);
  return error == 0 || run_fail(run, "pthread_create: %s", strerror(error));
}

static bool pairs_setup(struct run *run) {
  return process_cpus() >= run->param || run_absent(run, "this machine has one CPU");
}

static void pairs_measure(struct run *run, uint64_t n) {
  (void)n;
  pthread_barrier_init(&gate, NULL, (unsigned)run->param + 1);
  for (uint64_t i = 0; i < run->param; i++) {
    if (!pair_start(run, &pairs[i], (unsigned)i)) {
      return; /* the program ends with status 1: those that wait end with it */
    }
  }
  pthread_barrier_wait(&gate);
  run_start(run);
  pthread_barrier_wait(&gate);
  run_stop(run);
  for (uint64_t i = 0; i < run->param; i++) {
    pthread_join(pairs[i].client, NULL);
    pthread_join(pairs[i].server, NULL);
    run->confirmed += pairs[i].trips;
    if (pairs[i].trips != TRIPS || pairs[i].broken) {
      run_fail(run, "a pair made %llu of %d round trips", (unsigned long long)pairs[i].trips,
               (int)TRIPS);
    }
  }
  pthread_barrier_destroy(&gate);
}

static const uint64_t counts[] = {1, 2, 0};

const struct bench_case case_pairs_futex = {
    .name = "pairs.futex",
    .op = "a round trip through two futexes of any of the pairs of threads, a CPU each",
    .setup = pairs_setup,
    .measure = pairs_measure,
    .param_name = "pairs",
    .params = counts,
    .counts_itself = true,
};
