/* Open files of the server: what a file id stands for.
 *
 * Ids are indices into a table that is checked on each use, so that no id, whoever made it up,
 * leads anywhere but to an open file. Id 0 is the scheme's root, which needs no open. */
#ifndef CATHODE_RAMFS_HANDLE_H
#define CATHODE_RAMFS_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "servers/ramfs/node.h"

struct handle {
  struct node *node; /* NULL: free */
  uint32_t flags;    /* of the open */
  uint32_t next_free;
};

struct handle_table {
  struct handle *handles; /* id i is at i; the first is the root's */
  uint32_t n, first_free; /* 0: no free one */
};

/* Fails: ENOMEM. */
[[nodiscard]] int handle_table_init(struct handle_table *table, struct node *root);

/* Open a node; answers the id. Fails: ENOMEM. */
[[nodiscard]] int64_t handle_open(struct handle_table *table, struct node *node, uint32_t flags);

/* NULL for an id that is not open. */
struct handle *handle_get(struct handle_table *table, uint64_t id);

void handle_close(struct handle_table *table, struct tree *tree, uint64_t id);

bool handle_reads(const struct handle *handle);
bool handle_writes(const struct handle *handle);

#endif
