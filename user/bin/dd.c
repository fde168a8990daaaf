/* dd [if=FILE] [of=FILE] [bs=SIZE] [count=N] [skip=N] [seek=N]: copy in blocks, and say how many,
 * whole and partial, and how fast. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib.h"

static const char *in_name, *out_name;
static long long block_size = 512, limit = LLONG_MAX, skip, seek;

static void parse(const char *word) {
  const char *equals = strchr(word, '=');
  size_t n = equals ? (size_t)(equals - word) : 0;
  const char *value = equals ? equals + 1 : "";
  if (n == 2 && strncmp(word, "if", n) == 0) {
    in_name = value;
  } else if (n == 2 && strncmp(word, "of", n) == 0) {
    out_name = value;
  } else if (n == 2 && strncmp(word, "bs", n) == 0) {
    block_size = size_arg(value);
  } else if (n == 5 && strncmp(word, "count", n) == 0) {
    limit = size_arg(value);
  } else if (n == 4 && strncmp(word, "skip", n) == 0) {
    skip = size_arg(value);
  } else if (n == 4 && strncmp(word, "seek", n) == 0) {
    seek = size_arg(value);
  } else {
    errx(1, "%s: unknown operand", word);
  }
}

static int open_or_die(const char *name, int flags) {
  int fd = open(name, flags, 0666);
  if (fd < 0) {
    err(1, "%s", name);
  }
  return fd;
}

static void skip_blocks(int fd, char *block) {
  if (skip > 0 && lseek(fd, skip * block_size, SEEK_CUR) < 0) {
    for (long long i = 0; i < skip; i++) {
      if (read(fd, block, (size_t)block_size) < 0) {
        err(1, "skip");
      }
    }
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    parse(argv[i]);
  }
  if (block_size < 1) {
    errx(1, "bs must not be zero");
  }
  char *block = alloc_or_die((size_t)block_size);
  int in = in_name ? open_or_die(in_name, O_RDONLY) : 0;
  int out = out_name ? open_or_die(out_name, O_WRONLY | O_CREAT | (seek ? 0 : O_TRUNC)) : 1;
  skip_blocks(in, block);
  if (seek > 0 && lseek(out, seek * block_size, SEEK_SET) < 0) {
    err(1, "seek");
  }
  long long whole = 0, partial = 0, bytes = 0;
  double start = now();
  while (whole + partial < limit) {
    ssize_t n = read(in, block, (size_t)block_size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0 || (n > 0 && !write_all(out, block, (size_t)n))) {
      err(1, n < 0 ? "read error" : "write error");
    }
    if (n == 0) {
      break;
    }
    whole += n == block_size;
    partial += n < block_size;
    bytes += n;
  }
  double seconds = now() - start;
  fprintf(stderr, "%lld+%lld records in\n%lld+%lld records out\n", whole, partial, whole, partial);
  fprintf(stderr, "%lld bytes copied, %.6f s, %.1f MB/s\n", bytes, seconds,
          seconds > 0 ? (double)bytes / seconds / 1e6 : 0);
  return 0;
}
