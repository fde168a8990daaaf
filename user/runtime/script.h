/* The first line of a script: `#!interpreter [argument]`. Pure. */
#ifndef CATHODE_RUNTIME_SCRIPT_H
#define CATHODE_RUNTIME_SCRIPT_H

#include <stddef.h>

#define SCRIPT_LINE 256u /* bytes that are looked at, as in Linux */
#define SCRIPT_DEPTH 4u  /* scripts that interpret scripts, before ELOOP */

struct script {
  char line[SCRIPT_LINE];
  const char *interpreter; /* into `line` */
  const char *argument;    /* the rest of the line without blanks around it, or NULL */
};

/* Answers 1 for a script, 0 when the text does not begin with `#!`, -ABI_ENOEXEC when no
 * interpreter is named or its name is cut off by SCRIPT_LINE. */
[[nodiscard]] int script_parse(const char *text, size_t len, struct script *script);

#endif
