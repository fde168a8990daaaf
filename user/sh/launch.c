/* Processes of the shell: see launch.h. */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec.h"
#include "jobs.h"
#include "shell.h"
#include "trap.h"
#include "vars.h"

pid_t launch_fork(void) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) {
    shell_warn("cannot fork: %s", strerror(errno));
  }
  if (pid == 0) {
    traps_reset_in_child();
    jobs_forget();
    shell.interactive = false;
    shell.loop_depth = 0;
  }
  return pid;
}

void launch_stage(const struct stage *stage) {
  if (stage->close_in_child >= 0) {
    close(stage->close_in_child);
  }
  if (stage->in >= 0) {
    dup2(stage->in, 0);
    close(stage->in);
  }
  if (stage->out >= 0) {
    dup2(stage->out, 1);
    close(stage->out);
  }
}

/* ---- finding and starting programs ---- */

static bool is_program(const char *path, int *status) {
  struct stat st;
  if (stat(path, &st) != 0) {
    return false;
  }
  *status = 126;
  if (S_ISDIR(st.st_mode)) {
    errno = EISDIR;
    return false;
  }
  return access(path, X_OK) == 0;
}

/* Joins the first element of a $PATH with a name, and moves on; NULL at its end. */
static char *path_element(const char **path, const char *name) {
  if (!*path) {
    return NULL;
  }
  size_t n = strcspn(*path, ":"), name_n = strlen(name);
  char *joined = arena_alloc(&shell.temp, n + name_n + 2);
  memcpy(joined, *path, n);
  if (n > 0) {
    joined[n++] = '/';
  }
  memcpy(joined + n, name, name_n);
  const char *colon = strchr(*path, ':');
  *path = colon ? colon + 1 : NULL;
  return joined;
}

char *launch_find(const char *name, int *status) {
  *status = 127;
  if (strchr(name, '/')) {
    return is_program(name, status) ? arena_string(&shell.temp, name, strlen(name)) : NULL;
  }
  const char *path = vars_get("PATH");
  int error = ENOENT;
  for (char *candidate; (candidate = path_element(&path, name)) != NULL;) {
    int found = 127;
    if (is_program(candidate, &found)) {
      return candidate;
    }
    if (found == 126 && errno != EISDIR) {
      *status = 126;
      error = errno;
    }
  }
  errno = error;
  return NULL;
}

/* argv for running a script with this shell. */
static char **script_argv(const char *path, char **argv) {
  struct vector v = {0};
  vector_add(&v, (char *)shell.path);
  vector_add(&v, (char *)path);
  for (argv++; *argv; argv++) {
    vector_add(&v, *argv);
  }
  return vector_end(&v);
}

void launch_exec(const char *path, char **argv) {
  fflush(stdout);
  char **environment = vars_environment();
  execve(path, argv, environment);
  if (errno == ENOEXEC) {
    char **script = script_argv(path, argv);
    execve(shell.path, script, environment);
    free(script);
  }
}

/* As redirect_apply() and launch_stage() do, for posix_spawn. */
static int add_actions(posix_spawn_file_actions_t *actions, const struct redirect_plan *plan,
                       const struct stage *stage) {
  int error = 0;
  if (stage->in >= 0) {
    error = posix_spawn_file_actions_adddup2(actions, stage->in, 0);
  }
  if (stage->out >= 0 && !error) {
    error = posix_spawn_file_actions_adddup2(actions, stage->out, 1);
  }
  for (size_t i = 0; i < plan->n && !error; i++) {
    const struct redirect_step *step = &plan->step[i];
    error = step->from < 0 ? posix_spawn_file_actions_addclose(actions, step->to)
                           : posix_spawn_file_actions_adddup2(actions, step->from, step->to);
  }
  return error;
}

static int spawn_with(pid_t *pid, const char *path, char **argv,
                      const posix_spawn_file_actions_t *actions) {
  posix_spawnattr_t attributes;
  sigset_t defaults;
  int error = posix_spawnattr_init(&attributes);
  if (error) {
    return error;
  }
  traps_spawn_defaults(&defaults);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  char **environment = vars_environment();
  error = posix_spawn(pid, path, actions, &attributes, argv, environment);
  if (error == ENOEXEC) {
    char **script = script_argv(path, argv);
    error = posix_spawn(pid, shell.path, actions, &attributes, script, environment);
    free(script);
  }
  posix_spawnattr_destroy(&attributes);
  return error;
}

pid_t launch_spawn(const char *path, char **argv, const struct redirect_plan *plan,
                   const struct stage *stage) {
  posix_spawn_file_actions_t actions;
  pid_t pid = -1;
  fflush(stdout);
  int error = posix_spawn_file_actions_init(&actions);
  if (!error) {
    error = add_actions(&actions, plan, stage);
    error = error ? error : spawn_with(&pid, path, argv, &actions);
    posix_spawn_file_actions_destroy(&actions);
  }
  errno = error;
  return error ? -1 : pid;
}

/* ---- waiting ---- */

int status_from_wait(int wstatus) {
  if (!WIFSIGNALED(wstatus)) {
    return WEXITSTATUS(wstatus);
  }
  int number = WTERMSIG(wstatus);
  if (number != SIGINT && number != SIGPIPE) {
    fprintf(stderr, "%s\n", strsignal(number));
  }
  return 128 + number;
}

int launch_wait(pid_t pid) {
  int wstatus;
  while (waitpid(pid, &wstatus, 0) < 0) {
    if (errno != EINTR) {
      return 127;
    }
  }
  return status_from_wait(wstatus);
}

/* ---- command substitution ---- */

static void read_all(int fd, struct text *output) {
  char block[4096];
  ssize_t n;
  while ((n = read(fd, block, sizeof block)) != 0) {
    if (n > 0) {
      text_add_bytes(output, block, (size_t)n);
    } else if (errno != EINTR) {
      shell_warn("command substitution: %s", strerror(errno));
      return;
    }
  }
}

int launch_substitution(const struct node *body, struct text *output) {
  int ends[2];
  if (!body) {
    return 0;
  }
  if (pipe2(ends, O_CLOEXEC) != 0) {
    shell_warn("cannot make a pipe: %s", strerror(errno));
    return 2;
  }
  ends[0] = fd_move_high(ends[0]);
  ends[1] = fd_move_high(ends[1]);
  pid_t pid = launch_fork();
  if (pid == 0) {
    launch_stage(&(struct stage){.in = -1, .out = ends[1], .close_in_child = ends[0]});
    shell_exit(exec_node(body, EXEC_TAIL));
  }
  close(ends[1]);
  if (pid > 0) {
    read_all(ends[0], output);
  }
  close(ends[0]);
  return pid > 0 ? launch_wait(pid) : 2;
}
