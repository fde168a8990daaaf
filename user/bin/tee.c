/* tee [-a] [FILE...]: copy standard input to standard output and to files; -a: append to them. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib.h"

int main(int argc, char **argv) {
  static char block[65536];
  int mode = O_TRUNC, status = 0;
  for (int option; (option = getopt(argc, argv, "a")) != -1;) {
    if (option == '?') {
      usage("tee [-a] [FILE...]");
    }
    mode = O_APPEND;
  }
  int n_files = argc - optind;
  int *fds = alloc_or_die(((size_t)n_files + 1) * sizeof *fds);
  fds[n_files] = 1;
  for (int i = 0; i < n_files; i++) {
    fds[i] = open(argv[optind + i], O_WRONLY | O_CREAT | mode, 0666);
    if (fds[i] < 0) {
      warn("%s", argv[optind + i]);
      status = 1;
    }
  }
  for (ssize_t n; (n = read(0, block, sizeof block)) != 0;) {
    if (n < 0 && errno != EINTR) {
      err(1, "read error");
    }
    for (int i = 0; n > 0 && i <= n_files; i++) {
      if (fds[i] >= 0 && !write_all(fds[i], block, (size_t)n)) {
        warn("%s", i < n_files ? argv[optind + i] : "standard output");
        fds[i] = -1;
        status = 1;
      }
    }
  }
  return status;
}
