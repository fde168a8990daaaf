/* which NAME...: the paths of programs that $PATH finds; 1 when one is not found. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

static bool is_program(const char *path) {
  return access(path, X_OK) == 0 && !is_directory(path);
}

static bool find(const char *name) {
  const char *path = getenv("PATH");
  if (strchr(name, '/')) {
    return is_program(name) && puts(name) >= 0;
  }
  char *copy = strdup(path ? path : "/bin");
  bool found = false;
  for (char *save, *dir = strtok_r(copy, ":", &save); dir && !found;
       dir = strtok_r(NULL, ":", &save)) {
    char *candidate = path_join(dir, name);
    found = is_program(candidate) && puts(candidate) >= 0;
    free(candidate);
  }
  free(copy);
  return found;
}

int main(int argc, char **argv) {
  int status = argc > 1 ? 0 : 1;
  for (int i = 1; i < argc; i++) {
    status |= !find(argv[i]);
  }
  return finish(status);
}
