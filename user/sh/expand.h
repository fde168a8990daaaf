/* From words to strings: parameters, substitutions, arithmetic, field splitting, file names.
 *
 * Results lie in shell.temp. On an error (an unset parameter under -u, bad arithmetic, ...) a
 * message has been printed, shell_abort() called, and the answer is false or NULL. */
#ifndef SH_EXPAND_H
#define SH_EXPAND_H

#include <stdbool.h>

#include "ast.h"

/* All words to fields: what arguments of commands and the list of `for` are made of. */
bool expand_fields(const struct word *words, struct vector *fields);

/* One string: no splitting, no file names. */
char *expand_string(const struct word *word);

/* One pattern for fnmatch(): what was quoted is escaped. */
char *expand_pattern(const struct word *word);

/* True when expanding may change the shell itself or needs another process: ${x=y}, $((...)),
 * $(...). */
bool expand_has_effects(const struct word *words);

/* $name as a string in shell.temp, or NULL when it is not set. Not for @ and *. */
const char *param_value(const char *name);

/* ---- between expand.c and field.c ---- */

enum element_kind {
  ELEMENT_TEXT, /* from the word itself, not quoted: may be part of a file name pattern */
  ELEMENT_QUOTED,
  ELEMENT_SPLIT, /* from an expansion, not quoted: may separate fields as well */
  ELEMENT_NULL,  /* no character, but a field exists here: "" */
  ELEMENT_BREAK, /* a field ends here: between the parameters of "$@" */
};

struct element {
  char c;
  unsigned char kind;
};

/* What a word expands to, before splitting. */
struct expansion {
  struct element *element;
  size_t n, room;
};

/* Splits by IFS, generates file names, appends the fields. */
void fields_from_expansion(const struct expansion *e, struct vector *fields);

/* arith.c: evaluates; false after a message. */
bool arith_evaluate(const char *expression, long long *value);

#endif
