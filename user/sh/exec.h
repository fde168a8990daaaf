/* Execution of trees. Every function answers the exit status, which is also in shell.status; when
 * shell.unwind is set, callers return at once. */
#ifndef SH_EXEC_H
#define SH_EXEC_H

#include "ast.h"
#include "launch.h"

enum { EXEC_TAIL = 1 }; /* the process ends with this command: a program may replace the shell */

int exec_node(const struct node *node, unsigned flags);

/* ---- command.c: simple commands ---- */

int command_execute(const struct node *node, unsigned flags);

/* Starts a plain program as a stage of a pipeline. False: it needs a forked shell instead.
 * Otherwise *pid is the process, or 0 when it could not be started and *status says why. */
bool command_spawn_stage(const struct node *node, const struct stage *stage, pid_t *pid,
                         int *status);

/* Runs argv as a builtin or a program, never as a function: for `command`. */
int command_run_plain(int argc, char **argv);

/* Calls a function of the shell. */
struct function;
int function_call(struct function *function, int argc, char **argv);

/* Reports why a program could not be started; answers 126 or 127. */
int command_report(const char *name, int status, int error);

#endif
