/* Builtins for variables, positional parameters and options. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "parser.h"
#include "shell.h"
#include "vars.h"

/* 'value' such that the shell reads it back. */
static void print_quoted(const char *value) {
  putchar('\'');
  for (; *value; value++) {
    if (*value == '\'') {
      fputs("'\\''", stdout);
    } else {
      putchar(*value);
    }
  }
  putchar('\'');
}

/* ---- set ---- */

static const struct {
  char letter;
  const char *name;
} option_names[OPTION_COUNT] = {
    [OPTION_ALLEXPORT] = {'a', "allexport"}, [OPTION_ERREXIT] = {'e', "errexit"},
    [OPTION_NOGLOB] = {'f', "noglob"},       [OPTION_NOEXEC] = {'n', "noexec"},
    [OPTION_NOUNSET] = {'u', "nounset"},     [OPTION_VERBOSE] = {'v', "verbose"},
    [OPTION_XTRACE] = {'x', "xtrace"}};

static bool option_set(char letter, bool on) {
  for (int i = 0; i < OPTION_COUNT; i++) {
    if (option_names[i].letter == letter) {
      shell.options[i] = on;
      return true;
    }
  }
  shell_warn("set: -%c: unknown option", letter);
  return false;
}

static bool option_set_named(const char *name, bool on) {
  for (int i = 0; name && i < OPTION_COUNT; i++) {
    if (strcmp(option_names[i].name, name) == 0) {
      shell.options[i] = on;
      return true;
    }
  }
  shell_warn("set: -o %s: unknown option", name ? name : "");
  return false;
}

static void print_options(void) {
  for (int i = 0; i < OPTION_COUNT; i++) {
    printf("%-15s %s\n", option_names[i].name, shell.options[i] ? "on" : "off");
  }
}

static void print_set(const struct var_view *var) {
  if (var->value) {
    printf("%s=", var->name);
    print_quoted(var->value);
    putchar('\n');
  }
}

/* One word of options, "-eu" or "-o NAME"; answers the words used, 0 after a message. */
static int read_options(char **words) {
  bool on = words[0][0] == '-';
  for (const char *letter = words[0] + 1; *letter; letter++) {
    if (*letter != 'o') {
      if (!option_set(*letter, on)) {
        return 0;
      }
    } else if (!words[1]) {
      print_options();
    } else {
      return option_set_named(words[1], on) ? 2 : 0;
    }
  }
  return 1;
}

int builtin_set(int argc, char **argv) {
  if (argc == 1) {
    vars_each(print_set);
    return 0;
  }
  int i = 1;
  bool explicit = false;
  while (i < argc && !explicit && (argv[i][0] == '-' || argv[i][0] == '+') && argv[i][1]) {
    explicit = strcmp(argv[i], "--") == 0;
    int used = explicit ? 1 : read_options(argv + i);
    if (!used) {
      return shell_abort(2);
    }
    i += used;
  }
  if (explicit || i < argc) {
    params_set(argc - i, argv + i);
  }
  return 0;
}

/* ---- names ---- */

int builtin_unset(int argc, char **argv) {
  bool functions = argc > 1 && strcmp(argv[1], "-f") == 0;
  int first = argc > 1 && (functions || strcmp(argv[1], "-v") == 0) ? 2 : 1;
  for (int i = first; i < argc; i++) {
    if (functions) {
      function_remove(argv[i]);
    } else if (!vars_unset(argv[i])) {
      return shell_abort(2);
    }
  }
  return 0;
}

static void print_exported(const struct var_view *var) {
  if (var->exported) {
    printf("export %s", var->name);
    if (var->value) {
      putchar('=');
      print_quoted(var->value);
    }
    putchar('\n');
  }
}

static void print_readonly(const struct var_view *var) {
  if (var->readonly) {
    printf("readonly %s", var->name);
    if (var->value) {
      putchar('=');
      print_quoted(var->value);
    }
    putchar('\n');
  }
}

static void mark_exported(const char *name) {
  vars_export(name, true);
}

