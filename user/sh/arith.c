/* Arithmetic expansion: the integer expressions of C with assignment, on long long, by precedence
 * climbing. Names are variables; unset and empty ones are 0. Overflow wraps. Operands that C would
 * not evaluate are parsed with `dry` > 0: they cause neither assignments nor division by zero. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expand.h"
#include "parser.h"
#include "shell.h"
#include "vars.h"

struct arith {
  const char *at;
  int dry;
  int depth;
  bool failed;
};

enum { DEPTH_MAX = 200 };

static long long parse_assignment(struct arith *a);

static long long fail(struct arith *a, const char *why) {
  if (!a->failed) {
    shell_warn("arithmetic: %s near \"%.20s\"", why, a->at);
  }
  a->failed = true;
  a->at = "";
  return 0;
}

static void skip_space(struct arith *a) {
  while (isspace((unsigned char)*a->at)) {
    a->at++;
  }
}

/* Operators by precedence, lowest first; a longer one stands before its own prefix. */
enum operator{
  OP_OR_OR,
  OP_AND_AND,
  OP_OR,
  OP_XOR,
  OP_AND,
  OP_EQ,
  OP_NE,
  OP_LE,
  OP_GE,
  OP_SHL,
  OP_SHR,
  OP_LT,
  OP_GT,
  OP_ADD,
  OP_SUB,
  OP_MUL,
  OP_DIV,
  OP_MOD,
  OP_NONE
};

static const struct {
  const char *text;
  int level;
} operators[] = {
    [OP_OR_OR] = {"||", 1}, [OP_AND_AND] = {"&&", 2}, [OP_OR] = {"|", 3},   [OP_XOR] = {"^", 4},
    [OP_AND] = {"&", 5},    [OP_EQ] = {"==", 6},      [OP_NE] = {"!=", 6},  [OP_LE] = {"<=", 7},
    [OP_GE] = {">=", 7},    [OP_SHL] = {"<<", 8},     [OP_SHR] = {">>", 8}, [OP_LT] = {"<", 7},
    [OP_GT] = {">", 7},     [OP_ADD] = {"+", 9},      [OP_SUB] = {"-", 9},  [OP_MUL] = {"*", 10},
    [OP_DIV] = {"/", 10},   [OP_MOD] = {"%", 10}};

/* The binary operator at the cursor; `assigns` when "=" follows it, as in +=. */
static enum operator peek_operator(struct arith *a, bool *assigns) {
  skip_space(a);
  for (int op = 0; op < OP_NONE; op++) {
    size_t n = strlen(operators[op].text);
    if (strncmp(a->at, operators[op].text, n) == 0) {
      int level = operators[op].level;
      *assigns = a->at[n] == '=' && level != 1 && level != 2 && level != 6 && level != 7;
      return (enum operator)op;
    }
  }
  *assigns = false;
  return OP_NONE;
}

static long long divide(struct arith *a, enum operator op, long long left, long long right) {
  if (right == 0) {
    return a->dry ? 0 : fail(a, "division by zero");
  }
  if (right == -1) { /* the only quotient that can overflow */
    return op == OP_DIV ? (long long)-(unsigned long long)left : 0;
  }
  return op == OP_DIV ? left / right : left % right;
}

static long long apply(struct arith *a, enum operator op, long long left, long long right) {
  unsigned long long x = (unsigned long long)left, y = (unsigned long long)right;
  switch (op) {
  case OP_OR_OR:
    return left || right;
  case OP_AND_AND:
    return left && right;
  case OP_OR:
    return left | right;
  case OP_XOR:
    return left ^ right;
  case OP_AND:
    return left & right;
  case OP_EQ:
    return left == right;
  case OP_NE:
    return left != right;
  case OP_LE:
    return left <= right;
  case OP_GE:
    return left >= right;
  case OP_LT:
    return left < right;
  case OP_GT:
    return left > right;
  case OP_SHL:
    return (long long)(x << (y & 63));
  case OP_SHR:
    return left >> (y & 63);
  case OP_ADD:
    return (long long)(x + y);
  case OP_SUB:
    return (long long)(x - y);
  case OP_MUL:
    return (long long)(x * y);
  default:
    return divide(a, op, left, right);
  }
}

static char *parse_name(struct arith *a) {
  const char *start = a->at;
  while (is_name_char((unsigned char)*a->at)) {
    a->at++;
  }
  return arena_string(&shell.temp, start, (size_t)(a->at - start));
}

