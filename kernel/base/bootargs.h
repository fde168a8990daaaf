/* The kernel's command line: `name=value name=value ... -- command for init`.
 *
 * Words are separated by spaces. A table says which names exist, what they take and where the value
 * goes. Nothing on the line can do harm: what is unknown or malformed is reported, with the valid
 * arguments, and skipped; the variable keeps its value. The last of several equal names wins. */
#ifndef CATHODE_BASE_BOOTARGS_H
#define CATHODE_BASE_BOOTARGS_H

#include <stddef.h>
#include <stdint.h>

enum bootarg_kind {
  BOOTARG_U64,    /* value: uint64_t, in [least, most]; decimal or 0x */
  BOOTARG_BOOL,   /* value: bool; 1 on yes true, 0 off no false; the bare name means 1 */
  BOOTARG_ENUM,   /* value: uint32_t, the position of the word in choices ("auto|on|off") */
  BOOTARG_STRING, /* value: char[most], NUL-terminated */
};

struct bootarg {
  const char *name;
  enum bootarg_kind kind;
  void *value;
  uint64_t least, most;
  const char *choices; /* BOOTARG_ENUM only */
  const char *help;    /* what it does, in a few words */
};

struct bootargs {
  const struct bootarg *table;
  size_t n;
  void (*report)(void *ctx, const char *line); /* one line of text, no newline */
  void *ctx;
};

/* Sets what the line says. Answers the command: the text behind the first word `--` and one space,
 * a part of `line`; "" when there is none. *n_bad counts the words that were refused. */
const char *bootargs_parse(const struct bootargs *args, const char *line, unsigned *n_bad);

/* Reports every argument of the table: its name, what it takes, what it does. */
void bootargs_list(const struct bootargs *args);

#endif
