/* ps: the processes: the file sys:ps. */
#include <err.h>
#include <fcntl.h>

#include "lib.h"

int main(void) {
  int fd = open("sys:/ps", O_RDONLY);
  if (fd < 0) {
    err(1, "sys:/ps");
  }
  return copy_fd(fd, 1, "sys:/ps");
}
