/* Path resolution: see server_walk.h. A link in the middle of a path is resolved by a walk of its
 * own; a link at the end replaces what is left to walk, so that its directory and name come out. */
#include "runtime/server_walk.h"

#include "abi/abi.h"
#include "lib/string.h"

struct walker {
  const struct walk_tree *tree;
  uint64_t fence;   /* [W1] the directory not to be left */
  uint32_t n_links; /* [W2] followed so far */
};

static bool text_is(struct text text, const char *word, size_t len) {
  return text.len == len && memcmp(text.at, word, len) == 0;
}

static void slashes_skip(struct text *path) {
  while (path->len > 0 && path->at[0] == '/') {
    path->at++;
    path->len--;
  }
}

/* Cut the first component off `path`, and the slashes behind it; true when there were any. */
static bool component_take(struct text *path, struct text *name) {
  size_t n = 0;
  while (n < path->len && path->at[n] != '/') {
    n++;
  }
  *name = (struct text){path->at, n};
  path->at += n;
  path->len -= n;
  bool slash = path->len > 0;
  slashes_skip(path);
  return slash;
}

static int step_up(const struct walker *walker, uint64_t *directory) {
  const struct walk_tree *tree = walker->tree;
  if (*directory == walker->fence && walker->fence != tree->root) {
    return -ABI_EXDEV; /* [W1] */
  }
  *directory = tree->parent(tree->context, *directory);
  return 0;
}

static int path_walk(struct walker *walker, uint64_t directory, struct text path, uint32_t flags,
                     struct walk_result *result);

/* Continue at a link's target, seen from the directory that holds the link. */
static int link_walk(struct walker *walker, uint64_t directory, uint64_t link, uint32_t flags,
                     struct walk_result *result) {
  const struct walk_tree *tree = walker->tree;
  if (++walker->n_links > WALK_LINKS_MAX) {
    return -ABI_ELOOP; /* [W2] */
  }
  struct text target = tree->target(tree->context, link);
  if (target.len == 0) {
    return -ABI_ENOENT;
  }
  if (target.at[0] != '/') {
    return path_walk(walker, directory, target, flags, result);
  }
  if (walker->fence != tree->root) {
    return -ABI_EXDEV; /* [W1] */
  }
  return path_walk(walker, tree->root, target, flags, result);
}

static int child_find(const struct walker *walker, uint64_t directory, struct text name,
                      uint64_t *node) {
  const struct walk_tree *tree = walker->tree;
  if (name.len > ABI_NAME_MAX) {
    return -ABI_ENAMETOOLONG;
  }
  int64_t found = tree->child(tree->context, directory, name);
  *node = found > 0 ? (uint64_t)found : 0;
  return found > 0 ? 0 : (int)found;
}

/* One component in the middle of a path: what it names must be, or lead to, a directory. */
static int directory_step(struct walker *walker, uint64_t *directory, struct text name) {
  const struct walk_tree *tree = walker->tree;
  if (text_is(name, ".", 1)) {
    return 0;
  }
  if (text_is(name, "..", 2)) {
    return step_up(walker, directory);
  }
  uint64_t node;
  int error = child_find(walker, *directory, name, &node);
  if (error) {
    return error;
  }
  if (tree->kind(tree->context, node) == WALK_LINK) {
    struct walk_result at;
    error = link_walk(walker, *directory, node, WALK_FOLLOW, &at);
    if (error) {
      return error;
    }
    node = at.node;
  }
  if (tree->kind(tree->context, node) != WALK_DIRECTORY) {
    return -ABI_ENOTDIR;
  }
  *directory = node;
  return 0;
}

/* A path that ends in `.`, `..` or nothing: the directory itself, which has no name from here. */
static int unnamed_step(const struct walker *walker, uint64_t directory, struct text name,
                        struct walk_result *result) {
  int error = text_is(name, "..", 2) ? step_up(walker, &directory) : 0;
  *result = (struct walk_result){.node = directory, .directory = directory, .slash = true};
  return error;
}

static int last_step(struct walker *walker, uint64_t directory, struct text name, bool slash,
                     uint32_t flags, struct walk_result *result) {
  const struct walk_tree *tree = walker->tree;
  if (name.len == 0 || text_is(name, ".", 1) || text_is(name, "..", 2)) {
    return unnamed_step(walker, directory, name, result);
  }
  *result = (struct walk_result){.directory = directory, .name = name, .slash = slash};
  int error = child_find(walker, directory, name, &result->node);
  if (error == -ABI_ENOENT && (flags & WALK_MISSING)) {
    return 0;
  }
  if (error || (flags & WALK_ENTRY)) {
    return error;
  }
  enum walk_kind kind = tree->kind(tree->context, result->node);
  if (kind == WALK_LINK && (slash || (flags & WALK_FOLLOW))) {
    error = link_walk(walker, directory, result->node, flags | WALK_FOLLOW, result);
    result->slash = result->slash || slash;
    kind = error || result->node == 0 ? WALK_DIRECTORY : tree->kind(tree->context, result->node);
  }
  return !error && slash && kind != WALK_DIRECTORY ? -ABI_ENOTDIR : error;
}

static int path_walk(struct walker *walker, uint64_t directory, struct text path, uint32_t flags,
                     struct walk_result *result) {
  slashes_skip(&path);
  for (;;) {
    struct text name;
    bool slash = component_take(&path, &name);
    if (path.len == 0) {
      return last_step(walker, directory, name, slash, flags, result);
    }
    int error = directory_step(walker, &directory, name);
    if (error) {
      return error;
    }
  }
}

int walk(const struct walk_tree *tree, uint64_t start, struct text path, uint32_t flags,
         struct walk_result *result) {
  struct walker walker = {.tree = tree, .fence = start};
  *result = (struct walk_result){0};
  if (tree->kind(tree->context, start) != WALK_DIRECTORY) {
    return -ABI_ENOTDIR;
  }
  return path_walk(&walker, start, path, flags, result);
}
