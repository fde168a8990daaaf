/* Expansion of words into elements, and of elements into strings: see expand.h. */
#include "expand.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launch.h"
#include "shell.h"
#include "vars.h"

static void add(struct expansion *e, char c, enum element_kind kind) {
  if (e->n == e->room) {
    e->room = 2 * e->room + 64;
    e->element = realloc_or_die(e->element, e->room * sizeof *e->element);
  }
  e->element[e->n++] = (struct element){c, (unsigned char)kind};
}

static void add_string(struct expansion *e, const char *string, enum element_kind kind) {
  while (*string) {
    add(e, *string++, kind);
  }
}

/* The result of a substitution: quoted ones exist even when they are empty. */
static void add_value(struct expansion *e, const char *value, bool quoted) {
  if (quoted) {
    add(e, 0, ELEMENT_NULL);
  }
  add_string(e, value, quoted ? ELEMENT_QUOTED : ELEMENT_SPLIT);
}

/* ---- parameters ---- */

static const char *format_number(long long value) {
  char text[24];
  int n = snprintf(text, sizeof text, "%lld", value);
  return arena_string(&shell.temp, text, (size_t)n);
}

static const char *option_letters(void) {
  static const char letters[OPTION_COUNT + 1] = "aefnuvx";
  char text[OPTION_COUNT + 1];
  size_t n = 0;
  for (int i = 0; i < OPTION_COUNT; i++) {
    if (shell.options[i]) {
      text[n++] = letters[i];
    }
  }
  if (shell.interactive) {
    text[n++] = 'i';
  }
  return arena_string(&shell.temp, text, n);
}

const char *param_value(const char *name) {
  if (*name >= '1' && *name <= '9') {
    int i = atoi(name);
    return i <= shell.params.n ? shell.params.value[i - 1] : NULL;
  }
  switch (*name) {
  case '0':
    return shell.name;
  case '#':
    return format_number(shell.params.n);
  case '?':
    return format_number(shell.status);
  case '$':
    return format_number(shell.pid);
  case '!':
    return shell.last_background ? format_number(shell.last_background) : NULL;
  case '-':
    return option_letters();
  default:
    return vars_get(name);
  }
}

/* $@ and $*: each parameter a field; "$*" and contexts without fields join them. */
static void add_params(struct expansion *e, char which, bool quoted) {
  const char *ifs = vars_get("IFS");
  bool join = quoted && which == '*';
  for (int i = 0; i < shell.params.n; i++) {
    if (i > 0 && !join) {
      add(e, which, ELEMENT_BREAK);
    } else if (i > 0 && (!ifs || *ifs)) {
      add(e, ifs ? *ifs : ' ', ELEMENT_QUOTED);
    }
    add_value(e, shell.params.value[i], quoted);
  }
  if (join && shell.params.n == 0) {
    add(e, 0, ELEMENT_NULL);
  }
}

static bool is_list(const char *name) {
  return (*name == '@' || *name == '*') && !name[1];
}

/* $@ and $* count as set when there are parameters, and as empty when all of them are. */
static bool param_is_present(const struct word_part *part, const char *value) {
  if (is_list(part->text)) {
    return shell.params.n > 0 && !(part->colon && shell.params.n == 1 && !*shell.params.value[0]);
  }
  return value && !(part->colon && !*value);
}

static bool expand_parts(struct expansion *e, const struct word_part *part, bool in_arg);

static bool add_arg(struct expansion *e, const struct word_part *part) {
  return expand_parts(e, part->arg->parts, true);
}

static bool assign_default(struct expansion *e, const struct word_part *part) {
  char *value = expand_string(part->arg);
  if (!value) {
    return false;
  }
  if (!name_is_valid(part->text, part->text + strlen(part->text))) {
    shell_warn("%s: cannot be assigned to", part->text);
    shell_abort(2);
    return false;
  }
  if (!vars_set(part->text, value)) {
    shell_abort(2);
    return false;
  }
  add_value(e, value, part->quoted);
  return true;
}

