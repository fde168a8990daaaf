/* Variables, their scopes, and functions. */
#ifndef SH_VARS_H
#define SH_VARS_H

#include <stdbool.h>

#include "ast.h"

/* Takes over the environment of the process. */
void vars_init(char **environment);

/* NULL when it is not set. Valid until the variable changes. */
const char *vars_get(const char *name);
/* False, after a message, when it is read-only. */
bool vars_set(const char *name, const char *value);
bool vars_unset(const char *name);
void vars_export(const char *name, bool exported);
void vars_set_readonly(const char *name);

/* Calls the body for each variable in order of names; `value` is NULL when it is not set. */
struct var_view {
  const char *name, *value;
  bool exported, readonly;
};
void vars_each(void (*body)(const struct var_view *var));

/* The exported ones as "name=value"; valid until the next call. */
char **vars_environment(void);

/* Scopes: leave restores what vars_localize() saved since the enter. */
void vars_scope_enter(void);
void vars_localize(const char *name);
void vars_scope_leave(void);
bool vars_in_scope(void);

/* Functions; the program holds the body. */
struct function {
  struct function *next;
  char *name;
  const struct node *body;
  struct program *program;
};
struct function *function_find(const char *name);
void function_define(const char *name, const struct node *body, struct program *program);
bool function_remove(const char *name);

/* True for NAME or the NAME of NAME=value up to `end`. */
bool name_is_valid(const char *name, const char *end);

#endif
