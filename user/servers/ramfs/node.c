/* Nodes: see node.h for the invariants. */
#include "servers/ramfs/node.h"

#include <stdlib.h>
#include <time.h>

#include "abi/abi.h"

int64_t time_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool node_is(const struct node *node, uint32_t type) {
  return (node->mode & S_ABI_IFMT) == type;
}

struct node *node_create(struct tree *tree, uint32_t mode) {
  struct node *node = tree->n_nodes < tree->max_nodes ? calloc(1, sizeof(*node)) : NULL;
  if (!node) {
    return NULL;
  }
  tree->n_nodes++;
  node->ino = ++tree->next_ino;
  node->mode = mode;
  node_touch(node);
  node->atime_ns = node->mtime_ns;
  if (node_is(node, S_ABI_IFDIR)) {
    directory_init(&node->directory.table);
    node->directory.parent = tree->root;
  } else if (node_is(node, S_ABI_IFREG)) {
    content_init(&node->content, &tree->quota);
  }
  return node;
}

static bool node_unused(const struct node *node) {
  bool named = node_is(node, S_ABI_IFDIR) ? !node->removed : node->nlink > 0;
  return !named && node->n_handles == 0;
}

void node_settle(struct tree *tree, struct node *node) {
  if (!node_unused(node)) {
    return;
  }
  if (node_is(node, S_ABI_IFDIR)) {
    directory_fini(&node->directory.table);
  } else if (node_is(node, S_ABI_IFREG)) {
    content_fini(&node->content);
  } else if (node_is(node, S_ABI_IFLNK)) {
    free(node->link.target);
  }
  free(node->lower);
  free(node);
  tree->n_nodes--;
}

void node_touch_attributes(struct node *node) {
  node->ctime_ns = time_now_ns();
}

void node_touch(struct node *node) {
  node_touch_attributes(node);
  node->mtime_ns = node->ctime_ns;
}
