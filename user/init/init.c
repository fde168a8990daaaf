/* init: the first program of the machine.
 *
 * sys:command holds what came behind ` -- ` on the kernel's command line. If it says something,
 * that is run once, with an empty stdin, stdout on the first serial line and stderr on the second,
 * and the machine ends with its status. Otherwise the terminal server is started and a shell on it,
 * and the machine ends when the shell does. init adopts nobody: it waits for its own children only.
 *
 * Exit statuses of a command are a shell's: 126 cannot be run, 127 not found, 128 + n killed by
 * signal n. */
#define _GNU_SOURCE /* pipe2 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/syscall.h"
#include "runtime/tty_ops.h"

#define COMMAND_MAX 65536u
#define ARGUMENTS_MAX 1024u
#define READY_FD 3 /* where a server says that it serves */
#define SHELL "/bin/sh"
#define NOT_EXECUTABLE 126
#define NOT_FOUND 127

/* Characters with which a command is the shell's business. */
static const char shell_characters[] = "|&;<>()$`\\\"'*?[]#~=%{}!\n";

/* ---- the end ------------------------------------------------------------------------------ */

/* The kernel ends the machine inside this write. */
static _Noreturn void power_off(int status) {
  char text[32];
  int n = snprintf(text, sizeof(text), "exit %d", status);
  int fd = open("sys:/power", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, (size_t)n) != n) {
    perror("init: cannot power off");
  }
  _exit(status); /* the end of the first process is the machine's, with its status */
}

__attribute__((format(printf, 1, 2))) static _Noreturn void fail(const char *format, ...) {
  int error = errno;
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "init: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, ": %s\n", strerror(error));
  va_end(arguments);
  power_off(NOT_EXECUTABLE);
}

/* ---- children ----------------------------------------------------------------------------- */

/* Put the file at `path` in the place of descriptor `fd`. */
static void redirect(int fd, const char *path, int flags) {
  int opened = open(path, flags);
  if (opened < 0 || dup2(opened, fd) != fd) {
    fail("cannot open %s", path);
  }
  if (opened != fd) {
    close(opened);
  }
}

/* Become the program, or say why not and end as a shell would. */
static _Noreturn void become(char **argv) {
  execvp(argv[0], argv);
  int status = errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
  fprintf(stderr, "init: %s: %s\n", argv[0], strerror(errno));
  _exit(status);
}

static int status_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* Wait until `pid` has ended, and bury everybody else who ends meanwhile. */
static int wait_for(pid_t pid) {
  for (;;) {
    int wait_status;
    pid_t ended = waitpid(-1, &wait_status, 0);
    if (ended == pid) {
      return status_of(wait_status);
    }
    if (ended < 0 && errno != EINTR) {
      fail("cannot wait for process %d", (int)pid);
    }
  }
}

/* Fork; the child starts a session of its own, so that a signal to its group never comes here. */
static pid_t fork_session(void) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid < 0) {
    fail("cannot fork");
  }
  if (pid == 0 && setsid() < 0) {
    fail("cannot start a session");
  }
  return pid;
}

/* ---- one command -------------------------------------------------------------------------- */

/* What follows ` -- ` on the command line, without surrounding blanks. */
static char *command_read(void) {
  static char text[COMMAND_MAX];
  size_t used = 0;
  ssize_t n;
  int fd = open("sys:/command", O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    fail("cannot open sys:command");
  }
  while ((n = read(fd, text + used, sizeof(text) - 1 - used)) > 0) {
    used += (size_t)n;
  }
  if (n < 0) {
    fail("cannot read sys:command");
  }
  close(fd);
  while (used > 0 && (text[used - 1] == ' ' || text[used - 1] == '\n')) {
    used--;
  }
  text[used] = '\0';
  return text + strspn(text, " ");
}

/* Cut a plain command into words. */
static void words_split(char *command, char **argv, size_t room) {
  size_t n = 0;
  for (char *word = strtok(command, " \t"); word; word = strtok(NULL, " \t")) {
    if (n + 1 == room) {
      errno = E2BIG;
      fail("too many words in the command");
    }
    argv[n++] = word;
  }
  argv[n] = NULL;
}

static _Noreturn void command_exec(char *command) {
  static char *argv[ARGUMENTS_MAX];
  static char shell[] = SHELL;
  static char option[] = "-c";
  redirect(STDIN_FILENO, "/dev/null", O_RDONLY);
  redirect(STDOUT_FILENO, "debug:/console", O_WRONLY);
  redirect(STDERR_FILENO, "debug:/stderr", O_WRONLY);
  if (strpbrk(command, shell_characters)) {
    become((char *[]){shell, option, command, NULL});
  }
  words_split(command, argv, ARGUMENTS_MAX);
  become(argv);
}

static int command_run(char *command) {
  pid_t pid = fork_session();
  if (pid == 0) {
    command_exec(command);
  }
  return wait_for(pid);
}

/* ---- the interactive shell ---------------------------------------------------------------- */

/* Start a server and wait for its word; false when it ends without. */
static bool server_start(char *path) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) < 0) {
    fail("cannot make a pipe");
  }
  pid_t pid = fork_session();
  if (pid == 0) {
    if (ready[1] == READY_FD ? fcntl(READY_FD, F_SETFD, 0) < 0
                             : dup2(ready[1], READY_FD) != READY_FD) {
      fail("cannot prepare descriptor %d", READY_FD);
    }
    become((char *[]){path, NULL});
  }
  close(ready[1]);
  char byte;
  ssize_t n = read(ready[0], &byte, 1);
  close(ready[0]);
  return n == 1;
}

/* Make this process's group the one that the terminal's signals go to. */
static void terminal_claim(int fd) {
  int64_t result = sys_call(fd, OP_TTY_SET_GROUP, NULL, 0, 0, (uint64_t)getpid());
  if (result < 0) {
    errno = (int)-result;
    fail("cannot claim the terminal");
  }
}

static _Noreturn void shell_exec(void) {
  static char shell[] = SHELL;
  redirect(STDIN_FILENO, "tty:/", O_RDWR);
  redirect(STDOUT_FILENO, "tty:/", O_RDWR);
  redirect(STDERR_FILENO, "tty:/", O_RDWR);
  terminal_claim(STDIN_FILENO);
  become((char *[]){shell, NULL});
}

static int shell_run(void) {
  static char tty[] = "/bin/tty";
  if (!server_start(tty)) {
    errno = EIO;
    fail("%s did not start", tty);
  }
  pid_t pid = fork_session();
  if (pid == 0) {
    shell_exec();
  }
  return wait_for(pid);
}

int main(void) {
  redirect(STDIN_FILENO, "/dev/null", O_RDONLY);
  redirect(STDOUT_FILENO, "debug:/stderr", O_WRONLY);
  redirect(STDERR_FILENO, "debug:/stderr", O_WRONLY);
  char *command = command_read();
  bool interactive = *command == '\0';
  if (setenv("PATH", "/bin", 1) < 0 || setenv("HOME", "/", 1) < 0 ||
      setenv("TERM", interactive ? "vt100" : "dumb", 1) < 0 || chdir("/") < 0) {
    fail("cannot set up the environment");
  }
  power_off(interactive ? shell_run() : command_run(command));
}
