/* Memory that runs out in any allocation of fork, exec, spawn and thread creation is an error,
 * after which the process is as it was and the operation works; or does no harm. Where there is
 * nobody to answer to, in a page fault of its own, it ends the process. Nothing is left behind. */
#include "strike.h"

#include <sys/mman.h>

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

/* A clone makes what it has in common with its parent grow: by a fault of its own, or in a call. It
 * has to copy the grants first. */
static _Noreturn void child_grows(const char *order, char *below, int in, bool by_call) {
  inject(order);
  if (by_call) {
    errno = 0;
    bool failed = read(in, below, 1) != 1;
    inject("off");
    bool again = !failed || (errno == EFAULT && read(in, below, 1) == 1);
    _exit(again && *below == 'g' ? WORKED : WRONG);
  }
  *(volatile char *)below = 'g';
  inject("off");
  _exit(*below == 'g' ? WORKED : WRONG);
}

static int grow_struck(int n, char *base, bool by_call) {
  char order[40];
  int status = -1, ends[2];
  snprintf(order, sizeof order, "alloc %d", n);
  if (pipe(ends) != 0 || write(ends[1], "gg", 2) != 2) {
    bail_out("pipe");
  }
  pid_t pid = fork();
  if (pid == 0) {
    child_grows(order, base - (3 << 20), ends[0], by_call);
  }
  bool ended = pid > 0 && waitpid(pid, &status, 0) == pid;
  close(ends[0]);
  close(ends[1]);
  return ended ? status : -1;
}

static void test_growth(bool by_call, const char *name) {
  enum { ROOM = 64 << 20, FLAGS = MAP_PRIVATE | MAP_ANONYMOUS };
  char *room = mmap(NULL, ROOM, PROT_NONE, FLAGS, -1, 0), *base = room + ROOM / 2;
  munmap(room, ROOM);
  bool mapped =
      mmap(base, 4096, PROT_READ | PROT_WRITE, FLAGS | MAP_FIXED | MAP_GROWSDOWN, -1, 0) == base;
  int n = 0, wrong = 0;
  do {
    wrong += grow_struck(++n, base, by_call) != WORKED;
  } while (strike_read().fired && n < STEPS_MOST);
  diag("growth: %d places", n - 1);
  ok(mapped && n > 3 && n < STEPS_MOST && wrong == 0, name);
  munmap(base, 4096);
}

static void test_more(void) {
  test_vfork(); /* before there is a thread, which would make it a fork */
  test_growth(false, "memory grows although each allocation of that fails, once");
  test_growth(true, "in a call that is EFAULT, and then it grows");
  test_again();
}

int main(int argc, char **argv) {
  return strike_main(argc, argv, "alloc", test_more);
}
