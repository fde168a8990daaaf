/* basename PATH [SUFFIX]: the last component of a path, without the suffix. */
#include <string.h>

#include "lib.h"

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    usage("basename PATH [SUFFIX]");
  }
  char *base = path_base(argv[1]);
  size_t n = strlen(base), cut = argc == 3 ? strlen(argv[2]) : 0;
  if (cut > 0 && n > cut && strcmp(base + n - cut, argv[2]) == 0) {
    base[n - cut] = '\0';
  }
  puts(base);
  return finish(0);
}
