/* Strikes at a process while it forks, execs, spawns and creates threads: shared by t_native_kill
 * and t_native_nomem.
 *
 * A sweep over an operation, with sys:inject: a child does it and is struck at its n-th place, for
 * n from 1 until it comes through unharmed. After each n the counts of live kernel objects must be
 * those from before. */
#ifndef TESTS_STRIKE_H
#define TESTS_STRIKE_H

#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>

#include "leaks.h"
#include "tap.h"

enum { STEPS_MOST = 2000, LEAK_RUNS = 4, GROWN_LOOKS = 5 };

/* How an operation ended, and a child that has done one: its exit status. */
enum { WORKED = 0, FAILED = 40, RECOVERED, WRONG, LEAKED, NO_RECOVERY, NOT_ARMED };

static const char *self;
static char inject_number[12], code_number[12]; /* for programs that are started */
static int child_code = WORKED;                 /* what children and programs end with */
static int inject_fd;
static const char *const no_environment[] = {NULL};

static void child_code_set(int code) {
  child_code = code;
  snprintf(code_number, sizeof code_number, "%d", code);
}

/* ---- the operations ---- */

static int reap(pid_t pid) {
  int status = -1;
  pid_t got;
  do {
    got = waitpid(pid, &status, 0);
  } while (got == -1 && errno == ENOMEM); /* one allocation fails, not two */
  return got == pid && WIFEXITED(status) && WEXITSTATUS(status) == child_code ? WORKED : WRONG;
}

static int do_fork(void) {
  pid_t pid = fork();
  if (pid == 0) {
    _exit(child_code);
  }
  return pid < 0 ? FAILED : reap(pid);
}

static int do_exec(void) {
  char *argv[] = {(char *)self, "--started", inject_number, code_number, NULL};
  execve(self, argv, (char **)no_environment);
  return FAILED;
}

static int do_fork_exec(void) {
  pid_t pid = fork();
  if (pid == 0) {
    _exit(do_exec());
  }
  return pid < 0 ? FAILED : reap(pid);
}

static void *sleep_long(void *arg) {
  pthread_barrier_wait(arg);
  sleep(1000);
  return NULL;
}

/* The other thread goes with the old program. */
static int do_exec_of_two(void) {
  pthread_t thread;
  pthread_barrier_t both;
  pthread_barrier_init(&both, NULL, 2);
  if (pthread_create(&thread, NULL, sleep_long, &both) != 0) {
    return FAILED;
  }
  pthread_barrier_wait(&both);
  int result = do_exec();
  pthread_cancel(thread);
  pthread_join(thread, NULL);
  return result;
}

static int exec_refused(const char *path, int error) {
  char *argv[] = {(char *)path, NULL};
  execve(path, argv, (char **)no_environment);
  return errno == error ? WORKED : FAILED;
}

static int do_exec_nothing(void) {
  return exec_refused("/bin/there is no such program", ENOENT);
}

static int do_exec_text(void) {
  return exec_refused("text", ENOEXEC);
}

/* An ELF header that promises more than the file has: refused when its segments are mapped. */
static int do_exec_short(void) {
  return exec_refused("short", ENOEXEC);
}

static int spawn(const char *path, pid_t *pid) {
  char *argv[] = {(char *)self, "--started", inject_number, code_number, NULL};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  int error = posix_spawn_file_actions_adddup2(&actions, 1, 9);
  error = error ? error : posix_spawn(pid, path, &actions, NULL, argv, (char **)no_environment);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

static int do_spawn(void) {
  pid_t pid;
  return spawn(self, &pid) != 0 ? FAILED : reap(pid);
}

static int do_spawn_nothing(void) {
  pid_t pid;
  return spawn("/bin/there is no such program", &pid) == ENOENT ? WORKED : FAILED;
}

static void *answer(void *arg) {
  return arg;
}

static int do_thread(void) {
  pthread_t thread;
  int question = 0;
  void *got = NULL;
  if (pthread_create(&thread, NULL, answer, &question) != 0) {
    return FAILED;
  }
  return pthread_join(thread, &got) == 0 && got == &question ? WORKED : WRONG;
}

static const struct operation {
  const char *name;
  int (*run)(void);
  int steps_least;  /* a sweep over fewer has missed it */
  int allocs_least; /* likewise */
} operations[] = {
    {"fork", do_fork, 9, 8},
    {"fork and exec in the child", do_fork_exec, 9, 8},
    {"exec", do_exec, 20, 12},
    {"exec with another thread", do_exec_of_two, 25, 15},
    {"exec of a program that is not there", do_exec_nothing, 1, 1},
    {"exec of a text", do_exec_text, 5, 3},
    {"exec of a program cut short", do_exec_short, 5, 3},
    {"spawn", do_spawn, 25, 15},
    {"spawn of a program that is not there", do_spawn_nothing, 1, 1},
    {"thread", do_thread, 9, 5},
};

/* ---- the child that is struck ---- */

static void inject(const char *text) {
  if (write(inject_fd, text, strlen(text)) != (ssize_t)strlen(text)) {
    _exit(NOT_ARMED);
  }
}

/* Did counts grow, and stay so for a moment? Ended threads are given back a little later. */
static bool has_grown(const struct leaks *before) {
  char text[LEAKS_TEXT];
  for (int i = 0; i < GROWN_LOOKS; i++) {
    struct leaks after = leaks_read();
    if (!leaks_growth(before, &after, text)) {
      return false;
    }
    sleep_ms(2);
  }
  return true;
}

/* One armed run; a failure that makes counts grow is made again, since the first of all may have
 * brought what the child keeps: pages of its own, room in its file table. */
static int run_struck(const struct operation *op, const char *order) {
  for (int run = 0; run < LEAK_RUNS; run++) {
    struct leaks before = leaks_read();
    inject(order);
    int result = op->run();
    inject("off");
    if (result != FAILED || !has_grown(&before)) {
      return result;
    }
  }
  return LEAKED;
}

static _Noreturn void be_struck(const struct operation *op, const char *kind, int n) {
  char order[40];
  int free_fd = dup(0);
  close(free_fd);
  snprintf(order, sizeof order, "%s %d", kind, n);
  int result = run_struck(op, order);
  if (result == FAILED && (dup(0) != free_fd || close(free_fd) != 0)) {
    result = LEAKED;
  } else if (result == FAILED) {
    child_code_set(RECOVERED);
    result = op->run() == WORKED ? RECOVERED : NO_RECOVERY;
  }
  _exit(result);
}

/* ---- a sweep ---- */

struct strike {
  bool fired;
  char at[40]; /* what it struck */
  int status;  /* of the child */
};

static struct strike strike_read(void) {
  struct strike strike = {0};
  char text[200] = "";
  int fd = open("sys:/inject", O_RDONLY), fired = -1;
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0 ||
      sscanf(text, "armed 0 seen %*d fired %d at %39[^\n]", &fired, strike.at) != 2) {
    bail_out("sys:inject");
  }
  close(fd);
  strike.fired = fired == 1;
  return strike;
}

