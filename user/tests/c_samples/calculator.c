/* Reads expressions from standard input and prints their values: a recursive descent on doubles. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *at;
static const char *error;

static double expression(void);

static void skip(void) {
  while (isspace((unsigned char)*at)) {
    at++;
  }
}

static double primary(void) {
  skip();
  if (*at == '(') {
    at++;
    double value = expression();
    skip();
    if (*at++ != ')') {
      error = "missing )";
      at = "";
    }
    return value;
  }
  if (*at == '-') {
    at++;
    return -primary();
  }
  if (strncmp(at, "sqrt", 4) == 0) {
    at += 4;
    return sqrt(primary());
  }
  char *end;
  double value = strtod(at, &end);
  if (end == at) {
    error = "number expected";
  }
  at = end;
  return value;
}

static double power(void) {
  double base = primary();
  skip();
  if (*at == '^') {
    at++;
    return pow(base, power());
  }
  return base;
}

static double term(void) {
  double value = power();
  for (;;) {
    skip();
    if (*at == '*') {
      at++;
      value *= power();
    } else if (*at == '/') {
      at++;
      value /= power();
    } else {
      return value;
    }
  }
}

static double expression(void) {
  double value = term();
  for (;;) {
    skip();
    if (*at == '+') {
      at++;
      value += term();
    } else if (*at == '-') {
      at++;
      value -= term();
    } else {
      return value;
    }
  }
}

int main(void) {
  char line[256];
  int errors = 0;
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = '\0';
    at = line;
    error = NULL;
    double value = expression();
    skip();
    if (!error && *at) {
      error = "end of line expected";
    }
    if (error) {
      printf("%s: error: %s\n", line, error);
      errors++;
    } else {
      printf("%s = %.10g\n", line, value);
    }
  }
  return errors;
}
