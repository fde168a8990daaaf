/* The kernel's command line, see bootargs.h.
 *
 * A word is a slice of the line; nothing is copied but the value of a string argument. */
#include "base/bootargs.h"

#include "lib/bits.h"
#include "lib/fmt.h"
#include "lib/string.h"

#define REPORT_MAX 160 /* bytes of a reported line; what is longer is cut */
#define SHOWN_MAX 48   /* characters of a refused word that are shown */

struct slice {
  const char *text;
  size_t len;
};

static bool slice_is(struct slice s, const char *text) {
  return strlen(text) == s.len && memcmp(s.text, text, s.len) == 0;
}

/* The slice up to `end`, which is taken off *rest together with `end`. */
static struct slice slice_until(struct slice *rest, char end) {
  const char *at = memchr(rest->text, end, rest->len);
  size_t len = at ? (size_t)(at - rest->text) : rest->len;
  struct slice head = {rest->text, len};
  size_t skip = len + (at ? 1 : 0);
  rest->text += skip;
  rest->len -= skip;
  return head;
}

__attribute__((format(printf, 2, 3))) static void bootargs_say(const struct bootargs *args,
                                                               const char *format, ...) {
  char line[REPORT_MAX];
  va_list list;
  va_start(list, format);
  fmt_vsnprintf(line, sizeof(line), format, list);
  va_end(list);
  args->report(args->ctx, line);
}

static bool value_set_u64(const struct bootarg *arg, struct slice value) {
  uint64_t n;
  if (!fmt_parse_u64(value.text, value.len, &n) || n < arg->least || n > arg->most) {
    return false;
  }
  *(uint64_t *)arg->value = n;
  return true;
}

/* The position of a word among words separated by |, false when it is not among them. */
static bool choice_find(const char *choices, struct slice word, uint32_t *position) {
  struct slice rest = {choices, strlen(choices)};
  for (uint32_t i = 0; rest.len > 0; i++) {
    struct slice choice = slice_until(&rest, '|');
    if (choice.len == word.len && memcmp(choice.text, word.text, word.len) == 0) {
      *position = i;
      return true;
    }
  }
  return false;
}

static bool value_set_bool(const struct bootarg *arg, struct slice value) {
  uint32_t position;
  if (!choice_find("0|1|off|on|no|yes|false|true", value, &position)) {
    return false;
  }
  *(bool *)arg->value = position & 1;
  return true;
}

static bool value_set_string(const struct bootarg *arg, struct slice value) {
  char *text = arg->value;
  if (value.len >= arg->most) {
    return false;
  }
  memcpy(text, value.text, value.len);
  text[value.len] = '\0';
  return true;
}

static bool value_set(const struct bootarg *arg, struct slice value) {
  switch (arg->kind) {
  case BOOTARG_U64:
    return value_set_u64(arg, value);
  case BOOTARG_BOOL:
    return value_set_bool(arg, value);
  case BOOTARG_ENUM:
    return choice_find(arg->choices, value, arg->value);
  case BOOTARG_STRING:
    return value_set_string(arg, value);
  }
  return false;
}

static void bootarg_describe(const struct bootargs *args, const struct bootarg *arg) {
  switch (arg->kind) {
  case BOOTARG_U64:
    bootargs_say(args, "  %s=%lu..%lu: %s", arg->name, arg->least, arg->most, arg->help);
    break;
  case BOOTARG_BOOL:
    bootargs_say(args, "  %s=on|off: %s", arg->name, arg->help);
    break;
  case BOOTARG_ENUM:
    bootargs_say(args, "  %s=%s: %s", arg->name, arg->choices, arg->help);
    break;
  case BOOTARG_STRING:
    bootargs_say(args, "  %s=TEXT (at most %lu characters): %s", arg->name, arg->most - 1,
                 arg->help);
    break;
  }
}

void bootargs_list(const struct bootargs *args) {
  for (size_t i = 0; i < args->n; i++) {
    bootarg_describe(args, &args->table[i]);
  }
}

static const struct bootarg *bootargs_find(const struct bootargs *args, struct slice name) {
  for (size_t i = 0; i < args->n; i++) {
    if (slice_is(name, args->table[i].name)) {
      return &args->table[i];
    }
  }
  return NULL;
}

/* Sets one argument. False, after a report, when the word is refused. */
static bool bootargs_apply(const struct bootargs *args, struct slice word) {
  struct slice value = word;
  struct slice name = slice_until(&value, '=');
  int shown = (int)MIN(word.len, (size_t)SHOWN_MAX);
  const struct bootarg *arg = bootargs_find(args, name);
  if (!arg) {
    bootargs_say(args, "\"%.*s\": no such name", shown, word.text);
    return false;
  }
  if (name.len == word.len && arg->kind == BOOTARG_BOOL) {
    value = (struct slice){"1", 1};
  }
  if (!value_set(arg, value)) {
    bootargs_say(args, "\"%.*s\": not a valid value; it takes", shown, word.text);
    bootarg_describe(args, arg);
    return false;
  }
  return true;
}

const char *bootargs_parse(const struct bootargs *args, const char *line, unsigned *n_bad) {
  struct slice rest = {line, strlen(line)};
  *n_bad = 0;
  while (rest.len > 0) {
    struct slice word = slice_until(&rest, ' ');
    if (slice_is(word, "--")) {
      break;
    }
    if (word.len > 0 && !bootargs_apply(args, word)) {
      ++*n_bad;
    }
  }
  if (*n_bad > 0) {
    bootargs_say(args, "valid boot arguments:");
    bootargs_list(args);
  }
  return rest.text;
}
