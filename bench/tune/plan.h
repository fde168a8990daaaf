/* The plan of a sweep: one sample a line, written by the host (tools/tune.py).
 *
 *   POINT WORKLOAD REPETITION [NAME=VALUE ...]      words between single blanks or more
 *   # anything                                      ignored, as empty lines are
 *
 * A line says all: a parameter that it does not name has the value that the system started with.
 * Pure: knows neither the parameters nor the workloads. */
#ifndef BENCH_TUNE_PLAN_H
#define BENCH_TUNE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_WORD = 32, PLAN_SETTINGS = 32, PLAN_LINE = 1024 };

struct setting {
  char name[PLAN_WORD];
  uint64_t value;
};

struct plan_line {
  char point[PLAN_WORD], workload[PLAN_WORD];
  uint32_t repetition;
  unsigned n_settings;
  struct setting settings[PLAN_SETTINGS];
};

/* Reads a line into `line`, which is empty (point[0] == 0) when it says nothing. Answers what is
 * wrong with it, or null. */
const char *plan_parse(const char *text, struct plan_line *line);

/* The value that the line gives to a parameter; `other` when it does not name it. */
uint64_t plan_value(const struct plan_line *line, const char *name, uint64_t other);

/* Writes "name=value,name=value", or "-" when there are none. */
void plan_settings_format(const struct plan_line *line, char *text, size_t size);

#endif
