/* The tree of names: see tree.h. */
#include "servers/ramfs/tree.h"

#include <stdlib.h>
#include <string.h>

#include "abi/abi.h"
#include "servers/ramfs/lower.h"

/* ---- the walk ----------------------------------------------------------------------------- */

static struct node *node_of(uint64_t walked) {
  return (struct node *)(uintptr_t)walked;
}

static uint64_t walked_of(const struct node *node) {
  return (uint64_t)(uintptr_t)node;
}

static int64_t walk_child(void *context, uint64_t directory, struct text name) {
  int error = lower_read(context, node_of(directory));
  if (error) {
    return error;
  }
  const struct entry *entry = directory_find(&node_of(directory)->directory.table, name);
  if (!entry) {
    return -ABI_ENOENT;
  }
  error = lower_load(entry->node);
  return error ? error : (int64_t)walked_of(entry->node);
}

static uint64_t walk_parent(void *context, uint64_t directory) {
  (void)context;
  return walked_of(node_of(directory)->directory.parent);
}

static enum walk_kind walk_kind_of(void *context, uint64_t node) {
  (void)context;
  switch (node_of(node)->mode & S_ABI_IFMT) {
  case S_ABI_IFDIR:
    return WALK_DIRECTORY;
  case S_ABI_IFLNK:
    return WALK_LINK;
  default:
    return WALK_OTHER;
  }
}

static struct text walk_target(void *context, uint64_t link) {
  (void)context;
  return (struct text){node_of(link)->link.target, node_of(link)->link.len};
}

static int tree_walk(struct tree *tree, struct node *start, struct text path, uint32_t flags,
                     struct walk_result *result) {
  const struct walk_tree walked = {.root = walked_of(tree->root),
                                   .context = tree,
                                   .child = walk_child,
                                   .parent = walk_parent,
                                   .kind = walk_kind_of,
                                   .target = walk_target};
  return walk(&walked, walked_of(start), path, flags, result);
}

int tree_find(struct tree *tree, struct node *start, struct text path, uint32_t flags,
              struct node **node) {
  struct walk_result at;
  int error = tree_walk(tree, start, path, flags, &at);
  *node = error ? NULL : node_of(at.node);
  return error;
}

/* ---- names -------------------------------------------------------------------------------- */

/* An entry begins to stand for a node, in the link counts of both sides. */
static void entry_bind(struct entry *entry, struct node *node) {
  entry->node = node;
  node->entry = entry;
  node->nlink++;
  if (node_is(node, S_ABI_IFDIR)) {
    node->directory.parent = entry->parent;
    entry->parent->nlink++;
  }
}

static void entry_unbind(const struct entry *entry) {
  struct node *node = entry->node;
  node->nlink--;
  if (node->entry == entry) {
    node->entry = NULL; /* [N2] */
  }
  if (node_is(node, S_ABI_IFDIR)) {
    entry->parent->nlink--;
  }
  node_touch_attributes(node);
}

/* A node has lost a name for good; it goes with its last one unless a handle holds it [N1]. */
static void node_lose(struct tree *tree, struct node *node) {
  if (node_is(node, S_ABI_IFDIR)) {
    node->directory.parent = tree->root;
    node->removed = true;
    node->nlink = 0;
  }
  node_settle(tree, node);
}

/* Give a node a name in a directory that has none such. Fails: ENOENT in a removed directory,
 * ENOSPC. */
static int name_add(struct node *directory, struct text name, struct node *node) {
  if (directory->removed) {
    return -ABI_ENOENT;
  }
  struct entry *entry = directory_add(&directory->directory.table, name, directory, node);
  if (!entry) {
    return -ABI_ENOSPC;
  }
  entry_bind(entry, node);
  node_touch(directory);
  return 0;
}

static void name_remove(struct entry *entry) {
  struct node *directory = entry->parent;
  entry_unbind(entry);
  directory_remove(&directory->directory.table, entry);
  node_touch(directory);
}

static struct entry *result_entry(const struct walk_result *at) {
  return directory_find(&node_of(at->directory)->directory.table, at->name);
}

/* ---- making ------------------------------------------------------------------------------- */

static int node_add(struct tree *tree, const struct caller *caller, const struct walk_result *at,
                    uint32_t mode, struct node **node) {
  *node = node_create(tree, mode);
  if (!*node) {
    return -ABI_ENOSPC;
  }
  (*node)->uid = caller->uid;
  (*node)->nlink = node_is(*node, S_ABI_IFDIR) ? 1 : 0; /* its own `.` */
  int error = name_add(node_of(at->directory), at->name, *node);
  if (error) {
    (*node)->removed = true;
    (*node)->nlink = 0;
    node_settle(tree, *node);
    *node = NULL;
  }
  return error;
}

