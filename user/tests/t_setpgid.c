/* Process groups: who may be moved where (POSIX, setpgid). All is done to children, so that nothing
 * depends on how the test itself was started. */
#define _GNU_SOURCE
#include <signal.h>

#include "tap.h"

/* A child that does one thing, says so, and stays until it is told to go. */
struct child {
  pid_t pid;
  int to, from;
};

enum part { STAYS, LEADS_SESSION, EXECS };

static void play(enum part part, const char *self) {
  if (part == LEADS_SESSION && setsid() != getpid()) {
    _exit(1);
  }
  if (part == EXECS) {
    execl(self, self, "--played", NULL);
    _exit(1);
  }
}

static _Noreturn void say_and_stay(void) {
  char byte = 0;
  bool told = write(1, "!", 1) == 1 && read(0, &byte, 1) >= 0;
  _exit(!told);
}

static struct child child_start(enum part part, const char *self) {
  int to[2], from[2];
  char byte;
  if (pipe(to) != 0 || pipe(from) != 0) {
    bail_out("pipe");
  }
  struct child child = {.pid = fork(), .to = to[1], .from = from[0]};
  if (child.pid == 0) {
    dup2(to[0], 0);
    dup2(from[1], 1);
    close(to[1]);
    close(from[0]);
    play(part, self);
    say_and_stay();
  }
  close(to[0]);
  close(from[1]);
  if (child.pid < 0 || read(child.from, &byte, 1) != 1) {
    bail_out("a child");
  }
  return child;
}

static void child_end(struct child *child) {
  kill(child->pid, SIGKILL);
  waitpid(child->pid, NULL, 0);
  close(child->to);
  close(child->from);
}

static void test_groups(const char *self) {
  struct child a = child_start(STAYS, self), b = child_start(STAYS, self);
  is(getpgid(a.pid), getpgrp(), "a child is in its parent's group");
  fails_with(setpgid(a.pid, a.pid + 100000), EPERM, "a group that does not exist");
  fails_with(setpgid(a.pid, b.pid), EPERM, "a process that leads no group");
  fails_with(setpgid(a.pid, -1), EINVAL, "a negative group");
  is(setpgid(a.pid, 0), 0, "a group of its own");
  is(getpgid(a.pid), a.pid, "has its number");
  is(setpgid(a.pid, a.pid), 0, "once more is no error");
  is(setpgid(b.pid, a.pid), 0, "the other child follows");
  is(getpgid(b.pid), a.pid, "and is in that group");
  kill(a.pid, SIGKILL);
  waitpid(a.pid, NULL, 0);
  close(a.to);
  close(a.from);
  struct child c = child_start(STAYS, self);
  is(setpgid(c.pid, a.pid), 0, "a group lives as long as anybody is in it");
  is(setpgid(c.pid, getpgrp()), 0, "back to the parent's");
  child_end(&b);
  fails_with(setpgid(c.pid, a.pid), EPERM, "and no longer");
  child_end(&c);
}

static void test_sessions(const char *self) {
  struct child leader = child_start(LEADS_SESSION, self), other = child_start(STAYS, self);
  fails_with(setpgid(leader.pid, 0), EPERM, "the leader of a session stays in its group");
  fails_with(setpgid(other.pid, leader.pid), EPERM, "a group of another session");
  child_end(&leader);
  child_end(&other);
}

static int setpgid_of(void *pid) {
  return setpgid(*(pid_t *)pid, 0) == -1 ? errno : 0;
}

static void test_strangers(const char *self) {
  struct child sister = child_start(STAYS, self), program = child_start(EXECS, self);
  fails_with(setpgid(program.pid, 0), EACCES, "a child that runs another program");
  is(child_exit(setpgid_of, &sister.pid), ESRCH, "a process that is no child");
  child_end(&sister);
  child_end(&program);
  fails_with(setpgid(program.pid, 0), ESRCH, "a process that is gone");
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--played") == 0) {
    say_and_stay();
  }
  const char *self = self_path(argv[0]);
  test_groups(self);
  test_sessions(self);
  test_strangers(self);
  return tap_done();
}
