/* Operations of tty: beyond the common ones, and the third way to set attributes. */
#ifndef CATHODE_RUNTIME_TTY_OPS_H
#define CATHODE_RUNTIME_TTY_OPS_H

#include "abi/abi.h"

enum tty_op {
  OP_TTY_GET_GROUP = OP_USER,     /* answers the foreground process group, 0 for none yet */
  OP_TTY_SET_GROUP = OP_USER + 1, /* arg: the process group that terminal signals go to */
  OP_TTY_FLUSH = OP_USER + 2,     /* discards what was typed and not read */
};

/* The scalar of OP_TERMIOS. */
enum tty_termios_how {
  TTY_TERMIOS_GET = 0,
  TTY_TERMIOS_SET = 1,
  TTY_TERMIOS_SET_FLUSH = 2, /* discards unread input too */
};

#endif
