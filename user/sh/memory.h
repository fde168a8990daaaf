/* Memory of the shell: arenas for syntax trees and short-lived strings, growing byte strings.
 * Nothing here can fail: a shell without memory ends with a message. */
#ifndef SH_MEMORY_H
#define SH_MEMORY_H

#include <stddef.h>

/* Allocation by bumping; all of it, or all since a mark, is given back at once. Zero is empty. */
struct arena_block;
struct arena {
  struct arena_block *top;
};
struct arena_mark {
  struct arena_block *block;
  size_t used;
};

/* n zeroed bytes, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t n);
char *arena_string(struct arena *arena, const char *bytes, size_t n);
struct arena_mark arena_mark(const struct arena *arena);
void arena_release(struct arena *arena, struct arena_mark mark);
void arena_free(struct arena *arena);

/* A growing string. Zero is empty; text_string() terminates it. */
struct text {
  char *bytes;
  size_t n, room;
};
void text_add(struct text *text, char c);
void text_add_bytes(struct text *text, const char *bytes, size_t n);
const char *text_string(struct text *text);
void text_free(struct text *text);

/* A growing vector of strings that it does not own. vector_end() adds the NULL that argv needs. */
struct vector {
  char **item;
  size_t n, room;
};
void vector_add(struct vector *vector, char *item);
char **vector_end(struct vector *vector);
void vector_free(struct vector *vector);

char *string_copy(const char *string);

#endif
