// test-sources: harness.c ticks.c
/* The harness against cases that lie, fail, are slow, or know a time of their own. */
#include "harness.h"

#include <string.h>

#include "lib/tap.h"
#include "os.h"

static struct { uint64_t largest_n, calls, torn_down; } seen;

/* The system's own count, as the tests want it. */
static uint64_t switches_counted, switches_each_time;
bool os_counts_read(struct run *run, struct os_counts *counts) {
  (void)run;
  counts->switches = switches_counted += switches_each_time;
  return true;
}

static const struct options options = {.samples = 9, .unit = UNIT_INSTRUCTIONS};
static const struct plan plan = {.samples = 9, .target_ticks = 1000000, .budget_ticks = UINT64_MAX};

static void honest_measure(struct run *run, uint64_t n) {
  seen.calls++;
  seen.largest_n = n > seen.largest_n ? n : seen.largest_n;
  run->ticks = n * 250;
  run->confirmed = n;
}

static void lazy_measure(struct run *run, uint64_t n) {
  honest_measure(run, n);
  run->confirmed = n - 1;
}

static void broken_measure(struct run *run, uint64_t n) {
  honest_measure(run, n);
  if (seen.calls == 12) {
    run_fail(run, "broke in call %d", 12);
    run_fail(run, "a consequence");
  }
}

static void slow_measure(struct run *run, uint64_t n) {
  uint64_t start = ticks_now();
  while (ticks_now() - start < 1000) {
  }
  honest_measure(run, n);
}

static void own_measure(struct run *run, uint64_t n) {
  (void)n;
  seen.calls++;
  run->confirmed = 8;
  run->ticks = 80 + 8 * seen.calls;
}

static bool absent_setup(struct run *run) {
  return run_absent(run, "no such thing");
}

static void count_teardown(struct run *run) {
  (void)run;
  seen.torn_down++;
}

static struct outcome measure(struct bench_case bench, struct plan with) {
  struct outcome outcome;
  memset(&seen, 0, sizeof(seen));
  bench.name = "test";
  bench.teardown = count_teardown;
  harness_measure(&bench, &with, &options, 1, &outcome);
  return outcome;
}

static void honest_test(void) {
  struct outcome outcome = measure((struct bench_case){.measure = honest_measure}, plan);
  tap_ok(outcome.run.state == RUN_OK && outcome.n_samples == 9, "an honest case gets its samples");
  tap_ok(outcome.samples[0] == 250 && outcome.samples[8] == 250, "the value is ticks an operation");
  tap_ok(outcome.iterations[0] == 4000, "calibrated to the target duration");
  tap_ok(seen.torn_down == 1, "torn down once");
  outcome_free(&outcome);
  outcome = measure((struct bench_case){.measure = honest_measure, .max_n = 50}, plan);
  tap_ok(seen.largest_n == 50, "never more operations than the case allows");
  outcome_free(&outcome);
  outcome = measure((struct bench_case){.measure = honest_measure, .samples_factor = 3}, plan);
  tap_ok(outcome.n_samples == 27, "a case may want more samples");
  outcome_free(&outcome);
}

static void time_test(void) {
  ticks_init(500000000);
  struct outcome outcome =
      measure((struct bench_case){.measure = honest_measure, .is_time = true}, plan);
  tap_ok(outcome.samples[0] == 500, "a time stays a time among instructions");
  outcome_free(&outcome);
}

static void dishonest_test(void) {
  struct outcome outcome = measure((struct bench_case){.measure = lazy_measure}, plan);
  tap_ok(outcome.run.state == RUN_FAILED && outcome.n_samples == 0,
         "work that was not confirmed is an error: %s", outcome.run.reason);
  outcome_free(&outcome);
  outcome = measure((struct bench_case){.measure = broken_measure}, plan);
  tap_ok(outcome.run.state == RUN_FAILED, "a failure in the middle is an error");
  tap_ok(strcmp(outcome.run.reason, "broke in call 12") == 0, "the first reason is kept");
  tap_ok(seen.torn_down == 1, "torn down after a failure too");
  outcome_free(&outcome);
  outcome = measure((struct bench_case){.setup = absent_setup, .measure = honest_measure}, plan);
  tap_ok(outcome.run.state == RUN_ABSENT && seen.calls == 0 && seen.torn_down == 0,
         "what is absent is neither measured nor torn down");
  outcome_free(&outcome);
}

static void budget_test(void) {
  struct plan tight = {.samples = 1000, .target_ticks = 1000, .budget_ticks = 20000};
  struct outcome outcome = measure((struct bench_case){.measure = slow_measure}, tight);
  tap_ok(outcome.n_samples >= SAMPLES_LEAST && outcome.n_samples < 1000,
         "the budget ends sampling");
  outcome_free(&outcome);
  tight.budget_ticks = 0;
  outcome = measure((struct bench_case){.measure = slow_measure}, tight);
  tap_ok(outcome.n_samples == SAMPLES_LEAST, "but not before the least number of samples");
  outcome_free(&outcome);
}

static void switches_test(void) {
  struct bench_case two = {.measure = honest_measure, .switches = 2, .max_n = 50};
  switches_each_time = 100;
  struct outcome outcome = measure(two, plan);
  tap_ok(outcome.run.state == RUN_OK, "switches that the system has seen are believed");
  outcome_free(&outcome);
  switches_each_time = 99;
  outcome = measure(two, plan);
  tap_ok(outcome.run.state == RUN_FAILED && outcome.n_samples == 0,
         "switches that the system has not seen are an error: %s", outcome.run.reason);
  outcome_free(&outcome);
}

static void own_count_test(void) {
  struct bench_case own = {.measure = own_measure, .counts_itself = true};
  struct outcome outcome = measure(own, plan);
  tap_ok(outcome.n_samples == 9 && outcome.iterations[0] == 8, "a case may count by itself");
  tap_ok(outcome.samples[1] == outcome.samples[0] + 1, "samples stay in the order of time");
  outcome_free(&outcome);
}

int main(void) {
  ticks_init(1000000000);
  tap_plan(6 + 1 + 5 + 2 + 2 + 2);
  honest_test();
  time_test();
  dishonest_test();
  budget_test();
  switches_test();
  own_count_test();
  return tap_done();
}
