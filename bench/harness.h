/* Measures one case: calibrates the number of operations, warms up, takes samples, tears down. */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include "case.h"
#include "options.h"

/* How much effort each case with each parameter gets. */
struct plan {
  uint32_t samples;      /* wanted */
  uint64_t target_ticks; /* duration of a sample that the calibration aims at */
  uint64_t budget_ticks; /* sampling ends early after this, but not before SAMPLES_LEAST */
};
enum { SAMPLES_LEAST = 5 };

/* The budget is shared out over n_runs. */
struct plan plan_make(const struct options *options, uint32_t n_runs);

/* What the samples of a case are in. */
enum unit harness_unit(const struct bench_case *bench, const struct options *options);

/* What came of a run; samples are in units per operation, in the order in which they were taken. */
struct outcome {
  struct run run;
  double *samples; /* freed by outcome_free() */
  uint64_t *iterations;
  uint32_t n_samples;
};

void harness_measure(const struct bench_case *bench, const struct plan *plan,
                     const struct options *options, uint64_t param, struct outcome *outcome);
void outcome_free(struct outcome *outcome);

#endif
