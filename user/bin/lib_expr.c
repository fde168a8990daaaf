/* The expressions of test(1). With up to four words POSIX fixes the meaning by their number, so
 * that operands may look like operators; beyond that a recursive descent reads -o, -a, !, ( ). */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib.h"

enum { TRUE = 0, FALSE = 1, BROKEN = 2 };

struct cursor {
  const char *name; /* of the program, for messages */
  char **word;
  int left;
  bool broken;
};

static int broken(struct cursor *c, const char *word, const char *why) {
  if (!c->broken) {
    warnx("%s: %s: %s", c->name, word, why);
  }
  c->broken = true;
  return BROKEN;
}

static int truth(bool value) {
  return value ? TRUE : FALSE;
}

static int negate(int result) {
  return result == BROKEN ? BROKEN : !result;
}

static bool is_unary(const char *word) {
  return word[0] == '-' && word[1] && !word[2] && strchr("bcdefghkLnprsStuwxz", word[1]);
}

static const char *const binary_ops[] = {"=",   "==",  "!=",  "<",   ">",   "-eq", "-ne", "-lt",
                                         "-le", "-gt", "-ge", "-nt", "-ot", "-ef", NULL};

static bool is_binary(const char *word) {
  for (const char *const *op = binary_ops; *op; op++) {
    if (strcmp(word, *op) == 0) {
      return true;
    }
  }
  return false;
}

static bool mode_test(char op, mode_t mode) {
  switch (op) {
  case 'b':
    return S_ISBLK(mode);
  case 'c':
    return S_ISCHR(mode);
  case 'd':
    return S_ISDIR(mode);
  case 'f':
    return S_ISREG(mode);
  case 'h':
  case 'L':
    return S_ISLNK(mode);
  case 'p':
    return S_ISFIFO(mode);
  case 'S':
    return S_ISSOCK(mode);
  case 'g':
    return mode & S_ISGID;
  case 'k':
    return mode & S_ISVTX;
  case 'u':
    return mode & S_ISUID;
  default:
    return op == 'e';
  }
}

static int unary(struct cursor *c, const char *op, const char *operand) {
  struct stat st;
  switch (op[1]) {
  case 'n':
    return truth(*operand);
  case 'z':
    return truth(!*operand);
  case 't': {
    char *end;
    long fd = strtol(operand, &end, 10);
    return *operand && !*end ? truth(isatty((int)fd)) : broken(c, operand, "not a number");
  }
  case 'r':
    return truth(access(operand, R_OK) == 0);
  case 'w':
    return truth(access(operand, W_OK) == 0);
  case 'x':
    return truth(access(operand, X_OK) == 0);
  case 's':
    return truth(stat(operand, &st) == 0 && st.st_size > 0);
  default: {
    int failed = strchr("hL", op[1]) ? lstat(operand, &st) : stat(operand, &st);
    return truth(!failed && mode_test(op[1], st.st_mode));
  }
  }
}

static long long integer(struct cursor *c, const char *text) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  while (*end == ' ' || *end == '\t') {
    end++;
  }
  if (end == text || *end || errno) {
    broken(c, text, "not a number");
  }
  return value;
}

static int compare_numbers(struct cursor *c, const char *left, const char *op, const char *right) {
  long long a = integer(c, left), b = integer(c, right);
  if (c->broken) {
    return BROKEN;
  }
  switch (op[1] << 8 | op[2]) {
  case 'e' << 8 | 'q':
    return truth(a == b);
  case 'n' << 8 | 'e':
    return truth(a != b);
  case 'l' << 8 | 't':
    return truth(a < b);
  case 'l' << 8 | 'e':
    return truth(a <= b);
  case 'g' << 8 | 't':
    return truth(a > b);
  default:
    return truth(a >= b);
  }
}

static bool newer(const struct stat *a, const struct stat *b) {
  return a->st_mtim.tv_sec != b->st_mtim.tv_sec ? a->st_mtim.tv_sec > b->st_mtim.tv_sec
                                                : a->st_mtim.tv_nsec > b->st_mtim.tv_nsec;
}

