/* Memory that runs out in any allocation of fork, exec, spawn and thread creation is an error,
 * after which the process is as it was and the operation works; or does no harm. Where there is
 * nobody to answer to, in a page fault of its own, it ends the process. Nothing is left behind. */
#include "strike.h"

static void test_again(void) {
  is(write(inject_fd, "alloc 1000000", 13), 13, "armed for what never comes");
  is(do_fork(), WORKED, "fork works");
  is(do_thread(), WORKED, "so does a thread");
  inject("off");
  is(strike_read().fired, false, "and nothing was struck");
}

/* A child of vfork() that leaves for another program while a third process shares every page with
 * the two: to tell its parent it has to copy one. */
static _Noreturn void child_leaves(const char *order, volatile pid_t *sharer) {
  *sharer = fork();
  if (*sharer == 0) {
    pause();
    _exit(0);
  }
  inject(order);
  int result = do_exec();
  inject("off");
  _exit(result);
}

static bool vfork_ends(int n) {
  static volatile pid_t sharer;
  char order[40];
  int status = 0;
  snprintf(order, sizeof order, "alloc %d", n);
  pid_t pid = vfork();
  if (pid == 0) {
    child_leaves(order, &sharer);
  }
  bool ended = pid > 0 && waitpid(pid, &status, 0) == pid;
  if (sharer <= 0 || kill(sharer, SIGKILL) != 0) {
    bail_out("a child that did not fork");
  }
  return ended && WIFEXITED(status) &&
         (WEXITSTATUS(status) == WORKED || WEXITSTATUS(status) == FAILED);
}

static void test_vfork(void) {
  int n = 0, wrong = 0;
  do {
    wrong += !vfork_ends(++n);
  } while (strike_read().fired && n < STEPS_MOST);
  diag("exec in a child of vfork: %d places", n - 1);
  ok(n > 12 && n < STEPS_MOST, "each allocation of an exec in a child of vfork() fails");
  is(wrong, 0, "and its parent goes on");
}

static void test_more(void) {
  test_vfork(); /* before there is a thread, which would make it a fork */
  test_again();
}

int main(int argc, char **argv) {
  return strike_main(argc, argv, "alloc", test_more);
}
