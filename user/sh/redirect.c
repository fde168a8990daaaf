/* Redirections: see redirect.h. */
#define _GNU_SOURCE
#include "redirect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expand.h"
#include "shell.h"
#include "vars.h"

int fd_move_high(int fd) {
  if (fd < 0 || fd >= SHELL_FD) {
    return fd;
  }
  int high = fcntl(fd, F_DUPFD_CLOEXEC, SHELL_FD);
  int error = errno;
  close(fd);
  errno = error;
  return high;
}

static int open_flags(enum redir_kind kind) {
  switch (kind) {
  case REDIR_READ:
    return O_RDONLY;
  case REDIR_WRITE:
    return O_WRONLY | O_CREAT | O_TRUNC;
  case REDIR_APPEND:
    return O_WRONLY | O_CREAT | O_APPEND;
  default:
    return O_RDWR | O_CREAT;
  }
}

static bool open_file(struct redirect_step *step, enum redir_kind kind, const char *path) {
  step->from = fd_move_high(open(path, open_flags(kind) | O_CLOEXEC, 0666));
  step->owned = step->from >= 0;
  if (step->from < 0) {
    shell_warn("cannot %s %s: %s", kind == REDIR_READ ? "open" : "create", path, strerror(errno));
  }
  return step->owned;
}

/* A here-document lies in a file without a name, so that any length works without a process. */
static bool open_text(struct redirect_step *step, const char *text) {
  const char *dir = vars_get("TMPDIR");
  char path[256];
  snprintf(path, sizeof path, "%s/sh.XXXXXX", dir && strlen(dir) < 200 ? dir : "/tmp");
  int fd = mkostemp(path, O_CLOEXEC);
  if (fd < 0) {
    shell_warn("cannot create %s: %s", path, strerror(errno));
    return false;
  }
  unlink(path);
  if (!write_all(fd, text, strlen(text)) || lseek(fd, 0, SEEK_SET) != 0) {
    shell_warn("cannot write %s: %s", path, strerror(errno));
    close(fd);
    return false;
  }
  step->from = fd_move_high(fd);
  step->owned = step->from >= 0;
  return step->owned;
}

static bool open_duplicate(struct redirect_step *step, const char *word) {
  if (strcmp(word, "-") == 0) {
    step->from = -1;
    return true;
  }
  if (!*word || strspn(word, "0123456789") != strlen(word) || strlen(word) > 6) {
    shell_warn("%s: bad descriptor number", word);
    return false;
  }
  step->from = atoi(word);
  return true;
}

static bool open_one(struct redirect_step *step, const struct redirection *r) {
  char *word = expand_string(r->word);
  if (!word) {
    return false;
  }
  *step = (struct redirect_step){.from = -1, .to = r->fd, .saved = -1};
  switch (r->kind) {
  case REDIR_DUP:
    return open_duplicate(step, word);
  case REDIR_TEXT:
    return open_text(step, word);
  default:
    return open_file(step, r->kind, word);
  }
}

bool redirect_open(struct redirect_plan *plan, const struct redirection *list) {
  size_t n = 0;
  for (const struct redirection *r = list; r; r = r->next) {
    n++;
  }
  *plan = (struct redirect_plan){.step = arena_alloc(&shell.temp, n * sizeof *plan->step)};
  for (; list; list = list->next) {
    if (!open_one(&plan->step[plan->n], list)) {
      redirect_release(plan);
      return false;
    }
    plan->n++;
  }
  return true;
}

static bool apply_step(const struct redirect_step *step) {
  if (step->from < 0) {
    close(step->to); /* closing what is not open is no error */
    return true;
  }
  if (step->from == step->to) {
    int flags = fcntl(step->from, F_GETFD);
    if (flags >= 0) {
      return fcntl(step->from, F_SETFD, flags & ~FD_CLOEXEC) == 0;
    }
  } else if (dup2(step->from, step->to) >= 0) {
    return true;
  }
  shell_warn("%d: %s", step->from, strerror(errno));
  return false;
}

bool redirect_apply(const struct redirect_plan *plan) {
  for (size_t i = 0; i < plan->n; i++) {
    if (!apply_step(&plan->step[i])) {
      return false;
    }
  }
  return true;
}

bool redirect_apply_saving(struct redirect_plan *plan) {
  for (size_t i = 0; i < plan->n; i++) {
    struct redirect_step *step = &plan->step[i];
    step->saved = fcntl(step->to, F_DUPFD_CLOEXEC, SHELL_FD);
    if (!apply_step(step)) {
      close(step->saved);
      for (size_t j = i; j < plan->n; j++) { /* nothing to restore, only what was opened to close */
        if (plan->step[j].owned) {
          close(plan->step[j].from);
        }
      }
      plan->n = i;
      redirect_restore(plan);
      return false;
    }
  }
  return true;
}

void redirect_restore(struct redirect_plan *plan) {
  for (size_t i = plan->n; i-- > 0;) {
    struct redirect_step *step = &plan->step[i];
    if (step->saved >= 0) {
      dup2(step->saved, step->to);
      close(step->saved);
    } else {
      close(step->to);
    }
  }
  redirect_release(plan);
}

void redirect_release(struct redirect_plan *plan) {
  for (size_t i = 0; i < plan->n; i++) {
    if (plan->step[i].owned) {
      close(plan->step[i].from);
    }
  }
  plan->n = 0;
}
