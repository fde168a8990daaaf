/* Line editing on a terminal in raw mode: cursor keys, Home, End, Delete, ^A ^E ^B ^F ^K ^U ^W ^L,
 * and a history of the last lines. One line of the screen is enough: the text scrolls sideways in
 * it. The escape sequences are those of every ANSI terminal. */
#include "lineedit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "memory.h"
#include "shell.h"

enum { HISTORY = 100, CTRL_MASK = 0x1f };
enum key {
  KEY_END_OF_INPUT = -1,
  KEY_UP = 256,
  KEY_DOWN,
  KEY_RIGHT,
  KEY_LEFT,
  KEY_HOME,
  KEY_END,
  KEY_DELETE,
  KEY_NONE
};

struct editor {
  struct text text;
  size_t cursor;
  const char *prompt;
  int history_at; /* entries back from the newest; 0: the line being typed */
};

static char *history[HISTORY]; /* a ring; n_history counts all lines ever added */
static unsigned n_history;
static struct text line; /* what lineedit_read() answers */

static int control(char c) {
  return c & CTRL_MASK;
}

static int read_byte(void) {
  unsigned char c;
  ssize_t n;
  do {
    n = read(0, &c, 1);
  } while (n < 0 && errno == EINTR);
  return n == 1 ? c : KEY_END_OF_INPUT;
}

/* ESC [ A and so on; ESC [ 3 ~ is Delete. */
static int read_escape(void) {
  int c = read_byte();
  if (c != '[' && c != 'O') {
    return KEY_NONE;
  }
  c = read_byte();
  if (c >= '0' && c <= '9') {
    int number = c, end = read_byte();
    while (end >= '0' && end <= ';') {
      end = read_byte();
    }
    return number == '3'   ? KEY_DELETE
           : number == '1' ? KEY_HOME
           : number == '4' ? KEY_END
                           : KEY_NONE;
  }
  switch (c) {
  case 'A':
    return KEY_UP;
  case 'B':
    return KEY_DOWN;
  case 'C':
    return KEY_RIGHT;
  case 'D':
    return KEY_LEFT;
  case 'H':
    return KEY_HOME;
  case 'F':
    return KEY_END;
  default:
    return KEY_NONE;
  }
}

static int read_key(void) {
  int c = read_byte();
  return c == 27 ? read_escape() : c;
}

/* ---- the screen ---- */

static size_t screen_width(void) {
  struct winsize size;
  return ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col > 10 ? size.ws_col : 80;
}

/* Draws the prompt and the part of the text around the cursor. */
static void redraw(struct editor *e) {
  size_t prompt = strlen(e->prompt), width = screen_width();
  size_t room = width > prompt + 2 ? width - prompt - 1 : 1;
  size_t from = e->cursor >= room ? e->cursor - room + 1 : 0;
  size_t n = e->text.n - from < room ? e->text.n - from : room;
  struct text out = {0};
  char move[32];
  text_add(&out, '\r');
  text_add_bytes(&out, e->prompt, prompt);
  text_add_bytes(&out, e->text.bytes + from, n);
  int length = snprintf(move, sizeof move, "\033[K\r\033[%zuC", prompt + e->cursor - from);
  text_add_bytes(&out, move, (size_t)length);
  if (prompt + e->cursor == from) { /* "0 columns" would mean one */
    text_add(&out, '\r');
  }
  write_all(1, out.bytes, out.n);
  text_free(&out);
}

/* ---- changes ---- */

static void insert(struct editor *e, char c) {
  text_add(&e->text, c);
  memmove(e->text.bytes + e->cursor + 1, e->text.bytes + e->cursor, e->text.n - e->cursor - 1);
  e->text.bytes[e->cursor++] = c;
}

static void erase(struct editor *e, size_t from, size_t to) {
  memmove(e->text.bytes + from, e->text.bytes + to, e->text.n - to);
  e->text.n -= to - from;
  e->cursor = from;
}

static void erase_word(struct editor *e) {
  size_t from = e->cursor;
  while (from > 0 && e->text.bytes[from - 1] == ' ') {
    from--;
  }
  while (from > 0 && e->text.bytes[from - 1] != ' ') {
    from--;
  }
  erase(e, from, e->cursor);
}

static void history_add(const struct text *text) {
  if (text->n == 0) {
    return;
  }
  char **slot = &history[n_history++ % HISTORY];
  free(*slot);
  *slot = strndup(text->bytes, text->n);
}

