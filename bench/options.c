/* Parsing of the command line with getopt_long. */
#include "options.h"

#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES_DEFAULT = 31, SAMPLES_INSTRUCTIONS = 11, SAMPLES_QUICK = 7, SAMPLES_MAX = 100000 };
enum { SECONDS_DEFAULT = 150, SECONDS_QUICK = 30, SECONDS_MAX = 86400 };

static const char usage[] =
    "usage: bench [options]\n"
    "  --list                  names and what one operation is\n"
    "  --only=GLOB,...         only cases whose name matches, such as 'fork.*'\n"
    "  --quick                 fewer samples (7 unless told), smaller budget\n"
    "  --samples=N             samples of each case (31; 11 when instructions are counted)\n"
    "  --seconds=N             budget for all cases together (150)\n"
    "  --unit=ns|instructions  instructions: the counter advances by one an instruction (icount)\n"
    "  --child=PATH            program started by exec cases (/bin/bench-child)\n";

static const struct option long_options[] = {
    {"list", no_argument, NULL, 'l'},          {"only", required_argument, NULL, 'o'},
    {"quick", no_argument, NULL, 'q'},         {"samples", required_argument, NULL, 'n'},
    {"seconds", required_argument, NULL, 's'}, {"unit", required_argument, NULL, 'u'},
    {"child", required_argument, NULL, 'c'},   {NULL, 0, NULL, 0},
};

const char *unit_name(enum unit unit) {
  return unit == UNIT_NS ? "ns" : "instructions";
}

static bool number_parse(const char *text, uint32_t most, uint32_t *number) {
  char *end;
  unsigned long value = strtoul(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end != '\0' || value == 0 || value > most) {
    fprintf(stderr, "bench: '%s' is not a number from 1 to %u\n", text, most);
    return false;
  }
  *number = (uint32_t)value;
  return true;
}

static bool unit_parse(const char *text, enum unit *unit) {
  *unit = strcmp(text, "instructions") == 0 ? UNIT_INSTRUCTIONS : UNIT_NS;
  if (strcmp(text, unit_name(*unit)) != 0) {
    fprintf(stderr, "bench: unit '%s' is neither ns nor instructions\n", text);
    return false;
  }
  return true;
}

static bool option_apply(struct options *options, int letter, bool *quick) {
  switch (letter) {
  case 'l':
    options->list = true;
    return true;
  case 'o':
    options->only = optarg;
    return true;
  case 'q':
    *quick = true;
    return true;
  case 'n':
    return number_parse(optarg, SAMPLES_MAX, &options->samples);
  case 's':
    return number_parse(optarg, SECONDS_MAX, &options->seconds);
  case 'u':
    return unit_parse(optarg, &options->unit);
  case 'c':
    options->child = optarg;
    return true;
  default:
    fputs(usage, stderr);
    return false;
  }
}

static void defaults_fill(struct options *options, bool quick) {
  if (options->samples == 0) {
    uint32_t usual = options->unit == UNIT_NS ? SAMPLES_DEFAULT : SAMPLES_INSTRUCTIONS;
    options->samples = quick ? SAMPLES_QUICK : usual;
  }
  if (options->seconds == 0) {
    options->seconds = quick ? SECONDS_QUICK : SECONDS_DEFAULT;
  }
}

bool options_parse(struct options *options, int argc, char **argv) {
  *options = (struct options){.child = "/bin/bench-child"};
  bool quick = false;
  for (;;) {
    int letter = getopt_long(argc, argv, "", long_options, NULL);
    if (letter == -1) {
      break;
    }
    if (!option_apply(options, letter, &quick)) {
      return false;
    }
  }
  if (optind != argc) {
    fputs(usage, stderr);
    return false;
  }
  defaults_fill(options, quick);
  return true;
}

bool options_select(const struct options *options, const char *name) {
  char glob[128];
  if (options->only == NULL) {
    return true;
  }
  for (const char *at = options->only; at != NULL; at = strchr(at, ',')) {
    at += *at == ',';
    snprintf(glob, sizeof(glob), "%.*s", (int)strcspn(at, ","), at);
    if (fnmatch(glob, name, 0) == 0) {
      return true;
    }
  }
  return false;
}
