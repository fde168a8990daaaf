/* Grant tree: see gtree.h. AVL after Knuth, TAOCP vol. 3, 6.2.3, with parent links instead of a
 * stack: a change walks up once, refreshing height and augmentation and rotating where needed. */
#include "mm/gtree.h"

#include "lib/bits.h"
#include "lib/kassert.h"

static uint32_t height_of(const struct gnode *node) {
  return node == NULL ? 0 : node->height;
}

/* Restores [G4] (height) and [G5] of one node from its children. */
static void node_refresh(struct gnode *node) {
  const struct gnode *left = node->left, *right = node->right;
  uint64_t gap = 0;
  if (left != NULL) {
    gap = MAX(left->max_gap, node->start - left->sub_hi);
  }
  if (right != NULL) {
    gap = MAX(gap, right->max_gap);
    gap = MAX(gap, right->sub_lo - node->end);
  }
  node->sub_lo = left != NULL ? left->sub_lo : node->start;
  node->sub_hi = right != NULL ? right->sub_hi : node->end;
  node->max_gap = gap;
  node->height = 1 + MAX(height_of(left), height_of(right));
}

/* Puts `by` (may be NULL) where `old` hangs. */
static void node_replace(struct gtree *t, const struct gnode *old, struct gnode *by) {
  struct gnode *parent = old->parent;
  if (parent == NULL) {
    t->root = by;
  } else if (parent->left == old) {
    parent->left = by;
  } else {
    parent->right = by;
  }
  if (by != NULL) {
    by->parent = parent;
  }
}

/* The left child rises above node. */
static struct gnode *rotate_right(struct gtree *t, struct gnode *node) {
  struct gnode *up = node->left;
  node_replace(t, node, up);
  node->left = up->right;
  if (node->left != NULL) {
    node->left->parent = node;
  }
  up->right = node;
  node->parent = up;
  node_refresh(node);
  node_refresh(up);
  return up;
}

static struct gnode *rotate_left(struct gtree *t, struct gnode *node) {
  struct gnode *up = node->right;
  node_replace(t, node, up);
  node->right = up->left;
  if (node->right != NULL) {
    node->right->parent = node;
  }
  up->left = node;
  node->parent = up;
  node_refresh(node);
  node_refresh(up);
  return up;
}

/* Restores [G4] of a node whose children differ by at most 2; answers the subtree's new root. */
static struct gnode *node_balance(struct gtree *t, struct gnode *node) {
  uint32_t left = height_of(node->left), right = height_of(node->right);
  if (left > right + 1) {
    if (height_of(node->left->left) < height_of(node->left->right)) {
      rotate_left(t, node->left);
    }
    return rotate_right(t, node);
  }
  if (right > left + 1) {
    if (height_of(node->right->right) < height_of(node->right->left)) {
      rotate_right(t, node->right);
    }
    return rotate_left(t, node);
  }
  node_refresh(node);
  return node;
}

/* What a parent takes from its child. */
struct summary {
  uint64_t sub_lo, sub_hi, max_gap;
  uint32_t height;
};

static struct summary summary_of(const struct gnode *node) {
  return (struct summary){node->sub_lo, node->sub_hi, node->max_gap, node->height};
}

static bool summary_is(const struct gnode *node, const struct summary *was) {
  return node->max_gap == was->max_gap && node->height == was->height &&
         node->sub_lo == was->sub_lo && node->sub_hi == was->sub_hi;
}

/* Restores [G4] and [G5] from node up, past `through` if that is not NULL, until a subtree looks to
 * its parent as it did before. */
static void path_repair(struct gtree *t, struct gnode *node, const struct gnode *through) {
  while (node != NULL) {
    struct summary was = summary_of(node);
    bool passed = through == NULL || node == through;
    struct gnode *top = node_balance(t, node);
    if (passed && summary_is(top, &was)) {
      return;
    }
    through = passed ? NULL : through;
    node = top->parent;
  }
}

void gtree_init(struct gtree *t) {
  t->root = NULL;
  t->n = 0;
}

struct gnode *gtree_first_from(const struct gtree *t, uint64_t addr) {
  struct gnode *node = t->root, *best = NULL;
  while (node != NULL) {
    if (node->end > addr) {
      best = node;
      node = node->left;
    } else {
      node = node->right;
    }
  }
  return best;
}

struct gnode *gtree_find(const struct gtree *t, uint64_t addr) {
  struct gnode *node = t->root;
  while (node != NULL && (addr < node->start || addr >= node->end)) {
    node = addr < node->start ? node->left : node->right;
  }
  return node;
}

