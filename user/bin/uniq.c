/* uniq [-cdu] [FILE]: of adjacent equal lines print one; -c: with their number; -d: only repeated
 * ones; -u: only single ones. */
#include <string.h>
#include <unistd.h>

#include "lib.h"

int main(int argc, char **argv) {
  bool count = false, only_repeated = false, only_single = false;
  for (int option; (option = getopt(argc, argv, "cdu")) != -1;) {
    count |= option == 'c';
    only_repeated |= option == 'd';
    only_single |= option == 'u';
    if (option == '?') {
      usage("uniq [-cdu] [FILE]");
    }
  }
  struct lines lines;
  int status = lines_read(argv + optind, &lines);
  for (size_t i = 0, n; i < lines.n; i += n) {
    for (n = 1; i + n < lines.n && strcmp(lines.line[i], lines.line[i + n]) == 0; n++) {
    }
    if ((only_repeated && n == 1) || (only_single && n > 1)) {
      continue;
    }
    if (count) {
      printf("%7zu ", n);
    }
    puts(lines.line[i]);
  }
  return finish(status);
}
