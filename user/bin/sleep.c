/* sleep SECONDS...: wait that long, or the sum; fractions and suffixes s, m, h, d are fine. */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib.h"

static double seconds_arg(const char *text) {
  char *end;
  double value = strtod(text, &end);
  double unit = *end == 'm' ? 60 : *end == 'h' ? 3600 : *end == 'd' ? 86400 : 1;
  end += *end && strchr("smhd", *end);
  if (end == text || *end || !(value >= 0)) {
    errx(1, "%s: not a time", text);
  }
  return value * unit;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    usage("sleep SECONDS...");
  }
  double sum = 0;
  for (int i = 1; i < argc; i++) {
    sum += seconds_arg(argv[i]);
  }
  sum = sum < 1e9 ? sum : 1e9;
  struct timespec left = {(time_t)sum, (long)((sum - (double)(time_t)sum) * 1e9)};
  while (nanosleep(&left, &left) != 0) {
    if (errno != EINTR) {
      err(1, "nanosleep");
    }
  }
  return 0;
}
