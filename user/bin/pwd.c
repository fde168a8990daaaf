/* pwd: the current directory. */
#include <err.h>
#include <limits.h>
#include <unistd.h>

#include "lib.h"

int main(void) {
  char path[PATH_MAX];
  if (!getcwd(path, sizeof path)) {
    err(1, "getcwd");
  }
  puts(path);
  return finish(0);
}
