/* time COMMAND [ARG...]: run a command, then print the seconds that passed, and those its processes
 * spent in user mode and in the kernel, on standard error. Answers the command's status. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "lib.h"

extern char **environ;

static double seconds(const struct timeval *t) {
  return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    usage("time COMMAND [ARG...]");
  }
  pid_t pid;
  double start = now();
  int error = posix_spawnp(&pid, argv[1], NULL, NULL, argv + 1, environ);
  if (error) {
    errno = error;
    warn("%s", argv[1]);
    return error == ENOENT ? 127 : 126;
  }
  int status;
  struct rusage usage_of_child;
  while (wait4(pid, &status, 0, &usage_of_child) < 0) {
    if (errno != EINTR) {
      err(1, "wait");
    }
  }
  fprintf(stderr, "real %.6f\nuser %.6f\nsys %.6f\n", now() - start,
          seconds(&usage_of_child.ru_utime), seconds(&usage_of_child.ru_stime));
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
