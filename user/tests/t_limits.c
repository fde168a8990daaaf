/* The limit on a process's memory: setrlimit(RLIMIT_AS), as POSIX has it. */
#define _GNU_SOURCE
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "tap.h"

enum { MIB = 1 << 20 };

static const size_t SOFT = 1024ul * MIB, MUCH = 2048ul * MIB, LITTLE = 16ul * MIB;

/* 0, or the error. */
static int map_error(size_t len) {
  void *p =
      mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    return errno;
  }
  munmap(p, len);
  return 0;
}

static bool limit_holds(void) {
  struct rlimit now;
  return getrlimit(RLIMIT_AS, &now) == 0 && now.rlim_cur == SOFT && map_error(MUCH) == ENOMEM &&
         map_error(LITTLE) == 0;
}

static bool child_answers(pid_t child) {
  int status;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

static void test_inherits(void) {
  const char *program = (const char *)getauxval(AT_EXECFN);
  pid_t child = fork();
  if (child == 0) {
    _exit(!limit_holds());
  }
  ok(child_answers(child), "a child has the limit");
  child = fork();
  if (child == 0) {
    execl(program, program, "holds", (char *)NULL);
    _exit(2);
  }
  ok(child_answers(child), "and keeps it through exec");
}

/* As somebody who is not root. */
static int hard_raise(void) {
  struct rlimit low = {SOFT, SOFT}, high = {SOFT, MUCH};
  if (geteuid() == 0 && setuid(1000) != 0) {
    return 2;
  }
  if (setrlimit(RLIMIT_AS, &low) != 0) {
    return 3;
  }
  return setrlimit(RLIMIT_AS, &high) == -1 && errno == EPERM ? 0 : 1;
}

static void test_hard(void) {
  pid_t child = fork();
  if (child == 0) {
    _exit(hard_raise());
  }
  ok(child_answers(child), "only root raises a hard limit");
}

int main(int argc, char **) {
  struct rlimit first, wrong = {SOFT, LITTLE};
  if (argc > 1) {
    return !limit_holds();
  }
  if (getrlimit(RLIMIT_AS, &first) != 0) {
    bail_out("getrlimit");
  }
  struct rlimit limited = {SOFT, first.rlim_max};
  is(map_error(MUCH), 0, "2 GiB of address space");
  fails_with(setrlimit(RLIMIT_AS, &wrong), EINVAL, "a soft limit above the hard one is refused");
  is(setrlimit(RLIMIT_AS, &limited), 0, "a limit of 1 GiB");
  is(map_error(MUCH), ENOMEM, "2 GiB are too much now");
  is(map_error(LITTLE), 0, "16 MiB are not");
  test_inherits();
  test_hard();
  is(setrlimit(RLIMIT_AS, &first), 0, "the limit goes");
  is(map_error(MUCH), 0, "and 2 GiB are to be had");
  return tap_done();
}
