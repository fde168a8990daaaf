/* tail [-n [+]LINES] [FILE...]: the last lines of files; +N: from line N on. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

int main(int argc, char **argv) {
  long long count = 10;
  bool from_start = false;
  if (argc > 1 && argv[1][0] == '-' && argv[1][1] >= '0' && argv[1][1] <= '9') {
    count = number_arg(argv[1] + 1, 0, LLONG_MAX); /* tail -5 */
    optind = 2;
  }
  for (int option; (option = getopt(argc, argv, "n:")) != -1;) {
    if (option == '?') {
      usage("tail [-n [+]LINES] [FILE...]");
    }
    from_start = *optarg == '+';
    count = number_arg(optarg + from_start, LLONG_MIN, LLONG_MAX);
    count = count < 0 ? -count : count;
  }
  struct lines lines;
  int status = lines_read(argv + optind, &lines);
  size_t n = (size_t)count, skip = lines.n > n ? lines.n - n : 0;
  if (from_start) {
    skip = n > 0 ? n - 1 : 0;
  }
  for (size_t i = skip; i < lines.n; i++) {
    puts(lines.line[i]);
  }
  return finish(status);
}
