// test-sources: script.c
/* First lines of scripts. */
#include "runtime/script.h"

#include <string.h>

#include "abi/abi.h"
#include "lib/bits.h"
#include "lib/tap.h"

static const struct {
  const char *text;
  int result;
  const char *interpreter, *argument;
} lines[] = {
    {"", 0, NULL, NULL},
    {"#", 0, NULL, NULL},
    {"echo", 0, NULL, NULL},
    {"#!", -ABI_ENOEXEC, NULL, NULL},
    {"#!\n/bin/sh", -ABI_ENOEXEC, NULL, NULL},
    {"#!  \t \n", -ABI_ENOEXEC, NULL, NULL},
    {"#!/bin/sh\nx", 1, "/bin/sh", NULL},
    {"#!/bin/sh", 1, "/bin/sh", NULL},
    {"#! \t/bin/sh  \nx", 1, "/bin/sh", NULL},
    {"#!/bin/sh -e\nx", 1, "/bin/sh", "-e"},
    {"#!/bin/sh \t -e  -x  \nx", 1, "/bin/sh", "-e  -x"},
    {"#!a b", 1, "a", "b"},
};

static bool text_equal(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool line_right(size_t i) {
  struct script script;
  int result = script_parse(lines[i].text, strlen(lines[i].text), &script);
  return result == lines[i].result &&
         (result != 1 || (text_equal(script.interpreter, lines[i].interpreter) &&
                          text_equal(script.argument, lines[i].argument)));
}

int main(void) {
  static char big[4096];
  struct script script;
  tap_plan(ARRAY_LEN(lines) + 3);
  for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
    tap_ok(line_right(i), "line %zu", i);
  }
  memset(big, 'x', sizeof(big));
  memcpy(big, "#!", 2);
  tap_ok(script_parse(big, sizeof(big), &script) == -ABI_ENOEXEC, "an interpreter that is cut off");
  big[200] = ' ';
  tap_ok(script_parse(big, sizeof(big), &script) == 1 && strlen(script.argument) == 54,
         "an argument that is cut off");
  memset(big + 2, ' ', sizeof(big) - 2);
  tap_ok(script_parse(big, sizeof(big), &script) == -ABI_ENOEXEC, "a line of blanks");
  return tap_done();
}
