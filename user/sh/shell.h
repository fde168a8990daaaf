/* The state of the shell, of which a process has one, and what all its parts use. */
#ifndef SH_SHELL_H
#define SH_SHELL_H

#include <stdbool.h>
#include <sys/types.h>

#include "../bin/lib.h"
#include "ast.h"

enum option {
  OPTION_ALLEXPORT,
  OPTION_ERREXIT,
  OPTION_NOGLOB,
  OPTION_NOEXEC,
  OPTION_NOUNSET,
  OPTION_VERBOSE,
  OPTION_XTRACE,
  OPTION_COUNT
};

/* Why execution unwinds: each construct stops at once until the one that is meant is reached. */
enum unwind {
  UNWIND_NONE,
  UNWIND_BREAK,
  UNWIND_CONTINUE,
  UNWIND_RETURN,
  UNWIND_ABORT,
  UNWIND_EXIT
};

/* $1 and so on. The strings lie in `memory`, or for a function in the arguments of its call. */
struct params {
  int n;
  char **value;
  struct arena memory;
};

struct shell {
  const char *name;        /* $0, and the name in messages */
  const char *path;        /* of this program, to run scripts without #! */
  pid_t pid;               /* $$: not changed by subshells */
  int status;              /* $? */
  int substitution_status; /* of the last command substitution in the current command, or -1 */
  pid_t last_background;   /* $!, 0 for none */
  struct params params;
  bool options[OPTION_COUNT];
  bool interactive;
  enum unwind unwind;
  int unwind_levels; /* BREAK, CONTINUE: loops still to leave */
  int loop_depth, function_depth;
  int tested;              /* > 0: a failure here is looked at, so that -e does not apply */
  struct program *program; /* being executed; owns every tree reachable now */
  struct arena temp;       /* strings of the commands being executed */
};
extern struct shell shell;

/* "name: message" on stderr. */
__attribute__((format(printf, 1, 2))) void shell_warn(const char *format, ...);

/* Replaces $1 and so on by copies. */
void params_set(int n, char **value);

/* An error that ends a script, but only the current command at a prompt. Answers the status. */
int shell_abort(int status);

/* Executes all commands of a source; answers the last status. */
struct input;
int shell_run(struct input *in);

/* Runs the EXIT trap and ends the process. */
_Noreturn void shell_exit(int status);

#endif
