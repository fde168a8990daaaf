/* What the small programs share. Messages come from <err.h>: "name: what: why" on stderr.
 *
 * Statuses follow the classic tools: 0 fine, 1 something failed (or no match, differs), 2 usage. */
#ifndef BIN_LIB_H
#define BIN_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Prints "usage: TEXT" and exits with 2. */
_Noreturn void usage(const char *text);

/* Flushes stdout: the status to exit with, which is 1 when output was lost. */
int finish(int status);

/* Writes all of it. False with errno set when it could not. */
bool write_all(int fd, const void *bytes, size_t n);

/* Copies from one descriptor to another until the end. `name` is what messages call the source.
 * Answers 0, or 1 after a message. */
int copy_fd(int from, int to, const char *name);

/* Calls body for each named file, or for standard input when none is named or the name is "-".
 * Files that cannot be opened get a message. Answers the largest status. */
typedef int file_body(FILE *file, const char *name);
int for_each_file(char **names, file_body *body);

/* A whole decimal number within limits, or a message and exit 2. */
long long number_arg(const char *text, long long least, long long most);

/* A number with an optional suffix k, M or G (powers of 1024), or a message and exit 2. */
long long size_arg(const char *text);

/* The last component of a path, in place: trailing slashes are cut off. "/" stays. */
char *path_base(char *path);

/* dir + "/" + name, or dir itself with the base of `name`; the caller frees. Exits when out of
 * memory. */
char *path_join(const char *dir, const char *name);

/* True for an existing directory (symbolic links are followed). */
bool is_directory(const char *path);

/* malloc and realloc that exit with a message instead of failing. */
void *alloc_or_die(size_t n);
void *realloc_or_die(void *old, size_t n);

/* The lines of all named files (or standard input), without newlines; the caller owns all of it. */
struct lines {
  char **line;
  size_t n;
};
int lines_read(char **names, struct lines *lines);

/* lib_expr.c: evaluates the words of test(1) without the name and the final "]".
 * 0 true, 1 false, 2 after a message. */
int test_evaluate(const char *name, int n_words, char **words);

/* lib_printf.c: printf(1) and echo(1) on stdout; argv as for main(). Answer the exit status. */
int printf_main(int argc, char **argv);
int echo_main(int argc, char **argv);

/* Writes one character after a backslash at *text (which it advances) and answers it; -1 for \c, -2
 * for no escape at all. `zero_octal`: octal needs a leading 0, as in echo and %b. */
int escape_char(const char **text, bool zero_octal);

/* lib_signal.c: signal names. Number for "9", "KILL" or "SIGKILL", -1 when unknown; and back. */
int signal_number(const char *name);
const char *signal_name(int number);

#endif