int tree_make(struct tree *tree, const struct caller *caller, struct text path, uint32_t mode,
              struct node **node) {
  struct walk_result at;
  int error = tree_walk(tree, caller->start, path, WALK_MISSING | WALK_ENTRY, &at);
  if (error) {
    return error;
  }
  if (at.node != 0) {
    return -ABI_EEXIST;
  }
  if (at.slash && (mode & S_ABI_IFMT) != S_ABI_IFDIR) {
    return -ABI_ENOENT;
  }
  return node_add(tree, caller, &at, mode, node);
}

int tree_symlink(struct tree *tree, const struct caller *caller, struct text path,
                 struct text target) {
  if (target.len == 0) {
    return -ABI_ENOENT;
  }
  if (target.len >= ABI_PATH_MAX) {
    return -ABI_ENAMETOOLONG;
  }
  char *copy = malloc(target.len);
  if (!copy) {
    return -ABI_ENOMEM;
  }
  memcpy(copy, target.at, target.len);
  struct node *node;
  int error = tree_make(tree, caller, path, S_ABI_IFLNK | 0777, &node);
  if (error) {
    free(copy);
    return error;
  }
  node->link.target = copy;
  node->link.len = target.len;
  return 0;
}

int tree_link(struct tree *tree, struct node *start, struct text from, struct text to) {
  struct node *node;
  struct walk_result at;
  int error = tree_find(tree, start, from, 0, &node);
  if (!error) {
    error = tree_walk(tree, start, to, WALK_MISSING | WALK_ENTRY, &at);
  }
  if (error) {
    return error;
  }
  if (at.node != 0) {
    return -ABI_EEXIST;
  }
  if (at.slash) {
    return -ABI_ENOENT;
  }
  if (node_is(node, S_ABI_IFDIR)) {
    return -ABI_EPERM;
  }
  error = name_add(node_of(at.directory), at.name, node);
  if (!error) {
    node_touch_attributes(node);
  }
  return error;
}

/* ---- opening ------------------------------------------------------------------------------ */

static int open_check(const struct node *node, uint32_t flags, bool slash) {
  bool directory = node_is(node, S_ABI_IFDIR);
  if ((flags & O_ABI_DIRECTORY || slash) && !directory) {
    return -ABI_ENOTDIR;
  }
  if (flags & O_ABI_PATH) {
    return 0;
  }
  if (node_is(node, S_ABI_IFLNK)) {
    return -ABI_ELOOP;
  }
  uint32_t writes = O_ABI_CREAT | O_ABI_TRUNC;
  if (directory && ((flags & O_ABI_ACCMODE) != O_ABI_RDONLY || (flags & writes))) {
    return -ABI_EISDIR;
  }
  return 0;
}

static int truncate_on_open(struct node *node, uint32_t flags) {
  if (!(flags & O_ABI_TRUNC) || (flags & O_ABI_PATH) || !node_is(node, S_ABI_IFREG)) {
    return 0;
  }
  int error = lower_map(node);
  if (!error) {
    error = content_resize(&node->content, 0);
  }
  if (!error) {
    node_touch(node);
  }
  return error;
}

int tree_open(struct tree *tree, const struct caller *caller, struct text path, uint32_t flags,
              uint32_t mode, struct node **node) {
  bool create = (flags & O_ABI_CREAT) && !(flags & O_ABI_PATH);
  bool exclusive = create && (flags & O_ABI_EXCL);
  bool slash = path.len > 0 && path.at[path.len - 1] == '/';
  uint32_t how = (flags & O_ABI_NOFOLLOW) || exclusive ? 0 : WALK_FOLLOW;
  how = create && slash ? WALK_ENTRY : how;
  struct walk_result at;
  int error = tree_walk(tree, caller->start, path, how | (create ? WALK_MISSING : 0), &at);
  if (error) {
    return error;
  }
  if (create && at.slash && at.name.len > 0) {
    return -ABI_EISDIR; /* only a directory will do, and open makes none */
  }
  if (at.node == 0) {
    return node_add(tree, caller, &at, S_ABI_IFREG | (mode & 07777), node);
  }
  *node = node_of(at.node);
  if (exclusive) {
    return -ABI_EEXIST;
  }
  error = open_check(*node, flags, at.slash);
  return error ? error : truncate_on_open(*node, flags);
}

/* ---- removing and moving ------------------------------------------------------------------ */

/* Whether a directory may be removed. */
static int directory_empty_check(struct tree *tree, struct node *directory) {
  int error = lower_read(tree, directory);
  if (error) {
    return error;
  }
  return directory->directory.table.n_entries > 0 ? -ABI_ENOTEMPTY : 0;
}

/* `a/.`, `a/..` and the root have no name that could be removed or moved. */
static int unnamed_error(struct text path) {
  size_t n = path.len;
  while (n > 0 && path.at[n - 1] == '/') {
    n--;
  }
  bool dot = n > 0 && path.at[n - 1] == '.' && (n == 1 || path.at[n - 2] != '.');
  return dot ? -ABI_EINVAL : n == 0 ? -ABI_EBUSY : -ABI_ENOTEMPTY;
}

