/* stat [-L] FILE...: what is known about files; -L: of what links lead to. */
#define _GNU_SOURCE
#include <err.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib.h"

static const char *kind(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
    return "regular file";
  case S_IFDIR:
    return "directory";
  case S_IFLNK:
    return "symbolic link";
  case S_IFCHR:
    return "character device";
  case S_IFBLK:
    return "block device";
  case S_IFIFO:
    return "pipe";
  default:
    return "other";
  }
}

static void print_time(const char *label, const struct timespec *t) {
  char text[32];
  struct tm tm;
  strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime_r(&t->tv_sec, &tm));
  printf("%s: %s.%09ld UTC\n", label, text, t->tv_nsec);
}

static int show(const char *path, bool follow) {
  struct stat st;
  if ((follow ? stat(path, &st) : lstat(path, &st)) != 0) {
    warn("%s", path);
    return 1;
  }
  printf("  File: %s\n", path);
  printf("  Size: %-12lld Blocks: %-8lld IO Block: %-6ld %s\n", (long long)st.st_size,
         (long long)st.st_blocks, (long)st.st_blksize, kind(st.st_mode));
  printf("Device: %-10llu Inode: %-9llu Links: %lu\n", (unsigned long long)st.st_dev,
         (unsigned long long)st.st_ino, (unsigned long)st.st_nlink);
  printf("  Mode: %04o  Uid: %u  Gid: %u\n", st.st_mode & 07777, st.st_uid, st.st_gid);
  print_time("Access", &st.st_atim);
  print_time("Modify", &st.st_mtim);
  print_time("Change", &st.st_ctim);
  return 0;
}

int main(int argc, char **argv) {
  bool follow = false;
  for (int option; (option = getopt(argc, argv, "L")) != -1;) {
    if (option == '?') {
      usage("stat [-L] FILE...");
    }
    follow = true;
  }
  if (optind == argc) {
    usage("stat [-L] FILE...");
  }
  int status = 0;
  for (int i = optind; i < argc; i++) {
    status |= show(argv[i], follow);
  }
  return finish(status);
}
