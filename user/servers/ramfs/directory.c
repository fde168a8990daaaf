/* Directory tables: see directory.h for the invariants. */
#include "servers/ramfs/directory.h"

#include <stdlib.h>
#include <string.h>

#include "lib/hash.h"

#define SLOT_NONE UINT32_MAX
#define SLOTS_MIN 8u

static bool slot_is_free(union slot slot) {
  return slot.next_free & 1;
}

static union slot slot_free_link(uint32_t next) {
  return (union slot){.next_free = (uintptr_t)next << 1 | 1};
}

void directory_init(struct directory *directory) {
  *directory = (struct directory){.first_free = SLOT_NONE};
}

void directory_fini(struct directory *directory) {
  free(directory->slots);
  free(directory->chains);
  directory_init(directory);
}

struct text entry_name(const struct entry *entry) {
  return (struct text){entry->name, entry->len};
}

static struct entry **chain_of(const struct directory *directory, uint32_t hash) {
  return &directory->chains[hash & (directory->n_chains - 1)];
}

struct entry *directory_find(const struct directory *directory, struct text name) {
  if (directory->n_chains == 0) {
    return NULL;
  }
  uint32_t hash = (uint32_t)hash_bytes(name.at, name.len);
  struct entry *entry = *chain_of(directory, hash);
  while (entry && !(entry->hash == hash && entry->len == name.len &&
                    memcmp(entry->name, name.at, name.len) == 0)) {
    entry = entry->chain;
  }
  return entry;
}

/* [D3] Twice the slots and chains; nothing changes without memory for both. */
static bool directory_grow(struct directory *directory) {
  uint32_t n = directory->n_slots == 0 ? SLOTS_MIN : 2 * directory->n_slots;
  struct entry **chains = calloc(n, sizeof(struct entry *));
  union slot *slots = chains ? realloc(directory->slots, n * sizeof(*slots)) : NULL;
  if (!slots) {
    free(chains);
    return false;
  }
  free(directory->chains);
  directory->chains = chains;
  directory->n_chains = n;
  directory->slots = slots;
  for (uint32_t i = 0; i < directory->n_slots; i++) {
    struct entry *entry = slots[i].entry; /* growing only when no slot is free */
    struct entry **chain = chain_of(directory, entry->hash);
    entry->chain = *chain;
    *chain = entry;
  }
  for (uint32_t i = n; i-- > directory->n_slots;) {
    slots[i] = slot_free_link(directory->first_free);
    directory->first_free = i;
  }
  directory->n_slots = n;
  return true;
}

struct entry *directory_add(struct directory *directory, struct text name, struct node *parent,
                            struct node *node) {
  struct entry *entry = malloc(sizeof(*entry) + name.len + 1);
  if (!entry || (directory->first_free == SLOT_NONE && !directory_grow(directory))) {
    free(entry);
    return NULL;
  }
  uint32_t hash = (uint32_t)hash_bytes(name.at, name.len);
  struct entry **chain = chain_of(directory, hash);
  uint32_t slot = directory->first_free;
  directory->first_free = (uint32_t)(directory->slots[slot].next_free >> 1);
  *entry = (struct entry){.chain = *chain,
                          .node = node,
                          .parent = parent,
                          .hash = hash,
                          .slot = slot,
                          .len = (uint16_t)name.len};
  memcpy(entry->name, name.at, name.len);
  entry->name[name.len] = '\0';
  *chain = entry;
  directory->slots[slot].entry = entry;
  directory->n_entries++;
  return entry;
}

void directory_remove(struct directory *directory, struct entry *entry) {
  struct entry **link = chain_of(directory, entry->hash);
  while (*link != entry) {
    link = &(*link)->chain;
  }
  *link = entry->chain;
  directory->slots[entry->slot] = slot_free_link(directory->first_free);
  directory->first_free = entry->slot;
  directory->n_entries--;
  free(entry);
}

struct entry *directory_next(const struct directory *directory, uint64_t slot) {
  while (slot < directory->n_slots && slot_is_free(directory->slots[slot])) {
    slot++;
  }
  return slot < directory->n_slots ? directory->slots[slot].entry : NULL;
}

bool directory_check(const struct directory *directory) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < directory->n_slots; i++) {
    if (slot_is_free(directory->slots[i])) {
      continue;
    }
    const struct entry *entry = directory->slots[i].entry;
    if (entry->slot != i || directory_find(directory, entry_name(entry)) != entry) {
      return false; /* [D1] */
    }
    n++;
  }
  uint32_t n_free = 0;
  for (uint32_t i = directory->first_free; i != SLOT_NONE && n_free <= directory->n_slots;
       i = (uint32_t)(directory->slots[i].next_free >> 1)) {
    n_free++;
  }
  return n == directory->n_entries && n + n_free == directory->n_slots &&
         directory->n_chains == directory->n_slots; /* [D3] */
}
