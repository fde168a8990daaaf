/* test EXPRESSION, [ EXPRESSION ]: 0 when it is true, 1 when false, 2 when it is malformed. */
#include <err.h>
#include <string.h>

#include "lib.h"

int main(int argc, char **argv) {
  if (strcmp(path_base(argv[0]), "[") == 0 && strcmp(argv[--argc], "]") != 0) {
    errx(2, "missing ]");
  }
  return test_evaluate("test", argc - 1, argv + 1);
}
