/* The line discipline: see ldisc.h. */
#include "servers/tty/ldisc.h"

#include <signal.h>

#define CELL_END 0x100u /* a line ends with this byte */
#define CELL_EOF 0x300u /* a line ends here, and there is no byte */
#define DELETE 0x7fu
#define BELL 7u

static bool flag(const struct ldisc *ldisc, tcflag_t local) {
  return (ldisc->attributes.c_lflag & local) != 0;
}

/* Whether `byte` is special character `which`, unless that one is switched off. */
static bool is_special(const struct ldisc *ldisc, uint8_t byte, int which) {
  return byte == ldisc->attributes.c_cc[which] && byte != 0;
}

void ldisc_init(struct ldisc *ldisc) {
  *ldisc = (struct ldisc){
      .attributes = {
          .c_iflag = ICRNL | IXON | IUTF8,
          .c_oflag = OPOST | ONLCR,
          .c_cflag = B38400 | CS8 | CREAD | HUPCL,
          .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
      }};
  cc_t *cc = ldisc->attributes.c_cc;
  cc[VINTR] = 'C' & 31;
  cc[VQUIT] = '\\' & 31;
  cc[VERASE] = DELETE;
  cc[VKILL] = 'U' & 31;
  cc[VEOF] = 'D' & 31;
  cc[VSUSP] = 'Z' & 31;
  cc[VWERASE] = 'W' & 31;
  cc[VREPRINT] = 'R' & 31;
  cc[VMIN] = 1;
}

/* ---- echo --------------------------------------------------------------------------------- */

static void echo_raw(struct ldisc_effects *effects, uint8_t byte) {
  effects->echo[effects->n_echo++] = byte;
}

static bool shown_as_pair(const struct ldisc *ldisc, uint8_t byte) {
  return flag(ldisc, ECHOCTL) && (byte < ' ' || byte == DELETE) && byte != '\t' && byte != '\n';
}

/* Show a byte as output would: control characters as ^X, a newline as it is written. */
static void echo_byte(const struct ldisc *ldisc, struct ldisc_effects *effects, uint8_t byte) {
  if (shown_as_pair(ldisc, byte)) {
    echo_raw(effects, '^');
    echo_raw(effects, byte ^ 0x40);
    return;
  }
  effects->n_echo += ldisc_output(ldisc, &byte, 1, effects->echo + effects->n_echo);
}

static void echo_columns_back(struct ldisc_effects *effects, unsigned n) {
  while (n-- > 0) {
    echo_raw(effects, '\b');
    echo_raw(effects, ' ');
    echo_raw(effects, '\b');
  }
}

/* ---- editing ------------------------------------------------------------------------------ */

static uint8_t last_byte(const struct ldisc *ldisc) {
  return (uint8_t)ldisc->cells[(ldisc->tail - 1) % LDISC_CELLS];
}

static bool is_continuation(const struct ldisc *ldisc, uint8_t byte) {
  return (ldisc->attributes.c_iflag & IUTF8) && (byte & 0xc0) == 0x80;
}

/* Take one character, which may be several bytes, off the line. */
static void character_erase(struct ldisc *ldisc, struct ldisc_effects *effects, bool show) {
  while (ldisc->tail - ldisc->edit > 1 && is_continuation(ldisc, last_byte(ldisc))) {
    ldisc->tail--;
  }
  if (ldisc->tail == ldisc->edit) {
    return;
  }
  uint8_t byte = last_byte(ldisc);
  ldisc->tail--;
  if (show) {
    echo_columns_back(effects, shown_as_pair(ldisc, byte) ? 2 : 1);
  }
}

static void word_erase(struct ldisc *ldisc, struct ldisc_effects *effects) {
  bool show = flag(ldisc, ECHO) && flag(ldisc, ECHOE);
  while (ldisc->tail != ldisc->edit && last_byte(ldisc) == ' ') {
    character_erase(ldisc, effects, show);
  }
  while (ldisc->tail != ldisc->edit && last_byte(ldisc) != ' ') {
    character_erase(ldisc, effects, show);
  }
}

static void line_kill(struct ldisc *ldisc, struct ldisc_effects *effects) {
  bool wipe = flag(ldisc, ECHO) && flag(ldisc, ECHOKE) && flag(ldisc, ECHOE);
  while (ldisc->tail != ldisc->edit) {
    character_erase(ldisc, effects, wipe);
  }
  if (!wipe && flag(ldisc, ECHO) && flag(ldisc, ECHOK)) {
    echo_byte(ldisc, effects, '\n');
  }
}

static void line_reprint(const struct ldisc *ldisc, struct ldisc_effects *effects) {
  echo_byte(ldisc, effects, ldisc->attributes.c_cc[VREPRINT]);
  echo_byte(ldisc, effects, '\n');
  for (uint32_t i = ldisc->edit; i != ldisc->tail; i++) {
    echo_byte(ldisc, effects, (uint8_t)ldisc->cells[i % LDISC_CELLS]);
  }
}

/* ---- input -------------------------------------------------------------------------------- */

/* [T1] One cell is kept free for the end of the line. */
static bool cell_put(struct ldisc *ldisc, uint16_t cell) {
  uint32_t limit = cell & CELL_END ? LDISC_CELLS : LDISC_CELLS - 1;
  if (ldisc->tail - ldisc->head >= limit) {
    return false;
  }
  ldisc->cells[ldisc->tail++ % LDISC_CELLS] = cell;
  return true;
}

