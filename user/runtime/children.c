/* The table of children: see children.h. */
#include "runtime/children.h"

static struct child *slots_of(struct children *table) {
  return table->slots ? table->slots : table->first;
}

static size_t n_slots_of(const struct children *table) {
  return table->slots ? table->n_slots : CHILDREN_INLINE;
}

/* Fibonacci hashing: pids are nearly consecutive, so their order is spread over the table. */
static size_t slot_home(const struct children *table, uint32_t pid) {
  return ((uint32_t)(pid * 0x9e3779b1u) >> 7) & (n_slots_of(table) - 1);
}

/* The slot of `pid`, or the free one where it would go. */
static size_t slot_seek(struct children *table, uint32_t pid) {
  struct child *slots = slots_of(table);
  size_t mask = n_slots_of(table) - 1, i = slot_home(table, pid);
  while (slots[i].pid != 0 && slots[i].pid != pid) {
    i = (i + 1) & mask;
  }
  return i;
}

void children_clear(struct children *table) {
  struct child *slots = slots_of(table);
  for (size_t i = 0; table->n != 0 && i < n_slots_of(table); i++) {
    if (slots[i].pid != 0) {
      slots[i] = (struct child){0};
      table->n--;
    }
  }
}

static bool children_grow(struct children *table, const struct children_memory *memory) {
  size_t n_old = n_slots_of(table), n_new = n_old * 4;
  struct child *old = slots_of(table), *new_slots = memory->get(n_new * sizeof(struct child));
  if (!new_slots) {
    return false;
  }
  bool inside = table->slots == NULL;
  table->slots = new_slots;
  table->n_slots = n_new;
  for (size_t i = 0; i < n_old; i++) {
    if (old[i].pid != 0) {
      new_slots[slot_seek(table, old[i].pid)] = old[i];
    }
  }
  if (!inside) {
    memory->put(old, n_old * sizeof(struct child));
  }
  return true;
}

bool children_add(struct children *table, uint32_t pid, int fd,
                  const struct children_memory *memory) {
  if ((table->n + 1) * 4 > n_slots_of(table) * 3 && !children_grow(table, memory)) {
    return false;
  }
  slots_of(table)[slot_seek(table, pid)] = (struct child){.pid = pid, .fd = fd};
  table->n++;
  return true;
}

struct child *children_find(struct children *table, uint32_t pid) {
  struct child *child = &slots_of(table)[slot_seek(table, pid)];
  return pid != 0 && child->pid == pid ? child : NULL;
}

bool children_remove(struct children *table, uint32_t pid) {
  struct child *slots = slots_of(table);
  size_t mask = n_slots_of(table) - 1, gap = slot_seek(table, pid);
  if (pid == 0 || slots[gap].pid != pid) {
    return false;
  }
  table->n--;
  for (size_t i = (gap + 1) & mask; slots[i].pid != 0; i = (i + 1) & mask) {
    size_t home = slot_home(table, slots[i].pid);
    if (((i - home) & mask) >= ((i - gap) & mask)) { /* its probe passes the gap: [C2] */
      slots[gap] = slots[i];
      gap = i;
    }
  }
  slots[gap] = (struct child){0};
  return true;
}

struct child *children_next(struct children *table, size_t *cursor) {
  struct child *slots = slots_of(table);
  while (*cursor < n_slots_of(table)) {
    struct child *child = &slots[(*cursor)++];
    if (child->pid != 0) {
      return child;
    }
  }
  return NULL;
}

bool children_check(struct children *table) {
  struct child *slots = slots_of(table);
  size_t n = 0;
  for (size_t i = 0; i < n_slots_of(table); i++) {
    if (slots[i].pid != 0) {
      n++;
      if (slot_seek(table, slots[i].pid) != i) { /* a gap before it, or a twin: [C1] [C2] */
        return false;
      }
    }
  }
  return n == table->n;
}
