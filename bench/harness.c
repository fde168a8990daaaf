/* Calibration and sampling.
 *
 * A sample is one call of measure() with the number of operations n that brings it to the target
 * duration: long against reading the clock, short against the scheduler's slices and the timer. The
 * calibration starts at one operation and grows n at most sixteenfold a step, so that a slow first
 * round (cold caches, code not yet translated by an emulator) cannot mislead it for long. The last
 * round, with the final n, is the warm-up and is thrown away. */
#include "harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

/* Milliseconds are long under emulation and short on hardware; both clocks then give 4 to 5 digits.
 * */
enum { TARGET_NS = 4000000, TARGET_INSTRUCTIONS = 2000000 };
enum {
  INSTRUCTIONS_PER_SECOND = 100000000
}; /* about, of an emulator: to turn a budget into ticks */
enum { GROWTH_MOST = 16 };

static bool run_end(struct run *run, enum run_state state, const char *format, va_list args) {
  if (run->state == RUN_OK) { /* the first reason is the cause, later ones are its consequences */
    run->state = state;
    vsnprintf(run->reason, sizeof(run->reason), format, args);
  }
  return false;
}

bool run_absent(struct run *run, const char *format, ...) {
  va_list args;
  va_start(args, format);
  run_end(run, RUN_ABSENT, format, args);
  va_end(args);
  return false;
}

bool run_fail(struct run *run, const char *format, ...) {
  va_list args;
  va_start(args, format);
  run_end(run, RUN_FAILED, format, args);
  va_end(args);
  return false;
}

enum unit harness_unit(const struct bench_case *bench, const struct options *options) {
  return bench->is_time ? UNIT_NS : options->unit;
}

struct plan plan_make(const struct options *options, uint32_t n_runs) {
  struct plan plan = {.samples = options->samples};
  if (options->unit == UNIT_INSTRUCTIONS) {
    plan.target_ticks = TARGET_INSTRUCTIONS;
    plan.budget_ticks = (uint64_t)options->seconds * INSTRUCTIONS_PER_SECOND / n_runs;
  } else {
    plan.target_ticks = ticks_from_ns(TARGET_NS);
    plan.budget_ticks = ticks_from_ns((uint64_t)options->seconds * 1000000000u / n_runs);
  }
  return plan;
}

static uint64_t clamp_u64(uint64_t value, uint64_t least, uint64_t most) {
  uint64_t at_least = value < least ? least : value;
  return at_least > most ? most : at_least;
}

/* measure(), and what the system itself says of the switches that the case claims [B3]. */
static bool measure_watched(const struct bench_case *bench, struct run *run, uint64_t n) {
  struct os_counts before, after;
  if (bench->switches > 0 && !os_counts_read(run, &before)) {
    return false;
  }
  bench->measure(run, n);
  if (run->state != RUN_OK || bench->switches == 0) {
    return run->state == RUN_OK;
  }
  if (!os_counts_read(run, &after)) {
    return false;
  }
  uint64_t claimed = run->confirmed * bench->switches;
  uint64_t counted = after.switches - before.switches;
  return counted >= claimed ||
         run_fail(run, "the system counted %llu switches where %llu are claimed",
                  (unsigned long long)counted, (unsigned long long)claimed);
}

/* One call of measure(), and the check that what was to be done was done [B1]. */
static bool sample_take(const struct bench_case *bench, struct run *run, uint64_t n) {
  run->confirmed = 0;
  run->ticks = 0;
  if (!measure_watched(bench, run, n)) {
    return false;
  }
  if (run->confirmed == 0 || (!bench->counts_itself && run->confirmed != n)) {
    return run_fail(run, "%llu of %llu operations took effect", (unsigned long long)run->confirmed,
                    (unsigned long long)n);
  }
  return true;
}

/* The next number of operations to try, given that n took the run's ticks. */
static uint64_t calibrate_step(uint64_t n, uint64_t ticks, uint64_t target, uint64_t most) {
  double wanted = (double)n * (double)target / (double)(ticks > 0 ? ticks : 1);
  double limit = (double)n * GROWTH_MOST;
  uint64_t next = (uint64_t)(wanted < limit ? wanted : limit);
  return clamp_u64(next, 1, most);
}

static uint64_t calibrate(const struct bench_case *bench, const struct plan *plan,
                          struct run *run) {
  uint64_t most = bench->max_n > 0 ? bench->max_n : UINT64_MAX;
  uint64_t n = bench->min_n > 0 ? bench->min_n : 1;
  if (!sample_take(bench, run, n)) { /* the very first round says nothing about the others */
    return 0;
  }
  if (bench->counts_itself) {
    return n;
  }
  for (;;) {
    if (!sample_take(bench, run, n)) {
      return 0;
    }
    uint64_t next = calibrate_step(n, run->ticks, plan->target_ticks, most);
    if (next <= n + n / 4) { /* close enough, or as far as it may go */
      return n;
    }
    n = next;
  }
}

static void samples_take(const struct bench_case *bench, const struct plan *plan,
                         struct outcome *outcome, uint64_t n) {
  struct run *run = &outcome->run;
  uint32_t factor = bench->samples_factor > 0 ? bench->samples_factor : 1;
  uint32_t wanted = plan->samples * factor;
  double per_tick = harness_unit(bench, run->options) == UNIT_NS ? ticks_to_ns(1) : 1;
  uint64_t start = ticks_now();
  for (uint32_t i = 0; i < wanted; i++) {
    if (i >= SAMPLES_LEAST && ticks_now() - start > plan->budget_ticks) {
      break;
    }
    if (!sample_take(bench, run, n)) {
      return;
    }
    outcome->samples[i] = (double)run->ticks * per_tick / (double)run->confirmed;
    outcome->iterations[i] = run->confirmed;
    outcome->n_samples = i + 1;
  }
}

static bool outcome_init(struct outcome *outcome, const struct options *options, uint32_t room,
                         uint64_t param) {
  *outcome = (struct outcome){.run = {.options = options, .param = param}};
  outcome->samples = calloc(room, sizeof(outcome->samples[0]));
  outcome->iterations = calloc(room, sizeof(outcome->iterations[0]));
  if (outcome->samples == NULL || outcome->iterations == NULL) {
    return run_fail(&outcome->run, "no memory for %u samples", room);
  }
  /* Touch them now: no page fault of ours between samples. */
  memset(outcome->samples, 0, room * sizeof(outcome->samples[0]));
  memset(outcome->iterations, 0, room * sizeof(outcome->iterations[0]));
  return true;
}

void harness_measure(const struct bench_case *bench, const struct plan *plan,
                     const struct options *options, uint64_t param, struct outcome *outcome) {
  uint32_t factor = bench->samples_factor > 0 ? bench->samples_factor : 1;
  struct run *run = &outcome->run;
  if (!outcome_init(outcome, options, plan->samples * factor, param)) {
    return;
  }
  if (bench->setup != NULL && !bench->setup(run)) {
    return;
  }
  uint64_t n = calibrate(bench, plan, run);
  if (n > 0 && sample_take(bench, run, n)) {
    samples_take(bench, plan, outcome, n);
  }
  if (bench->teardown != NULL) {
    bench->teardown(run);
  }
}

void outcome_free(struct outcome *outcome) {
  free(outcome->samples);
  free(outcome->iterations);
}
