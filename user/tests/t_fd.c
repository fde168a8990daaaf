/* Descriptors: dup and its relatives, fcntl, limits, close at inconvenient moments, inheritance. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "tap.h"

static void test_numbers(void) {
  int a = open("/dev/null", O_RDWR), b = open("/dev/null", O_RDWR);
  is(b, a + 1, "the lowest free number");
  close(a);
  is(open("/dev/null", O_RDONLY), a, "is used again");
  is(dup(a), b + 1, "dup");
  close(b + 1);
  is(fcntl(a, F_DUPFD, 50), 50, "F_DUPFD");
  is(fcntl(a, F_DUPFD_CLOEXEC, 50), 51, "F_DUPFD_CLOEXEC");
  is(fcntl(50, F_GETFD), 0, "not close-on-exec");
  is(fcntl(51, F_GETFD), FD_CLOEXEC, "close-on-exec");
  is(dup2(51, 52), 52, "dup2");
  is(fcntl(52, F_GETFD), 0, "is never close-on-exec");
  is(dup2(52, 52), 52, "onto itself");
  is(dup2(a, 52), 52, "dup2 onto an open one");
  is(dup3(a, 53, O_CLOEXEC), 53, "dup3");
  is(fcntl(53, F_GETFD), FD_CLOEXEC, "with close-on-exec");
  fails_with(dup3(a, a, 0), EINVAL, "dup3 onto itself");
  for (int fd = 50; fd <= 53; fd++) {
    close(fd);
  }
  close(a);
  close(b);
}

static void test_errors(void) {
  char byte;
  struct stat st;
  fails_with(close(900), EBADF, "close");
  fails_with(close(-1), EBADF, "close of -1");
  fails_with(read(900, &byte, 1), EBADF, "read");
  fails_with(write(-5, &byte, 1), EBADF, "write");
  fails_with(dup(900), EBADF, "dup");
  fails_with(dup2(900, 5), EBADF, "dup2");
  fails_with(dup2(0, -1), EBADF, "dup2 to -1");
  fails_with(dup2(0, 1 << 30), EBADF, "dup2 far out");
  fails_with(fcntl(900, F_GETFD), EBADF, "fcntl");
  fails_with(fstat(900, &st), EBADF, "fstat");
  fails_with(lseek(900, 0, SEEK_SET), EBADF, "lseek");
  fails_with(ftruncate(900, 0), EBADF, "ftruncate");
  fails_with(fsync(900), EBADF, "fsync");
  fails_with(read(-2147483647, &byte, 1), EBADF, "the smallest number");
  int fd = open("/dev/null", O_RDONLY);
  fails_with(fcntl(fd, F_DUPFD, -1), EINVAL, "F_DUPFD from -1");
  fails_with(fcntl(fd, 12345, 0), EINVAL, "an unknown request of fcntl");
  close(fd);
}

static void test_flags(void) {
  int fd = open("flags", O_RDWR | O_CREAT | O_APPEND, 0600), same = dup(fd);
  is(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR, "F_GETFL answers the access mode");
  is(fcntl(fd, F_GETFL) & O_APPEND, O_APPEND, "and O_APPEND");
  is(fcntl(fd, F_SETFL, O_NONBLOCK), 0, "F_SETFL");
  is(fcntl(same, F_GETFL) & (O_APPEND | O_NONBLOCK), O_NONBLOCK, "a dup shares the flags");
  is(fcntl(fd, F_SETFD, FD_CLOEXEC), 0, "F_SETFD");
  is(fcntl(same, F_GETFD), 0, "but not those of the descriptor");
  ok(write(fd, "0123456789", 10) == 10, "ten bytes");
  is(lseek(same, 0, SEEK_CUR), 10, "a dup shares the position");
  int other = open("flags", O_RDONLY);
  is(lseek(other, 0, SEEK_CUR), 0, "another open does not");
  close(fd);
  ok(pwrite(same, "x", 1, 0) == 1, "a dup outlives its original");
  close(same);
  close(other);
  unlink("flags");
}

static void test_vectors(void) {
  int fd = open("vectors", O_RDWR | O_CREAT, 0600);
  char a[3], b[8] = "";
  struct iovec out[] = {{"abc", 3}, {"", 0}, {"defgh", 5}};
  struct iovec in[] = {{a, 3}, {b, 7}};
  is(writev(fd, out, 3), 8, "writev");
  lseek(fd, 0, SEEK_SET);
  is(readv(fd, in, 2), 8, "readv");
  ok(memcmp(a, "abc", 3) == 0 && strcmp(b, "defgh") == 0, "in order");
  volatile int negative = -1;
  fails_with(readv(fd, in, negative), EINVAL, "a negative count");
  close(fd);
  unlink("vectors");
}

static int exhaust(void *arg) {
  int n = 0, fd = open("/dev/null", O_RDONLY);
  (void)arg;
  while (n < 1 << 20 && (fd = dup(0)) >= 0) {
    n++;
  }
  int error = errno, pipes[2];
  if (fd >= 0) {
    return 2; /* no limit below a million */
  }
  if (error != EMFILE || n < 30 || pipe(pipes) != -1 || errno != EMFILE) {
    return 1;
  }
  close(20);
  return open("/dev/null", O_RDONLY) == 20 ? 0 : 3;
}

