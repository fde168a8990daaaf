/* printenv [NAME...]: the environment, or the values of these names; 1 when one is not set. */
#include <stdlib.h>

#include "lib.h"

extern char **environ;

int main(int argc, char **argv) {
  int status = 0;
  if (argc == 1) {
    for (char **entry = environ; *entry; entry++) {
      puts(*entry);
    }
  }
  for (int i = 1; i < argc; i++) {
    const char *value = getenv(argv[i]);
    if (value) {
      puts(value);
    } else {
      status = 1;
    }
  }
  return finish(status);
}
