/* Memory of the shell: see memory.h. */
#include "memory.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "../bin/lib.h"

struct arena_block {
  struct arena_block *below;
  size_t used, size;
  alignas(max_align_t) char bytes[];
};

enum { BLOCK_BYTES = 4000 };

static void arena_grow(struct arena *arena, size_t n) {
  size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;
  struct arena_block *block = alloc_or_die(sizeof *block + size);
  *block = (struct arena_block){.below = arena->top, .size = size};
  arena->top = block;
}

void *arena_alloc(struct arena *arena, size_t n) {
  n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
  if (!arena->top || arena->top->size - arena->top->used < n) {
    arena_grow(arena, n);
  }
  void *memory = arena->top->bytes + arena->top->used;
  arena->top->used += n;
  return memset(memory, 0, n);
}

char *arena_string(struct arena *arena, const char *bytes, size_t n) {
  char *copy = arena_alloc(arena, n + 1);
  return n ? memcpy(copy, bytes, n) : copy;
}

struct arena_mark arena_mark(const struct arena *arena) {
  return (struct arena_mark){arena->top, arena->top ? arena->top->used : 0};
}

void arena_release(struct arena *arena, struct arena_mark mark) {
  while (arena->top != mark.block) {
    struct arena_block *below = arena->top->below;
    free(arena->top);
    arena->top = below;
  }
  if (arena->top) {
    arena->top->used = mark.used;
  }
}

void arena_free(struct arena *arena) {
  arena_release(arena, (struct arena_mark){0});
}

static void text_reserve(struct text *text, size_t n) {
  if (text->room - text->n < n) {
    text->room = 2 * (text->room + n) + 32;
    text->bytes = realloc_or_die(text->bytes, text->room);
  }
}

void text_add(struct text *text, char c) {
  text_reserve(text, 1);
  text->bytes[text->n++] = c;
}

void text_add_bytes(struct text *text, const char *bytes, size_t n) {
  if (n > 0) {
    text_reserve(text, n);
    memcpy(text->bytes + text->n, bytes, n);
    text->n += n;
  }
}

const char *text_string(struct text *text) {
  text_reserve(text, 1);
  text->bytes[text->n] = '\0';
  return text->bytes;
}

void text_free(struct text *text) {
  free(text->bytes);
  *text = (struct text){0};
}

void vector_add(struct vector *vector, char *item) {
  if (vector->n == vector->room) {
    vector->room = 2 * vector->room + 8;
    vector->item = realloc_or_die(vector->item, vector->room * sizeof *vector->item);
  }
  vector->item[vector->n++] = item;
}

char **vector_end(struct vector *vector) {
  vector_add(vector, NULL);
  vector->n--;
  return vector->item;
}

void vector_free(struct vector *vector) {
  free(vector->item);
  *vector = (struct vector){0};
}

char *string_copy(const char *string) {
  size_t n = strlen(string) + 1;
  return memcpy(alloc_or_die(n), string, n);
}
