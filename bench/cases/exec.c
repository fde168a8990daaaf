/* What does it cost to start a program, in the three ways that POSIX has? */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"
#include "../options.h"
#include "../process.h"

enum { EXEC_FAILED = 99 };

static char *environment[] = {NULL};

static char path[256]; /* of the program that is started */

/* Starts the program with these arguments; answers its pid. */
typedef pid_t (*starter)(struct run *run, char *const argv[]);

static bool program_find(struct run *run) {
  return access(path, X_OK) == 0 || run_fail(run, "%s: %s", path, strerror(errno));
}

static bool child_setup(struct run *run) {
  snprintf(path, sizeof(path), "%s", run->options->child);
  return program_find(run);
}

static bool big_setup(struct run *run) {
  snprintf(path, sizeof(path), "%s-big", run->options->child);
  return program_find(run);
}

/* The shell that is in the child's folder: Cathode's, on both systems. */
static bool shell_setup(struct run *run) {
  const char *slash = strrchr(run->options->child, '/');
  int length = slash != NULL ? (int)(slash - run->options->child) + 1 : 0;
  snprintf(path, sizeof(path), "%.*ssh", length, run->options->child);
  return program_find(run);
}

static void start_measure(struct run *run, uint64_t n, starter start) {
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    char digit[2] = {(char)('1' + i % 9), '\0'};
    char *argv[] = {"bench-child", digit, NULL};
    pid_t pid = RUN_WORK(start(run, argv), 1);
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
    execve(path, argv, environment);
    _exit(EXEC_FAILED);
  }
  return pid;
}

static pid_t vfork_start(struct run *run, char *const argv[]) {
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
  int error = posix_spawn(&pid, path, NULL, NULL, argv, environment);
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

const struct bench_case case_spawn_exec_big = {
    .name = "spawn.exec.big",
    .op =
        "posix_spawn of a program of 10 MiB that looks at two pages of it, its exit, and the wait",
    .setup = big_setup,
    .measure = spawn_measure,
};

/* The status is 0 and 1 in turn, as the commands say. */
static void shell_measure(struct run *run, uint64_t n) {
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    char *argv[] = {"sh", "-c", i % 2 == 0 ? "true" : "false", NULL};
    pid_t pid = RUN_WORK(spawn_start(run, argv), 1);
    if (pid < 0 || !process_reap(run, pid, i % 2)) {
      return;
    }
    run->confirmed++;
  }
  run_stop(run);
}

const struct bench_case case_sh_true = {
    .name = "sh.true",
    .op = "posix_spawn of `sh -c true`, or false in turn, its exit, and the wait for it",
    .setup = shell_setup,
    .measure = shell_measure,
};
