/* rm [-rf] PATH...: remove files; -r: and directories with all that is in them; -f: what does not
 * exist is no error. "/", "." and ".." are refused. */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib.h"

static bool recursive, force;

static int remove_path(const char *path);

static int remove_children(const char *path) {
  DIR *dir = opendir(path);
  int status = 0;
  if (!dir) {
    warn("%s", path);
    return 1;
  }
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      char *child = path_join(path, entry->d_name);
      status |= remove_path(child);
      free(child);
    }
  }
  closedir(dir);
  return status;
}

static int complain(const char *path) {
  if (force && errno == ENOENT) {
    return 0;
  }
  warn("%s", path);
  return 1;
}

static int remove_path(const char *path) {
  struct stat st;
  if (lstat(path, &st) != 0) {
    return complain(path);
  }
  if (!S_ISDIR(st.st_mode)) {
    return unlink(path) == 0 ? 0 : complain(path);
  }
  if (!recursive) {
    errno = EISDIR;
    warn("%s", path);
    return 1;
  }
  return remove_children(path) | (rmdir(path) == 0 ? 0 : complain(path));
}

static bool is_refused(const char *path) {
  char *copy = strdup(path);
  const char *base = path_base(copy);
  bool refused = strcmp(base, "/") == 0 || strcmp(base, ".") == 0 || strcmp(base, "..") == 0;
  free(copy);
  return refused;
}

int main(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "rRf")) != -1;) {
    if (option == '?') {
      usage("rm [-rf] PATH...");
    }
    recursive |= option != 'f';
    force |= option == 'f';
  }
  if (optind == argc && !force) {
    usage("rm [-rf] PATH...");
  }
  int status = 0;
  for (int i = optind; i < argc; i++) {
    if (is_refused(argv[i])) {
      warnx("%s: refused", argv[i]);
      status = 1;
    } else {
      status |= remove_path(argv[i]);
    }
  }
  return status;
}
