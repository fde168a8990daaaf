/* touch [-c] FILE...: set times to now; make files that do not exist, unless -c. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib.h"

static int touch(const char *path, bool create) {
  if (utimensat(AT_FDCWD, path, NULL, 0) == 0) {
    return 0;
  }
  if (errno == ENOENT && !create) {
    return 0;
  }
  int fd = errno == ENOENT ? open(path, O_WRONLY | O_CREAT, 0666) : -1;
  if (fd < 0) {
    warn("%s", path);
    return 1;
  }
  close(fd);
  return 0;
}

int main(int argc, char **argv) {
  bool create = true;
  for (int option; (option = getopt(argc, argv, "c")) != -1;) {
    if (option == '?') {
      usage("touch [-c] FILE...");
    }
    create = false;
  }
  if (optind == argc) {
    usage("touch [-c] FILE...");
  }
  int status = 0;
  for (int i = optind; i < argc; i++) {
    status |= touch(argv[i], create);
  }
  return status;
}
