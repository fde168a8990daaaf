/* The entries of a directory: names to nodes by hash, and positions for readers.
 *
 *   [D1] Every entry is in the chain of its hash and in the slot whose number it carries.
 *   [D2] An entry keeps its slot for life, so a reader's position (a slot number) stays good
 *        whatever is added and removed meanwhile: what was there all the time is seen exactly once.
 *   [D3] Chains are as many as slots at least: look-up is O(1), and so are adding and removing.
 * Free slots are chained and used again. Slot s is position s + 2: `.` and `..` come before. */
#ifndef CATHODE_RAMFS_DIRECTORY_H
#define CATHODE_RAMFS_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/server_walk.h"

struct node;

struct entry {
  struct entry *chain;
  struct node *node;
  struct node *parent; /* the directory that holds the entry */
  uint32_t hash, slot;
  uint16_t len; /* bytes of the name */
  char name[];  /* NUL-terminated */
};

union slot {
  uintptr_t next_free; /* odd: 2 * slot number + 1 */
  struct entry *entry;
};

struct directory {
  union slot *slots;
  struct entry **chains; /* a power of two of them */
  uint32_t n_slots, n_chains;
  uint32_t n_entries;
  uint32_t first_free; /* SLOT_NONE: none */
};

void directory_init(struct directory *directory);
void directory_fini(struct directory *directory); /* must be empty */

struct entry *directory_find(const struct directory *directory, struct text name);

/* Add a name that is not there. Fails: NULL without memory. */
[[nodiscard]] struct entry *directory_add(struct directory *directory, struct text name,
                                          struct node *parent, struct node *node);

/* Remove and free an entry. */
void directory_remove(struct directory *directory, struct entry *entry);

/* The first entry in slot `slot` or behind it; NULL for none. */
struct entry *directory_next(const struct directory *directory, uint64_t slot);

struct text entry_name(const struct entry *entry);

/* Every invariant above; true when they hold. For tests. */
bool directory_check(const struct directory *directory);

#endif