static bool report_absent(const struct word_part *part) {
  char *message = part->arg ? expand_string(part->arg) : NULL;
  bool custom = message && *message;
  shell_warn("%s: %s", part->text, custom ? message : "parameter not set");
  shell_abort(2);
  return false;
}

/* Answers where the matching prefix ends (or the suffix begins) when it is cut off. */
static size_t match_end(const char *value, const char *pattern, bool longest) {
  size_t length = strlen(value);
  for (size_t i = 0; i <= length; i++) {
    size_t n = longest ? length - i : i;
    char *head = arena_string(&shell.temp, value, n);
    if (fnmatch(pattern, head, 0) == 0) {
      return n;
    }
  }
  return 0;
}

static size_t match_start(const char *value, const char *pattern, bool longest) {
  size_t length = strlen(value);
  for (size_t i = 0; i <= length; i++) {
    size_t at = longest ? i : length - i;
    if (fnmatch(pattern, value + at, 0) == 0) {
      return at;
    }
  }
  return length;
}

static bool add_trimmed(struct expansion *e, const struct word_part *part, const char *value) {
  char *pattern = expand_pattern(part->arg);
  if (!pattern) {
    return false;
  }
  if (part->op == '#') {
    add_value(e, value + match_end(value, pattern, part->longest), part->quoted);
    return true;
  }
  size_t end = match_start(value, pattern, part->longest);
  add_value(e, arena_string(&shell.temp, value, end), part->quoted);
  return true;
}

static bool expand_plain_param(struct expansion *e, const struct word_part *part,
                               const char *value) {
  if (is_list(part->text)) {
    add_params(e, *part->text, part->quoted);
    return true;
  }
  if (!value && shell.options[OPTION_NOUNSET] && part->op != 'l') {
    return report_absent(&(struct word_part){.text = part->text});
  }
  add_value(e, value ? value : "", part->quoted);
  return true;
}

static bool expand_param(struct expansion *e, const struct word_part *part) {
  const char *value = is_list(part->text) ? NULL : param_value(part->text);
  bool present = param_is_present(part, value);
  switch (part->op) {
  case '-':
    return present ? expand_plain_param(e, part, value) : add_arg(e, part);
  case '=':
    return present ? expand_plain_param(e, part, value) : assign_default(e, part);
  case '?':
    return present ? expand_plain_param(e, part, value) : report_absent(part);
  case '+':
    return !present || add_arg(e, part);
  case '#':
  case '%':
    if (!value && shell.options[OPTION_NOUNSET]) {
      return report_absent(&(struct word_part){.text = part->text});
    }
    return add_trimmed(e, part, value ? value : "");
  case 'l':
    if (!value && shell.options[OPTION_NOUNSET] && !is_list(part->text)) {
      return report_absent(&(struct word_part){.text = part->text});
    }
    add_value(e,
              format_number(is_list(part->text) ? shell.params.n
                            : value             ? (long long)strlen(value)
                                                : 0),
              part->quoted);
    return true;
  default:
    return expand_plain_param(e, part, value);
  }
}

/* ---- substitutions ---- */

static bool expand_command(struct expansion *e, const struct word_part *part) {
  struct text output = {0};
  shell.substitution_status = launch_substitution(part->body, &output);
  while (output.n > 0 && output.bytes[output.n - 1] == '\n') {
    output.n--;
  }
  if (part->quoted) {
    add(e, 0, ELEMENT_NULL);
  }
  for (size_t i = 0; i < output.n; i++) {
    if (output.bytes[i]) {
      add(e, output.bytes[i], part->quoted ? ELEMENT_QUOTED : ELEMENT_SPLIT);
    }
  }
  text_free(&output);
  return true;
}

static bool expand_arith(struct expansion *e, const struct word_part *part) {
  long long value;
  char *expression = expand_string(part->arg);
  if (!expression || !arith_evaluate(expression, &value)) {
    shell_abort(2);
    return false;
  }
  add_value(e, format_number(value), part->quoted);
  return true;
}

