/* Redirections in two steps: a plan opens every file (so that errors appear before anything
 * changes), then the plan is applied to this process, or handed to posix_spawn. */
#ifndef SH_REDIRECT_H
#define SH_REDIRECT_H

#include <stdbool.h>
#include <stddef.h>

#include "ast.h"

enum { SHELL_FD = 10 }; /* descriptors of the shell itself lie from here on, close-on-exec */

struct redirect_step {
  int from; /* -1: close `to` */
  int to;
  bool owned; /* the plan opened `from` */
  int saved;  /* what `to` was before apply_saving; -1: closed */
};

struct redirect_plan {
  struct redirect_step *step;
  size_t n;
};

/* False after a message; then there is nothing to release. */
bool redirect_open(struct redirect_plan *plan, const struct redirection *list);

/* For good, in a child or for `exec`. False after a message. */
bool redirect_apply(const struct redirect_plan *plan);

/* For the time of a builtin or a compound command. */
bool redirect_apply_saving(struct redirect_plan *plan);
void redirect_restore(struct redirect_plan *plan);

/* Closes what the plan opened. */
void redirect_release(struct redirect_plan *plan);

/* Moves a descriptor out of the way of the user's, close-on-exec; answers the new one or -1. */
int fd_move_high(int fd);

#endif
