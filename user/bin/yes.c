/* yes [WORD...]: print a line (y) again and again until nobody reads it. */
#include "lib.h"

int main(int argc, char **argv) {
  do {
    for (int i = 1; i < argc; i++) {
      printf("%s%s", i > 1 ? " " : "", argv[i]);
    }
    fputs(argc > 1 ? "\n" : "y\n", stdout);
  } while (!ferror(stdout));
  return finish(0);
}
