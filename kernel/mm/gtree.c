/* Grant tree: see gtree.h. AVL after Knuth, TAOCP vol. 3, 6.2.3, with parent links instead of a
 * stack: a change walks up once, and stops where nothing changes any more. */
#include "mm/gtree.h"

#include "lib/bits.h"
#include "lib/kassert.h"

static uint32_t height_of(const struct gnode *node) {
  return node == NULL ? 0 : node->height;
}

static uint64_t bound_of(const struct gnode *node) {
  return node == NULL ? 0 : node->max_gap;
}

/* The tightest bound [G6] that the children's bounds allow. */
static void node_tighten(struct gnode *node) {
  uint64_t below = MAX(bound_of(node->left), bound_of(node->right));
  node->max_gap = MAX(node->gap, below);
}

/* [G6] after node's gap has grown: bounds never fall on the way up, so the first that is wide
 * enough ends the walk. */
static void node_widen(struct gnode *node) {
  uint64_t gap = node->gap;
  for (; node != NULL && node->max_gap < gap; node = node->parent) {
    node->max_gap = gap;
  }
}

/* [G4] and [G6] of one node from its children. */
static void node_refresh(struct gnode *node) {
  node->height = 1 + MAX(height_of(node->left), height_of(node->right));
  node_tighten(node);
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

/* Restores [G4] of a node whose children's heights differ by 2; answers the subtree's new root. */
static struct gnode *node_rotate(struct gtree *t, struct gnode *node) {
  if (height_of(node->left) > height_of(node->right)) {
    if (height_of(node->left->left) < height_of(node->left->right)) {
      rotate_left(t, node->left);
    }
    return rotate_right(t, node);
  }
  if (height_of(node->right->right) < height_of(node->right->left)) {
    rotate_right(t, node->right);
  }
  return rotate_left(t, node);
}

/* Restores [G4] from node up, until a subtree is as high as it was before. */
static void path_repair(struct gtree *t, struct gnode *node) {
  while (node != NULL) {
    uint32_t was = node->height, left = height_of(node->left), right = height_of(node->right);
    if (left - right + 1 <= 2) { /* unsigned: -1, 0, 1 */
      node->height = 1 + MAX(left, right);
    } else {
      node = node_rotate(t, node);
    }
    if (node->height == was) {
      return;
    }
    node = node->parent;
  }
}

void gtree_init(struct gtree *t) {
  t->root = NULL;
  t->n = 0;
  t->bytes[0] = t->bytes[1] = 0;
  t->end = 0;
}

/* [G8] for a node that comes, or, with a negative length, goes. */
static inline void tree_weigh(struct gtree *t, const struct gnode *node, uint64_t len) {
  t->bytes[node->data] += len;
}

void gtree_set_data(struct gtree *t, struct gnode *node, bool data) {
  tree_weigh(t, node, node->start - node->end);
  node->data = data;
  tree_weigh(t, node, node->end - node->start);
}

struct gnode *gtree_first_from(const struct gtree *t, uint64_t addr) {
  struct gnode *node = t->root, *best = NULL;
  while (node != NULL) {
    if (node->end > addr) {
      best = node;
      node = node->start > addr ? node->left : NULL;
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

bool gtree_place(const struct gtree *t, uint64_t start, uint64_t end, struct gplace *place) {
  struct gnode *node = t->root;
  *place = (struct gplace){0};
  while (node != NULL) {
    place->parent = node;
    if (end <= node->start) {
      place->above = node;
      node = node->left;
    } else if (start >= node->end) {
      place->below = node;
      node = node->right;
    } else {
      return false;
    }
  }
  return true;
}

void gtree_insert_at(struct gtree *t, const struct gplace *place, struct gnode *node) {
  struct gnode *parent = place->parent;
  kassert(range_is_valid(node->start, node->end));
  node->left = node->right = NULL;
  node->parent = parent;
  node->height = 1;
  node->gap = node->start - (place->below != NULL ? place->below->end : 0);
  node->max_gap = 0;
  if (place->above != NULL) {
    place->above->gap = place->above->start - node->end;
  } else {
    t->end = node->end;
  }
  *(parent == NULL ? &t->root : parent == place->above ? &parent->left : &parent->right) = node;
  t->n++;
  tree_weigh(t, node, node->end - node->start);
  node_widen(node);
  path_repair(t, parent);
}

enum abi_error gtree_insert(struct gtree *t, struct gnode *node) {
  struct gplace place;
  kassert(range_is_valid(node->start, node->end));
  if (!gtree_place(t, node->start, node->end, &place)) {
    return ABI_EEXIST;
  }
  gtree_insert_at(t, &place, node);
  return OK;
}

/* Puts the heir, the leftmost of the right subtree, into node's place. Answers the lowest node
 * whose subtree has changed. */
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
  heir->max_gap = MAX(node->max_gap, heir->max_gap);
  heir->height = node->height;
  node_replace(t, node, heir);
  return changed;
}

void gtree_remove(struct gtree *t, struct gnode *node) {
  kassert(node->height != 0 && t->n > 0);
  struct gnode *changed = node->parent, *above = gtree_next(node);
  if (node->left == NULL || node->right == NULL) {
    node_replace(t, node, node->left != NULL ? node->left : node->right);
  } else {
    changed = successor_lift(t, node, above);
  }
  if (above != NULL) {
    above->gap += node->gap + (node->end - node->start);
    node_widen(above);
  } else {
    t->end = node->start - node->gap;
  }
  node->left = node->right = node->parent = NULL;
  node->height = 0;
  t->n--;
  tree_weigh(t, node, node->start - node->end);
  path_repair(t, changed);
}

/* Moves a node's end. What lies above is asked for only here: mostly nodes grow and shrink at their
 * low end, as mappings are made from above. */
static enum abi_error node_move_end(struct gtree *t, struct gnode *node, uint64_t end) {
  struct gnode *next = gtree_next(node);
  if (next == NULL) {
    t->end = end;
  } else if (next->start < end) {
    return ABI_EEXIST;
  } else {
    next->gap = next->start - end;
    node_widen(next);
  }
  return OK;
}

enum abi_error gtree_resize(struct gtree *t, struct gnode *node, uint64_t start, uint64_t end) {
  kassert(t->n > 0 && node->height != 0 && range_is_valid(start, end));
  if (start < node->start && node->start - start > node->gap) {
    return ABI_EEXIST; /* would reach below its predecessor's end */
  }
  enum abi_error e = UNLIKELY(end != node->end) ? node_move_end(t, node, end) : OK;
  if (e == OK) {
    tree_weigh(t, node, (end - start) - (node->end - node->start));
    node->gap += start - node->start;
    node->start = start;
    node->end = end;
    node_widen(node);
  }
  return e;
}

/* ---- holes -------------------------------------------------------------------------------- */

/* A subtree whose bound says that it may have room. */
static inline bool may_have_hole(const struct gnode *node, const struct ghole *h) {
  return node != NULL && node->max_gap >= h->len;
}

/* Below here nothing is kept for a node that grows. */
static uint64_t kept_from(const struct gnode *node, const struct ghole *h) {
  uint64_t kept = MAX(node->end - node->start, h->room->reach) + h->room->guard;
  return node->end > kept ? node->end - kept : 0;
}

/* The gap below a node, or what of it is in the window. */
static inline bool hole_in_gap(const struct gnode *node, struct ghole *h) {
  uint64_t lo = MAX(h->lo, node->start - node->gap), hi = MIN(h->hi, node->start);
  if (UNLIKELY(node->grows)) {
    hi = MIN(hi, kept_from(node, h));
  }
  h->start = hi - h->len;
  return hi > lo && hi - lo >= h->len;
}

/* Up from subtrees that were searched in vain, to the node whose own gap comes next; NULL: none.
 * They remember what their children say: a bound that was too wide costs one search, not each. */
static struct gnode *subtrees_leave(struct gnode *node) {
  const struct gnode *vain;
  do {
    node_tighten(node);
    vain = node;
    node = node->parent;
  } while (node != NULL && node->left == vain);
  return node;
}

/* The highest gap with room: of each subtree first the right side, then the root's own gap, then
 * the left side, as far as the bounds give hope. */
static bool hole_find(const struct gtree *t, struct ghole *h) {
  struct gnode *node = may_have_hole(t->root, h) ? t->root : NULL;
  bool fresh = true; /* its right side is still to be searched */
  while (node != NULL) {
    while (fresh && node->end < h->hi && may_have_hole(node->right, h)) {
      node = node->right;
    }
    if (hole_in_gap(node, h)) {
      return true;
    }
    fresh = node->start - node->gap > h->lo && may_have_hole(node->left, h);
    node = fresh ? node->left : subtrees_leave(node);
  }
  return false;
}

bool gtree_hole_below(struct gtree *t, struct ghole *h) {
  kassert(h->len > 0);
  uint64_t top = MAX(h->lo, t->end);
  h->start = h->hi - h->len;
  return (h->hi > top && h->hi - top >= h->len) || hole_find(t, h);
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
  dst->bytes[0] = src->bytes[0];
  dst->bytes[1] = src->bytes[1];
  dst->end = src->end;
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

/* [G3] to [G6] of one node, given the end of the one before it. */
static int node_check(const struct gtree *t, const struct gnode *node, uint64_t below_end) {
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
  if (node->gap != node->start - below_end) {
    return 5;
  }
  bool bounded = node->max_gap >= node->gap && node->max_gap >= bound_of(left) &&
                 node->max_gap >= bound_of(right);
  return bounded ? 0 : 6;
}

int gtree_check(const struct gtree *t) {
  uint64_t below_end = 0, bytes[2] = {0};
  size_t n = 0;
  const struct gnode *node = t->root == NULL ? NULL : leftmost(t->root);
  for (; node != NULL; node = gtree_next(node)) {
    if (!range_is_valid(node->start, node->end)) {
      return 1;
    }
    if (node->start < below_end) {
      return 2;
    }
    int broken = node_check(t, node, below_end);
    if (broken != 0) {
      return broken;
    }
    below_end = node->end;
    bytes[node->data] += node->end - node->start;
    if (++n > t->n) {
      break;
    }
  }
  if (n != t->n) {
    return 7;
  }
  return bytes[0] != t->bytes[0] || bytes[1] != t->bytes[1] ? 8 : below_end != t->end ? 9 : 0;
}
