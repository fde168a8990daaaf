/* ln [-sf] TARGET [NAME]: another name for a file; -s: a symbolic link; -f: replace an existing
 * name. */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

int main(int argc, char **argv) {
  bool symbolic = false, force = false;
  for (int option; (option = getopt(argc, argv, "sf")) != -1;) {
    if (option == '?') {
      usage("ln [-sf] TARGET [NAME]");
    }
    symbolic |= option == 's';
    force |= option == 'f';
  }
  if (argc - optind < 1 || argc - optind > 2) {
    usage("ln [-sf] TARGET [NAME]");
  }
  const char *target = argv[optind];
  char *base = strdup(target);
  const char *given = argc - optind == 2 ? argv[optind + 1] : ".";
  char *name = is_directory(given) ? path_join(given, path_base(base)) : strdup(given);
  if (force) {
    unlink(name);
  }
  int failed = symbolic ? symlink(target, name) : link(target, name);
  if (failed) {
    warn("%s", name);
  }
  free(base);
  free(name);
  return failed ? 1 : 0;
}
