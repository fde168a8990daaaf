/* find [PATH...] [-name PATTERN] [-type f|d|l] [-maxdepth N]: walk directories and print what
 * matches all conditions. Order: as in the directory, a directory before what is in it. */
#include <dirent.h>
#include <err.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib.h"

static const char *name_pattern;
static mode_t wanted_kind; /* 0: any */
static long long max_depth = INT_MAX;

static bool matches(const char *path, mode_t mode) {
  char *copy = strdup(path);
  bool name_fits = !name_pattern || fnmatch(name_pattern, path_base(copy), 0) == 0;
  free(copy);
  return name_fits && (!wanted_kind || (mode & S_IFMT) == wanted_kind);
}

static int walk(const char *path, int depth);

static int walk_directory(const char *path, int depth) {
  struct dirent **entries;
  int status = 0, n = scandir(path, &entries, NULL, NULL);
  if (n < 0) {
    warn("%s", path);
    return 1;
  }
  for (int i = 0; i < n; i++) {
    const char *name = entries[i]->d_name;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
      char *child = path_join(path, name);
      status |= walk(child, depth + 1);
      free(child);
    }
    free(entries[i]);
  }
  free(entries);
  return status;
}

static int walk(const char *path, int depth) {
  struct stat st;
  if (lstat(path, &st) != 0) {
    warn("%s", path);
    return 1;
  }
  if (matches(path, st.st_mode)) {
    puts(path);
  }
  return S_ISDIR(st.st_mode) && depth < max_depth ? walk_directory(path, depth) : 0;
}

static void parse_condition(const char *name, const char *value) {
  if (value && strcmp(name, "-name") == 0) {
    name_pattern = value;
  } else if (value && strcmp(name, "-type") == 0 && strlen(value) == 1 && strchr("fdl", *value)) {
    wanted_kind = *value == 'f' ? S_IFREG : *value == 'd' ? S_IFDIR : S_IFLNK;
  } else if (value && strcmp(name, "-maxdepth") == 0) {
    max_depth = number_arg(value, 0, INT_MAX);
  } else {
    errx(2, "%s: unknown condition", name);
  }
}

int main(int argc, char **argv) {
  int n_paths = 0;
  while (1 + n_paths < argc && argv[1 + n_paths][0] != '-') {
    n_paths++;
  }
  for (int i = 1 + n_paths; i < argc; i += 2) {
    parse_condition(argv[i], argv[i + 1]);
  }
  int status = n_paths ? 0 : walk(".", 0);
  for (int i = 1; i <= n_paths; i++) {
    status |= walk(argv[i], 0);
  }
  return finish(status);
}
