/* Pipes: bytes in order, blocking, end of file, broken pipes, no blocking, poll, big transfers. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>

#include "tap.h"

static int fds[2];

static void pipe_open(int flags) {
  if (pipe2(fds, flags) != 0) {
    bail_out("pipe2");
  }
}

static void pipe_close(void) {
  close(fds[0]);
  close(fds[1]);
}

static void test_basics(void) {
  pipe_open(0);
  char text[16] = "";
  is(write(fds[1], "hello", 5), 5, "write takes all");
  is(write(fds[1], " you", 4), 4, "a second write");
  is(read(fds[0], text, 3), 3, "a short read takes what was asked for");
  is(read(fds[0], text + 3, 13), 6, "a long read takes what is there");
  is_str(text, "hello you", "bytes in order");
  is(read(fds[0], text, 0), 0, "reading nothing answers at once");
  fails_with(lseek(fds[0], 0, SEEK_CUR), ESPIPE, "a pipe cannot seek");
  fails_with(read(fds[1], text, 1), EBADF, "the write end cannot be read");
  fails_with(write(fds[0], text, 1), EBADF, "the read end cannot be written");
  close(fds[1]);
  is(read(fds[0], text, 16), 0, "end of file when no writer is left");
  is(read(fds[0], text, 16), 0, "and again");
  close(fds[0]);
}

/* What is short is copied under the pipe's lock, but from and to pages that are not there yet: all
 * lengths around that, at all places of the ring, by way of pages that have never been touched. */
static void test_lengths(void) {
  static const size_t lengths[] = {1, 3, 4, 7, 8, 15, 16, 17, 63, 64, 255, 256, 257, 4095, 4096};
  enum { N = sizeof lengths / sizeof lengths[0], ROUNDS = 24, BYTES = 2 * ROUNDS * 4096 };
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  unsigned char *pages = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
  bool right = pages != MAP_FAILED;
  pipe_open(0);
  for (size_t i = 0; i < N * ROUNDS && right; i++) {
    size_t n = lengths[(i * 7 + i / N) % N];
    unsigned char text[4096], *fresh = pages + i % (2 * ROUNDS) * 4096;
    memset(text, (int)i + 1, sizeof text);
    right = write(fds[1], text, n) == (ssize_t)n && read(fds[0], fresh, 4096) == (ssize_t)n &&
            memcmp(fresh, text, n) == 0;
  }
  ok(right, "pieces of every length, to pages that are not there");
  munmap(pages, BYTES);
  pages = mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags, -1, 0);
  unsigned char byte = 1;
  ok(write(fds[1], pages, 1) == 1 && read(fds[0], &byte, 1) == 1 && byte == 0,
     "a byte from a page that is not there");
  mprotect(pages, 4096, PROT_READ);
  is(write(fds[1], "x", 1), 1, "a byte");
  fails_with(read(fds[0], pages, 1), EFAULT, "that cannot be read into a page without the right");
  ok(read(fds[0], &byte, 1) == 1 && byte == 'x', "is still there");
  munmap(pages, 4096);
  fails_with(write(fds[1], pages, 1), EFAULT, "and none comes from where nothing is");
  fcntl(fds[0], F_SETFL, O_NONBLOCK);
  fails_with(read(fds[0], &byte, 1), EAGAIN, "the pipe is empty");
  pipe_close();
}

static int write_late(void *arg) {
  (void)arg;
  sleep_ms(20);
  return write(fds[1], "late", 4) == 4 ? 0 : 1;
}

static void test_blocking_read(void) {
  pipe_open(0);
  pid_t pid = fork();
  if (pid == 0) {
    _exit(write_late(NULL));
  }
  close(fds[1]);
  char text[8];
  is(read(fds[0], text, sizeof text), 4, "a reader waits for the writer");
  is(read(fds[0], text, sizeof text), 0, "and for its end");
  waitpid(pid, NULL, 0);
  close(fds[0]);
}

