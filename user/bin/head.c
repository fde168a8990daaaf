/* head [-n LINES | -c BYTES] [FILE...]: the beginning of files. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

static long long limit = 10;
static bool in_bytes, titled;

static int head(FILE *file, const char *name) {
  static bool again;
  if (titled) {
    printf("%s==> %s <==\n", again ? "\n" : "", name);
  }
  again = true;
  int c;
  for (long long left = limit; left > 0 && (c = getc(file)) != EOF;) {
    putchar(c);
    left -= in_bytes || c == '\n';
  }
  return ferror(file) ? 1 : 0;
}

int main(int argc, char **argv) {
  if (argc > 1 && argv[1][0] == '-' && argv[1][1] >= '0' && argv[1][1] <= '9') {
    limit = number_arg(argv[1] + 1, 0, LLONG_MAX); /* head -5 */
    optind = 2;
  }
  for (int option; (option = getopt(argc, argv, "n:c:")) != -1;) {
    if (option == '?') {
      usage("head [-n LINES | -c BYTES] [FILE...]");
    }
    in_bytes = option == 'c';
    limit = in_bytes ? size_arg(optarg) : number_arg(optarg, 0, LLONG_MAX);
  }
  titled = argc - optind > 1;
  return finish(for_each_file(argv + optind, head));
}
