/* See script.h. What Linux does with odd lines, it does too: one argument with blanks inside, an
 * argument that is cut at the end of the buffer, but never a cut interpreter. */
#include "runtime/script.h"

#include <stdbool.h>

#include "abi/abi.h"
#include "lib/string.h"

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

/* Length of the line in `text`, without the newline and blanks at its end. */
static size_t line_length(const char *text, size_t len, bool *whole) {
  size_t n = 0;
  while (n < len && text[n] != '\n' && text[n] != '\0') {
    n++;
  }
  *whole = n < len || len < SCRIPT_LINE;
  while (n > 0 && is_blank(text[n - 1])) {
    n--;
  }
  return n;
}

int script_parse(const char *text, size_t len, struct script *script) {
  bool whole;
  if (len < 2 || text[0] != '#' || text[1] != '!') {
    return 0;
  }
  size_t n = line_length(text, len < SCRIPT_LINE ? len : SCRIPT_LINE, &whole);
  n = n < SCRIPT_LINE ? n : SCRIPT_LINE - 1;
  memcpy(script->line, text, n);
  script->line[n] = '\0';
  char *p = script->line + 2;
  while (is_blank(*p)) {
    p++;
  }
  script->interpreter = p;
  script->argument = NULL;
  while (*p && !is_blank(*p)) {
    p++;
  }
  if (p == script->interpreter || (*p == '\0' && !whole)) {
    return -ABI_ENOEXEC;
  }
  if (*p) {
    *p++ = '\0';
    while (is_blank(*p)) {
      p++;
    }
    script->argument = p;
  }
  return 1;
}
