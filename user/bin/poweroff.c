/* poweroff [STATUS]: end the whole system at once, with a status for the host that runs it. */
#include <err.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib.h"

int main(int argc, char **argv) {
  long long status = argc > 1 ? number_arg(argv[1], 0, 255) : 0;
  int fd = open("sys:/power", O_WRONLY);
  if (fd < 0 || dprintf(fd, "exit %lld\n", status) < 0) {
    err(1, "sys:/power");
  }
  for (;;) {
    pause();
  }
}
