/* The scheduler's parameters as the running kernel tells them: the files of sys:/sched. A system
 * without them (Linux) has none. */
#ifndef BENCH_TUNE_PARAM_H
#define BENCH_TUNE_PARAM_H

#include <stdbool.h>
#include <stdint.h>

#include "plan.h"

enum { PARAMS_MOST = 64 };

struct param {
  char name[PLAN_WORD], unit[PLAN_WORD];
  uint64_t initial, least, most; /* initial: as found, and put back by param_restore() */
  uint64_t current;
};

struct params {
  unsigned n;
  struct param of[PARAMS_MOST];
};

/* Reads the table. False, having said why, when it is there and cannot be understood. */
bool param_load(struct params *params);

/* Whether every setting of the line names a parameter and is within its range; says why not. */
bool param_check(const struct params *params, const struct plan_line *line);

/* Gives every parameter the value that the line demands, and reads it back. False, having said
 * which one was refused. */
bool param_apply(struct params *params, const struct plan_line *line);

/* Puts the initial values back. */
bool param_restore(struct params *params);

#endif
