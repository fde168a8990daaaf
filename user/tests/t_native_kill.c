/* A process killed at any step of fork, exec, spawn and thread creation leaves nothing behind. */
#include "strike.h"

static int arm_twice(void *arg) {
  (void)arg;
  inject("alloc 1000000");
  pid_t pid = fork();
  if (pid == 0) {
    _exit(write(inject_fd, "kill 1", 6) == -1 && errno == EBUSY ? 7 : 1);
  }
  int status;
  return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 2;
}

static void test_switch(void) {
  fails_with(write(inject_fd, "kill", 4), EINVAL, "a kill needs a number");
  fails_with(write(inject_fd, "murder 1", 8), EINVAL, "only what it knows");
  is(write(inject_fd, "off", 3), 3, "off when nobody is armed");
  is(child_exit(arm_twice, NULL), 7, "one at a time");
  is(child_exit(arm_twice, NULL), 7, "and who dies is armed no more");
}

int main(int argc, char **argv) {
  return strike_main(argc, argv, "kill", test_switch);
}
