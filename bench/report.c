/* Records and progress. Every record is flushed, so that a run that dies leaves what it had. */
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "stats.h"

enum { PARAM_SIZE = 48 };

static void param_format(const struct bench_case *bench, uint64_t param, char text[PARAM_SIZE]) {
  if (bench->param_name == NULL) {
    strcpy(text, "-");
  } else {
    snprintf(text, PARAM_SIZE, "%s=%" PRIu64, bench->param_name, param);
  }
}

void report_stamp(const char *key, const char *format, ...) {
  va_list args;
  va_start(args, format);
  printf("# %s\t", key);
  vprintf(format, args);
  putchar('\n');
  fflush(stdout);
  va_end(args);
}

void report_stamp_file(const char *prefix, const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) {
    return;
  }
  char line[160];
  while (fgets(line, sizeof(line), file) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    char *value = strchr(line, ' ');
    if (value != NULL) {
      *value++ = '\0';
      printf("# %s%s\t%s\n", prefix, line, value);
    }
  }
  fclose(file);
}

void report_case(const struct bench_case *bench, const struct options *options) {
  printf("case\t%s\t%s\t%s\n", bench->name, unit_name(harness_unit(bench, options)), bench->op);
}

void report_progress(const struct bench_case *bench, uint64_t param, uint32_t index,
                     uint32_t count) {
  char text[PARAM_SIZE];
  param_format(bench, param, text);
  fprintf(stderr, "[%2u/%u] %s%s%s ... ", index, count, bench->name,
          bench->param_name != NULL ? " " : "", bench->param_name != NULL ? text : "");
  fflush(stderr);
}

/* A value for people: 3 to 4 digits and a unit. */
static void progress_value(double value, enum unit unit) {
  if (unit == UNIT_INSTRUCTIONS) {
    fprintf(stderr, "%.0f instructions\n", value);
  } else if (value < 1e3) {
    fprintf(stderr, "%.3g ns\n", value);
  } else if (value < 1e6) {
    fprintf(stderr, "%.4g us\n", value / 1e3);
  } else {
    fprintf(stderr, "%.4g ms\n", value / 1e6);
  }
}

static void samples_print(const struct bench_case *bench, struct outcome *outcome,
                          const char *param) {
  for (uint32_t i = 0; i < outcome->n_samples; i++) {
    printf("sample\t%s\t%s\t%" PRIu64 "\t%.3f\n", bench->name, param, outcome->iterations[i],
           outcome->samples[i]);
  }
  struct stats s = stats_describe(outcome->samples, outcome->n_samples);
  printf("summary\t%s\t%s\t%zu\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\n", bench->name,
         param, s.n, s.min, s.median, s.p95, s.p99, s.max, s.mean, s.ci_lo, s.ci_hi);
  progress_value(s.median, harness_unit(bench, outcome->run.options));
}

bool report_outcome(const struct bench_case *bench, struct outcome *outcome) {
  struct run *run = &outcome->run;
  char param[PARAM_SIZE];
  param_format(bench, run->param, param);
  if (run->state == RUN_OK) {
    samples_print(bench, outcome, param);
  } else {
    const char *word = run->state == RUN_ABSENT ? "absent" : "ERROR";
    printf("%s\t%s\t%s\t%s\n", word, bench->name, param, run->reason);
    fprintf(stderr, "%s: %s\n", word, run->reason);
  }
  fflush(stdout);
  return run->state != RUN_FAILED;
}
