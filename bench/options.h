/* The command line. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum unit { UNIT_NS, UNIT_INSTRUCTIONS };

struct options {
  bool list;
  const char *only;  /* globs over names, separated by commas; null for all */
  const char *child; /* the program that exec cases start */
  uint32_t samples;  /* of each case */
  uint32_t seconds;  /* for all cases together, about */
  enum unit unit;
};

/* False when the command line is wrong, after having said what is right. */
bool options_parse(struct options *options, int argc, char **argv);

/* Whether a case of this name is to run. */
bool options_select(const struct options *options, const char *name);

const char *unit_name(enum unit unit);

#endif
