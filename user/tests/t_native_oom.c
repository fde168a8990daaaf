/* Out of memory: the process that has most of it is killed, not the one that happens to ask. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "tap.h"

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE };

/* Touches n bytes, says so by a byte, and waits to be ended. */
static pid_t hog_start(size_t n, int said[2]) {
  pid_t pid = fork();
  if (pid != 0) {
    return pid;
  }
  char *p = mmap(NULL, n, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  for (size_t at = 0; p != MAP_FAILED && at < n; at += PAGE) {
    p[at] = 1;
  }
  (void)!write(said[1], "x", 1);
  for (;;) {
    pause();
  }
}

static size_t free_bytes(void) {
  struct sysinfo info;
  return sysinfo(&info) == 0 ? info.freeram * info.mem_unit : 0;
}

int main(void) {
  int said[2], status = 0;
  char byte;
  if (pipe(said) != 0) {
    bail_out("pipe");
  }
  size_t n_free = free_bytes();
  pid_t large = hog_start(n_free / 8 * 5, said);
  ok(read(said[0], &byte, 1) == 1, "one process has five eighths of what is free");
  pid_t small = hog_start(n_free / 2, said);
  is(waitpid(large, &status, 0), large, "another wants half of it: the larger one ends");
  ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "killed");
  ok(read(said[0], &byte, 1) == 1, "and the other gets what it wanted");
  is(waitpid(small, &status, WNOHANG), 0, "it lives");
  kill(small, SIGKILL);
  is(waitpid(small, &status, 0), small, "until it is told to end");
  pid_t greedy = hog_start(n_free * 2, said);
  ok(waitpid(greedy, &status, 0) == greedy && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
     "who wants more than there is ends itself");
  ok(free_bytes() > n_free / 8 * 7, "and the memory is free again");
  return tap_done();
}
