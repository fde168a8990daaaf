/* The environment, the arguments, exit handlers, and the identity of the process. */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "tap.h"

extern char **environ;

static void test_variables(void) {
  is(setenv("T_ENV", "one", 1), 0, "setenv");
  is_str(getenv("T_ENV"), "one", "getenv");
  is(setenv("T_ENV", "two", 0), 0, "setenv without overwriting");
  is_str(getenv("T_ENV"), "one", "keeps the value");
  is(setenv("T_ENV", "", 1), 0, "an empty value");
  is_str(getenv("T_ENV"), "", "is a value");
  is(unsetenv("T_ENV"), 0, "unsetenv");
  ok(getenv("T_ENV") == NULL, "takes it away");
  fails_with(setenv("a=b", "x", 1), EINVAL, "a name with =");
  fails_with(setenv("", "x", 1), EINVAL, "an empty name");
  static char entry[] = "T_PUT=mine";
  ok(putenv(entry) == 0 && getenv("T_PUT") == entry + 6, "putenv uses the string itself");
  ok(getenv("PATH") != NULL, "there is a PATH");
}

static int child_environment(void *arg) {
  (void)arg;
  const char *value = getenv("T_CHILD");
  setenv("T_CHILD", "changed", 1);
  return value && strcmp(value, "inherited") == 0 ? 0 : 1;
}

static void test_inheritance(void) {
  setenv("T_CHILD", "inherited", 1);
  is(child_exit(child_environment, NULL), 0, "fork inherits the environment");
  is_str(getenv("T_CHILD"), "inherited", "a child's changes stay there");
  is(system("test \"$T_CHILD\" = inherited"), 0, "and exec passes it on");
  clearenv();
  ok(!environ || !environ[0], "clearenv");
}

static int pipe_fds[2];

static void write_letter(char letter) {
  if (write(pipe_fds[1], &letter, 1) != 1) {
    _exit(90);
  }
}

static void at_exit_a(void) {
  write_letter('a');
}

static void at_exit_b(void) {
  write_letter('b');
}

static int exit_with_handlers(void *arg) {
  (void)arg;
  atexit(at_exit_a);
  atexit(at_exit_b);
  exit(6);
}

static int quick_exit_with_handlers(void *arg) {
  (void)arg;
  atexit(at_exit_a);
  _exit(7);
}

static void test_exit(void) {
  char letters[8] = "";
  if (pipe(pipe_fds) != 0) {
    bail_out("pipe");
  }
  is(child_exit(exit_with_handlers, NULL), 6, "exit");
  is(child_exit(quick_exit_with_handlers, NULL), 7, "_exit");
  close(pipe_fds[1]);
  ok(read(pipe_fds[0], letters, 7) == 2, "handlers run by exit alone");
  is_str(letters, "ba", "in reverse order");
  close(pipe_fds[0]);
}

static void test_identity(void) {
  struct utsname u;
  ok(uname(&u) == 0 && u.sysname[0] && strcmp(u.machine, "x86_64") == 0, "uname");
  ok(getpid() > 0 && getppid() >= 0 && getpid() != getppid(), "getpid, getppid");
  ok(getuid() == geteuid() && getgid() == getegid(), "user and group");
  is(sysconf(_SC_PAGESIZE), 4096, "the page size");
  ok(sysconf(_SC_NPROCESSORS_ONLN) >= 1, "the number of CPUs");
  ok(sysconf(_SC_OPEN_MAX) >= 64, "how many files may be open");
  struct rlimit limit;
  ok(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= 65536, "getrlimit");
  ok(getpgrp() > 0, "a process group");
  unsigned char a[16] = {0}, b[16] = {0};
  ok(getentropy(a, 16) == 0 && getentropy(b, 16) == 0 && memcmp(a, b, 16) != 0, "getentropy");
}

static int new_session(void *arg) {
  (void)arg;
  pid_t self = getpid();
  if (setsid() != self || getsid(0) != self || getpgrp() != self) {
    return 1;
  }
  return setsid() == -1 && errno == EPERM ? 0 : 2;
}

int main(void) {
  test_variables();
  test_exit();
  test_identity();
  is(child_exit(new_session, NULL), 0, "setsid");
  test_inheritance();
  return tap_done();
}
