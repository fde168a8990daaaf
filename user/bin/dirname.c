/* dirname PATH: a path without its last component. */
#include <libgen.h>

#include "lib.h"

int main(int argc, char **argv) {
  if (argc != 2) {
    usage("dirname PATH");
  }
  puts(dirname(argv[1]));
  return finish(0);
}
