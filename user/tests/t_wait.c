/* wait, waitpid, waitid: which child, which status, when to block; orphans and zombies. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include "tap.h"

static pid_t fork_exit(int code) {
  pid_t pid = fork();
  if (pid == 0) {
    _exit(code);
  }
  return pid;
}

/* A child that lives until the write end of its pipe is closed. */
static pid_t fork_held(int *release) {
  int fds[2];
  if (pipe(fds) != 0) {
    bail_out("pipe");
  }
  pid_t pid = fork();
  if (pid == 0) {
    char byte;
    close(fds[1]);
    _exit(read(fds[0], &byte, 1) == 0 ? 11 : 12);
  }
  close(fds[0]);
  *release = fds[1];
  return pid;
}

static void test_no_children(void) {
  int status;
  fails_with(wait(&status), ECHILD, "wait without children");
  fails_with(waitpid(-1, &status, WNOHANG), ECHILD, "waitpid without children, not blocking");
  fails_with(waitpid(getpid(), &status, 0), ECHILD, "a process is not its own child");
  fails_with(waitpid(1, &status, 0), ECHILD, "nor is process 1");
}

static void test_blocking(void) {
  int release, status = 0;
  pid_t pid = fork_held(&release);
  is(waitpid(pid, &status, WNOHANG), 0, "WNOHANG while the child runs");
  is(waitpid(-1, &status, WNOHANG), 0, "also for any child");
  close(release);
  is(waitpid(pid, &status, 0), pid, "waitpid blocks until it has ended");
  ok(WIFEXITED(status) && WEXITSTATUS(status) == 11, "and answers its status");
  fails_with(waitpid(pid, &status, 0), ECHILD, "once only");
}

static void test_any(void) {
  int release, status = 0;
  pid_t held = fork_held(&release), quick = fork_exit(3);
  is(wait(&status), quick, "wait answers the child that ended first");
  is(WEXITSTATUS(status), 3, "with its status");
  close(release);
  is(waitpid(-1, NULL, 0), held, "then the other; the status is optional");
}

static void test_signals(void) {
  static const int numbers[] = {SIGKILL, SIGTERM, SIGHUP, SIGUSR1, SIGINT};
  bool all = true;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    int release, status = 0;
    pid_t pid = fork_held(&release);
    all = kill(pid, numbers[i]) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
          WTERMSIG(status) == numbers[i] && all;
    close(release);
  }
  ok(all, "a death by a signal, for five signals");
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    abort();
  }
  waitpid(pid, &status, 0);
  ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "abort");
}

static void test_zombie(void) {
  pid_t pid = fork_exit(0);
  int64_t limit = now_ns(CLOCK_MONOTONIC) + 5000000000;
  siginfo_t info = {0};
  while (info.si_pid != pid && now_ns(CLOCK_MONOTONIC) < limit) {
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG);
  }
  is(info.si_pid, pid, "waitid with WNOWAIT sees the child");
  is(kill(pid, 0), 0, "a child nobody has waited for exists");
  is(waitpid(pid, NULL, 0), pid, "and can be waited for");
  fails_with(kill(pid, 0), ESRCH, "then it is gone");
}

static void test_waitid(void) {
  siginfo_t info = {0};
  pid_t pid = fork_exit(21);
  is(waitid(P_PID, (id_t)pid, &info, WEXITED), 0, "waitid");
  ok(info.si_pid == pid && info.si_code == CLD_EXITED && info.si_status == 21, "an exit");
  int release;
  pid = fork_held(&release);
  kill(pid, SIGKILL);
  is(waitid(P_ALL, 0, &info, WEXITED), 0, "waitid for any");
  ok(info.si_pid == pid && info.si_code == CLD_KILLED && info.si_status == SIGKILL, "a death");
  close(release);
}

/* The grandchild outlives its parent; its new parent is not us, and nothing hangs. */
static void test_orphan(void) {
  int fds[2];
  char byte = 0;
  if (pipe(fds) != 0) {
    bail_out("pipe");
  }
  pid_t pid = fork();
  if (pid == 0) {
    pid_t parent = getpid();
    if (fork() == 0) {
      int64_t limit = now_ns(CLOCK_MONOTONIC) + 5000000000;
      while (getppid() == parent && now_ns(CLOCK_MONOTONIC) < limit) {
        sched_yield();
      }
      byte = getppid() != parent ? 'y' : 'n';
      _exit(write(fds[1], &byte, 1) == 1 ? 0 : 1);
    }
    _exit(0);
  }
  close(fds[1]);
  waitpid(pid, NULL, 0);
  is(read(fds[0], &byte, 1), 1, "an orphan goes on");
  is(byte, 'y', "with another parent");
  close(fds[0]);
  fails_with(waitpid(-1, NULL, WNOHANG), ECHILD, "it is not our child");
}

static int wait_for_child_of_other(void *arg) {
  pid_t pid = *(pid_t *)arg;
  return waitpid(pid, NULL, 0) == -1 && errno == ECHILD ? 0 : 1;
}

static void test_usage(void) {
  struct rusage used;
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    int64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    while (now_ns(CLOCK_PROCESS_CPUTIME_ID) - start < 30000000) {
    }
    _exit(0);
  }
  is(wait4(pid, &status, 0, &used), pid, "wait4");
  int64_t us = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec +
               used.ru_stime.tv_usec;
  ok(us >= 25000 && us < 20000000, "answers the processor time of the child");
}

int main(void) {
  test_no_children();
  test_blocking();
  test_any();
  test_signals();
  test_zombie();
  test_waitid();
  test_orphan();
  int release;
  pid_t pid = fork_held(&release);
  is(child_exit(wait_for_child_of_other, &pid), 0, "a sibling is not a child");
  close(release);
  waitpid(pid, NULL, 0);
  test_usage();
  return tap_done();
}
