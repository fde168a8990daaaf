/* Where commands come from: a string, a file, standard input, or lines typed at a prompt. */
#ifndef SH_INPUT_H
#define SH_INPUT_H

#include <stdbool.h>
#include <stddef.h>

enum { INPUT_END = -1, INPUT_PUSHBACK = 4, INPUT_BLOCK = 512 };

/* Standard input is read a byte at a time, because commands may read what follows. */
struct input {
  const char *text; /* a string, or the line being typed; NULL: read fd */
  size_t at, length;
  int fd;
  bool by_byte;
  bool prompts;   /* lines come from the line editor */
  bool continued; /* the next prompt is PS2 */
  int line;       /* number of the line being read, from 1 */
  int pushed[INPUT_PUSHBACK], n_pushed;
  char block[INPUT_BLOCK];
};

void input_from_string(struct input *in, const char *text, size_t length);
void input_from_fd(struct input *in, int fd, bool by_byte);
void input_from_prompt(struct input *in);

/* The next character (0 to 255) or INPUT_END. At most INPUT_PUSHBACK may be pushed back. */
int input_get(struct input *in);
void input_unget(struct input *in, int c);

/* Forgets the rest of a typed line, after an error. */
void input_discard_line(struct input *in);

#endif