int tree_unlink(struct tree *tree, struct node *start, struct text path, bool directory) {
  struct walk_result at;
  int error = tree_walk(tree, start, path, WALK_ENTRY, &at);
  if (error) {
    return error;
  }
  struct node *node = node_of(at.node);
  if (at.slash && !node_is(node, S_ABI_IFDIR)) {
    return -ABI_ENOTDIR;
  }
  if (!directory && node_is(node, S_ABI_IFDIR)) {
    return -ABI_EISDIR;
  }
  if (directory && !node_is(node, S_ABI_IFDIR)) {
    return -ABI_ENOTDIR;
  }
  if (at.name.len == 0) {
    return unnamed_error(path);
  }
  error = directory ? directory_empty_check(tree, node) : 0;
  if (error) {
    return error;
  }
  name_remove(result_entry(&at));
  node_lose(tree, node);
  return 0;
}

static bool is_below(const struct tree *tree, const struct node *node, const struct node *top) {
  while (node != top && node != tree->root) {
    node = node->directory.parent;
  }
  return node == top;
}

/* Whether the node at `from` may take the place `to`, where `old` (or nothing) is now. */
static int rename_check(struct tree *tree, const struct walk_result *from,
                        const struct walk_result *to, struct node *old) {
  const struct node *node = node_of(from->node);
  bool directory = node_is(node, S_ABI_IFDIR);
  struct node *parent = node_of(to->directory);
  if (!directory && (from->slash || to->slash)) {
    return -ABI_ENOTDIR;
  }
  if (directory && is_below(tree, parent, node)) {
    return -ABI_EINVAL;
  }
  if (!old || old == node) {
    return parent->removed ? -ABI_ENOENT : 0;
  }
  if (node_is(old, S_ABI_IFDIR) && is_below(tree, node_of(from->directory), old)) {
    return -ABI_ENOTEMPTY; /* it holds what is to be moved */
  }
  if (node_is(old, S_ABI_IFDIR)) {
    return directory ? directory_empty_check(tree, old) : -ABI_EISDIR;
  }
  return directory ? -ABI_ENOTDIR : 0;
}

/* The name becomes `node`'s. An entry that is there already changes its node in place, so that
 * nothing can fail and the name is never missing. */
static int name_take(struct tree *tree, const struct walk_result *to, struct node *old,
                     struct node *node) {
  struct node *directory = node_of(to->directory);
  if (!old) {
    return name_add(directory, to->name, node);
  }
  struct entry *entry = result_entry(to);
  entry_unbind(entry);
  entry_bind(entry, node);
  node_touch(directory);
  node_lose(tree, old);
  return 0;
}

int tree_rename(struct tree *tree, struct node *start, struct text from, struct text to) {
  struct walk_result source;
  struct walk_result target;
  int error = tree_walk(tree, start, from, WALK_MISSING | WALK_ENTRY, &source);
  if (!error) {
    error = tree_walk(tree, start, to, WALK_MISSING | WALK_ENTRY, &target);
  }
  if (error) {
    return error;
  }
  if (source.name.len == 0 || target.name.len == 0) {
    return -ABI_EBUSY;
  }
  if (source.node == 0) {
    return -ABI_ENOENT;
  }
  struct node *old = target.node ? node_of(target.node) : NULL;
  struct entry *entry = result_entry(&source);
  error = rename_check(tree, &source, &target, old);
  if (!error && old == entry->node) {
    return 0; /* POSIX: two names of one file, nothing is to be done */
  }
  if (!error) {
    error = name_take(tree, &target, old, entry->node);
  }
  if (!error) {
    name_remove(entry);
  }
  return error;
}

/* ---- paths -------------------------------------------------------------------------------- */

int64_t tree_path(const struct tree *tree, const struct node *node, char *to, size_t room) {
  size_t at = room; /* built from the end */
  while (node != tree->root) {
    const struct entry *entry = node->entry;
    if (!entry) {
      return -ABI_ENOENT;
    }
    if (entry->len + 1u > at) {
      return -ABI_ERANGE;
    }
    at -= entry->len;
    memcpy(to + at, entry->name, entry->len);
    to[--at] = '/';
    node = entry->parent;
  }
  if (at == room && room > 0) {
    to[--at] = '/';
  }
  memmove(to, to + at, room - at);
  return room > at ? (int64_t)(room - at) : -ABI_ERANGE;
}

/* ---- the whole ---------------------------------------------------------------------------- */

int tree_init(struct tree *tree, uint64_t max_pages, uint64_t max_nodes, const char *lower_root) {
  *tree = (struct tree){.quota.limit = max_pages, .max_nodes = max_nodes, .lower_root = lower_root};
  struct node *root = node_create(tree, S_ABI_IFDIR | 0755);
  if (!root) {
    return -ABI_ENOMEM;
  }
  root->nlink = 2;
  root->directory.parent = root;
  tree->root = root;
  return lower_root ? lower_attach(tree, root) : 0;
}
