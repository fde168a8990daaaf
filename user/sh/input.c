/* Where commands come from: see input.h. */
#include "input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lineedit.h"
#include "vars.h"

void input_from_string(struct input *in, const char *text, size_t length) {
  *in = (struct input){.text = text, .length = length, .fd = -1, .line = 1};
}

void input_from_fd(struct input *in, int fd, bool by_byte) {
  *in = (struct input){.fd = fd, .by_byte = by_byte, .line = 1};
}

void input_from_prompt(struct input *in) {
  *in = (struct input){.fd = -1, .prompts = true, .line = 1};
}

static bool input_read_block(struct input *in) {
  ssize_t n;
  do {
    n = read(in->fd, in->block, in->by_byte ? 1 : sizeof in->block);
  } while (n < 0 && errno == EINTR);
  in->at = 0;
  in->length = n > 0 ? (size_t)n : 0;
  return n > 0;
}

static bool input_read_line(struct input *in) {
  const char *prompt = vars_get(in->continued ? "PS2" : "PS1");
  in->text = lineedit_read(prompt ? prompt : "");
  in->at = 0;
  in->length = in->text ? strlen(in->text) : 0;
  in->continued = true;
  return in->length > 0;
}

static bool input_fill(struct input *in) {
  if (in->prompts) {
    return input_read_line(in);
  }
  return in->fd >= 0 && input_read_block(in);
}

int input_get(struct input *in) {
  if (in->n_pushed > 0) {
    return in->pushed[--in->n_pushed];
  }
  if (in->at == in->length && !input_fill(in)) {
    return INPUT_END;
  }
  int c = (unsigned char)(in->text ? in->text : in->block)[in->at++];
  in->line += c == '\n';
  return c;
}

void input_unget(struct input *in, int c) {
  in->pushed[in->n_pushed++] = c;
}

void input_discard_line(struct input *in) {
  in->n_pushed = 0;
  in->at = in->length;
}
