/* Reading and writing the files of sys:/sched. */
#include "param.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DIRECTORY "sys:/sched"

enum { PATH_SIZE = sizeof(DIRECTORY) + PLAN_WORD + 1 };

static bool complain(const char *name, const char *why) {
  fprintf(stderr, "tune: %s/%s: %s\n", DIRECTORY, name, why);
  return false;
}

/* A line of the table: name value unit least most. */
static bool row_parse(const char *text, struct param *param) {
  int n = sscanf(text, "%31s %" SCNu64 " %31s %" SCNu64 " %" SCNu64, param->name, &param->initial,
                 param->unit, &param->least, &param->most);
  param->current = param->initial;
  return n == 5;
}

static bool table_read(FILE *file, struct params *params) {
  char text[256];
  while (fgets(text, sizeof(text), file) != NULL) {
    if (params->n == PARAMS_MOST) {
      return complain("", "more parameters than this program can hold");
    }
    if (!row_parse(text, &params->of[params->n++])) {
      return complain("", "a line is not NAME VALUE UNIT LEAST MOST");
    }
  }
  return ferror(file) ? complain("", strerror(errno)) : true;
}

bool param_load(struct params *params) {
  *params = (struct params){0};
  FILE *file = fopen(DIRECTORY, "r");
  if (file == NULL) {
    return errno == ENOENT ? true : complain("", strerror(errno));
  }
  bool good = table_read(file, params);
  fclose(file);
  return good;
}

static const struct param *param_find(const struct params *params, const char *name) {
  for (unsigned i = 0; i < params->n; i++) {
    if (strcmp(params->of[i].name, name) == 0) {
      return &params->of[i];
    }
  }
  return NULL;
}

bool param_check(const struct params *params, const struct plan_line *line) {
  for (unsigned i = 0; i < line->n_settings; i++) {
    const struct setting *setting = &line->settings[i];
    const struct param *param = param_find(params, setting->name);
    if (param == NULL) {
      return complain(setting->name, "this system has no such parameter");
    }
    if (setting->value < param->least || setting->value > param->most) {
      fprintf(stderr, "tune: %s=%" PRIu64 ": not within %" PRIu64 " to %" PRIu64 "\n",
              setting->name, setting->value, param->least, param->most);
      return false;
    }
  }
  return true;
}

static bool value_write(const char *path, uint64_t value) {
  FILE *file = fopen(path, "w");
  if (file == NULL) {
    return false;
  }
  bool good = fprintf(file, "%" PRIu64, value) > 0;
  return fclose(file) == 0 && good;
}

static bool value_read(const char *path, uint64_t *value) {
  FILE *file = fopen(path, "r");
  if (file == NULL) {
    return false;
  }
  bool good = fscanf(file, "%" SCNu64, value) == 1;
  fclose(file);
  return good;
}

static bool param_set(struct param *param, uint64_t value) {
  char path[PATH_SIZE];
  uint64_t seen;
  if (param->current == value) {
    return true;
  }
  snprintf(path, sizeof(path), "%s/%s", DIRECTORY, param->name);
  if (!value_write(path, value) || !value_read(path, &seen)) {
    return complain(param->name, strerror(errno));
  }
  param->current = seen;
  return seen == value ? true : complain(param->name, "does not hold what was written");
}

bool param_apply(struct params *params, const struct plan_line *line) {
  bool good = true;
  for (unsigned i = 0; i < params->n; i++) {
    struct param *param = &params->of[i];
    good = param_set(param, plan_value(line, param->name, param->initial)) && good;
  }
  return good;
}

bool param_restore(struct params *params) {
  return param_apply(params, &(struct plan_line){0});
}
