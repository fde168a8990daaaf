/* What a workload is, and what it may rely on.
 *
 * A workload puts threads or processes to work from the sample's start until its end and then says
 * what it saw: operations a second, latencies, or both. It checks its own effect: every message
 * arrived once and in order, every piece of work has the right result, nobody woke early. A sample
 * in which that is not so has failed and has no numbers.
 *
 * [T1] Everybody starts at start_ns, so that setting up is not measured.
 * [T2] Nobody begins anything after end_ns but a first piece, and run() returns only when all that
 * it started is gone: the next sample meets an idle machine. */
#ifndef BENCH_TUNE_WORK_H
#define BENCH_TUNE_WORK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "latency.h"

struct sample {
  unsigned n_cpus;
  uint64_t start_ns, end_ns; /* on clock_ns() */
  uint64_t n_done, took_ns;  /* operations, and their time; 0: the workload counts none */
  double throughput_per_s;   /* of the two */
  struct latency latency;    /* empty: the workload has none */
  _Atomic bool failed;
  char reason[128]; /* of the first failure; read when nobody works any more */
};

struct workload {
  const char *name;
  const char *text; /* one sentence for people: what is done, what is counted */
  void (*run)(struct sample *sample);
};

/* Says that the sample is worthless; the first reason is kept. Any thread. */
__attribute__((format(printf, 2, 3))) void sample_fail(struct sample *sample, const char *format,
                                                       ...);

/* ---- time --------------------------------------------------------------------------------- */

uint64_t clock_ns(void);
void clock_sleep_until(uint64_t ns);
bool sample_over(const struct sample *sample); /* end_ns has come */

/* n operations were done, from start_ns until now. */
void sample_count(struct sample *sample, uint64_t n);

/* ---- threads ------------------------------------------------------------------------------ */

enum { CREW_MOST = 256 };

/* Threads of a workload; all zeroes is nobody. */
struct crew {
  unsigned n;
  pthread_t threads[CREW_MOST];
};

/* One more thread. False, and the sample has failed, when it cannot be had. */
bool crew_add(struct crew *crew, struct sample *sample, void *(*body)(void *), void *argument);

/* Waits for all of them. */
void crew_join(struct crew *crew);

/* ---- computing ---------------------------------------------------------------------------- */

/* Computes something that cannot be skipped, some microseconds long. False if it came out wrong. */
bool work_piece(void);

/* A thread that computes from start to end and counts pieces: a batch job. */
struct hog {
  struct sample *sample;
  uint64_t pieces;
};

void *hog_run(void *hog);

/* A small generator, so that nothing periodic can hide: 0 to bound - 1. */
uint32_t work_random(uint64_t *state, uint32_t bound);

#endif
