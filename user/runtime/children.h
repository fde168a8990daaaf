/* The children of this process that nobody has waited for: pid -> context descriptor.
 *
 * A hash table with linear probing; a removal closes the gap by moving later entries back, so there
 * are no tombstones. The first 32 slots are inside the structure; past three quarters full it
 * asks `grow` for memory. Pure: no locks (wait.c has them), no kernel entries.
 *
 *   [C1] A slot is free when its pid is 0; no pid is in two slots.
 *   [C2] Between the slot of a pid's hash and the slot where it lies none is free. */
#ifndef CATHODE_RUNTIME_CHILDREN_H
#define CATHODE_RUNTIME_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct child {
  uint32_t pid;
  int32_t fd;
  bool watched; /* the event queue knows it */
  bool stopped; /* its present stop has been reported */
};

#define CHILDREN_INLINE 32u

struct children {
  struct child *slots; /* NULL: `first` */
  size_t n_slots, n;
  struct child first[CHILDREN_INLINE];
};

/* Memory of `bytes` zero bytes, or NULL; and its return. */
struct children_memory {
  void *(*get)(size_t bytes);
  void (*put)(void *memory, size_t bytes);
};

/* Forget all of them; a table that was grown is not returned. All zero bytes are an empty table
 * too. */
void children_clear(struct children *table);

/* False when memory is needed and there is none. */
[[nodiscard]] bool children_add(struct children *table, uint32_t pid, int fd,
                                const struct children_memory *memory);

/* NULL when it is not there. Valid until the next add or remove. */
struct child *children_find(struct children *table, uint32_t pid);

/* False when it was not there. */
bool children_remove(struct children *table, uint32_t pid);

/* The first child in slot *cursor or later, NULL when none is left; moves *cursor behind it. */
struct child *children_next(struct children *table, size_t *cursor);

/* Walks the table; false when [C1] or [C2] does not hold. */
bool children_check(struct children *table);

#endif
