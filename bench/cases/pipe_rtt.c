/* How long does a byte take to another process and back, through two pipes? */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"
#include "../process.h"

enum { CHILD_DONE = 3, CHILD_BROKEN = 4 };

static struct {
  int to_child[2];
  int from_child[2];
  pid_t pid;
} echo;

/* Answers each byte with its successor until the parent closes its end. */
static int echo_run(unsigned cpu) {
  struct run run = {0};
  close(echo.to_child[1]);
  close(echo.from_child[0]);
  if (!process_pin(&run, cpu)) {
    return CHILD_BROKEN;
  }
  unsigned char byte;
  while (read(echo.to_child[0], &byte, 1) == 1) {
    byte++;
    if (write(echo.from_child[1], &byte, 1) != 1) {
      return CHILD_BROKEN;
    }
  }
  return CHILD_DONE;
}

static bool echo_start(struct run *run, unsigned cpu) {
  if (pipe(echo.to_child) != 0 || pipe(echo.from_child) != 0) {
    return run_fail(run, "pipe: %s", strerror(errno));
  }
  echo.pid = process_fork(run);
  if (echo.pid == 0) {
    _exit(echo_run(cpu));
  }
  close(echo.to_child[0]);
  close(echo.from_child[1]);
  return echo.pid > 0;
}

static bool one_setup(struct run *run) {
  return echo_start(run, 0);
}

static bool two_setup(struct run *run) {
  if (process_cpus() < 2) {
    return run_absent(run, "this machine has one CPU");
  }
  return echo_start(run, 1);
}

static void echo_measure(struct run *run, uint64_t n) {
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    unsigned char sent = (unsigned char)i;
    unsigned char got = sent;
    if (RUN_WORK(write(echo.to_child[1], &sent, 1), 1) != 1 ||
        RUN_WORK(read(echo.from_child[0], &got, 1), 1) != 1) {
      run_fail(run, "the pipe broke: %s", strerror(errno));
      return;
    }
    run->confirmed += got == (unsigned char)(sent + 1);
  }
  run_stop(run);
}

static void echo_teardown(struct run *run) {
  close(echo.to_child[1]);
  close(echo.from_child[0]);
  process_reap(run, echo.pid, CHILD_DONE);
}

const struct bench_case case_pipe_rtt_1cpu = {
    .name = "pipe.rtt.1cpu",
    .op = "a byte to another process on the same CPU and its answer, through two pipes",
    .setup = one_setup,
    .measure = echo_measure,
    .switches = 1,
    .teardown = echo_teardown,
};

const struct bench_case case_pipe_rtt_2cpu = {
    .name = "pipe.rtt.2cpu",
    .op = "a byte to another process on another CPU and its answer, through two pipes",
    .setup = two_setup,
    .measure = echo_measure,
    .teardown = echo_teardown,
};
