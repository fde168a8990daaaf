/* What the small programs share: see lib.h. */
#define _GNU_SOURCE
#include "lib.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Noreturn void usage(const char *text) {
  fprintf(stderr, "usage: %s\n", text);
  exit(2);
}

int finish(int status) {
  if (fflush(stdout) != 0 || ferror(stdout)) {
    warn("write error");
    return status ? status : 1;
  }
  return status;
}

bool write_all(int fd, const void *bytes, size_t n) {
  const char *at = bytes;
  while (n > 0) {
    ssize_t written = write(fd, at, n);
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      return false;
    }
    at += written;
    n -= (size_t)written;
  }
  return true;
}

int copy_fd(int from, int to, const char *name) {
  static char block[65536];
  for (;;) {
    ssize_t n = read(from, block, sizeof block);
    if (n == 0) {
      return 0;
    }
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      warn("%s", name);
      return 1;
    }
    if (!write_all(to, block, (size_t)n)) {
      warn("write error");
      return 1;
    }
  }
}

static int for_one_file(const char *name, file_body *body) {
  if (strcmp(name, "-") == 0) {
    return body(stdin, name);
  }
  FILE *file = fopen(name, "r");
  if (!file) {
    warn("%s", name);
    return 1;
  }
  int status = body(file, name);
  fclose(file);
  return status;
}

int for_each_file(char **names, file_body *body) {
  if (!*names) {
    return body(stdin, "-");
  }
  int worst = 0;
  for (; *names; names++) {
    int status = for_one_file(*names, body);
    worst = status > worst ? status : worst;
  }
  return worst;
}

long long number_arg(const char *text, long long least, long long most) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (end == text || *end || errno || value < least || value > most) {
    errx(2, "%s: not a number from %lld to %lld", text, least, most);
  }
  return value;
}

long long size_arg(const char *text) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  int shift = *end == 'k' || *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
  end += shift != 0;
  if (end == text || *end || errno || value < 0 || value > INT64_MAX >> shift) {
    errx(2, "%s: not a size", text);
  }
  return value << shift;
}

char *path_base(char *path) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') {
    path[--n] = '\0';
  }
  char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

char *path_join(const char *dir, const char *name) {
  char *path;
  const char *slash = *dir && dir[strlen(dir) - 1] == '/' ? "" : "/";
  if (asprintf(&path, "%s%s%s", dir, slash, name) < 0) {
    err(1, "%s", dir);
  }
  return path;
}

bool is_directory(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

void *alloc_or_die(size_t n) {
  return realloc_or_die(NULL, n);
}

void *realloc_or_die(void *old, size_t n) {
  void *memory = realloc(old, n ? n : 1);
  if (!memory) {
    err(1, "cannot allocate %zu bytes", n);
  }
  return memory;
}

static struct lines *collecting; /* the target of lines_collect(), for the time of lines_read() */

static int lines_collect(FILE *file, const char *name) {
  char *line = NULL;
  size_t capacity = 0;
  ssize_t length;
  while ((length = getline(&line, &capacity, file)) >= 0) {
    if (length > 0 && line[length - 1] == '\n') {
      line[length - 1] = '\0';
    }
    if ((collecting->n & (collecting->n - 1)) == 0) {
      size_t room = collecting->n ? 2 * collecting->n : 1;
      collecting->line = realloc_or_die(collecting->line, room * sizeof *collecting->line);
    }
    collecting->line[collecting->n++] = line;
    line = NULL;
    capacity = 0;
  }
  free(line);
  if (ferror(file)) {
    warn("%s", name);
    return 1;
  }
  return 0;
}

int lines_read(char **names, struct lines *lines) {
  *lines = (struct lines){0};
  collecting = lines;
  int status = for_each_file(names, lines_collect);
  collecting = NULL;
  return status;
}
