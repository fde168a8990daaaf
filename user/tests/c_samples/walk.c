/* Makes a small tree of directories, walks it recursively in order of names, and removes it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void make(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  if (!file || fputs(text, file) < 0 || fclose(file) != 0) {
    perror(path);
    exit(1);
  }
}

static long long walk(const char *path, int depth) {
  struct dirent **entries;
  long long bytes = 0;
  int n = scandir(path, &entries, NULL, alphasort);
  for (int i = 0; i < n; i++) {
    const char *name = entries[i]->d_name;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
      char child[512];
      struct stat st;
      snprintf(child, sizeof child, "%s/%s", path, name);
      if (lstat(child, &st) != 0) {
        perror(child);
        exit(1);
      }
      if (S_ISDIR(st.st_mode)) {
        printf("%*s%s/\n", 2 * depth, "", name);
        bytes += walk(child, depth + 1);
        rmdir(child);
      } else {
        printf("%*s%s %lld\n", 2 * depth, "", name, (long long)st.st_size);
        bytes += st.st_size;
        unlink(child);
      }
    }
    free(entries[i]);
  }
  free(entries);
  return bytes;
}

int main(void) {
  char root[] = "/tmp/walk.XXXXXX";
  if (!mkdtemp(root) || chdir(root) != 0) {
    perror("mkdtemp");
    return 1;
  }
  mkdir("one", 0755);
  mkdir("two", 0755);
  mkdir("two/deep", 0755);
  mkdir("empty", 0755);
  make("readme", "hello\n");
  make("one/a", "12345");
  make("one/b", "");
  make("two/c", "a longer line of text\n");
  make("two/deep/d", "x");
  printf("total %lld bytes\n", walk(".", 0));
  return chdir("/") == 0 && rmdir(root) == 0 ? 0 : 1;
}
