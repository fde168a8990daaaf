/* Fields: splitting an expansion by IFS, then file name generation. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "expand.h"
#include "shell.h"
#include "vars.h"

/* The field under construction: plain, and as a pattern in which what is quoted is escaped. */
struct field {
  struct text plain, pattern;
  bool exists, has_bracket, has_magic; /* a [ is magic only with a ] after it */
};

static void field_add(struct field *field, struct element e) {
  field->exists = true;
  if (e.kind == ELEMENT_NULL) {
    return;
  }
  bool active = e.kind != ELEMENT_QUOTED && strchr("*?[", e.c);
  field->has_bracket |= active && e.c == '[';
  field->has_magic |= (active && e.c != '[') || (field->has_bracket && e.c == ']');
  if (!active && strchr("*?[]\\-!", e.c) && (e.kind == ELEMENT_QUOTED || e.c == '\\')) {
    text_add(&field->pattern, '\\');
  }
  text_add(&field->pattern, e.c);
  text_add(&field->plain, e.c);
}

static bool field_glob(struct field *field, struct vector *fields) {
  glob_t found;
  if (glob(text_string(&field->pattern), 0, NULL, &found) != 0) {
    return false;
  }
  for (size_t i = 0; i < found.gl_pathc; i++) {
    vector_add(fields, arena_string(&shell.temp, found.gl_pathv[i], strlen(found.gl_pathv[i])));
  }
  globfree(&found);
  return true;
}

static void field_end(struct field *field, struct vector *fields) {
  bool magic = field->has_magic && !shell.options[OPTION_NOGLOB];
  if (field->exists && !(magic && field_glob(field, fields))) {
    vector_add(fields, arena_string(&shell.temp, field->plain.bytes, field->plain.n));
  }
  field->plain.n = field->pattern.n = 0;
  field->exists = field->has_bracket = field->has_magic = false;
}

/* One character that IFS holds. White space around another separator belongs to it. */
static void field_separate(struct field *field, char c, bool *after_blank, struct vector *fields) {
  bool blank = strchr(" \t\n", c);
  if (field->exists) {
    field_end(field, fields);
    *after_blank = blank;
  } else if (!blank && *after_blank) {
    *after_blank = false;
  } else if (!blank) {
    field->exists = true;
    field_end(field, fields);
  }
}

void fields_from_expansion(const struct expansion *e, struct vector *fields) {
  const char *ifs = vars_get("IFS");
  struct field field = {0};
  bool after_blank = false;
  ifs = ifs ? ifs : " \t\n";
  for (size_t i = 0; i < e->n; i++) {
    struct element element = e->element[i];
    if (element.kind == ELEMENT_BREAK) {
      field_end(&field, fields);
    } else if (element.kind == ELEMENT_SPLIT && strchr(ifs, element.c)) {
      field_separate(&field, element.c, &after_blank, fields);
    } else {
      field_add(&field, element);
      after_blank = false;
    }
  }
  field_end(&field, fields);
  text_free(&field.plain);
  text_free(&field.pattern);
}
