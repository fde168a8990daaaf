/* Commands that are part of the shell. */
#ifndef SH_BUILTIN_H
#define SH_BUILTIN_H

#include <stdbool.h>

/* Special builtins are found before functions, keep their assignments, and end a script when they
 * are misused. */
struct builtin {
  const char *name;
  int (*run)(int argc, char **argv);
  bool special;
};

/* NULL when the name is not a builtin. */
const struct builtin *builtin_find(const char *name);

/* A message, and the status 2 of misuse. */
int builtin_usage(const char *name, const char *text);

#define BUILTIN(name) int name(int argc, char **argv)

/* builtin.c: control */
BUILTIN(builtin_colon);
BUILTIN(builtin_false);
BUILTIN(builtin_break);
BUILTIN(builtin_continue);
BUILTIN(builtin_return);
BUILTIN(builtin_exit);
BUILTIN(builtin_eval);
BUILTIN(builtin_dot);
BUILTIN(builtin_exec);
BUILTIN(builtin_command);
BUILTIN(builtin_type);
BUILTIN(builtin_test);
BUILTIN(builtin_echo);
BUILTIN(builtin_printf);

/* builtin_vars.c: variables, parameters, options */
BUILTIN(builtin_set);
BUILTIN(builtin_unset);
BUILTIN(builtin_export);
BUILTIN(builtin_readonly);
BUILTIN(builtin_local);
BUILTIN(builtin_shift);
BUILTIN(builtin_read);
BUILTIN(builtin_getopts);

/* builtin_process.c: the process and others */
BUILTIN(builtin_cd);
BUILTIN(builtin_pwd);
BUILTIN(builtin_umask);
BUILTIN(builtin_wait);
BUILTIN(builtin_jobs);
BUILTIN(builtin_kill);
BUILTIN(builtin_trap);
BUILTIN(builtin_times);

#endif
