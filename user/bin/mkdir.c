/* mkdir [-p] [-m MODE] DIRECTORY...: make directories; -p: with those above, existing ones are
 * fine. */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib.h"

static int make(const char *path, mode_t mode, bool parents) {
  if (mkdir(path, mode) == 0 || (parents && errno == EEXIST && is_directory(path))) {
    return 0;
  }
  warn("%s", path);
  return 1;
}

static int make_all(char *path, mode_t mode) {
  for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    int failed = make(path, 0777, true);
    *slash = '/';
    if (failed) {
      return 1;
    }
  }
  return make(path, mode, true);
}

int main(int argc, char **argv) {
  bool parents = false;
  mode_t mode = 0777;
  for (int option; (option = getopt(argc, argv, "pm:")) != -1;) {
    if (option == '?') {
      usage("mkdir [-p] [-m MODE] DIRECTORY...");
    }
    parents |= option == 'p';
    mode = option == 'm' ? (mode_t)strtol(optarg, NULL, 8) : mode;
  }
  if (optind == argc) {
    usage("mkdir [-p] [-m MODE] DIRECTORY...");
  }
  int status = 0;
  for (int i = optind; i < argc; i++) {
    status |= parents ? make_all(argv[i], mode) : make(argv[i], mode, false);
  }
  return status;
}
