/* tune: takes the samples of a plan, each with its own scheduler parameters. The guest's half of
 * `make tune`; tools/tune.py is the other. On Linux it runs plans without settings.
 *
 * Records on stdout, tab-separated, each flushed:
 *   # KEY VALUE                                a stamp; param.NAME has VALUE UNIT LEAST MOST
 *   workload NAME TEXT                         what it does and counts
 *   begin POINT WORKLOAD REPETITION            the sample that is being taken now
 *   sample POINT WORKLOAD REPETITION SETTINGS AT_S METRIC=NUMBER ...
 *   ERROR POINT WORKLOAD REPETITION REASON     it did not do what it should: no numbers
 *   end N_SAMPLES N_ERRORS                     the plan is done, parameters are as they were
 *
 * Exit status: 0 when every sample is good, 1 when one is not, 2 for a plan or command line that
 * cannot be run, 3 when a parameter refused its value. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "param.h"
#include "plan.h"
#include "work.h"

#define WORKLOAD(name) extern const struct workload workload_##name;
#include "workloads.def"
#undef WORKLOAD

static const struct workload *const workloads[] = {
#define WORKLOAD(name) &workload_##name,
#include "workloads.def"
#undef WORKLOAD
};

enum { N_WORKLOADS = sizeof(workloads) / sizeof(workloads[0]) };
enum { STATUS_ERRORS = 1, STATUS_USAGE = 2, STATUS_REFUSED = 3 };
enum { MS_DEFAULT = 400, SETTLE_MS_DEFAULT = 30, MS_MOST = 600000, LEAD_MS = 10 };
enum { CPUS_MOST = 100, NS_PER_MS = 1000000 };

struct options {
  const char *plan;
  uint32_t ms;        /* of each sample */
  uint32_t settle_ms; /* between the parameters' change and the sample */
};

static const char usage[] =
    "usage: tune --plan=FILE [--ms=N] [--settle-ms=N]\n"
    "  --plan=FILE    lines of POINT WORKLOAD REPETITION [NAME=VALUE ...]\n"
    "  --ms=N         length of a sample (400)\n"
    "  --settle-ms=N  rest between a change of parameters and the sample (30)\n";

static const struct workload *workload_find(const char *name) {
  for (unsigned i = 0; i < N_WORKLOADS; i++) {
    if (strcmp(workloads[i]->name, name) == 0) {
      return workloads[i];
    }
  }
  return NULL;
}

/* ---- the command line --------------------------------------------------------------------- */

static bool ms_parse(const char *text, uint32_t *ms) {
  char *end;
  unsigned long value = strtoul(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end != '\0' || value == 0 || value > MS_MOST) {
    fprintf(stderr, "tune: '%s' is not a number from 1 to %d\n", text, MS_MOST);
    return false;
  }
  *ms = (uint32_t)value;
  return true;
}

