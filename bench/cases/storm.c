/* The storms of `make tune` (bench/tune), as cases: how many messages pass, and how late do those
 * run who are woken, when everybody is busy? The workloads check what they do; a sample is one run
 * of theirs. */
#include <stdlib.h>

#include "../cases.h"
#include "../process.h"
#include "../tune/work.h"

enum { LEAD_NS = 2000000, RUN_NS = 60000000 };

extern const struct workload workload_groups_threads, workload_groups_processes;
extern const struct workload workload_request, workload_cyclic;

/* They may use all CPUs, as programs do. */
static bool storm_setup(struct run *run) {
  return process_unpin(run);
}

static void storm_teardown(struct run *run) {
  process_pin(run, 0);
}

static bool workload_run(struct run *run, const struct workload *workload, struct sample *sample) {
  uint64_t start_ns = clock_ns() + LEAD_NS;
  *sample =
      (struct sample){.n_cpus = process_cpus(), .start_ns = start_ns, .end_ns = start_ns + RUN_NS};
  RUN_WORK(workload->run(sample), 0);
  return !sample->failed || run_fail(run, "%s", sample->reason);
}

/* Time for each of the operations that were counted. */
static void throughput_measure(struct run *run, const struct workload *workload) {
  static struct sample sample;
  if (workload_run(run, workload, &sample)) {
    run->confirmed = sample.n_done;
    run->ticks = ticks_from_ns(sample.took_ns);
  }
}

/* The percentile is one operation's time. */
static void latency_measure(struct run *run, const struct workload *workload) {
  static struct sample sample;
  if (workload_run(run, workload, &sample) && sample.latency.n > 0) {
    run->confirmed = 1;
    run->ticks =
        ticks_from_ns((uint64_t)latency_quantile(&sample.latency, (double)run->param / 100));
  }
}

static void groups_threads_measure(struct run *run, uint64_t n) {
  (void)n;
  throughput_measure(run, &workload_groups_threads);
}

static void groups_processes_measure(struct run *run, uint64_t n) {
  (void)n;
  throughput_measure(run, &workload_groups_processes);
}

static void requests_measure(struct run *run, uint64_t n) {
  (void)n;
  throughput_measure(run, &workload_request);
}

static void request_measure(struct run *run, uint64_t n) {
  (void)n;
  latency_measure(run, &workload_request);
}

static void cyclic_measure(struct run *run, uint64_t n) {
  (void)n;
  latency_measure(run, &workload_cyclic);
}

#define THROUGHPUT_CASE(id, title, text)                                                           \
  const struct bench_case case_storm_##id = {                                                      \
      .name = "storm." title,                                                                      \
      .op = text,                                                                                  \
      .setup = storm_setup,                                                                        \
      .measure = id##_measure,                                                                     \
      .teardown = storm_teardown,                                                                  \
      .counts_itself = true,                                                                       \
  };

THROUGHPUT_CASE(groups_threads, "groups.threads",
                "a message among 2 groups of 3 senders and 3 receivers over pipes, all threads")
THROUGHPUT_CASE(groups_processes, "groups.processes",
                "a message among 2 groups of 3 senders and 3 receivers over pipes, all processes")
THROUGHPUT_CASE(requests, "requests",
                "a request handed to one of 3 workers more than CPUs, computed and answered")

static const uint64_t percentiles[] = {50, 99, 0};

#define LATENCY_CASE(id, title, text)                                                              \
  const struct bench_case case_storm_##id = {                                                      \
      .name = "storm." title,                                                                      \
      .op = text,                                                                                  \
      .setup = storm_setup,                                                                        \
      .measure = id##_measure,                                                                     \
      .teardown = storm_teardown,                                                                  \
      .param_name = "percentile",                                                                  \
      .params = percentiles,                                                                       \
      .max_n = 1,                                                                                  \
      .is_time = true,                                                                             \
  };

LATENCY_CASE(request, "request",
             "from a request's hand-over to its worker running, 3 workers more than CPUs")
LATENCY_CASE(cyclic, "cyclic",
             "how late 4 threads wake that sleep for about 2 ms, beside 2 hogs a CPU")
