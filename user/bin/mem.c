/* mem: how much memory there is and what it is used for: the file sys:mem. */
#include <err.h>
#include <fcntl.h>

#include "lib.h"

int main(void) {
  int fd = open("sys:/mem", O_RDONLY);
  if (fd < 0) {
    err(1, "sys:/mem");
  }
  return copy_fd(fd, 1, "sys:/mem");
}
