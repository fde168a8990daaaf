/* mem [PID...]: how much memory there is and what it is used for (sys:mem), or what each of these
 * processes has (proc:PID/mem-stat). */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib.h"

static int file_show(const char *path) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) {
    warn("%s", path);
    return 1;
  }
  int status = copy_fd(fd, 1, path);
  close(fd);
  return status;
}

int main(int argc, char **argv) {
  int status = argc > 1 ? 0 : file_show("sys:/mem");
  for (int i = 1; i < argc; i++) {
    char path[64];
    snprintf(path, sizeof path, "proc:/%s/mem-stat", argv[i]);
    status |= file_show(path);
  }
  return status;
}
