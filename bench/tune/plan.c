/* Words of a line, one after the other. */
#include "plan.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies the next word and moves on. False when there is none, or it is too long. */
static bool word_take(const char **text, char word[PLAN_WORD]) {
  *text += strspn(*text, " \t\r\n");
  size_t n = strcspn(*text, " \t\r\n");
  if (n == 0 || n >= PLAN_WORD) {
    return false;
  }
  memcpy(word, *text, n);
  word[n] = '\0';
  *text += n;
  return true;
}

static bool number_parse(const char *text, uint64_t *number) {
  char *end;
  errno = 0;
  *number = strtoull(text, &end, 10);
  return isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0;
}

static const char *setting_parse(char *word, struct plan_line *line) {
  char *equals = strchr(word, '=');
  if (equals == NULL || equals == word) {
    return "a setting is NAME=VALUE";
  }
  *equals = '\0';
  if (line->n_settings == PLAN_SETTINGS) {
    return "too many settings";
  }
  if (plan_value(line, word, 0) != plan_value(line, word, 1)) {
    struct setting *setting = &line->settings[line->n_settings++];
    strcpy(setting->name, word);
    return number_parse(equals + 1, &setting->value) ? NULL : "a value is a decimal number";
  }
  return "a parameter is named twice";
}

static bool rest_is_empty(const char *text) {
  return text[strspn(text, " \t\r\n")] == '\0';
}

const char *plan_parse(const char *text, struct plan_line *line) {
  char word[PLAN_WORD];
  uint64_t repetition;
  *line = (struct plan_line){0};
  if (rest_is_empty(text) || text[strspn(text, " \t")] == '#') {
    return NULL;
  }
  if (!word_take(&text, line->point) || !word_take(&text, line->workload) ||
      !word_take(&text, word) || !number_parse(word, &repetition) || repetition > UINT32_MAX) {
    return "a line is POINT WORKLOAD REPETITION [NAME=VALUE ...]";
  }
  line->repetition = (uint32_t)repetition;
  while (!rest_is_empty(text)) {
    const char *problem = word_take(&text, word) ? setting_parse(word, line) : "a word is too long";
    if (problem != NULL) {
      return problem;
    }
  }
  return NULL;
}

uint64_t plan_value(const struct plan_line *line, const char *name, uint64_t other) {
  for (unsigned i = 0; i < line->n_settings; i++) {
    if (strcmp(line->settings[i].name, name) == 0) {
      return line->settings[i].value;
    }
  }
  return other;
}

void plan_settings_format(const struct plan_line *line, char *text, size_t size) {
  size_t n = (size_t)snprintf(text, size, "%s", line->n_settings == 0 ? "-" : "");
  for (unsigned i = 0; i < line->n_settings && n < size; i++) {
    n += (size_t)snprintf(text + n, size - n, "%s%s=%" PRIu64, i == 0 ? "" : ",",
                          line->settings[i].name, line->settings[i].value);
  }
}
