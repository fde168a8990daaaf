/* env [-i] [NAME=VALUE...] [COMMAND [ARG...]]: run a command in a changed environment, or print it.
 * -i: starting from an empty one. */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

extern char **environ;

int main(int argc, char **argv) {
  static char *nothing[] = {NULL};
  int i = 1;
  if (i < argc && (strcmp(argv[i], "-i") == 0 || strcmp(argv[i], "-") == 0)) {
    environ = nothing;
    i++;
  }
  for (; i < argc && strchr(argv[i], '='); i++) {
    putenv(argv[i]);
  }
  if (i < argc) {
    execvp(argv[i], argv + i);
    int status = errno == ENOENT ? 127 : 126;
    warn("%s", argv[i]);
    return status;
  }
  for (char **entry = environ; *entry; entry++) {
    puts(*entry);
  }
  return finish(0);
}
