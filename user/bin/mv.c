/* mv FROM... TO: rename; into TO when it is a directory. Only within one file system. */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "lib.h"

int main(int argc, char **argv) {
  const char *to = argv[argc - 1];
  bool into = argc >= 3 && is_directory(to);
  if (argc < 3 || (argc > 3 && !into)) {
    usage("mv FROM... TO");
  }
  int status = 0;
  for (int i = 1; i < argc - 1; i++) {
    char *target = into ? path_join(to, path_base(argv[i])) : strdup(to);
    if (rename(argv[i], target) != 0) {
      warn("%s to %s", argv[i], target);
      status = 1;
    }
    free(target);
  }
  return status;
}
