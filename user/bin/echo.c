/* echo [-n] WORD...: print the words with spaces between. Backslash escapes are interpreted. */
#include "lib.h"

int main(int argc, char **argv) {
  return finish(echo_main(argc, argv));
}