static int signal_of(const struct ldisc *ldisc, uint8_t byte) {
  if (!flag(ldisc, ISIG)) {
    return 0;
  }
  if (is_special(ldisc, byte, VINTR)) {
    return SIGINT;
  }
  if (is_special(ldisc, byte, VQUIT)) {
    return SIGQUIT;
  }
  return is_special(ldisc, byte, VSUSP) ? SIGTSTP : 0;
}

static void signal_raise(struct ldisc *ldisc, uint8_t byte, int signal,
                         struct ldisc_effects *effects) {
  effects->signal = signal;
  if (!flag(ldisc, NOFLSH)) {
    ldisc_flush(ldisc);
  }
  if (flag(ldisc, ECHO)) {
    echo_byte(ldisc, effects, byte);
  }
}

/* Editing characters of canonical mode; false when `byte` is none. */
static bool edit_input(struct ldisc *ldisc, uint8_t byte, struct ldisc_effects *effects) {
  if (is_special(ldisc, byte, VERASE)) {
    character_erase(ldisc, effects, flag(ldisc, ECHO) && flag(ldisc, ECHOE));
  } else if (is_special(ldisc, byte, VKILL)) {
    line_kill(ldisc, effects);
  } else if (flag(ldisc, IEXTEN) && is_special(ldisc, byte, VWERASE)) {
    word_erase(ldisc, effects);
  } else if (flag(ldisc, IEXTEN) && is_special(ldisc, byte, VREPRINT)) {
    line_reprint(ldisc, effects);
  } else {
    return false;
  }
  return true;
}

static void canonical_input(struct ldisc *ldisc, uint8_t byte, struct ldisc_effects *effects) {
  if (edit_input(ldisc, byte, effects)) {
    return;
  }
  bool eof = is_special(ldisc, byte, VEOF);
  bool end = eof || byte == '\n' || is_special(ldisc, byte, VEOL);
  uint16_t cell = eof ? CELL_EOF : end ? (byte | CELL_END) : byte;
  if (!cell_put(ldisc, cell)) {
    echo_raw(effects, BELL);
    return;
  }
  if (!eof && (flag(ldisc, ECHO) || (byte == '\n' && flag(ldisc, ECHONL)))) {
    echo_byte(ldisc, effects, byte);
  }
  if (end) {
    ldisc->edit = ldisc->tail; /* [T2] */
  }
}

/* Carriage returns and newlines as the input flags say; false: the byte is to be ignored. */
static bool input_translate(const struct ldisc *ldisc, uint8_t *byte) {
  tcflag_t flags = ldisc->attributes.c_iflag;
  if (*byte == '\r' && (flags & IGNCR)) {
    return false;
  }
  if (*byte == '\r' && (flags & ICRNL)) {
    *byte = '\n';
  } else if (*byte == '\n' && (flags & INLCR)) {
    *byte = '\r';
  }
  return true;
}

void ldisc_input(struct ldisc *ldisc, uint8_t byte, struct ldisc_effects *effects) {
  effects->signal = 0;
  effects->n_echo = 0;
  if (!input_translate(ldisc, &byte)) {
    return;
  }
  int signal = signal_of(ldisc, byte);
  if (signal) {
    signal_raise(ldisc, byte, signal, effects);
  } else if (flag(ldisc, ICANON)) {
    canonical_input(ldisc, byte, effects);
  } else if (cell_put(ldisc, byte)) {
    ldisc->edit = ldisc->tail; /* [T2] */
    if (flag(ldisc, ECHO)) {
      echo_byte(ldisc, effects, byte);
    }
  }
}

/* ---- reading and writing ------------------------------------------------------------------ */

bool ldisc_readable(const struct ldisc *ldisc) {
  uint32_t n = ldisc->edit - ldisc->head;
  return flag(ldisc, ICANON) ? n > 0 : n >= ldisc->attributes.c_cc[VMIN];
}

size_t ldisc_read(struct ldisc *ldisc, uint8_t *to, size_t n) {
  bool canonical = flag(ldisc, ICANON);
  size_t done = 0;
  while (ldisc->head != ldisc->edit) {
    uint16_t cell = ldisc->cells[ldisc->head % LDISC_CELLS];
    bool is_byte = (cell & CELL_EOF) != CELL_EOF;
    if (is_byte && done == n) {
      break;
    }
    ldisc->head++;
    if (is_byte) {
      to[done++] = (uint8_t)cell;
    }
    if (canonical && (cell & CELL_END)) {
      break;
    }
  }
  return done;
}

size_t ldisc_output(const struct ldisc *ldisc, const uint8_t *from, size_t n, uint8_t *to) {
  tcflag_t both = OPOST | ONLCR;
  bool returns = (ldisc->attributes.c_oflag & both) == both;
  size_t done = 0;
  for (size_t i = 0; i < n; i++) {
    if (returns && from[i] == '\n') {
      to[done++] = '\r';
    }
    to[done++] = from[i];
  }
  return done;
}

/* ---- attributes --------------------------------------------------------------------------- */

void ldisc_set(struct ldisc *ldisc, const struct termios *attributes) {
  ldisc->attributes = *attributes;
  if (!flag(ldisc, ICANON)) {
    ldisc->edit = ldisc->tail; /* [T2] */
  }
}

void ldisc_flush(struct ldisc *ldisc) {
  ldisc->head = ldisc->edit = ldisc->tail;
}