static struct gnode *leftmost(struct gnode *node) {
  while (node->left != NULL) {
    node = node->left;
  }
  return node;
}

static struct gnode *rightmost(struct gnode *node) {
  while (node->right != NULL) {
    node = node->right;
  }
  return node;
}

struct gnode *gtree_next(const struct gnode *node) {
  if (node->right != NULL) {
    return leftmost(node->right);
  }
  while (node->parent != NULL && node->parent->right == node) {
    node = node->parent;
  }
  return node->parent;
}

struct gnode *gtree_prev(const struct gnode *node) {
  if (node->left != NULL) {
    return rightmost(node->left);
  }
  while (node->parent != NULL && node->parent->left == node) {
    node = node->parent;
  }
  return node->parent;
}

bool gtree_is_free(const struct gtree *t, uint64_t start, uint64_t end) {
  const struct gnode *node = gtree_first_from(t, start);
  return node == NULL || node->start >= end;
}

static bool range_is_valid(uint64_t start, uint64_t end) { /* [G1] */
  return start < end && IS_ALIGNED(start | end, ABI_PAGE_SIZE);
}

/* False when the node overlaps another: on the way down are its neighbours-to-be, and both must lie
 * aside of it. */
static bool node_link(struct gtree *t, struct gnode *node) {
  struct gnode **link = &t->root, *parent = NULL;
  while (*link != NULL) {
    parent = *link;
    if (node->end <= parent->start) {
      link = &parent->left;
    } else if (node->start >= parent->end) {
      link = &parent->right;
    } else {
      return false;
    }
  }
  node->left = node->right = NULL;
  node->parent = parent;
  *link = node;
  return true;
}

enum abi_error gtree_insert(struct gtree *t, struct gnode *node) {
  kassert(range_is_valid(node->start, node->end));
  if (!node_link(t, node)) {
    return ABI_EEXIST;
  }
  node->height = 0; /* unlike any that its parent has seen */
  t->n++;
  path_repair(t, node, NULL);
  return OK;
}

/* Puts the heir, the leftmost of the right subtree, into node's place, where it passes for node
 * until it is repaired. Answers the lowest node whose subtree has changed. */
static struct gnode *successor_lift(struct gtree *t, struct gnode *node, struct gnode *heir) {
  struct gnode *changed = heir;
  if (heir != node->right) {
    changed = heir->parent;
    node_replace(t, heir, heir->right);
    heir->right = node->right;
    heir->right->parent = heir;
  }
  heir->left = node->left;
  heir->left->parent = heir;
  heir->sub_lo = node->sub_lo;
  heir->sub_hi = node->sub_hi;
  heir->max_gap = node->max_gap;
  heir->height = node->height;
  node_replace(t, node, heir);
  return changed;
}

void gtree_remove(struct gtree *t, struct gnode *node) {
  kassert(node->height != 0 && t->n > 0);
  struct gnode *changed = node->parent, *heir = NULL;
  if (node->left == NULL || node->right == NULL) {
    node_replace(t, node, node->left != NULL ? node->left : node->right);
  } else {
    heir = leftmost(node->right);
    changed = successor_lift(t, node, heir);
  }
  node->left = node->right = node->parent = NULL;
  node->height = 0;
  t->n--;
  path_repair(t, changed, heir);
}

enum abi_error gtree_resize(struct gtree *t, struct gnode *node, uint64_t start, uint64_t end) {
  kassert(t->n > 0 && node->height != 0 && range_is_valid(start, end));
  const struct gnode *prev = gtree_prev(node), *next = gtree_next(node);
  if ((prev != NULL && prev->end > start) || (next != NULL && next->start < end)) {
    return ABI_EEXIST;
  }
  node->start = start;
  node->end = end;
  path_repair(t, node, NULL); /* heights stay, so that nothing rotates */
  return OK;
}

/* A window of addresses in which a hole of len bytes is sought. */
struct window {
  uint64_t lo, hi;
};

/* False if the window has surely no hole of len around or within the subtree. Exact when the window
 * covers the subtree, so only the two paths along the window's edges are searched in vain. */
static bool window_may_fit(const struct gnode *node, struct window w, uint64_t len) {
  uint64_t below = node->sub_lo > w.lo ? node->sub_lo - w.lo : 0;
  uint64_t above = w.hi > node->sub_hi ? w.hi - node->sub_hi : 0;
  return node->max_gap >= len || below >= len || above >= len;
}

/* The subtree takes nothing away from the window. */
static bool window_is_clear(const struct gnode *node, struct window w) {
  return node == NULL || node->sub_lo >= w.hi || node->sub_hi <= w.lo;
}

