/* cat [FILE...]: copy files, or standard input, to standard output. */
#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

static int cat_one(const char *name) {
  if (strcmp(name, "-") == 0) {
    return copy_fd(0, 1, name);
  }
  int fd = open(name, O_RDONLY);
  if (fd < 0) {
    warn("%s", name);
    return 1;
  }
  int status = copy_fd(fd, 1, name);
  close(fd);
  return status;
}

int main(int argc, char **argv) {
  int status = argc > 1 ? 0 : cat_one("-");
  for (int i = 1; i < argc; i++) {
    status |= cat_one(argv[i]);
  }
  return status;
}
