/* Open files: see handle.h. */
#include "servers/ramfs/handle.h"

#include <stdlib.h>

#include "abi/abi.h"

#define HANDLES_MIN 64u

static int table_grow(struct handle_table *table) {
  uint32_t n = table->n == 0 ? HANDLES_MIN : 2 * table->n;
  struct handle *handles = realloc(table->handles, n * sizeof(*handles));
  if (!handles) {
    return -ABI_ENOMEM;
  }
  table->handles = handles;
  for (uint32_t i = n; i-- > table->n;) {
    handles[i] = (struct handle){.next_free = table->first_free};
    table->first_free = i;
  }
  table->n = n;
  return 0;
}

int handle_table_init(struct handle_table *table, struct node *root) {
  *table = (struct handle_table){0};
  int error = table_grow(table);
  if (error) {
    return error;
  }
  table->first_free = 1;
  table->handles[0] = (struct handle){.node = root, .flags = O_ABI_RDONLY};
  root->n_handles++;
  return 0;
}

int64_t handle_open(struct handle_table *table, struct node *node, uint32_t flags) {
  int error = table->first_free == 0 ? table_grow(table) : 0;
  if (error) {
    return error;
  }
  uint32_t id = table->first_free;
  struct handle *handle = &table->handles[id];
  table->first_free = handle->next_free;
  *handle = (struct handle){.node = node, .flags = flags};
  node->n_handles++;
  return id;
}

struct handle *handle_get(struct handle_table *table, uint64_t id) {
  return id < table->n && table->handles[id].node ? &table->handles[id] : NULL;
}

void handle_close(struct handle_table *table, struct tree *tree, uint64_t id) {
  struct handle *handle = id == 0 ? NULL : handle_get(table, id);
  if (!handle) {
    return;
  }
  struct node *node = handle->node;
  *handle = (struct handle){.next_free = table->first_free};
  table->first_free = (uint32_t)id;
  node->n_handles--;
  node_settle(tree, node);
}

bool handle_reads(const struct handle *handle) {
  return !(handle->flags & O_ABI_PATH) && (handle->flags & O_ABI_ACCMODE) != O_ABI_WRONLY;
}

bool handle_writes(const struct handle *handle) {
  return !(handle->flags & O_ABI_PATH) && (handle->flags & O_ABI_ACCMODE) != O_ABI_RDONLY;
}