static bool hole_below(const struct gnode *node, uint64_t len, struct window w, uint64_t *start) {
  if (w.lo >= w.hi || w.hi - w.lo < len) {
    return false;
  }
  if (window_is_clear(node, w)) {
    *start = w.hi - len;
    return true;
  }
  if (!window_may_fit(node, w, len)) {
    return false;
  }
  struct window upper = {MAX(w.lo, node->end), w.hi}, lower = {w.lo, MIN(w.hi, node->start)};
  return hole_below(node->right, len, upper, start) || hole_below(node->left, len, lower, start);
}

static bool hole_above(const struct gnode *node, uint64_t len, struct window w, uint64_t *start) {
  if (w.lo >= w.hi || w.hi - w.lo < len) {
    return false;
  }
  if (window_is_clear(node, w)) {
    *start = w.lo;
    return true;
  }
  if (!window_may_fit(node, w, len)) {
    return false;
  }
  struct window upper = {MAX(w.lo, node->end), w.hi}, lower = {w.lo, MIN(w.hi, node->start)};
  return hole_above(node->left, len, lower, start) || hole_above(node->right, len, upper, start);
}

bool gtree_hole_below(const struct gtree *t, uint64_t len, uint64_t lo, uint64_t hi,
                      uint64_t *start) {
  kassert(len > 0);
  return hole_below(t->root, len, (struct window){lo, hi}, start);
}

bool gtree_hole_above(const struct gtree *t, uint64_t len, uint64_t lo, uint64_t hi,
                      uint64_t *start) {
  kassert(len > 0);
  return hole_above(t->root, len, (struct window){lo, hi}, start);
}

/* A copy of the subtree below `parent`, with the same shape: nothing is compared, nothing rotates.
 * Links are set as soon as there is something behind them. */
static bool subtree_copy(struct gnode **link, struct gnode *parent, const struct gnode *from,
                         struct gnode *(*copy)(const struct gnode *node)) {
  if (from == NULL) {
    return true;
  }
  struct gnode *node = copy(from);
  if (node == NULL) {
    return false;
  }
  *node = *from;
  node->left = node->right = NULL;
  node->parent = parent;
  *link = node;
  return subtree_copy(&node->left, node, from->left, copy) &&
         subtree_copy(&node->right, node, from->right, copy);
}

bool gtree_copy(struct gtree *dst, const struct gtree *src,
                struct gnode *(*copy)(const struct gnode *node)) {
  dst->root = NULL;
  dst->n = src->n;
  return subtree_copy(&dst->root, NULL, src->root, copy);
}

void gtree_drain(struct gtree *t, void (*drop)(struct gnode *node)) {
  struct gnode *node = t->root;
  while (node != NULL) { /* children first, without recursion: links are cut on the way down */
    struct gnode **down = node->left != NULL ? &node->left : &node->right;
    if (*down != NULL) {
      struct gnode *child = *down;
      *down = NULL;
      node = child;
      continue;
    }
    struct gnode *parent = node->parent;
    drop(node);
    node = parent;
  }
  gtree_init(t);
}

/* [G3] to [G5] of one node, trusting its children. */
static int node_check(const struct gtree *t, const struct gnode *node) {
  const struct gnode *left = node->left, *right = node->right;
  if ((left != NULL && left->parent != node) || (right != NULL && right->parent != node) ||
      (node->parent == NULL) != (t->root == node)) {
    return 3;
  }
  uint32_t low = MIN(height_of(left), height_of(right));
  uint32_t high = MAX(height_of(left), height_of(right));
  if (node->height != high + 1 || high > low + 1) {
    return 4;
  }
  struct gnode copy = *node;
  node_refresh(&copy);
  bool same = copy.sub_lo == node->sub_lo && copy.sub_hi == node->sub_hi;
  return same && copy.max_gap == node->max_gap ? 0 : 5;
}

int gtree_check(const struct gtree *t) {
  uint64_t last_end = 0;
  size_t n = 0;
  const struct gnode *node = t->root == NULL ? NULL : leftmost(t->root);
  for (; node != NULL; node = gtree_next(node)) {
    if (!range_is_valid(node->start, node->end)) {
      return 1;
    }
    if (n > 0 && node->start < last_end) {
      return 2;
    }
    int broken = node_check(t, node);
    if (broken != 0) {
      return broken;
    }
    last_end = node->end;
    if (++n > t->n) {
      break;
    }
  }
  return n == t->n ? 0 : 6;
}