static void history_show(struct editor *e, int at) {
  int known = n_history < HISTORY ? (int)n_history : HISTORY;
  if (at < 0 || at > known) {
    return;
  }
  const char *text = at ? history[(n_history - (unsigned)at) % HISTORY] : "";
  e->history_at = at;
  e->text.n = 0;
  text_add_bytes(&e->text, text, strlen(text));
  e->cursor = e->text.n;
}

static void move_or_erase(struct editor *e, int key) {
  if (key == KEY_LEFT || key == control('B')) {
    e->cursor -= e->cursor > 0;
  } else if (key == KEY_RIGHT || key == control('F')) {
    e->cursor += e->cursor < e->text.n;
  } else if (key == KEY_HOME || key == control('A')) {
    e->cursor = 0;
  } else if (key == KEY_END || key == control('E')) {
    e->cursor = e->text.n;
  } else if (key == KEY_UP || key == control('P')) {
    history_show(e, e->history_at + 1);
  } else if (key == KEY_DOWN || key == control('N')) {
    history_show(e, e->history_at - 1);
  } else if ((key == 127 || key == control('H')) && e->cursor > 0) {
    erase(e, e->cursor - 1, e->cursor);
  } else if ((key == KEY_DELETE || key == control('D')) && e->cursor < e->text.n) {
    erase(e, e->cursor, e->cursor + 1);
  } else if (key == control('K')) {
    erase(e, e->cursor, e->text.n);
  } else if (key == control('U')) {
    erase(e, 0, e->cursor);
  } else if (key == control('W')) {
    erase_word(e);
  } else if (key == control('L')) {
    write_all(1, "\033[H\033[2J", 7);
  }
}

/* Inserts a character. True when it could be drawn by itself, as at the end of a line that fits. */
static bool type(struct editor *e, char c) {
  bool simple = e->cursor == e->text.n && strlen(e->prompt) + e->text.n + 2 < screen_width();
  insert(e, c);
  if (simple) {
    write_all(1, &c, 1);
  }
  return simple;
}

/* False at the end of the input. */
static bool edit(struct editor *e) {
  for (bool drawn = false;;) {
    if (!drawn) {
      redraw(e);
    }
    int key = read_key();
    drawn = false;
    if (key == KEY_END_OF_INPUT || (key == control('D') && e->text.n == 0)) {
      return false;
    }
    if (key == '\r' || key == '\n') {
      return true;
    }
    if (key == control('C')) {
      e->text.n = 0;
      return true;
    }
    if (key >= ' ' && key < 256 && key != 127) {
      drawn = type(e, (char)key);
    } else {
      move_or_erase(e, key);
    }
  }
}

/* ---- reading ---- */

static const char *read_raw(const char *prompt, const struct termios *cooked) {
  struct termios raw = *cooked;
  struct editor e = {.prompt = prompt};
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
  raw.c_iflag &= ~(tcflag_t)(ICRNL | IXON);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  if (tcsetattr(0, TCSADRAIN, &raw) != 0) {
    return NULL;
  }
  text_string(&e.text); /* so that bytes is never NULL */
  bool more = edit(&e);
  tcsetattr(0, TCSADRAIN, cooked);
  write_all(1, "\n", 1);
  history_add(&e.text);
  line.n = 0;
  text_add_bytes(&line, e.text.bytes, e.text.n);
  text_add(&line, '\n');
  text_free(&e.text);
  return more ? text_string(&line) : "";
}

/* A line as the terminal delivers it. */
static const char *read_cooked(const char *prompt) {
  char c;
  ssize_t n;
  fputs(prompt, stderr);
  line.n = 0;
  while ((n = read(0, &c, 1)) == 1) {
    text_add(&line, c);
    if (c == '\n') {
      return text_string(&line);
    }
  }
  if (n < 0 && errno == EINTR) {
    line.n = 0;
    text_add(&line, '\n');
  }
  return line.n ? text_string(&line) : NULL;
}

const char *lineedit_read(const char *prompt) {
  struct termios cooked;
  fflush(stdout);
  if (tcgetattr(0, &cooked) == 0) {
    const char *text = read_raw(prompt, &cooked);
    if (text) {
      return *text ? text : NULL;
    }
  }
  return read_cooked(prompt);
}
