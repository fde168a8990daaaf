/* ls [-la1d] [PATH...]: list directories and files, one a line, sorted by name.
 * -l: kind and permissions, links, owner, group, bytes, time (UTC); -a: names that begin with a dot
 * too; -d: directories themselves, not what is in them; -1: one a line, which is always so. */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib.h"

static bool show_long, show_all, show_directory;

static char kind_letter(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFDIR:
    return 'd';
  case S_IFLNK:
    return 'l';
  case S_IFCHR:
    return 'c';
  case S_IFBLK:
    return 'b';
  case S_IFIFO:
    return 'p';
  case S_IFSOCK:
    return 's';
  default:
    return '-';
  }
}

static void print_mode(mode_t mode) {
  putchar(kind_letter(mode));
  for (int bit = 8; bit >= 0; bit--) {
    putchar(mode & (1u << bit) ? "xwr"[bit % 3] : '-');
  }
}

static void print_long(const char *path, const struct stat *st) {
  char when[32];
  struct tm tm;
  strftime(when, sizeof when, "%Y-%m-%d %H:%M", gmtime_r(&st->st_mtime, &tm));
  print_mode(st->st_mode);
  printf(" %3lu %4u %4u %9lld %s %s", (unsigned long)st->st_nlink, st->st_uid, st->st_gid,
         (long long)st->st_size, when, path);
}

/* `name` is what is printed, `path` where the entry is. */
static int list_entry(const char *path, const char *name) {
  if (!show_long) {
    puts(name);
    return 0;
  }
  struct stat st;
  if (lstat(path, &st) != 0) {
    warn("%s", path);
    return 1;
  }
  print_long(name, &st);
  char target[1024];
  ssize_t n = S_ISLNK(st.st_mode) ? readlink(path, target, sizeof target) : -1;
  if (n >= 0) {
    printf(" -> %.*s", (int)n, target);
  }
  putchar('\n');
  return 0;
}

static int is_shown(const struct dirent *entry) {
  return show_all || entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int list_directory(const char *path) {
  struct dirent **entries;
  int n = scandir(path, &entries, is_shown, by_name);
  if (n < 0) {
    warn("%s", path);
    return 1;
  }
  int status = 0;
  for (int i = 0; i < n; i++) {
    char *full = path_join(path, entries[i]->d_name);
    status |= list_entry(full, entries[i]->d_name);
    free(full);
    free(entries[i]);
  }
  free(entries);
  return status;
}

/* Status 2 when the path does not exist, 1 when something in it cannot be read. */
static int list(const char *path, bool titled) {
  static bool again;
  struct stat st;
  if (stat(path, &st) != 0 && lstat(path, &st) != 0) {
    warn("%s", path);
    return 2;
  }
  if (!S_ISDIR(st.st_mode) || show_directory) {
    return list_entry(path, path);
  }
  if (titled) {
    printf("%s%s:\n", again ? "\n" : "", path);
  }
  again = true;
  return list_directory(path);
}

int main(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "lad1")) != -1;) {
    show_long |= option == 'l';
    show_all |= option == 'a';
    show_directory |= option == 'd';
    if (option == '?') {
      usage("ls [-lad1] [PATH...]");
    }
  }
  if (optind == argc) {
    return finish(list(".", false));
  }
  int status = 0;
  for (int i = optind; i < argc; i++) {
    int result = list(argv[i], argc - optind > 1);
    status = result > status ? result : status;
  }
  return finish(status);
}