/* A file that does not exist is older than any that does, and the same as none. */
static int compare_files(const char *left, char op, const char *right) {
  struct stat a, b;
  bool has_a = stat(left, &a) == 0, has_b = stat(right, &b) == 0;
  if (op == 'e') {
    return truth(has_a && has_b && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
  }
  if (op == 'n') {
    return truth(has_a && (!has_b || newer(&a, &b)));
  }
  return truth(has_b && (!has_a || newer(&b, &a)));
}

static int binary(struct cursor *c, const char *left, const char *op, const char *right) {
  switch (op[0]) {
  case '=':
    return truth(strcmp(left, right) == 0);
  case '!':
    return truth(strcmp(left, right) != 0);
  case '<':
    return truth(strcmp(left, right) < 0);
  case '>':
    return truth(strcmp(left, right) > 0);
  default:
    return strcmp(op, "-nt") == 0 || strcmp(op, "-ot") == 0 || strcmp(op, "-ef") == 0
               ? compare_files(left, op[1], right)
               : compare_numbers(c, left, op, right);
  }
}

static bool at(const struct cursor *c, const char *word) {
  return c->left > 0 && strcmp(*c->word, word) == 0;
}

static char *take(struct cursor *c) {
  c->left--;
  return *c->word++;
}

static int parse_or(struct cursor *c);

static int parse_primary(struct cursor *c) {
  if (c->left == 0) {
    return broken(c, "expression", "argument expected");
  }
  if (c->left >= 3 && is_binary(c->word[1])) {
    char *left = take(c), *op = take(c);
    return binary(c, left, op, take(c));
  }
  if (at(c, "(")) {
    take(c);
    int result = parse_or(c);
    if (!at(c, ")")) {
      return broken(c, "(", "closing parenthesis expected");
    }
    take(c);
    return result;
  }
  if (c->left >= 2 && is_unary(*c->word)) {
    char *op = take(c);
    return unary(c, op, take(c));
  }
  return truth(*take(c));
}

static int parse_not(struct cursor *c) {
  if (c->left > 1 && at(c, "!") && !(c->left >= 3 && is_binary(c->word[1]))) {
    take(c);
    return negate(parse_not(c));
  }
  return parse_primary(c);
}

static int parse_and(struct cursor *c) {
  int result = parse_not(c);
  while (result != BROKEN && at(c, "-a")) {
    take(c);
    int right = parse_not(c);
    result = right == BROKEN ? BROKEN : truth(result == TRUE && right == TRUE);
  }
  return result;
}

static int parse_or(struct cursor *c) {
  int result = parse_and(c);
  while (result != BROKEN && at(c, "-o")) {
    take(c);
    int right = parse_and(c);
    result = right == BROKEN ? BROKEN : truth(result == TRUE || right == TRUE);
  }
  return result;
}

static int parse_all(struct cursor *c) {
  int result = parse_or(c);
  return result != BROKEN && c->left ? broken(c, *c->word, "unexpected operator") : result;
}

/* The meanings that the number of words alone decides; -1: read it as an expression. */
static int by_count(struct cursor *c) {
  char **w = c->word;
  switch (c->left) {
  case 0:
    return FALSE;
  case 1:
    return truth(*w[0]);
  case 2:
    if (strcmp(w[0], "!") == 0) {
      return truth(!*w[1]);
    }
    return is_unary(w[0]) ? unary(c, w[0], w[1]) : -1;
  case 3:
    if (is_binary(w[1])) {
      return binary(c, w[0], w[1], w[2]);
    }
    if (strcmp(w[0], "(") == 0 && strcmp(w[2], ")") == 0) {
      return truth(*w[1]);
    }
    return -1;
  default:
    return -1;
  }
}

int test_evaluate(const char *name, int n_words, char **words) {
  struct cursor c = {.name = name, .word = words, .left = n_words};
  if ((n_words == 3 || n_words == 4) && strcmp(words[0], "!") == 0 &&
      !(n_words == 3 && is_binary(words[1]))) {
    return negate(test_evaluate(name, n_words - 1, words + 1));
  }
  int result = by_count(&c);
  return result >= 0 ? result : parse_all(&c);
}
