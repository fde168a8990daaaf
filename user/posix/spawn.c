/* posix_spawn(): the child is made with its program in it and never runs ours.
 *
 * File actions become steps of the one call that makes the process; files to open are opened here
 * first. What has no such step (a working directory, a new session, resetting ids, scheduling) goes
 * the long way: fork, do it in the child, exec, and report an error through a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <unistd.h>

#include "fdop.h" /* libc's list of file actions */
#include "posix/posix.h"
#include "runtime/process.h"

#define OPENED_MOST 16u
#define PATH_DEFAULT "/usr/local/bin:/bin:/usr/bin"
#define FAST_FLAGS                                                                                 \
  (POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_USEVFORK)

struct plan {
  const posix_spawnattr_t *attr;
  const struct fdop *first; /* in the order in which they were asked for, by ->prev */
  char *const *argv, *const *envp;
  struct proc_op steps[RT_SPAWN_STEPS];
  size_t n_steps;
  int opened[OPENED_MOST];
  size_t n_opened;
};

static const struct fdop *actions_first(const posix_spawn_file_actions_t *fa) {
  const struct fdop *op = fa ? fa->__actions : NULL;
  while (op && op->next) {
    op = op->next;
  }
  return op;
}

/* ---- the short way ------------------------------------------------------------------------ */

static bool plan_is_fast(const struct plan *plan) {
  size_t n = 0;
  for (const struct fdop *op = plan->first; op; op = op->prev, n++) {
    if (op->cmd != FDOP_CLOSE && op->cmd != FDOP_DUP2 && op->cmd != FDOP_OPEN) {
      return false;
    }
  }
  return n <= OPENED_MOST && (plan->attr->__flags & ~FAST_FLAGS) == 0;
}

static int64_t plan_open(struct plan *plan, const struct fdop *op) {
  struct posix_path path;
  int64_t fd = posix_path_take(AT_FDCWD, op->path, &path);
  uint32_t flags = (uint32_t)op->oflag & ~(O_ABI_CLOEXEC | (uint32_t)O_LARGEFILE);
  if (fd >= 0) {
    fd = posix_path_open(&path, flags | O_ABI_CLOEXEC | O_ABI_CLOFORK | O_ABI_UPPER,
                         op->mode & ~posix_umask());
  }
  if (fd < 0) {
    return fd;
  }
  plan->opened[plan->n_opened++] = (int)fd;
  plan->steps[plan->n_steps++] = (struct proc_op){.code = PROC_FILES_PUT,
                                                  .fd = (int)fd,
                                                  .a = (uint32_t)op->fd,
                                                  .b = (uint32_t)op->oflag & O_ABI_CLOEXEC};
  return 0;
}

static int64_t plan_action(struct plan *plan, const struct fdop *op) {
  if (op->fd < 0 || op->fd >= FD_UPPER) {
    return -ABI_EBADF;
  }
  switch (op->cmd) {
  case FDOP_OPEN:
    return plan_open(plan, op);
  case FDOP_CLOSE:
    plan->steps[plan->n_steps++] =
        (struct proc_op){.code = PROC_FILES_CLOSE, .a = (uint32_t)op->fd};
    return 0;
  default:
    plan->steps[plan->n_steps++] =
        (struct proc_op){.code = PROC_FILES_DUP, .a = (uint32_t)op->fd, .b = (uint32_t)op->srcfd};
    return 0;
  }
}

/* Signals and the group. */
static void plan_attributes(struct plan *plan, struct rt_start *start) {
  const posix_spawnattr_t *attr = plan->attr;
  start->signals.pending = 0;
  if (attr->__flags & POSIX_SPAWN_SETSIGDEF) {
    start->ignored &= ~attr->__def.__bits[0];
    plan->steps[plan->n_steps++] = (struct proc_op){.code = PROC_ACTIONS_SET, .a = start->ignored};
  }
  if (attr->__flags & POSIX_SPAWN_SETSIGMASK) {
    start->signals.blocked = attr->__mask.__bits[0];
  }
  if (attr->__flags & POSIX_SPAWN_SETPGROUP) {
    plan->steps[plan->n_steps++] =
        (struct proc_op){.code = PROC_SETPGID, .a = (uint32_t)attr->__pgrp};
  }
}

static int64_t plan_run(struct plan *plan, const char *file) {
  struct posix_path path;
  struct rt_start start;
  int64_t result = posix_path_take(AT_FDCWD, file, &path);
  if (result < 0) {
    return result;
  }
  size_t n_steps = plan->n_steps; /* of the file actions */
  posix_start_fill(&start, (const char *const *)plan->envp);
  plan_attributes(plan, &start);
  struct rt_program program = {
      .path = path.text,
      .fd = FD_NONE,
      .name = file,
      .argv = (const char *const *)plan->argv,
      .envp = (const char *const *)plan->envp,
      .cwd = posix_cwd(),
      .start = &start,
      .limits = limits_next(),
  };
  result = rt_spawn(&program, plan->steps, plan->n_steps);
  plan->n_steps = n_steps;
  return result;
}