/* NAME or NAME=value: `before` sees the name first, `after` when the value is set. */
static int declare(char *word, void (*before)(const char *), void (*after)(const char *)) {
  char *equals = strchr(word, '=');
  char *end = equals ? equals : word + strlen(word);
  if (!name_is_valid(word, end)) {
    shell_warn("%s: bad variable name", word);
    return shell_abort(2);
  }
  char *name = strndup(word, (size_t)(end - word));
  int status = 0;
  if (before) {
    before(name);
  }
  if (equals && !vars_set(name, equals + 1)) {
    status = shell_abort(2);
  } else if (after) {
    after(name);
  }
  free(name);
  return status;
}

static int declare_all(int argc, char **argv, void (*before)(const char *),
                       void (*after)(const char *), void (*print)(const struct var_view *)) {
  int first = argc > 1 && strcmp(argv[1], "-p") == 0 ? 2 : 1;
  int status = 0;
  if (first == argc && print) {
    vars_each(print);
  }
  for (int i = first; i < argc && status == 0; i++) {
    status = declare(argv[i], before, after);
  }
  return status;
}

int builtin_export(int argc, char **argv) {
  return declare_all(argc, argv, NULL, mark_exported, print_exported);
}

int builtin_readonly(int argc, char **argv) {
  return declare_all(argc, argv, NULL, vars_set_readonly, print_readonly);
}

int builtin_local(int argc, char **argv) {
  if (shell.function_depth == 0) {
    shell_warn("local: not in a function");
    return shell_abort(2);
  }
  return declare_all(argc, argv, vars_localize, NULL, NULL);
}

int builtin_shift(int argc, char **argv) {
  int n = 1;
  if (argc > 1) {
    char *end;
    n = (int)strtol(argv[1], &end, 10);
    n = *end || !*argv[1] ? -1 : n;
  }
  if (n < 0 || n > shell.params.n) {
    shell_warn("shift: can't shift that many");
    return shell_abort(2);
  }
  shell.params.value += n;
  shell.params.n -= n;
  return 0;
}

/* ---- read ---- */

/* One line into text; *escaped marks bytes after a backslash. Answers 1 at the end of the input. A
 * byte at a time: what follows the line is for the next reader. */
static int read_line(bool raw, struct text *text, struct text *escaped) {
  char c;
  while (read(0, &c, 1) == 1) {
    bool quoted = false;
    if (c == '\\' && !raw) {
      if (read(0, &c, 1) != 1) {
        return 1;
      }
      if (c == '\n') {
        continue;
      }
      quoted = true;
    }
    if (c == '\n' && !quoted) {
      return 0;
    }
    text_add(text, c);
    text_add(escaped, quoted);
  }
  return 1;
}

struct read_cursor {
  struct text *text, *escaped;
  size_t at;
  const char *ifs;
};

static bool is_ifs(const struct read_cursor *c, size_t i, bool blank) {
  char byte = c->text->bytes[i];
  return byte && !c->escaped->bytes[i] && strchr(c->ifs, byte) &&
         (strchr(" \t\n", byte) != NULL) == blank;
}

static void skip_blanks(struct read_cursor *c) {
  while (c->at < c->text->n && is_ifs(c, c->at, true)) {
    c->at++;
  }
}

static bool assign_range(const char *name, const struct read_cursor *c, size_t start, size_t end) {
  char *value = strndup(c->text->bytes ? c->text->bytes + start : "", end - start);
  bool good = vars_set(name, value);
  free(value);
  return good;
}

static bool read_field(const char *name, struct read_cursor *c) {
  size_t start = c->at;
  while (c->at < c->text->n && !is_ifs(c, c->at, true) && !is_ifs(c, c->at, false)) {
    c->at++;
  }
  bool good = assign_range(name, c, start, c->at);
  skip_blanks(c);
  if (c->at < c->text->n && is_ifs(c, c->at, false)) {
    c->at++;
    skip_blanks(c);
  }
  return good;
}

/* The last name takes the rest, without blanks at its end; a lone separator there goes as well. */
static bool read_rest(const char *name, struct read_cursor *c) {
  size_t end = c->text->n, probe = c->at;
  while (end > c->at && is_ifs(c, end - 1, true)) {
    end--;
  }
  while (probe < end && !is_ifs(c, probe, true) && !is_ifs(c, probe, false)) {
    probe++;
  }
  bool lone = end > c->at && probe == end - 1 && is_ifs(c, end - 1, false);
  return assign_range(name, c, c->at, lone ? end - 1 : end);
}

