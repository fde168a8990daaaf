/* posix_spawn: arguments, file actions, attributes, errors; and vfork. It spawns itself. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>

#include "tap.h"

extern char **environ;

static const char *self;

/* As the child: what it was asked to check decides the exit status. */
static int child_main(int argc, char **argv) {
  const char *what = argv[1];
  sigset_t mask;
  struct sigaction action;
  if (strcmp(what, "--exit") == 0) {
    return atoi(argv[2]);
  }
  if (strcmp(what, "--write") == 0) {
    return write(1, argv[2], strlen(argv[2])) == (ssize_t)strlen(argv[2]) ? 0 : 1;
  }
  if (strcmp(what, "--env") == 0) {
    const char *value = getenv("SPAWNED");
    return argc == 3 && value && strcmp(value, argv[2]) == 0 ? 0 : 1;
  }
  if (strcmp(what, "--closed") == 0) {
    return fcntl(atoi(argv[2]), F_GETFD) == -1 ? 0 : 1;
  }
  if (strcmp(what, "--mask") == 0) {
    sigprocmask(SIG_BLOCK, NULL, &mask);
    sigaction(SIGUSR1, NULL, &action);
    return sigismember(&mask, SIGUSR2) == 1 && action.sa_handler == SIG_DFL ? 0 : 1;
  }
  if (strcmp(what, "--group") == 0) {
    return getpgrp() == getpid() ? 0 : 1;
  }
  return 98;
}

static int wait_for(pid_t pid) {
  int status;
  if (waitpid(pid, &status, 0) != pid) {
    return -2000;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int spawn(char *option, char *value, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes) {
  char *argv[] = {"t_spawn", option, value, NULL};
  pid_t pid;
  int error = posix_spawn(&pid, self, actions, attributes, argv, environ);
  return error ? -3000 - error : wait_for(pid);
}

static void test_plain(void) {
  is(spawn("--exit", "7", NULL, NULL), 7, "an exit code");
  char *environment[] = {"SPAWNED=yes", NULL};
  char *argv[] = {"t_spawn", "--env", "yes", NULL};
  pid_t pid;
  is(posix_spawn(&pid, self, NULL, NULL, argv, environment), 0, "spawn with an environment");
  is(wait_for(pid), 0, "arrives");
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  char number[16];
  snprintf(number, sizeof number, "%d", fd);
  is(spawn("--closed", number, NULL, NULL), 0, "close-on-exec is obeyed");
  close(fd);
}

static void test_errors(void) {
  pid_t pid = 12345;
  char *argv[] = {"x", NULL};
  is(posix_spawn(&pid, "/no/such/program", NULL, NULL, argv, environ), ENOENT, "no such file");
  is(posix_spawn(&pid, "/tmp", NULL, NULL, argv, environ), EACCES, "a directory");
  is(posix_spawnp(&pid, "no-such-program", NULL, NULL, argv, environ), ENOENT, "not in the path");
  fails_with(waitpid(-1, NULL, WNOHANG), ECHILD, "a failed spawn leaves no child");
}

static void read_back(int fd, char *text, size_t size) {
  ssize_t n, length = 0;
  while ((n = read(fd, text + length, size - 1 - (size_t)length)) > 0) {
    length += n;
  }
  text[length] = '\0';
}

static void test_dup_and_close(void) {
  int fds[2];
  char text[32];
  posix_spawn_file_actions_t actions;
  if (pipe2(fds, O_CLOEXEC) != 0) {
    bail_out("pipe2");
  }
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
  is(spawn("--write", "through a pipe", &actions, NULL), 0, "dup2 onto standard output");
  close(fds[1]);
  read_back(fds[0], text, sizeof text);
  is_str(text, "through a pipe", "the text arrives, and then the end");
  close(fds[0]);
  posix_spawn_file_actions_destroy(&actions);
  int fd = open("/dev/null", O_RDONLY);
  char number[16];
  snprintf(number, sizeof number, "%d", fd);
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addclose(&actions, fd);
  is(spawn("--closed", number, &actions, NULL), 0, "close");
  ok(fcntl(fd, F_GETFD) == 0, "leaves the parent's open");
  posix_spawn_file_actions_destroy(&actions);
  close(fd);
}

static void test_open(void) {
  char text[32];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  is(spawn("--write", "to a file", &actions, NULL), 0, "open as standard output");
  posix_spawn_file_actions_destroy(&actions);
  int fd = open("out", O_RDONLY);
  read_back(fd, text, sizeof text);
  is_str(text, "to a file", "writes the file");
  close(fd);
  unlink("out");
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "no/such/file", O_WRONLY, 0);
  is(spawn("--exit", "0", &actions, NULL), -3000 - ENOENT, "a failing action fails the spawn");
  posix_spawn_file_actions_destroy(&actions);
}

static void test_attributes(void) {
  posix_spawnattr_t attributes;
  sigset_t mask, defaults;
  signal(SIGUSR1, SIG_IGN);
  posix_spawnattr_init(&attributes);
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGUSR1);
  posix_spawnattr_setsigmask(&attributes, &mask);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  is(spawn("--mask", NULL, NULL, &attributes), 0, "signal mask and defaults");
  signal(SIGUSR1, SIG_DFL);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  is(spawn("--group", NULL, NULL, &attributes), 0, "a process group of its own");
  posix_spawnattr_destroy(&attributes);
}

static void test_many(void) {
  enum { MANY = 20 };
  pid_t pids[MANY];
  bool all = true;
  for (int i = 0; i < MANY; i++) {
    char number[8];
    char *argv[] = {"t_spawn", "--exit", number, NULL};
    snprintf(number, sizeof number, "%d", i);
    all = posix_spawn(&pids[i], self, NULL, NULL, argv, environ) == 0 && all;
  }
  for (int i = 0; i < MANY; i++) {
    all = wait_for(pids[i]) == i && all;
  }
  ok(all, "twenty at once, each with its own arguments");
}

static void test_vfork(void) {
  pid_t pid = vfork();
  if (pid == 0) {
    execl(self, "t_spawn", "--exit", "9", (char *)NULL);
    _exit(99);
  }
  is(wait_for(pid), 9, "vfork and exec");
  pid = vfork();
  if (pid == 0) {
    _exit(5);
  }
  is(wait_for(pid), 5, "vfork and _exit");
}

static void test_popen_and_system(void) {
  is(system("exit 3"), 3 << 8, "system answers a wait status");
  ok(system(NULL) != 0, "there is a shell");
  char line[32] = "";
  FILE *file = popen("echo from popen", "r");
  ok(file && fgets(line, sizeof line, file), "popen reads");
  is_str(line, "from popen\n", "the output");
  is(file ? pclose(file) : -1, 0, "pclose answers the status");
}

int main(int argc, char **argv) {
  self = self_path(argv[0]);
  if (argc > 1) {
    return child_main(argc, argv);
  }
  scratch_enter("t_spawn");
  test_plain();
  test_errors();
  test_dup_and_close();
  test_open();
  test_attributes();
  test_many();
  test_vfork();
  test_popen_and_system();
  scratch_leave();
  return tap_done();
}
