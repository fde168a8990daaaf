/* What does it cost to start a program, in the three ways that POSIX has? */
#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"
#include "../options.h"
#include "../process.h"

enum { EXEC_FAILED = 99 };

static char *environment[] = {NULL};

/* Starts the child program, told to exit with the digit; answers its pid. */
typedef pid_t (*starter)(struct run *run, char *const argv[]);

static bool child_setup(struct run *run) {
  if (access(run->options->child, X_OK) != 0) {
    return run_fail(run, "%s: %s", run->options->child, strerror(errno));
  }
  return true;
}

static void start_measure(struct run *run, uint64_t n, starter start) {
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    char digit[2] = {(char)('1' + i % 9), '\0'};
    char *argv[] = {"bench-child", digit, NULL};
    pid_t pid = start(run, argv);
    if (pid < 0 || !process_reap(run, pid, digit[0] - '0')) {
      return;
    }
    run->confirmed++;
  }
  run_stop(run);
}

static pid_t fork_start(struct run *run, char *const argv[]) {
  pid_t pid = process_fork(run);
  if (pid == 0) {
    execve(run->options->child, argv, environment);
    _exit(EXEC_FAILED);
  }
  return pid;
}

static pid_t vfork_start(struct run *run, char *const argv[]) {
  const char *path = run->options->child;
  pid_t pid = vfork();
  if (pid == 0) {
    execve(path, argv, environment);
    _exit(EXEC_FAILED);
  }
  if (pid < 0) {
    run_fail(run, "vfork: %s", strerror(errno));
  }
  return pid;
}

static pid_t spawn_start(struct run *run, char *const argv[]) {
  pid_t pid;
  int error = posix_spawn(&pid, run->options->child, NULL, NULL, argv, environment);
  if (error != 0) {
    run_fail(run, "posix_spawn: %s", strerror(error));
    return -1;
  }
  return pid;
}

static void fork_measure(struct run *run, uint64_t n) {
  start_measure(run, n, fork_start);
}

static void vfork_measure(struct run *run, uint64_t n) {
  start_measure(run, n, vfork_start);
}

static void spawn_measure(struct run *run, uint64_t n) {
  start_measure(run, n, spawn_start);
}

const struct bench_case case_fork_exec = {
    .name = "fork.exec",
    .op = "fork, exec of a small static program, its exit, and the wait for it",
    .setup = child_setup,
    .measure = fork_measure,
};

const struct bench_case case_vfork_exec = {
    .name = "vfork.exec",
    .op = "vfork, exec of a small static program, its exit, and the wait for it",
    .setup = child_setup,
    .measure = vfork_measure,
};

const struct bench_case case_spawn_exec = {
    .name = "spawn.exec",
    .op = "posix_spawn of a small static program, its exit, and the wait for it",
    .setup = child_setup,
    .measure = spawn_measure,
};
