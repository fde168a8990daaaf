/* What does it cost to be told something by a signal? */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"

static volatile sig_atomic_t delivered;
static struct sigaction before;

static void handler(int signal) {
  delivered += signal == SIGUSR1;
}

static bool deliver_setup(struct run *run) {
  struct sigaction action = {.sa_handler = handler};
  if (sigaction(SIGUSR1, &action, &before) != 0) {
    return run_fail(run, "sigaction: %s", strerror(errno));
  }
  return true;
}

/* With one thread and nothing blocked, the handler has run when kill() returns (POSIX). */
static void deliver_measure(struct run *run, uint64_t n) {
  pid_t pid = getpid();
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    sig_atomic_t seen = delivered;
    if (RUN_WORK(kill(pid, SIGUSR1), 0) != 0) {
      run_fail(run, "kill: %s", strerror(errno));
      return;
    }
    run->confirmed += delivered != seen;
  }
  run_stop(run);
}

static void deliver_teardown(struct run *run) {
  (void)run;
  sigaction(SIGUSR1, &before, NULL);
}

const struct bench_case case_signal_deliver = {
    .name = "signal.deliver",
    .op = "kill of oneself, the handler's run, and the return from it",
    .setup = deliver_setup,
    .measure = deliver_measure,
    .teardown = deliver_teardown,
};
