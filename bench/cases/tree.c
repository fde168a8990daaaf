/* What does a family of processes cost, which grows and dies at once?
 *
 * A process of the tree forks two children, which do the same one level lower, waits for both, and
 * exits with the number of processes below and with it. An operation is one tree. */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../cases.h"
#include "../process.h"

enum { WIDTH = 2, BROKEN = 255 };

static int tree_grow(uint64_t depth);

/* Forks a child that grows a tree and exits with its size. */
static pid_t branch_fork(uint64_t depth) {
  pid_t pid = fork();
  if (pid == 0) {
    _exit(tree_grow(depth));
  }
  return pid;
}

static int branch_size(pid_t pid) {
  int status;
  bool good = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status);
  return good ? WEXITSTATUS(status) : BROKEN;
}

/* The number of processes of a tree whose top is the caller. */
static int tree_grow(uint64_t depth) {
  pid_t branches[WIDTH];
  int size = 1;
  for (int i = 0; i < WIDTH && depth > 0; i++) {
    branches[i] = branch_fork(depth - 1);
  }
  for (int i = 0; i < WIDTH && depth > 0; i++) {
    size += branch_size(branches[i]);
  }
  return size < BROKEN ? size : BROKEN;
}

static void tree_measure(struct run *run, uint64_t n) {
  int expected = (2 << run->param) - 1;
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    int size = RUN_WORK(tree_grow(run->param), 0);
    if (size != expected) {
      run_fail(run, "a tree of %d processes instead of %d", size, expected);
      return;
    }
    run->confirmed++;
  }
  run_stop(run);
}

static const uint64_t depths[] = {1, 2, 4, 0};

const struct bench_case case_fork_tree = {
    .name = "fork.tree",
    .op = "a tree of processes so deep and two wide: 2, 6 or 30 forks, exits and waits",
    .measure = tree_measure,
    .param_name = "depth",
    .params = depths,
};
