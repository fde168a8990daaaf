/* The prompt: reads a line from the terminal. */
#ifndef SH_LINEEDIT_H
#define SH_LINEEDIT_H

/* A line with its newline, valid until the next call; NULL at the end of the input. "\n" alone
 * after ^C, with trap_take_interrupt() left to the caller. Where the terminal cannot be put into
 * raw mode its own editing is used. */
const char *lineedit_read(const char *prompt);

#endif
