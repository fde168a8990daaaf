/* Path resolution for servers that keep a tree: a pure core over the tree's own look-ups.
 *
 * Paths are those of a scheme: relative to a directory, without scheme; leading and repeated
 * slashes mean nothing. In a symbolic link's target a leading slash is the tree's root. `.` and
 * `..` are resolved here, after links, as POSIX says.
 *
 *   [W1] A walk that starts at a directory other than the root never leaves it: `..` above the
 *        start and links with absolute targets fail with EXDEV. So a directory's descriptor is a
 *        capability for what lies below it; who wants more asks by the full path.
 *   [W2] At most WALK_LINKS_MAX links are followed, then ELOOP: every walk ends.
 * Nodes are numbers of the tree's choice, never 0. */
#ifndef CATHODE_RUNTIME_SERVER_WALK_H
#define CATHODE_RUNTIME_SERVER_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WALK_LINKS_MAX 40u

struct text {
  const char *at;
  size_t len;
};

enum walk_kind { WALK_DIRECTORY, WALK_LINK, WALK_OTHER };

/* The tree. Nothing here may block for another client. */
struct walk_tree {
  uint64_t root;
  void *context;
  /* The entry's node, or a negated error: ENOENT when there is none, others end the walk. */
  int64_t (*child)(void *context, uint64_t directory, struct text name);
  uint64_t (*parent)(void *context, uint64_t directory); /* of the root: the root */
  enum walk_kind (*kind)(void *context, uint64_t node);
  struct text (*target)(void *context, uint64_t link); /* stays valid until the walk has ended */
};

#define WALK_FOLLOW 1u  /* follow a link in the last component too */
#define WALK_MISSING 2u /* the last component need not exist: node is then 0 */
/* The name is meant, not what it leads to: a link is not followed, not even before a slash, and
 * what a slash demands is the caller's to check. */
#define WALK_ENTRY 4u

/* Where a path leads. For a path that ends in `.`, `..` or nothing there is no name. */
struct walk_result {
  uint64_t node;      /* 0: missing */
  uint64_t directory; /* that holds, or would hold, `name` */
  struct text name;   /* points into the path or a link's target; len 0: no name */
  bool slash;         /* the path ended in a slash: only a directory will do */
};

/* Resolve `path` from `start`. Answers 0 or a negated error: ENOENT, ENOTDIR, ELOOP, EXDEV,
 * ENAMETOOLONG, or what the tree answered; `result` then holds what was found on the last
 * component. */
[[nodiscard]] int walk(const struct walk_tree *tree, uint64_t start, struct text path,
                       uint32_t flags, struct walk_result *result);

#endif
