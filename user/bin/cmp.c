/* cmp [-s] FILE1 FILE2: where two files first differ; -s: only the status: 0 same, 1 different, 2
 * error. */
#include <err.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

static FILE *open_or_die(const char *name) {
  FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
  if (!file) {
    err(2, "%s", name);
  }
  return file;
}

int main(int argc, char **argv) {
  bool silent = argc > 1 && strcmp(argv[1], "-s") == 0;
  char **names = argv + 1 + silent;
  if (argc - silent != 3) {
    usage("cmp [-s] FILE1 FILE2");
  }
  FILE *a = open_or_die(names[0]), *b = open_or_die(names[1]);
  unsigned long long byte = 1, line = 1;
  for (;; byte++) {
    int x = getc(a), y = getc(b);
    if (x == EOF && y == EOF) {
      return 0;
    }
    if (x == EOF || y == EOF) {
      if (!silent) {
        warnx("EOF on %s after byte %llu", names[x == EOF ? 0 : 1], byte - 1);
      }
      return 1;
    }
    if (x != y) {
      if (!silent) {
        printf("%s %s differ: char %llu, line %llu\n", names[0], names[1], byte, line);
      }
      return silent ? 1 : finish(1);
    }
    line += x == '\n';
  }
}
