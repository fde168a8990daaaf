/* The parts that workloads are made of. */
#include "work.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NS_PER_S = 1000000000, PIECE_TURNS = 3000 };

void sample_fail(struct sample *sample, const char *format, ...) {
  if (!atomic_exchange(&sample->failed, true)) {
    va_list args;
    va_start(args, format);
    vsnprintf(sample->reason, sizeof(sample->reason), format, args);
    va_end(args);
  }
}

uint64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void clock_sleep_until(uint64_t ns) {
  struct timespec until = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
  }
}

bool sample_over(const struct sample *sample) {
  return clock_ns() >= sample->end_ns;
}

void sample_count(struct sample *sample, uint64_t n) {
  sample->n_done = n;
  sample->took_ns = clock_ns() - sample->start_ns;
  sample->throughput_per_s = (double)n * NS_PER_S / (double)sample->took_ns;
}

bool crew_add(struct crew *crew, struct sample *sample, void *(*body)(void *), void *argument) {
  int error =
      crew->n < CREW_MOST ? pthread_create(&crew->threads[crew->n], NULL, body, argument) : EAGAIN;
  if (error != 0) {
    sample_fail(sample, "thread %u: %s", crew->n, strerror(error));
    return false;
  }
  crew->n++;
  return true;
}

void crew_join(struct crew *crew) {
  for (unsigned i = 0; i < crew->n; i++) {
    pthread_join(crew->threads[i], NULL);
  }
}

/* A linear congruential generator (Knuth, MMIX) run for PIECE_TURNS turns. */
bool work_piece(void) {
  const uint64_t multiplier = 6364136223846793005u;
  static volatile uint64_t seed = 1;
  static _Atomic uint64_t expected; /* the same for all who compute it */
  uint64_t state = seed;
  for (unsigned i = 0; i < PIECE_TURNS; i++) {
    state = state * multiplier + 1442695040888963407u;
    __asm__ volatile("" : "+r"(state));
  }
  uint64_t first = 0;
  return atomic_compare_exchange_strong(&expected, &first, state) || first == state;
}

void *hog_run(void *argument) {
  struct hog *hog = argument;
  clock_sleep_until(hog->sample->start_ns);
  do {
    if (!work_piece()) {
      sample_fail(hog->sample, "a piece of work came out wrong");
      break;
    }
    hog->pieces++;
  } while (!sample_over(hog->sample));
  return NULL;
}

uint32_t work_random(uint64_t *state, uint32_t bound) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33) % bound;
}
