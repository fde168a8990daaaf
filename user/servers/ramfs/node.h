/* Nodes: what names stand for. Files, directories, links and devices of the writable tree.
 *
 *   [N1] A node lives while it has a name (nlink; a directory: not `removed`) or an open handle.
 *   [N2] `entry` is one of the node's names, or NULL when that name has gone (others may remain).
 *   [N3] While `stub` is set, the node mirrors something below whose attributes are not read yet:
 *        only mode's type, ino and entry hold. lower_load() turns it into a full one.
 *   [N4] A directory with `unread` has entries below that lower_read() has still to enter. */
#ifndef CATHODE_RAMFS_NODE_H
#define CATHODE_RAMFS_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "servers/ramfs/content.h"
#include "servers/ramfs/directory.h"

struct device;

struct node {
  uint64_t ino;
  uint32_t mode, nlink;
  uint32_t uid, gid;
  int64_t atime_ns, mtime_ns, ctime_ns;
  uint32_t n_handles;
  bool stub, unread; /* [N3] [N4] */
  bool removed;      /* a directory without a name: nothing can be made in it */
  char *lower; /* path below that the node mirrors, while something of it is still to be read */
  struct entry *entry;
  union {
    struct content content;
    struct {
      struct directory table;
      struct node *parent; /* of the root, and of a removed directory: the root */
    } directory;
    struct {
      char *target;
      size_t len;
    } link;
    const struct device *device;
  };
};

/* The whole tree. */
struct tree {
  struct node *root;
  struct quota quota;
  uint64_t n_nodes, max_nodes;
  uint64_t next_ino;
  const char *lower_root; /* path of the tree below; NULL for none */
};

/* A new node without a name, times set to now. Fails: NULL without memory or with max_nodes
 * reached. */
[[nodiscard]] struct node *node_create(struct tree *tree, uint32_t mode);

/* Free a node that has neither name nor handle [N1]; otherwise nothing. */
void node_settle(struct tree *tree, struct node *node);

bool node_is(const struct node *node, uint32_t type); /* type: S_ABI_IF* */

/* Set the times of a change: of the bytes (or entries) too, or of the attributes only. */
void node_touch(struct node *node);
void node_touch_attributes(struct node *node);

int64_t time_now_ns(void);

#endif