static void test_nonblocking(void) {
  char block[4096] = {0};
  pipe_open(O_NONBLOCK);
  fails_with(read(fds[0], block, 1), EAGAIN, "an empty pipe that must not block");
  long total = 0;
  ssize_t n;
  while ((n = write(fds[1], block, sizeof block)) > 0) {
    total += n;
  }
  is(errno, EAGAIN, "a full pipe that must not block");
  ok(total >= 4096, "a pipe holds at least PIPE_BUF bytes");
  long drained = 0;
  while ((n = read(fds[0], block, sizeof block)) > 0) {
    drained += n;
  }
  is(drained, total, "all bytes come out again");
  is(fcntl(fds[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK, "F_GETFL shows O_NONBLOCK");
  is(fcntl(fds[0], F_SETFL, 0), 0, "F_SETFL clears it");
  is(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0, "F_GETFL agrees");
  is(fcntl(fds[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK, "the other end keeps its own");
  pipe_close();
}

static int write_to_broken(void *arg) {
  (void)arg;
  signal(SIGPIPE, SIG_DFL);
  close(fds[0]);
  ssize_t n = write(fds[1], "x", 1);
  return n == 1 ? 1 : 2;
}

static volatile sig_atomic_t n_told;

static void told(int sig) {
  n_told += sig == SIGPIPE;
}

static void test_broken_pipe(void) {
  pipe_open(0);
  close(fds[0]);
  is(child_exit(write_to_broken, NULL), -SIGPIPE, "SIGPIPE kills by default");
  signal(SIGPIPE, SIG_IGN);
  fails_with(write(fds[1], "x", 1), EPIPE, "EPIPE when the signal is ignored");
  signal(SIGPIPE, told);
  fails_with(write(fds[1], "x", 1), EPIPE, "EPIPE when it is caught");
  is(n_told, 1, "and its handler runs once");
  signal(SIGPIPE, SIG_DFL);
  close(fds[1]);
}

static uint32_t byte_at(uint32_t i) {
  return (i * 2654435761u) >> 24;
}

enum { BIG_BYTES = 1 << 20 };

static int write_big(void *arg) {
  (void)arg;
  static unsigned char block[7001]; /* prime-like: never in step with a page or the pipe */
  for (uint32_t at = 0; at < BIG_BYTES;) {
    uint32_t n = BIG_BYTES - at < sizeof block ? BIG_BYTES - at : sizeof block;
    for (uint32_t i = 0; i < n; i++) {
      block[i] = (unsigned char)byte_at(at + i);
    }
    if (write(fds[1], block, n) != (ssize_t)n) {
      return 1;
    }
    at += n;
  }
  return 0;
}

static uint32_t read_big(void) {
  static unsigned char block[5003];
  uint32_t at = 0;
  ssize_t n;
  while ((n = read(fds[0], block, sizeof block)) > 0) {
    for (ssize_t i = 0; i < n; i++) {
      if (block[i] != (unsigned char)byte_at(at++)) {
        return at;
      }
    }
  }
  return at;
}

static void test_big_transfer(void) {
  pipe_open(0);
  pid_t pid = fork();
  if (pid == 0) {
    close(fds[0]);
    _exit(write_big(NULL));
  }
  close(fds[1]);
  is(read_big(), BIG_BYTES, "a mebibyte arrives unharmed");
  int status = -1;
  waitpid(pid, &status, 0);
  is(status, 0, "blocking writes are complete writes");
  close(fds[0]);
}

static int poll_one(int fd, short events, int timeout_ms) {
  struct pollfd p = {.fd = fd, .events = events};
  int n = poll(&p, 1, timeout_ms);
  return n <= 0 ? n : p.revents;
}

static void test_poll(void) {
  pipe_open(0);
  is(poll_one(fds[0], POLLIN, 0), 0, "nothing to read yet");
  is(poll_one(fds[1], POLLOUT, 0), POLLOUT, "room to write");
  ok(write(fds[1], "x", 1) == 1, "a byte");
  is(poll_one(fds[0], POLLIN, -1), POLLIN, "something to read");
  close(fds[1]);
  is(poll_one(fds[0], POLLIN, -1), POLLIN | POLLHUP, "a byte and the end");
  char byte;
  ok(read(fds[0], &byte, 1) == 1, "the byte");
  is(poll_one(fds[0], POLLIN, -1) & POLLHUP, POLLHUP, "the end alone");
  close(fds[0]);
  pipe_open(0);
  close(fds[0]);
  is(poll_one(fds[1], POLLOUT, -1) & POLLERR, POLLERR, "a write end without readers");
  close(fds[1]);
}

/* Two processes hand a counter back and forth. */
static int ping_pong(void) {
  int there[2], back[2], counter = 0;
  if (pipe(there) != 0 || pipe(back) != 0) {
    return -1;
  }
  pid_t pid = fork();
  if (pid == 0) {
    close(there[1]);
    while (read(there[0], &counter, sizeof counter) == sizeof counter) {
      counter++;
      if (write(back[1], &counter, sizeof counter) != sizeof counter) {
        _exit(1);
      }
    }
    _exit(0);
  }
  close(there[0]);
  close(back[1]);
  for (int i = 0; i < 500; i++) {
    if (write(there[1], &counter, sizeof counter) < 0 ||
        read(back[0], &counter, sizeof counter) < 0) {
      break;
    }
  }
  close(there[1]);
  close(back[0]);
  int status = -1;
  waitpid(pid, &status, 0);
  return status == 0 ? counter : -1;
}

/* Writes of at most PIPE_BUF bytes are never torn: each writer's records stay whole. */
static void test_atomic_writes(void) {
  enum { WRITERS = 4, RECORDS = 50, RECORD = 64 };
  pipe_open(0);
  for (int w = 0; w < WRITERS; w++) {
    if (fork() == 0) {
      char record[RECORD];
      memset(record, 'a' + w, sizeof record);
      for (int i = 0; i < RECORDS; i++) {
        if (write(fds[1], record, sizeof record) != RECORD) {
          _exit(1);
        }
      }
      _exit(0);
    }
  }
  close(fds[1]);
  static char all[WRITERS * RECORDS * RECORD];
  size_t length = 0;
  ssize_t n;
  while ((n = read(fds[0], all + length, sizeof all - length)) > 0) {
    length += (size_t)n;
  }
  bool whole = length == sizeof all;
  for (size_t i = 0; whole && i < length; i++) {
    whole = all[i] == all[i - i % RECORD];
  }
  ok(whole, "records of four writers are never torn");
  bool clean = true;
  for (int w = 0; w < WRITERS; w++) {
    int status = -1;
    clean = wait(&status) > 0 && status == 0 && clean;
  }
  ok(clean, "and each writer ended well");
  close(fds[0]);
}

int main(void) {
  test_basics();
  test_lengths();
  test_blocking_read();
  test_nonblocking();
  test_broken_pipe();
  test_big_transfer();
  test_poll();
  is(ping_pong(), 500, "five hundred round trips");
  test_atomic_writes();
  return tap_done();
}
