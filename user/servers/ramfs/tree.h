/* Operations on the tree of names, as POSIX has them, with the walk from path to node.
 *
 * All take a start directory and a path as the scheme's requests have them, check everything, and
 * then change; an operation that answers an error has changed nothing. Errors are negated. */
#ifndef CATHODE_RAMFS_TREE_H
#define CATHODE_RAMFS_TREE_H

#include "runtime/server_walk.h"
#include "servers/ramfs/node.h"

/* Where an operation starts, and who asks. */
struct caller {
  struct node *start;
  uint32_t uid;
};

/* An empty tree, above `lower_root` unless that is NULL. Fails: ENOMEM. */
[[nodiscard]] int tree_init(struct tree *tree, uint64_t max_pages, uint64_t max_nodes,
                            const char *lower_root);

/* The node of a path; `flags` are the walk's. Fails as walk(). */
[[nodiscard]] int tree_find(struct tree *tree, struct node *start, struct text path, uint32_t flags,
                            struct node **node);

/* The node to open, created when O_ABI_CREAT asks for it; checks the flags against its type. */
[[nodiscard]] int tree_open(struct tree *tree, const struct caller *caller, struct text path,
                            uint32_t flags, uint32_t mode, struct node **node);

/* A new node under a new name: directory, or a node of `mode` for the caller to fill. */
[[nodiscard]] int tree_make(struct tree *tree, const struct caller *caller, struct text path,
                            uint32_t mode, struct node **node);

[[nodiscard]] int tree_symlink(struct tree *tree, const struct caller *caller, struct text path,
                               struct text target);
[[nodiscard]] int tree_link(struct tree *tree, struct node *start, struct text from,
                            struct text to);

/* Remove a name: an empty directory's when `directory` is set, anything else's when not. */
[[nodiscard]] int tree_unlink(struct tree *tree, struct node *start, struct text path,
                              bool directory);
[[nodiscard]] int tree_rename(struct tree *tree, struct node *start, struct text from,
                              struct text to);

/* The node's path from the root into `to`, with a leading slash; answers its length.
 * Fails: ENOENT when it has no name, ERANGE when there is no room. */
[[nodiscard]] int64_t tree_path(const struct tree *tree, const struct node *node, char *to,
                                size_t room);

#endif