static int assign_fields(int n, char **names, struct text *text, struct text *escaped) {
  const char *ifs = vars_get("IFS");
  char *copy = string_copy(ifs ? ifs : " \t\n");
  struct read_cursor c = {.text = text, .escaped = escaped, .ifs = copy};
  bool good = true;
  skip_blanks(&c);
  for (int i = 0; i < n && good; i++) {
    good = i + 1 < n ? read_field(names[i], &c) : read_rest(names[i], &c);
  }
  free(copy);
  return good ? 0 : 2;
}

int builtin_read(int argc, char **argv) {
  bool raw = false;
  int i = 1;
  for (; i < argc && argv[i][0] == '-'; i++) {
    if (strcmp(argv[i], "-r") == 0) {
      raw = true;
    } else if (strcmp(argv[i], "-p") == 0 && i + 1 < argc) {
      fputs(argv[++i], stderr);
    } else {
      return builtin_usage("read", "[-r] [-p PROMPT] NAME...");
    }
  }
  for (int j = i; j < argc; j++) {
    if (!name_is_valid(argv[j], argv[j] + strlen(argv[j]))) {
      shell_warn("read: %s: bad variable name", argv[j]);
      return 2;
    }
  }
  if (i == argc) {
    return builtin_usage("read", "[-r] [-p PROMPT] NAME...");
  }
  struct text text = {0}, escaped = {0};
  int status = read_line(raw, &text, &escaped);
  int assigned = assign_fields(argc - i, argv + i, &text, &escaped);
  text_free(&text);
  text_free(&escaped);
  return assigned ? assigned : status;
}

/* ---- getopts ---- */

static int getopts_position; /* within a word of several letters; 0: at the start of a word */

static void set_number(const char *name, int value) {
  char text[16];
  snprintf(text, sizeof text, "%d", value);
  vars_set(name, text);
}

static int getopts_bad(const char *var, const char *options, char letter, bool no_argument) {
  char text[2] = {letter, '\0'};
  if (*options == ':') {
    vars_set("OPTARG", text);
    vars_set(var, no_argument ? ":" : "?");
  } else {
    shell_warn(no_argument ? "No arg for -%c option" : "Illegal option -%c", letter);
    vars_unset("OPTARG");
    vars_set(var, "?");
  }
  return 0;
}

int builtin_getopts(int argc, char **argv) {
  if (argc < 3) {
    return builtin_usage("getopts", "OPTIONS NAME [WORD...]");
  }
  const char *options = argv[1], *optind_text = vars_get("OPTIND");
  char **words = argc > 3 ? argv + 3 : shell.params.value;
  int n = argc > 3 ? argc - 3 : shell.params.n, at = optind_text ? atoi(optind_text) : 1;
  const char *word = at >= 1 && at <= n ? words[at - 1] : NULL;
  int position = getopts_position ? getopts_position : 1;
  if (!word || (position == 1 && (word[0] != '-' || !word[1] || strcmp(word, "--") == 0))) {
    set_number("OPTIND", word && strcmp(word, "--") == 0 ? at + 1 : at);
    vars_set(argv[2], "?");
    getopts_position = 0;
    return 1;
  }
  char text[2] = {word[position], '\0'};
  const char *known = text[0] == ':' ? NULL : strchr(options, text[0]);
  bool ends = !word[position + 1];
  getopts_position = ends ? 0 : position + 1;
  set_number("OPTIND", ends ? at + 1 : at);
  if (!known) {
    return getopts_bad(argv[2], options, text[0], false);
  }
  if (known[1] != ':') {
    vars_unset("OPTARG");
  } else {
    getopts_position = 0;
    set_number("OPTIND", ends ? at + 2 : at + 1);
    if (ends && at >= n) {
      set_number("OPTIND", at + 1);
      return getopts_bad(argv[2], options, text[0], true);
    }
    vars_set("OPTARG", ends ? words[at] : word + position + 1);
  }
  vars_set(argv[2], text);
  return 0;
}
