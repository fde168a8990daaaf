/* The line discipline of a terminal: from typed bytes to lines, echo and signals. A pure core.
 *
 * Input is one queue of cells, cut in two:
 *
 *     head ......... edit ......... tail
 *      may be read    the line that is being typed: erase and kill work here
 *
 *   [T1] head <= edit <= tail <= head + LDISC_CELLS (free running).
 *   [T2] In canonical mode cells pass `edit` a whole line at a time; otherwise at once.
 * Attributes are termios of POSIX (chapter 11). Of input flags: IGNCR ICRNL INLCR IXON (accepted,
 * no flow control), IUTF8; local: ISIG ICANON ECHO ECHOE ECHOK ECHOKE ECHOCTL ECHONL NOFLSH IEXTEN
 * (word erase, reprint); output: OPOST ONLCR. Limits: no timed reads (VTIME counts as 0), tabs
 * erase as one column. */
#ifndef CATHODE_TTY_LDISC_H
#define CATHODE_TTY_LDISC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

#define LDISC_CELLS 4096u
#define LDISC_ECHO_MAX (6u * LDISC_CELLS + 64u) /* bytes that one typed byte can echo at most */

struct ldisc {
  struct termios attributes;
  uint16_t cells[LDISC_CELLS]; /* a byte, and CELL_* */
  uint32_t head, edit, tail;
};

/* What a typed byte brings about, beside becoming input. */
struct ldisc_effects {
  int signal; /* 0: none */
  size_t n_echo;
  uint8_t echo[LDISC_ECHO_MAX];
};

/* Attributes as a fresh Linux terminal has them; no input. */
void ldisc_init(struct ldisc *ldisc);

void ldisc_input(struct ldisc *ldisc, uint8_t byte, struct ldisc_effects *effects);

/* Whether ldisc_read() has an answer, which may be the end of file. */
bool ldisc_readable(const struct ldisc *ldisc);

/* Bytes read, at most one line in canonical mode; 0: end of file. */
size_t ldisc_read(struct ldisc *ldisc, uint8_t *to, size_t n);

/* Output as it goes to the screen: at most 2 n bytes at `to`; answers how many. */
size_t ldisc_output(const struct ldisc *ldisc, const uint8_t *from, size_t n, uint8_t *to);

void ldisc_set(struct ldisc *ldisc, const struct termios *attributes);
void ldisc_flush(struct ldisc *ldisc);

#endif
