/* bench: measures what a kernel charges for its services. See docs/benchmarks.md.
 *
 * Exit status: 0 when every case was measured or is honestly absent, 1 when one failed, 2 for a
 * wrong command line. */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cases.h"
#include "harness.h"
#include "process.h"
#include "report.h"
#include "os.h"

static void cases_list(const struct options *options) {
  for (size_t i = 0; i < n_cases; i++) {
    if (case_selected(options, all_cases[i])) {
      printf("%-18s %s\n", all_cases[i]->name, all_cases[i]->op);
    }
  }
}

static void stamps_print(const struct options *options, uint64_t tsc_hz) {
  struct utsname system;
  report_stamp("format", "1");
  if (uname(&system) == 0) {
    report_stamp("guest.system", "%s %s %s", system.sysname, system.release, system.version);
  }
  report_stamp("guest.cpus", "%u", process_cpus());
  report_stamp("guest.page_size", "%ld", sysconf(_SC_PAGESIZE));
  report_stamp("guest.tsc_hz", "%llu", (unsigned long long)tsc_hz);
  report_stamp("guest.compiler", "%s", __VERSION__);
  report_stamp("unit", "%s", unit_name(options->unit));
  report_stamp("samples", "%u", options->samples);
  report_stamp("budget_seconds", "%u", options->seconds);
  report_stamp_file("kernel.", "sys:/bench/routines");
}

/* Measures a case with one parameter and reports it. */
static bool run_one(const struct bench_case *bench, const struct plan *plan,
                    const struct options *options, uint64_t param) {
  struct outcome outcome;
  harness_measure(bench, plan, options, param, &outcome);
  bool good = report_outcome(bench, &outcome);
  outcome_free(&outcome);
  return good;
}

static int cases_run(const struct options *options, uint32_t n_runs) {
  struct plan plan = plan_make(options, n_runs);
  uint32_t index = 0;
  int status = 0;
  for (size_t i = 0; i < n_cases; i++) {
    const struct bench_case *bench = all_cases[i];
    if (!case_selected(options, bench)) {
      continue;
    }
    report_case(bench, options);
    for (const uint64_t *param = case_params(bench); *param != 0; param++) {
      report_progress(bench, *param, ++index, n_runs);
      if (!run_one(bench, &plan, options, *param)) {
        status = 1;
      }
    }
  }
  return status;
}

int main(int argc, char **argv) {
  struct options options;
  if (!options_parse(&options, argc, argv)) {
    return 2;
  }
  uint32_t n_runs = runs_count(&options);
  if (n_runs == 0) {
    fprintf(stderr, "bench: no case is called '%s'\n", options.only);
    return 2;
  }
  if (options.list) {
    cases_list(&options);
    return 0;
  }
  process_init();
  uint64_t tsc_hz = os_tsc_hz();
  ticks_init(tsc_hz);
  stamps_print(&options, tsc_hz);
  struct run pinning = {.options = &options};
  if (!process_pin(&pinning, 0)) {
    fprintf(stderr, "bench: %s\n", pinning.reason);
    return 1;
  }
  return cases_run(&options, n_runs);
}