/* Along PATH, as execvp() does: EACCES is remembered while a later directory may have the file. */
static int64_t plan_search(struct plan *plan, const char *file) {
  const char *path = getenv("PATH");
  int64_t result = -ABI_ENOENT;
  char full[ABI_PATH_MAX];
  for (const char *p = path ? path : PATH_DEFAULT; p; p = *p ? p + 1 : NULL) {
    size_t n = 0, file_len = strlen(file);
    for (; *p && *p != ':'; p++) {
      if (n < sizeof(full)) {
        full[n++] = *p;
      }
    }
    if (n + file_len + 2 > sizeof(full)) {
      continue;
    }
    if (n != 0) { /* an empty entry is the working directory */
      full[n++] = '/';
    }
    memcpy(full + n, file, file_len + 1);
    int64_t tried = plan_run(plan, full);
    if (tried != -ABI_ENOENT && tried != -ABI_ENOTDIR && tried != -ABI_EACCES) {
      return tried;
    }
    result = tried == -ABI_EACCES ? tried : result;
  }
  return result;
}

static int64_t spawn_fast(struct plan *plan, const char *file) {
  int64_t result = 0;
  for (const struct fdop *op = plan->first; result >= 0 && op; op = op->prev) {
    result = plan_action(plan, op);
  }
  if (result >= 0) {
    bool search = plan->attr->__fn && !memchr(file, '/', strlen(file));
    result = *file == '\0' ? -ABI_ENOENT : search ? plan_search(plan, file) : plan_run(plan, file);
  }
  while (plan->n_opened > 0) {
    (void)sys_close(plan->opened[--plan->n_opened]);
  }
  return result;
}

/* ---- the long way ------------------------------------------------------------------------- */

static long action_do(const struct fdop *op) {
  long fd;
  switch (op->cmd) {
  case FDOP_CLOSE:
    (void)call_close(op->fd); /* one that is not open is closed enough */
    return 0;
  case FDOP_DUP2:
    return op->srcfd == op->fd ? call_fcntl(op->fd, F_SETFD, 0) : call_dup2(op->srcfd, op->fd);
  case FDOP_OPEN:
    fd = call_open(op->path, op->oflag, op->mode);
    if (fd >= 0 && fd != op->fd) {
      long moved = call_dup2((int)fd, op->fd);
      (void)call_close((int)fd);
      fd = moved;
    }
    return fd;
  case FDOP_CHDIR:
    return call_chdir(op->path);
  default:
    return call_fchdir(op->fd);
  }
}

static long attributes_do(const posix_spawnattr_t *attr) {
  long result = 0;
  if (attr->__flags & POSIX_SPAWN_SETSID) {
    result = call_setsid();
  }
  if (result >= 0 && (attr->__flags & POSIX_SPAWN_SETPGROUP)) {
    result = call_setpgid(0, attr->__pgrp);
  }
  if (result >= 0 && (attr->__flags & POSIX_SPAWN_RESETIDS)) {
    result = call_setregid((unsigned)call_getgid(), (unsigned)call_getgid());
    result = result < 0 ? result : call_setreuid((unsigned)call_getuid(), (unsigned)call_getuid());
  }
  if (result >= 0 && (attr->__flags & (POSIX_SPAWN_SETSCHEDPARAM | POSIX_SPAWN_SETSCHEDULER))) {
    result = -ABI_ENOSYS; /* libc's attributes have no place for them */
  }
  for (int sig = 1; result >= 0 && sig < _NSIG; sig++) {
    if ((attr->__flags & POSIX_SPAWN_SETSIGDEF) && sigismember(&attr->__def, sig)) {
      (void)signal(sig, SIG_DFL); /* KILL and STOP cannot be ignored anyway */
    }
  }
  return result;
}

_Noreturn static void spawn_child(const struct plan *plan, const char *file, int report) {
  long result = attributes_do(plan->attr);
  for (const struct fdop *op = plan->first; result >= 0 && op; op = op->prev) {
    if (op->fd == report) { /* the action wants its number */
      report = (int)call_fcntl(report, F_DUPFD_CLOEXEC, (unsigned long)report + 1);
    }
    result = action_do(op);
  }
  if (result >= 0) {
    if (plan->attr->__flags & POSIX_SPAWN_SETSIGMASK) {
      (void)posix_mask_swap(plan->attr->__mask.__bits[0]);
    }
    int (*run)(const char *, char *const *, char *const *) = plan->attr->__fn ? execvpe : execve;
    run(file, plan->argv, plan->envp);
    result = -errno;
  }
  int error = (int)-result;
  (void)call_write(report, &error, sizeof(error)); /* nobody else could be told */
  _exit(127);
}

static int64_t spawn_slow(const struct plan *plan, const char *file) {
  int fds[2], error = 0;
  long result = call_pipe2(fds, O_CLOEXEC);
  if (result < 0) {
    return result;
  }
  long pid = fork();
  if (pid == 0) {
    spawn_child(plan, file, fds[1]);
  }
  if (pid < 0) {
    pid = -errno;
  }
  (void)call_close(fds[1]);
  if (pid > 0 && call_read(fds[0], &error, sizeof(error)) == (long)sizeof(error)) {
    (void)call_wait4((int)pid, NULL, 0, NULL);
    pid = -error;
  }
  (void)call_close(fds[0]);
  return pid;
}

int posix_spawn(pid_t *restrict child, const char *restrict file,
                const posix_spawn_file_actions_t *fa, const posix_spawnattr_t *restrict attr,
                char *const argv[restrict], char *const envp[restrict]) {
  static const posix_spawnattr_t defaults;
  struct plan plan;
  plan.attr = attr ? attr : &defaults;
  plan.first = actions_first(fa);
  plan.argv = argv;
  plan.envp = envp;
  plan.n_steps = plan.n_opened = 0;
  int64_t pid = plan_is_fast(&plan) ? spawn_fast(&plan, file) : spawn_slow(&plan, file);
  if (pid < 0) {
    return (int)-pid;
  }
  if (child) {
    *child = (pid_t)pid;
  }
  return 0;
}
