/* seq [FIRST [STEP]] LAST: numbers, one a line. Whole numbers are exact; others have as many
 * decimals as FIRST or STEP. */
#include <err.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib.h"

static double real_arg(const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end) {
    errx(1, "%s: not a number", text);
  }
  return value;
}

static bool is_whole(const char *text) {
  return strspn(text, "+-0123456789") == strlen(text) && strlen(text) < 18;
}

static void print_whole(long long first, long long step, long long last) {
  for (long long i = first; step > 0 ? i <= last : i >= last; i += step) {
    printf("%lld\n", i);
  }
}

static int decimals(const char *text) {
  const char *point = strchr(text, '.');
  return point ? (int)strlen(point + 1) : 0;
}

static void print_real(double first, double step, double last, int n_decimals) {
  double slack = step * 1e-9; /* the last value may miss by rounding */
  for (long long i = 0;; i++) {
    double value = first + (double)i * step;
    if (step > 0 ? value > last + slack : value < last + slack) {
      return;
    }
    printf("%.*f\n", n_decimals, value);
  }
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 4) {
    usage("seq [FIRST [STEP]] LAST");
  }
  const char *first = argc > 2 ? argv[1] : "1", *step = argc > 3 ? argv[2] : "1";
  const char *last = argv[argc - 1];
  double values[] = {real_arg(first), real_arg(step), real_arg(last)};
  if (values[1] == 0) {
    errx(1, "the step must not be zero");
  }
  if (is_whole(first) && is_whole(step) && is_whole(last)) {
    print_whole(atoll(first), atoll(step), atoll(last));
  } else {
    int a = decimals(first), b = decimals(step);
    print_real(values[0], values[1], values[2], a > b ? a : b);
  }
  return finish(0);
}