static int pair[2];

static void *read_blocked(void *arg) {
  char byte;
  (void)arg;
  return (void *)(intptr_t)read(pair[0], &byte, 1);
}

/* Closing what another thread is reading from: it must end when the writer writes or goes. */
static void test_close_while_reading(void) {
  pthread_t thread;
  void *value = NULL;
  if (pipe(pair) != 0) {
    bail_out("pipe");
  }
  pthread_create(&thread, NULL, read_blocked, NULL);
  sleep_ms(10);
  is(close(pair[0]), 0, "close of a descriptor that another thread reads from");
  signal(SIGPIPE, SIG_IGN);
  ssize_t n = write(pair[1], "x", 1);
  close(pair[1]);
  pthread_join(thread, &value);
  ok((n == 1 && (intptr_t)value == 1) || (n == -1 && (intptr_t)value <= 0),
     "the reader gets the byte, or the end");
  signal(SIGPIPE, SIG_DFL);
}

static volatile bool stop;

static void *open_and_close(void *arg) {
  while (!stop) {
    int fd = open("/dev/null", O_RDWR);
    close(fd);
  }
  return arg;
}

/* Uses numbers that other threads open and close all the time: any error is fine but EBADF. */
static void test_close_races(void) {
  pthread_t threads[3];
  bool sane = true;
  for (int i = 0; i < 3; i++) {
    pthread_create(&threads[i], NULL, open_and_close, NULL);
  }
  for (int i = 0; i < 500; i++) {
    char byte;
    int fd = 3 + i % 4;
    ssize_t n = read(fd, &byte, 1);
    int copy = dup(fd);
    sane = sane && (n == 0 || (n == -1 && errno == EBADF));
    if (copy >= 0) {
      close(copy);
    }
    if (i % 16 == 0) {
      sched_yield();
    }
  }
  stop = true;
  for (int i = 0; i < 3; i++) {
    pthread_join(threads[i], NULL);
  }
  ok(sane, "reading and duplicating numbers while they are closed and opened");
}

static int child_closes_all(void *arg) {
  (void)arg;
  for (int fd = 3; fd < 64; fd++) {
    close(fd);
  }
  return 0;
}

int main(void) {
  scratch_enter("t_fd");
  test_numbers();
  test_errors();
  test_flags();
  test_vectors();
  int result = child_exit(exhaust, NULL);
  if (result == 2) {
    skip("EMFILE when the table is full", "no limit below a million descriptors");
  } else {
    is(result, 0, "EMFILE when the table is full, and one closed is one to open");
  }
  int fd = open("/dev/null", O_RDONLY);
  is(child_exit(child_closes_all, NULL), 0, "a child closes everything");
  is(fcntl(fd, F_GETFD), 0, "and the parent's stay open");
  close(fd);
  test_close_while_reading();
  test_close_races();
  scratch_leave();
  return tap_done();
}
