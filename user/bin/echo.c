/* echo [-n] WORD...: print the words, separated by spaces. Backslash escapes are interpreted (XSI). */
#include "lib.h"

int main(int argc, char **argv) {
  return finish(echo_main(argc, argv));
}
