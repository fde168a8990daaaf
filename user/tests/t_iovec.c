/* Scattered and gathered transfers: vectors of any length on a small stack, a pipe's promise that
 * what is not larger than PIPE_BUF is not torn, and what a transfer that breaks off answers. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/uio.h>

#include "tap.h"

enum { STACK = 16384, ROUNDS = 40, WRITERS = 3, PARTS = 512 };

static unsigned char data[2][4 * IOV_MAX];
static struct iovec parts[2][IOV_MAX];

/* Parts of 0 to 7 bytes, 3.5 on average: answers how many bytes all are. */
static size_t vector_make(int which, int n) {
  size_t at = 0;
  for (int i = 0; i < n; i++) {
    parts[which][i] = (struct iovec){data[which] + at, (size_t)(i * 5 % 8)};
    at += parts[which][i].iov_len;
  }
  return at;
}

/* ---- on a small stack ---- */

static void *vectors_move(void *arg) {
  int fds[2];
  bool *good = arg;
  size_t total = vector_make(0, IOV_MAX), pages = vector_make(1, IOV_MAX);
  if (pipe(fds) != 0) {
    return arg;
  }
  *good = writev(fds[1], parts[0], IOV_MAX) == (ssize_t)total &&
          readv(fds[0], parts[1], IOV_MAX) == (ssize_t)pages &&
          memcmp(data[0], data[1], total) == 0;
  FILE *file = fdopen(fds[1], "w");
  char word[8] = "";
  *good =
      *good && file && fprintf(file, "%d", 42) == 2 && fflush(file) == 0 && fputs("x", file) >= 0;
  fclose(file);
  *good = *good && read(fds[0], word, sizeof word) == 3 && strcmp(word, "42x") == 0;
  close(fds[0]);
  return arg;
}

static void test_small_stack(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  bool good = false;
  for (size_t i = 0; i < sizeof data[0]; i++) {
    data[0][i] = (unsigned char)(i * 7 + i / 256);
  }
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK);
  if (pthread_create(&thread, &attributes, vectors_move, &good) != 0) {
    bail_out("a thread with a small stack");
  }
  pthread_join(thread, NULL);
  ok(good, "the longest vectors, and prints, on a stack of 16 KiB");
}

/* ---- a pipe ---- */

static int pair[2];

/* PIPE_BUF bytes that are all the same, in PARTS parts. */
static void *vector_repeat(void *arg) {
  unsigned char block[PIPE_BUF];
  struct iovec of[PARTS];
  memset(block, (int)(intptr_t)arg, sizeof block);
  for (int i = 0; i < PARTS; i++) {
    of[i] = (struct iovec){block + i * (PIPE_BUF / PARTS), PIPE_BUF / PARTS};
  }
  for (int i = 0; i < ROUNDS; i++) {
    if (writev(pair[1], of, PARTS) != PIPE_BUF) {
      return NULL;
    }
  }
  return arg;
}

static bool block_read(int fd, unsigned char *block) {
  for (size_t done = 0; done < PIPE_BUF;) {
    ssize_t n = read(fd, block + done, PIPE_BUF - done);
    if (n <= 0) {
      return false;
    }
    done += (size_t)n;
  }
  return true;
}

static void test_pipe_whole(void) {
  unsigned char block[PIPE_BUF];
  pthread_t threads[WRITERS];
  int n_whole = 0, n_right = 0;
  if (pipe(pair) != 0) {
    bail_out("pipe");
  }
  for (intptr_t i = 0; i < WRITERS; i++) {
    pthread_create(&threads[i], NULL, vector_repeat, (void *)(i + 1));
  }
  for (int i = 0; i < WRITERS * ROUNDS && block_read(pair[0], block); i++) {
    n_whole += memcmp(block, block + 1, sizeof block - 1) == 0;
  }
  for (intptr_t i = 0; i < WRITERS; i++) {
    void *value;
    pthread_join(threads[i], &value);
    n_right += value == (void *)(i + 1);
  }
  is(n_whole, WRITERS * ROUNDS, "PIPE_BUF bytes in many parts stay together in a pipe");
  is(n_right, WRITERS, "and are written at once");
  close(pair[0]);
  close(pair[1]);
}

/* ---- what breaks off ---- */

static void test_short(void) {
  static char big[1 << 20];
  struct iovec out[] = {{big, 10}, {big, sizeof big}, {big, 10}};
  int fds[2];
  if (pipe2(fds, O_NONBLOCK) != 0) {
    bail_out("pipe2");
  }
  ssize_t first = writev(fds[1], out, 3);
  ok(first > 10 && first < (ssize_t)sizeof big, "a pipe that is full ends a vector early");
  fails_with(writev(fds[1], out, 3), EAGAIN, "and takes nothing of the next");
  is(readv(fds[0], out, 3), first, "what was in it comes in one read");
  fails_with(readv(fds[0], out, 3), EAGAIN, "and nothing more");
  is(writev(fds[1], (struct iovec[]){{big, 2 * PIPE_BUF}, {(void *)8, 1}}, 2), 2 * PIPE_BUF,
     "a part that is nowhere ends it after the bytes before");
  close(fds[0]);
  close(fds[1]);
}

static void test_refused(void) {
  char byte = 0;
  struct iovec many[IOV_MAX + 1] = {{&byte, 1}};
  struct iovec negative[] = {{&byte, 1}, {&byte, (size_t)-1}};
  int fd = open("/dev/null", O_RDWR);
  is(writev(fd, many, IOV_MAX), 1, "IOV_MAX parts, most of them empty");
  fails_with(writev(fd, many, IOV_MAX + 1), EINVAL, "one more is too many");
  fails_with(writev(fd, negative, 2), EINVAL, "a negative length");
  fails_with(preadv(fd, many, 1, -1), EINVAL, "a negative offset");
  is(writev(fd, many + 1, 5), 0, "nothing but empty parts");
  is(writev(fd, many, 0), 0, "no part");
  close(fd);
}

static void test_offset(void) {
  char path[] = "/tmp/iovec.XXXXXX";
  static char big[5000], back[5003];
  int fd = mkstemp(path);
  unlink(path);
  memset(big, 'b', sizeof big);
  struct iovec out[] = {{"abc", 3}, {NULL, 0}, {big, sizeof big}};
  struct iovec in[] = {{back, 1}, {back + 1, 2}, {back + 3, sizeof big}};
  is(pwritev(fd, out, 3, 7), 5003, "pwritev of more than a page");
  is(preadv(fd, in, 3, 7), 5003, "preadv");
  ok(memcmp(back, "abcbbb", 6) == 0 && back[5002] == 'b', "of the same bytes");
  is(lseek(fd, 0, SEEK_CUR), 0, "the position is where it was");
  is(preadv(fd, in, 3, 5000), 10, "up to the end of the file");
  close(fd);
}

int main(void) {
  test_small_stack();
  test_pipe_whole();
  test_short();
  test_refused();
  test_offset();
  return tap_done();
}