static bool options_parse(struct options *options, int argc, char **argv) {
  static const struct option longs[] = {{"plan", required_argument, NULL, 'p'},
                                        {"ms", required_argument, NULL, 'm'},
                                        {"settle-ms", required_argument, NULL, 's'},
                                        {NULL, 0, NULL, 0}};
  *options = (struct options){.ms = MS_DEFAULT, .settle_ms = SETTLE_MS_DEFAULT};
  bool good = true;
  for (int letter; good && (letter = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
    if (letter == 'p') {
      options->plan = optarg;
    } else {
      good = (letter == 'm' && ms_parse(optarg, &options->ms)) ||
             (letter == 's' && ms_parse(optarg, &options->settle_ms));
    }
  }
  if (!good || optind != argc || options->plan == NULL) {
    fputs(usage, stderr);
    return false;
  }
  return true;
}

/* ---- what is printed ---------------------------------------------------------------------- */

static void stamps_print(const struct options *options, const struct params *params) {
  struct utsname system;
  if (uname(&system) == 0) {
    printf("# guest.system\t%s %s %s\n", system.sysname, system.release, system.version);
  }
  printf("# guest.cpus\t%ld\n", sysconf(_SC_NPROCESSORS_ONLN));
  printf("# sample_ms\t%u\n# settle_ms\t%u\n", options->ms, options->settle_ms);
  for (unsigned i = 0; i < params->n; i++) {
    const struct param *p = &params->of[i];
    printf("# param.%s\t%" PRIu64 " %s %" PRIu64 " %" PRIu64 "\n", p->name, p->initial, p->unit,
           p->least, p->most);
  }
  for (unsigned i = 0; i < N_WORKLOADS; i++) {
    printf("workload\t%s\t%s\n", workloads[i]->name, workloads[i]->text);
  }
  fflush(stdout);
}

static void head_print(const char *record, const struct plan_line *line) {
  printf("%s\t%s\t%s\t%u", record, line->point, line->workload, line->repetition);
}

static void sample_print(const struct plan_line *line, const struct sample *sample) {
  char settings[PLAN_LINE];
  plan_settings_format(line, settings, sizeof(settings));
  head_print("sample", line);
  printf("\t%s\t%.3f", settings, (double)sample->start_ns / 1e9);
  if (sample->throughput_per_s > 0) {
    printf("\tthroughput_per_s=%.3f", sample->throughput_per_s);
  }
  if (sample->latency.n > 0) {
    const struct latency *latency = &sample->latency;
    printf("\tn=%" PRIu64 "\tp50_ns=%.0f\tp99_ns=%.0f\tmax_ns=%" PRIu64, latency->n,
           latency_quantile(latency, 0.5), latency_quantile(latency, 0.99), latency->max_ns);
  }
  printf("\n");
}

/* ---- taking samples ----------------------------------------------------------------------- */

static unsigned cpus_count(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : n > CPUS_MOST ? CPUS_MOST : (unsigned)n;
}

static void settle(uint32_t ms) {
  clock_sleep_until(clock_ns() + (uint64_t)ms * NS_PER_MS);
}

/* One sample; false when it is not good. */
static bool sample_take(const struct options *options, const struct plan_line *line) {
  static struct sample sample;
  uint64_t start_ns = clock_ns() + LEAD_MS * NS_PER_MS;
  sample = (struct sample){.n_cpus = cpus_count(),
                           .start_ns = start_ns,
                           .end_ns = start_ns + (uint64_t)options->ms * NS_PER_MS};
  workload_find(line->workload)->run(&sample);
  if (!sample.failed) {
    sample_print(line, &sample);
  } else {
    head_print("ERROR", line);
    printf("\t%s\n", sample.reason);
  }
  fflush(stdout);
  return !sample.failed;
}

/* Whether a line can be run at all: asked of every line before the first sample. */
static bool line_check(const struct params *params, const struct plan_line *line) {
  if (workload_find(line->workload) == NULL) {
    fprintf(stderr, "tune: there is no workload '%s'\n", line->workload);
    return false;
  }
  return param_check(params, line);
}

struct tally {
  uint32_t n_samples, n_errors;
};

static int line_run(const struct options *options, struct params *params,
                    const struct plan_line *line, struct tally *tally) {
  head_print("begin", line);
  printf("\n");
  fflush(stdout);
  if (!param_apply(params, line)) {
    return STATUS_REFUSED;
  }
  settle(options->settle_ms);
  bool good = sample_take(options, line);
  tally->n_samples += good;
  tally->n_errors += !good;
  return 0;
}

/* Goes through the plan: `tally` null only checks it. */
static int plan_walk(FILE *file, const struct options *options, struct params *params,
                     struct tally *tally) {
  char text[PLAN_LINE];
  struct plan_line line;
  rewind(file);
  for (unsigned number = 1; fgets(text, sizeof(text), file) != NULL; number++) {
    const char *problem = strchr(text, '\n') != NULL ? plan_parse(text, &line) : "not a whole line";
    if (problem != NULL) {
      fprintf(stderr, "tune: %s:%u: %s\n", options->plan, number, problem);
      return STATUS_USAGE;
    }
    if (line.point[0] == '\0') {
      continue;
    }
    if (tally == NULL && !line_check(params, &line)) {
      fprintf(stderr, "tune: in %s:%u\n", options->plan, number);
      return STATUS_USAGE;
    }
    int status = tally == NULL ? 0 : line_run(options, params, &line, tally);
    if (status != 0) {
      return status;
    }
  }
  return 0;
}

static int plan_run(FILE *file, const struct options *options, struct params *params) {
  struct tally tally = {0};
  int status = plan_walk(file, options, params, NULL);
  if (status != 0) {
    return status;
  }
  stamps_print(options, params);
  status = plan_walk(file, options, params, &tally);
  if (!param_restore(params) || status != 0) {
    return status != 0 ? status : STATUS_REFUSED;
  }
  printf("end\t%u\t%u\n", tally.n_samples, tally.n_errors);
  fflush(stdout);
  return tally.n_errors > 0 ? STATUS_ERRORS : 0;
}

int main(int argc, char **argv) {
  static struct params params;
  struct options options;
  if (!options_parse(&options, argc, argv)) {
    return STATUS_USAGE;
  }
  FILE *file = fopen(options.plan, "r");
  if (file == NULL) {
    perror(options.plan);
    return STATUS_USAGE;
  }
  int status = param_load(&params) ? plan_run(file, &options, &params) : STATUS_USAGE;
  fclose(file);
  return status;
}