static long long parse_number(struct arith *a) {
  char *end;
  long long value = (long long)strtoull(a->at, &end, 0);
  if (is_name_char((unsigned char)*end)) {
    return fail(a, "bad number");
  }
  a->at = end;
  return value;
}

/* The value of a variable is itself an integer constant, with an optional sign. */
static long long variable_value(struct arith *a, const char *name) {
  const char *text = vars_get(name);
  char *end;
  if (!text && shell.options[OPTION_NOUNSET] && !a->dry) {
    return fail(a, "parameter not set");
  }
  long long value = strtoll(text ? text : "", &end, 0);
  if (text && *end) {
    a->at = text;
    return fail(a, "not a number");
  }
  return value;
}

static long long assign(struct arith *a, const char *name, long long value) {
  char text[24];
  snprintf(text, sizeof text, "%lld", value);
  if (!a->dry && !a->failed && !vars_set(name, text)) {
    a->failed = true;
  }
  return value;
}

/* A name: its value, or an assignment to it. */
static long long parse_variable(struct arith *a) {
  char *name = parse_name(a);
  bool assigns;
  enum operator op = peek_operator(a, &assigns);
  if (op != OP_NONE && assigns) {
    a->at += strlen(operators[op].text) + 1;
    long long left = variable_value(a, name), right = parse_assignment(a);
    return assign(a, name, a->failed ? 0 : apply(a, op, left, right));
  }
  if (a->at[0] == '=' && a->at[1] != '=') {
    a->at++;
    return assign(a, name, parse_assignment(a));
  }
  return variable_value(a, name);
}

static long long parse_primary(struct arith *a) {
  skip_space(a);
  char c = *a->at;
  if (c == '(') {
    a->at++;
    long long value = parse_assignment(a);
    skip_space(a);
    if (*a->at != ')') {
      return fail(a, "missing )");
    }
    a->at++;
    return value;
  }
  if (isdigit((unsigned char)c)) {
    return parse_number(a);
  }
  return is_name_start((unsigned char)c) ? parse_variable(a) : fail(a, "operand expected");
}

static long long parse_unary(struct arith *a) {
  skip_space(a);
  char c = *a->at;
  if (!c || !strchr("+-!~", c)) {
    return parse_primary(a);
  }
  if (++a->depth > DEPTH_MAX) {
    return fail(a, "nested too deeply");
  }
  a->at++;
  long long value = parse_unary(a);
  a->depth--;
  return c == '-'   ? (long long)-(unsigned long long)value
         : c == '!' ? !value
         : c == '~' ? ~value
                    : value;
}

static long long parse_binary(struct arith *a, int level) {
  long long left = parse_unary(a);
  for (;;) {
    bool assigns;
    enum operator op = peek_operator(a, &assigns);
    if (op == OP_NONE || assigns || operators[op].level < level || a->failed) {
      return left;
    }
    a->at += strlen(operators[op].text);
    bool skips = (op == OP_OR_OR && left) || (op == OP_AND_AND && !left);
    a->dry += skips;
    long long right = parse_binary(a, operators[op].level + 1);
    a->dry -= skips;
    left = apply(a, op, left, right);
  }
}

static long long parse_conditional(struct arith *a) {
  long long test = parse_binary(a, 1);
  skip_space(a);
  if (*a->at != '?') {
    return test;
  }
  a->at++;
  a->dry += !test;
  long long yes = parse_assignment(a);
  a->dry -= !test;
  skip_space(a);
  if (*a->at != ':') {
    return fail(a, "missing :");
  }
  a->at++;
  a->dry += !!test;
  long long no = parse_conditional(a);
  a->dry -= !!test;
  return test ? yes : no;
}

static long long parse_assignment(struct arith *a) {
  if (++a->depth > DEPTH_MAX) {
    return fail(a, "nested too deeply");
  }
  long long value = parse_conditional(a);
  a->depth--;
  return value;
}

bool arith_evaluate(const char *expression, long long *value) {
  struct arith a = {.at = expression};
  skip_space(&a);
  *value = *a.at ? parse_assignment(&a) : 0;
  skip_space(&a);
  if (*a.at && !a.failed) {
    fail(&a, "operator expected");
  }
  return !a.failed;
}
