/* What tests without libc's calls share. */
#ifndef TESTS_NATIVE_H
#define TESTS_NATIVE_H

#include <signal.h>

#include "tap.h"

/* Waits a moment for a child, then ends it and its session, and answers its wait status: it, or
 * what it made, may sleep or run for ever, which is no fault. */
static inline int end_child(pid_t pid) {
  int status = -1;
  bool ended = false;
  for (int i = 0; i < 40 && !ended; i++) {
    ended = waitpid(pid, &status, WNOHANG) == pid;
    if (!ended) {
      sleep_ms(1);
    }
  }
  kill(-pid, SIGKILL);
  if (!ended) {
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
  }
  return status;
}

#endif
