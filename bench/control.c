/* The control program: the cases of bench with their work left out (RUN_WORK, [B4]), each of which
 * must end in error. A case that reports a number for nothing is no measurement.
 *
 * Prints TAP: a line for each case and parameter. A case that this system or machine lacks is
 * skipped with the reason. Options are those of bench. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "harness.h"
#include "os.h"
#include "process.h"

/* Enough to sample once; the calibration has refused every case before. */
static const struct plan brief = {.samples = SAMPLES_LEAST, .target_ticks = 1, .budget_ticks = 1};

/* Answers whether the case was refused, or is not there. */
static bool refused(const struct bench_case *bench, const struct options *options, uint64_t param,
                    unsigned number) {
  struct outcome outcome;
  harness_measure(bench, &brief, options, param, &outcome);
  bool good = outcome.run.state != RUN_OK;
  printf("%s %u - %s %llu: ", good ? "ok" : "not ok", number, bench->name,
         (unsigned long long)param);
  if (outcome.run.state == RUN_ABSENT) {
    printf("# SKIP %s\n", outcome.run.reason);
  } else {
    printf("%s\n", good ? outcome.run.reason : "a number for work that was left out");
  }
  fflush(stdout);
  outcome_free(&outcome);
  return good;
}

static int control_run(const struct options *options) {
  unsigned number = 0;
  int status = 0;
  printf("1..%u\n", runs_count(options));
  for (size_t i = 0; i < n_cases; i++) {
    if (!case_selected(options, all_cases[i])) {
      continue;
    }
    for (const uint64_t *param = case_params(all_cases[i]); *param != 0; param++) {
      if (!refused(all_cases[i], options, *param, ++number)) {
        status = 1;
      }
    }
  }
  return status;
}

int main(int argc, char **argv) {
  struct options options;
  struct run pinning = {.options = &options};
  if (!options_parse(&options, argc, argv)) {
    return 2;
  }
  process_init();
  ticks_init(os_tsc_hz());
  if (!process_pin(&pinning, 0)) {
    printf("Bail out! %s\n", pinning.reason);
    return 1;
  }
  return control_run(&options);
}
