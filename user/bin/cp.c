/* cp [-r] FROM... TO: copy files; -r: and directories, with symbolic links as links. Permissions
 * are copied; times and owners are new. */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib.h"

static bool recursive;

static int complain(const char *path) {
  warn("%s", path);
  return 1;
}

static int copy_file(const char *from, const char *to, mode_t mode) {
  int in = open(from, O_RDONLY);
  if (in < 0) {
    return complain(from);
  }
  int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, mode & 0777);
  if (out < 0) {
    complain(to);
    close(in);
    return 1;
  }
  int status = copy_fd(in, out, from);
  close(in);
  return close(out) == 0 ? status : complain(to);
}

static int copy_link(const char *from, const char *to) {
  char target[4096];
  ssize_t n = readlink(from, target, sizeof target - 1);
  if (n < 0) {
    return complain(from);
  }
  target[n] = '\0';
  return symlink(target, to) == 0 ? 0 : complain(to);
}

static int copy_path(const char *from, const char *to);

static int copy_directory(const char *from, const char *to, mode_t mode) {
  if (mkdir(to, (mode & 0777) | 0700) != 0 && !(errno == EEXIST && is_directory(to))) {
    return complain(to);
  }
  DIR *dir = opendir(from);
  if (!dir) {
    return complain(from);
  }
  int status = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      char *child = path_join(from, entry->d_name), *copy = path_join(to, entry->d_name);
      status |= copy_path(child, copy);
      free(child);
      free(copy);
    }
  }
  closedir(dir);
  return status;
}

static int copy_path(const char *from, const char *to) {
  struct stat st, existing;
  if ((recursive ? lstat(from, &st) : stat(from, &st)) != 0) {
    return complain(from);
  }
  if (stat(to, &existing) == 0 && st.st_dev == existing.st_dev && st.st_ino == existing.st_ino) {
    warnx("%s and %s are the same file", from, to);
    return 1;
  }
  if (S_ISLNK(st.st_mode)) {
    return copy_link(from, to);
  }
  if (!S_ISDIR(st.st_mode)) {
    return copy_file(from, to, st.st_mode);
  }
  if (!recursive) {
    warnx("%s: is a directory (-r to copy it)", from);
    return 1;
  }
  return copy_directory(from, to, st.st_mode);
}

int main(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "rR")) != -1;) {
    if (option == '?') {
      usage("cp [-r] FROM... TO");
    }
    recursive = true;
  }
  const char *to = argv[argc - 1];
  bool into = argc - optind >= 2 && is_directory(to);
  if (argc - optind < 2 || (argc - optind > 2 && !into)) {
    usage("cp [-r] FROM... TO");
  }
  int status = 0;
  for (int i = optind; i < argc - 1; i++) {
    char *target = into ? path_join(to, path_base(argv[i])) : strdup(to);
    status |= copy_path(argv[i], target);
    free(target);
  }
  return status;
}
