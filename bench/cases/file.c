/* What do files cost: open and close one, read and write it, send bytes through a pipe?
 *
 * The file is in /tmp and has no name while it is read and written. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"

enum { BYTES_MOST = 64 << 10, PLACES = 4 };

static struct {
  char path[32];
  int fd;
  int pipe_fds[2];
  unsigned char buffer[BYTES_MOST], back[BYTES_MOST];
} io;

static unsigned char mark_of(uint64_t i) {
  return (unsigned char)(i % 251 + 1);
}

/* ---- open and close ------------------------------------------------------------------------- */

static bool file_make(struct run *run) {
  strcpy(io.path, "/tmp/bench-XXXXXX");
  io.fd = mkstemp(io.path);
  if (io.fd < 0) {
    return run_fail(run, "%s: %s", io.path, strerror(errno));
  }
  return true;
}

static bool visit_setup(struct run *run) {
  return file_make(run) &&
         (write(io.fd, "x", 1) == 1 || run_fail(run, "write: %s", strerror(errno)));
}

static int visit_begin(void) {
  return RUN_WORK(open(io.path, O_RDONLY), 0);
}

static bool visit_end(int fd) {
  return RUN_WORK(close(fd), 0) == 0;
}

/* That open gives the file and close takes it away. */
static bool visit_proves(void) {
  char byte = 0;
  int fd = visit_begin();
  bool there = fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'x';
  return there && visit_end(fd) && fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

/* Each gets the number that the one before has given back. */
static void visit_measure(struct run *run, uint64_t n) {
  int first = -1;
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    int fd = visit_begin();
    first = i == 0 ? fd : first;
    if (fd < 0 || !visit_end(fd)) {
      run_fail(run, "open, close: %s", strerror(errno));
      return;
    }
    run->confirmed += fd == first;
  }
  run_stop(run);
  if (!visit_proves()) {
    run_fail(run, "open and close had no effect");
  }
}

static void visit_teardown(struct run *run) {
  (void)run;
  unlink(io.path);
  close(io.fd);
}

const struct bench_case case_open_close = {
    .name = "open.close",
    .op = "open of a file in /tmp and close of it",
    .setup = visit_setup,
    .measure = visit_measure,
    .teardown = visit_teardown,
};

/* ---- read and write ------------------------------------------------------------------------- */

static const uint64_t sizes[] = {1, BYTES_MOST, 0};

static bool ends_marked(const unsigned char *bytes, uint64_t length, uint64_t i) {
  return bytes[0] == mark_of(i) && bytes[length - 1] == mark_of(i);
}

static void ends_mark(unsigned char *bytes, uint64_t length, uint64_t i) {
  bytes[0] = bytes[length - 1] = mark_of(i);
}

/* PLACES pieces of the length, whose ends are marked with their number. */
static bool pieces_setup(struct run *run) {
  if (!file_make(run)) {
    return false;
  }
  unlink(io.path);
  for (uint64_t i = 0; i < PLACES; i++) {
    ends_mark(io.buffer, run->param, i);
    if (write(io.fd, io.buffer, run->param) != (ssize_t)run->param) {
      close(io.fd);
      return run_fail(run, "write: %s", strerror(errno));
    }
  }
  return true;
}

static off_t piece_offset(const struct run *run, uint64_t i) {
  return (off_t)(i % PLACES * run->param);
}

static void read_measure(struct run *run, uint64_t n) {
  ssize_t length = (ssize_t)run->param;
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    ends_mark(io.buffer, run->param, i % PLACES + 1);
    ssize_t got = RUN_WORK(pread(io.fd, io.buffer, run->param, piece_offset(run, i)), length);
    run->confirmed += got == length && ends_marked(io.buffer, run->param, i % PLACES);
  }
  run_stop(run);
}

/* The last round over the pieces must be in the file. */
static bool pieces_hold(const struct run *run, uint64_t n) {
  bool good = true;
  for (uint64_t i = n > PLACES ? n - PLACES : 0; i < n; i++) {
    ssize_t got = pread(io.fd, io.back, run->param, piece_offset(run, i));
    good = good && got == (ssize_t)run->param && ends_marked(io.back, run->param, i + 17);
  }
  return good;
}

static void write_measure(struct run *run, uint64_t n) {
  ssize_t length = (ssize_t)run->param;
  uint64_t written = 0;
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    ends_mark(io.buffer, run->param, i + 17);
    written +=
        RUN_WORK(pwrite(io.fd, io.buffer, run->param, piece_offset(run, i)), length) == length;
  }
  run_stop(run);
  run->confirmed = pieces_hold(run, n) ? written : 0;
}

static void pieces_teardown(struct run *run) {
  (void)run;
  close(io.fd);
}

const struct bench_case case_file_read = {
    .name = "file.read",
    .op = "a read of so many bytes at an offset of a file in /tmp",
    .setup = pieces_setup,
    .measure = read_measure,
    .teardown = pieces_teardown,
    .param_name = "bytes",
    .params = sizes,
};

const struct bench_case case_file_write = {
    .name = "file.write",
    .op = "a write of so many bytes over others at an offset of a file in /tmp",
    .setup = pieces_setup,
    .measure = write_measure,
    .teardown = pieces_teardown,
    .param_name = "bytes",
    .params = sizes,
};

/* ---- a pipe --------------------------------------------------------------------------------- */

static bool pipe_setup(struct run *run) {
  return pipe(io.pipe_fds) == 0 || run_fail(run, "pipe: %s", strerror(errno));
}

/* As many reads as it takes. */
static bool pipe_read(unsigned char *to, uint64_t length) {
  for (uint64_t n = 0; n < length;) {
    ssize_t got = read(io.pipe_fds[0], to + n, length - n);
    if (got <= 0) {
      return false;
    }
    n += (uint64_t)got;
  }
  return true;
}

/* A pipe of both systems holds 64 KiB, so that one process can write them before it reads. */
static bool pipe_pass(uint64_t length) {
  return write(io.pipe_fds[1], io.buffer, length) == (ssize_t)length && pipe_read(io.back, length);
}

static void pipe_measure(struct run *run, uint64_t n) {
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    ends_mark(io.buffer, run->param, i);
    ends_mark(io.back, run->param, i + 1);
    if (!RUN_WORK(pipe_pass(run->param), true)) {
      run_fail(run, "the pipe broke: %s", strerror(errno));
      return;
    }
    run->confirmed += ends_marked(io.back, run->param, i);
  }
  run_stop(run);
}

static void pipe_teardown(struct run *run) {
  (void)run;
  close(io.pipe_fds[0]);
  close(io.pipe_fds[1]);
}

const struct bench_case case_pipe_pass = {
    .name = "pipe.pass",
    .op = "a write of so many bytes to a pipe and the read of them by the same process",
    .setup = pipe_setup,
    .measure = pipe_measure,
    .teardown = pipe_teardown,
    .param_name = "bytes",
    .params = sizes,
};
