/* sort [-nru] [FILE...]: the lines of all files in order (of bytes, or with -n of leading numbers);
 * -r: the other way round; -u: of equal ones only the first. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

static bool numeric, reverse, unique;

static int compare_keys(const char *a, const char *b) {
  if (!numeric) {
    return strcmp(a, b);
  }
  double x = strtod(a, NULL), y = strtod(b, NULL);
  return (x > y) - (x < y);
}

static int compare(const void *left, const void *right) {
  const char *const *a = left, *const *b = right;
  int order = compare_keys(*a, *b);
  if (order == 0 && numeric && !unique) {
    order = strcmp(*a, *b);
  }
  return reverse ? -order : order;
}

int main(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "nru")) != -1;) {
    numeric |= option == 'n';
    reverse |= option == 'r';
    unique |= option == 'u';
    if (option == '?') {
      usage("sort [-nru] [FILE...]");
    }
  }
  struct lines lines;
  int status = lines_read(argv + optind, &lines);
  if (lines.n > 0) {
    qsort(lines.line, lines.n, sizeof *lines.line, compare);
  }
  for (size_t i = 0; i < lines.n; i++) {
    if (!unique || i == 0 || compare_keys(lines.line[i - 1], lines.line[i]) != 0) {
      puts(lines.line[i]);
    }
  }
  return finish(status);
}