static struct strike strike_one(const struct operation *op, const char *kind, int n) {
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    be_struck(op, kind, n);
  }
  if (pid < 0 || waitpid(pid, &status, 0) != pid) {
    bail_out("a child to strike");
  }
  struct strike strike = strike_read();
  strike.status = status;
  return strike;
}

static bool ends_well(const struct strike *s, bool kills) {
  bool killed = WIFSIGNALED(s->status) && WTERMSIG(s->status) == SIGKILL;
  if (!s->fired) {
    return s->status == WORKED << 8;
  }
  if (kills) {
    return killed;
  }
  return s->status == WORKED << 8 || s->status == RECOVERED << 8 ||
         (killed && strcmp(s->at, "page fault") == 0);
}

/* Whether the same strike leaves more behind each time. */
static bool leaks_each_time(const struct operation *op, const char *kind, int n,
                            struct leaks *before) {
  char text[LEAKS_TEXT];
  for (int run = 1; !leaks_settled(before, text); run++) {
    if (run == LEAK_RUNS) {
      diag("%s, %s %d: leaves%s", op->name, kind, n, text);
      return true;
    }
    *before = leaks_read();
    strike_one(op, kind, n);
  }
  return false;
}

static void sweep(const struct operation *op, const char *kind, int least) {
  char name[200];
  bool kills = strcmp(kind, "kill") == 0, fired = true;
  int n, wrong = 0, leaking = 0, killed = 0, recovered = 0;
  struct leaks before = leaks_read();
  for (n = 0; fired && n < STEPS_MOST;) {
    struct strike strike = strike_one(op, kind, ++n);
    fired = strike.fired;
    if (!ends_well(&strike, kills)) {
      diag("%s, %s %d (%s): status %#x", op->name, kind, n, strike.at, (unsigned)strike.status);
      wrong++;
    }
    killed += WIFSIGNALED(strike.status);
    recovered += strike.status == RECOVERED << 8;
    leaking += leaks_each_time(op, kind, n, &before);
  }
  diag("%s, %s: %d places; %d killed, %d answered with an error", op->name, kind, n - 1, killed,
       recovered);
  const char *what = kills ? "killed at each step" : "each allocation fails";
  snprintf(name, sizeof name, "%s: %s, all of them", op->name, what);
  ok(!fired && n > least, name);
  snprintf(name, sizeof name, "%s: %s, as it should end", op->name, what);
  is(wrong, 0, name);
  snprintf(name, sizeof name, "%s: %s, nothing is left", op->name, what);
  is(leaking, 0, name);
}

/* ---- set-up ---- */

static void file_make(const char *name, const void *bytes, size_t n) {
  int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
  if (fd < 0 || write(fd, bytes, n) != (ssize_t)n) {
    bail_out(name);
  }
  close(fd);
}

static void files_make(void) {
  char head[256];
  int fd = open(self, O_RDONLY);
  if (fd < 0 || read(fd, head, sizeof head) != sizeof head) {
    bail_out(self);
  }
  close(fd);
  file_make("text", "no program\n", 11);
  file_make("short", head, sizeof head);
}

/* main() of both: test_more() has what is the program's own. */
static int strike_main(int argc, char **argv, const char *kind, void (*test_more)(void)) {
  if (argc == 4 && strcmp(argv[1], "--started") == 0) {
    inject_fd = atoi(argv[2]);
    inject("off");
    return atoi(argv[3]);
  }
  self = self_path(argv[0]);
  inject_fd = open("sys:/inject", O_WRONLY);
  snprintf(inject_number, sizeof inject_number, "%d", inject_fd);
  child_code_set(WORKED);
  if (inject_fd < 0) {
    bail_out("sys:inject");
  }
  scratch_enter("strike");
  files_make();
  test_more();
  bool kills = strcmp(kind, "kill") == 0;
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
    const struct operation *op = &operations[i];
    strike_one(op, kind, STEPS_MOST); /* what is kept for later is there from now on */
    sweep(op, kind, kills ? op->steps_least : op->allocs_least);
  }
  close(inject_fd);
  unlink("text");
  unlink("short");
  scratch_leave();
  return tap_done();
}

#endif
