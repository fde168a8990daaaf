/* Processes: posix_spawn for plain commands, fork for everything that needs the shell. */
#ifndef SH_LAUNCH_H
#define SH_LAUNCH_H

#include <sys/types.h>

#include "ast.h"
#include "redirect.h"

/* Where a stage of a pipeline reads and writes; -1: as the shell does. `close_in_child` is the read
 * end of the next pipe, which a forked stage must not keep. */
struct stage {
  int in, out, close_in_child;
};

/* fork(): flushes output before; the child has no jobs and no traps, and is not interactive.
 * Answers -1 after a message. */
pid_t launch_fork(void);

/* Makes the ends of a stage standard input and output, in a child. */
void launch_stage(const struct stage *stage);

/* Starts a program with the exported variables. Answers its pid, or -1 with errno set. */
pid_t launch_spawn(const char *path, char **argv, const struct redirect_plan *plan,
                   const struct stage *stage);

/* Replaces this process; only returns on failure, with errno set. Scripts without #! are run by
 * this shell. */
void launch_exec(const char *path, char **argv);

/* Waits for a child: its exit status, 128 + n when signal n ended it. */
int launch_wait(pid_t pid);
/* The status of a wait status; a death by a signal is reported, except by INT and PIPE. */
int status_from_wait(int wstatus);

/* Runs the list in a child and collects its output; answers its status. */
int launch_substitution(const struct node *body, struct text *output);

/* Finds a program in $PATH: its path in shell.temp, or NULL with *status 127 or 126 and errno. */
char *launch_find(const char *name, int *status);

#endif
