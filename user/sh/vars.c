/* Variables, their scopes, and functions: see vars.h. A hash table with chains; scopes are a stack
 * of saved copies. */
#include "vars.h"

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bin/lib.h"
#include "parser.h"
#include "shell.h"

enum { BUCKETS = 128 };

struct var {
  struct var *next;
  char *name;
  char *value; /* NULL: named (exported, say), but not set */
  bool exported, readonly;
};

struct saved_var {
  struct saved_var *below;
  char *name; /* NULL: where a scope begins */
  char *value;
  bool exported;
};

static struct var *buckets[BUCKETS];
static struct saved_var *scopes;
static struct function *functions;

static uint32_t hash_name(const char *name) {
  uint32_t hash = 2166136261u; /* FNV-1a */
  for (; *name; name++) {
    hash = (hash ^ (unsigned char)*name) * 16777619u;
  }
  return hash % BUCKETS;
}

static struct var *var_find(const char *name) {
  struct var *var = buckets[hash_name(name)];
  while (var && strcmp(var->name, name) != 0) {
    var = var->next;
  }
  return var;
}

static struct var *var_make(const char *name) {
  struct var *var = var_find(name);
  if (!var) {
    struct var **bucket = &buckets[hash_name(name)];
    var = alloc_or_die(sizeof *var);
    *var = (struct var){.next = *bucket, .name = string_copy(name)};
    *bucket = var;
  }
  return var;
}

bool name_is_valid(const char *name, const char *end) {
  if (name == end || !is_name_start((unsigned char)*name)) {
    return false;
  }
  while (name < end && is_name_char((unsigned char)*name)) {
    name++;
  }
  return name == end;
}

void vars_init(char **environment) {
  for (; *environment; environment++) {
    const char *equals = strchr(*environment, '=');
    if (equals && name_is_valid(*environment, equals)) {
      char *name = strndup(*environment, (size_t)(equals - *environment));
      vars_set(name, equals + 1);
      vars_export(name, true);
      free(name);
    }
  }
}

const char *vars_get(const char *name) {
  struct var *var = var_find(name);
  return var ? var->value : NULL;
}

static bool var_is_writable(const struct var *var) {
  if (var->readonly) {
    shell_warn("%s: is read only", var->name);
  }
  return !var->readonly;
}

bool vars_set(const char *name, const char *value) {
  struct var *var = var_make(name);
  if (!var_is_writable(var)) {
    return false;
  }
  char *old = var->value;
  var->value = string_copy(value); /* before the free: value may be the old one */
  var->exported |= shell.options[OPTION_ALLEXPORT];
  free(old);
  return true;
}

bool vars_unset(const char *name) {
  struct var *var = var_find(name);
  if (!var) {
    return true;
  }
  if (!var_is_writable(var)) {
    return false;
  }
  free(var->value);
  var->value = NULL;
  var->exported = false;
  return true;
}

void vars_export(const char *name, bool exported) {
  var_make(name)->exported = exported;
}

void vars_set_readonly(const char *name) {
  var_make(name)->readonly = true;
}

static int by_name(const void *a, const void *b) {
  const struct var *const *left = a, *const *right = b;
  return strcmp((*left)->name, (*right)->name);
}

static struct var **vars_sorted(size_t *n) {
  struct vector all = {0};
  for (int i = 0; i < BUCKETS; i++) {
    for (struct var *var = buckets[i]; var; var = var->next) {
      vector_add(&all, (char *)var);
    }
  }
  *n = all.n;
  vector_end(&all);
  qsort(all.item, all.n, sizeof *all.item, by_name);
  return (struct var **)(void *)all.item;
}

void vars_each(void (*body)(const struct var_view *var)) {
  size_t n;
  struct var **all = vars_sorted(&n);
  for (size_t i = 0; i < n; i++) {
    struct var *var = all[i];
    body(&(struct var_view){var->name, var->value, var->exported, var->readonly});
  }
  free(all);
}

char **vars_environment(void) {
  static struct vector environment;
  static struct arena strings;
  environment.n = 0;
  arena_free(&strings);
  for (int i = 0; i < BUCKETS; i++) {
    for (struct var *var = buckets[i]; var; var = var->next) {
      if (var->exported && var->value) {
        size_t size = strlen(var->name) + strlen(var->value) + 2;
        char *entry = arena_alloc(&strings, size);
        snprintf(entry, size, "%s=%s", var->name, var->value);
        vector_add(&environment, entry);
      }
    }
  }
  return vector_end(&environment);
}

/* ---- scopes ---- */

static void scope_push(const char *name, const struct var *var) {
  struct saved_var *saved = alloc_or_die(sizeof *saved);
  *saved = (struct saved_var){.below = scopes};
  if (name) {
    saved->name = string_copy(name);
    saved->value = var && var->value ? string_copy(var->value) : NULL;
    saved->exported = var && var->exported;
  }
  scopes = saved;
}

void vars_scope_enter(void) {
  scope_push(NULL, NULL);
}

void vars_localize(const char *name) {
  scope_push(name, var_find(name));
}

bool vars_in_scope(void) {
  return scopes != NULL;
}

static void scope_restore(const struct saved_var *saved) {
  struct var *var = var_make(saved->name);
  free(var->value);
  var->value = saved->value;
  var->exported = saved->exported;
  free(saved->name);
}

void vars_scope_leave(void) {
  bool at_start = false;
  while (scopes && !at_start) {
    struct saved_var *saved = scopes;
    scopes = saved->below;
    at_start = !saved->name;
    if (!at_start) {
      scope_restore(saved);
    }
    free(saved);
  }
}

/* ---- functions ---- */

static struct function **function_place(const char *name) {
  struct function **place = &functions;
  while (*place && strcmp((*place)->name, name) != 0) {
    place = &(*place)->next;
  }
  return place;
}

struct function *function_find(const char *name) {
  return *function_place(name);
}

bool function_remove(const char *name) {
  struct function **place = function_place(name), *old = *place;
  if (!old) {
    return false;
  }
  *place = old->next;
  program_put(old->program);
  free(old->name);
  free(old);
  return true;
}

void function_define(const char *name, const struct node *body, struct program *program) {
  function_remove(name);
  struct function *function = alloc_or_die(sizeof *function);
  *function = (struct function){functions, string_copy(name), body, program};
  program_get(program);
  functions = function;
}
