/* The limits on a process's memory: setrlimit(RLIMIT_AS), as POSIX has it, and RLIMIT_DATA as Linux
 * has it: what is private and open to writes. RLIMIT_STACK is t_stack's. */
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

/* ---- RLIMIT_DATA -------------------------------------------------------------------------- */

static char *map(size_t len, int prot, int flags) {
  void *p = mmap(NULL, len, prot, MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

static bool data_holds(void) {
  struct rlimit now;
  return getrlimit(RLIMIT_DATA, &now) == 0 && now.rlim_cur == SOFT && map_error(MUCH) == ENOMEM &&
         map_error(LITTLE) == 0;
}

/* What counts as data, and when; nothing else does. */
static int data_is_counted(void) {
  char *read_only = map(MUCH, PROT_READ, MAP_PRIVATE);
  char *shared = map(MUCH, PROT_READ | PROT_WRITE, MAP_SHARED);
  char *little = map(LITTLE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  if (!read_only || !shared || !little) {
    return 1;
  }
  if (mprotect(read_only, MUCH, PROT_READ | PROT_WRITE) != -1 || errno != ENOMEM ||
      mprotect(read_only, LITTLE, PROT_READ | PROT_WRITE) != 0 ||
      mprotect(shared, MUCH, PROT_READ) != 0 ||
      mprotect(shared, MUCH, PROT_READ | PROT_WRITE) != 0) {
    return 2;
  }
  if (mremap(little, LITTLE, MUCH, MREMAP_MAYMOVE) != MAP_FAILED || errno != ENOMEM ||
      mremap(shared, MUCH, LITTLE, 0) != shared) {
    return 3;
  }
  /* all that is allowed, and it can be replaced, but not added to */
  size_t most = SOFT - 3 * LITTLE;
  char *much = map(most, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  if (!much || map(3 * LITTLE, PROT_READ | PROT_WRITE, MAP_PRIVATE)) {
    return 4;
  }
  if (mmap(much, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
      much) {
    return 5;
  }
  munmap(much, most);
  return map(most, PROT_READ | PROT_WRITE, MAP_PRIVATE) ? 0 : 6;
}

static void test_data(const char *program) {
  struct rlimit first, limited;
  if (getrlimit(RLIMIT_DATA, &first) != 0) {
    bail_out("getrlimit");
  }
  limited = (struct rlimit){SOFT, first.rlim_max};
  is(setrlimit(RLIMIT_DATA, &limited), 0, "1 GiB of data");
  ok(data_holds(), "is the most that there can be");
  pid_t child = fork();
  if (child == 0) {
    _exit(data_is_counted());
  }
  ok(child_answers(child), "what is private and open to writes is data, and nothing else");
  child = fork();
  if (child == 0) {
    execl(program, program, "holds", "data", (char *)NULL);
    _exit(2);
  }
  ok(child_answers(child), "the limit is kept through exec");
  limited.rlim_cur = 4096;
  is(setrlimit(RLIMIT_DATA, &limited), 0, "less than there is");
  is(map_error(LITTLE), ENOMEM, "allows no more");
  is(setrlimit(RLIMIT_DATA, &first), 0, "the limit goes");
  is(map_error(MUCH), 0, "and there is room");
}

int main(int argc, char **argv) {
  struct rlimit first, wrong = {SOFT, LITTLE};
  if (argc > 1) {
    return argc > 2 ? !data_holds() : !limit_holds();
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
  test_data(self_path(argv[0]));
  return tap_done();
}