static bool expand_part(struct expansion *e, const struct word_part *part, bool in_arg) {
  switch (part->kind) {
  case PART_TEXT:
    if (part->quoted) {
      add(e, 0, ELEMENT_NULL);
    }
    add_string(e, part->text,
               part->quoted ? ELEMENT_QUOTED
               : in_arg     ? ELEMENT_SPLIT
                            : ELEMENT_TEXT);
    return true;
  case PART_PARAM:
    return expand_param(e, part);
  case PART_COMMAND:
    return expand_command(e, part);
  default:
    return expand_arith(e, part);
  }
}

static bool expand_parts(struct expansion *e, const struct word_part *part, bool in_arg) {
  for (; part; part = part->next) {
    if (!expand_part(e, part, in_arg)) {
      return false;
    }
  }
  return true;
}

/* ~ and ~/... at the start of a word become $HOME. */
static const struct word_part *expand_tilde(struct expansion *e, const struct word_part *part,
                                            struct word_part *rest) {
  const char *home = vars_get("HOME");
  if (!part || part->kind != PART_TEXT || part->quoted || part->text[0] != '~' || !home ||
      (part->text[1] ? part->text[1] != '/' : part->next != NULL)) {
    return part;
  }
  add_string(e, home, ELEMENT_QUOTED);
  *rest = *part;
  rest->text++;
  return rest;
}

static bool expand_word(struct expansion *e, const struct word *word) {
  struct word_part rest;
  return expand_parts(e, expand_tilde(e, word->parts, &rest), false);
}

/* ---- results ---- */

bool expand_fields(const struct word *words, struct vector *fields) {
  struct expansion e = {0};
  bool good = true;
  for (; words && good; words = words->next) {
    e.n = 0;
    good = expand_word(&e, words);
    if (good) {
      fields_from_expansion(&e, fields);
    }
  }
  free(e.element);
  return good;
}

/* What stands between parameters where there are no fields: $* joins with IFS, $@ with a space. */
static char joint(char which) {
  const char *ifs = vars_get("IFS");
  return which == '*' && ifs && *ifs ? *ifs : ' ';
}

char *expand_string(const struct word *word) {
  struct expansion e = {0};
  char *string = NULL;
  if (expand_word(&e, word)) {
    size_t n = 0;
    string = arena_alloc(&shell.temp, e.n + 1);
    for (size_t i = 0; i < e.n; i++) {
      struct element element = e.element[i];
      if (element.kind != ELEMENT_NULL) {
        string[n++] = element.kind == ELEMENT_BREAK ? joint(element.c) : element.c;
      }
    }
  }
  free(e.element);
  return string;
}

char *expand_pattern(const struct word *word) {
  struct expansion e = {0};
  char *pattern = NULL;
  if (expand_word(&e, word)) {
    size_t n = 0;
    pattern = arena_alloc(&shell.temp, 2 * e.n + 1);
    for (size_t i = 0; i < e.n; i++) {
      struct element element = e.element[i];
      if (element.kind == ELEMENT_QUOTED && strchr("*?[]\\-!^", element.c)) {
        pattern[n++] = '\\';
      }
      if (element.kind != ELEMENT_NULL) {
        pattern[n++] = element.kind == ELEMENT_BREAK ? ' ' : element.c;
      }
    }
  }
  free(e.element);
  return pattern;
}

static bool part_has_effects(const struct word_part *part) {
  if (part->kind == PART_COMMAND || part->kind == PART_ARITH) {
    return true;
  }
  return part->kind == PART_PARAM && (part->op == '=' || part->op == '?' || part->arg);
}

bool expand_has_effects(const struct word *words) {
  for (; words; words = words->next) {
    for (const struct word_part *part = words->parts; part; part = part->next) {
      if (part_has_effects(part)) {
        return true;
      }
    }
  }
  return false;
}
