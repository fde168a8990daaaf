/* The grants of an address space, and what changes them: adding, splitting, cutting, merging.
 *
 * The tree of grants is a counted object of its own. A clone of a space shares it, so that fork
 * costs the same with three grants and with ten thousand; a tree that spaces share is never
 * changed. Whoever wants to change grants first makes the tree its own [M7], by copying it if
 * others hold it too: a child that execs or exits never pays for that, and when it is gone its
 * parent is alone again.
 *
 * [M7] Nodes change only in a tree with one reference, under the exclusive lock of its space. New
 * references come only from a holder, under its lock.
 * Locks: the space's, exclusive for all that take a space here but grants_share() and the const. */
#include "mm/mm_priv.h"

static struct kcache grant_cache = KCACHE_OF(struct grant, "grant");
static struct kcache grants_cache = KCACHE_OF(struct grants, "grants");

/* ---- the tree as a whole ------------------------------------------------------------------ */

enum abi_error grants_create(struct grants **out) {
  struct grants *g = kcache_alloc(&grants_cache);
  if (g == NULL) {
    return ABI_ENOMEM;
  }
  refcount_init(&g->refs, 1);
  gtree_init(&g->tree);
  *out = g;
  return OK;
}

struct grants *grants_share(struct grants *g) {
  refcount_get(&g->refs);
  return g;
}

static void grant_free(struct gnode *n) {
  struct grant *g = grant_of(n);
  if (g->obj != NULL) {
    memobj_put(g->obj);
  }
  kcache_free(&grant_cache, g);
}

void grants_put(struct grants *g) {
  if (refcount_put(&g->refs)) {
    gtree_drain(&g->tree, grant_free);
    kcache_free(&grants_cache, g);
  }
}

/* A grant of the same memory, with a reference of its own on the object. */
static struct gnode *grant_copy(const struct gnode *n) {
  struct grant *copy = kcache_alloc(&grant_cache);
  if (copy == NULL) {
    return NULL;
  }
  *copy = *grant_of((struct gnode *)n);
  if (copy->obj != NULL) {
    memobj_get(copy->obj);
  }
  return &copy->node;
}

enum abi_error grant_create(const struct grant *like, struct grant **out) {
  struct gnode *n = grant_copy(&like->node);
  *out = n != NULL ? grant_of(n) : NULL;
  return n != NULL ? OK : ABI_ENOMEM;
}

void grant_destroy(struct grant *g) {
  grant_free(&g->node);
}

enum abi_error grants_own_slow(struct space *s) {
  struct grants *shared = s->grants, *own;
  enum abi_error e = grants_create(&own);
  if (e != OK) {
    return e;
  }
  if (!gtree_copy(&own->tree, &shared->tree, grant_copy)) {
    grants_put(own);
    return ABI_ENOMEM;
  }
  s->grants = own;
  grants_put(shared);
  return OK;
}

/* ---- one grant ---------------------------------------------------------------------------- */

static bool grants_join(const struct grant *a, const struct grant *b) {
  return a->obj == NULL && b->obj == NULL && a->node.end == b->node.start && a->prot == b->prot &&
         a->big == b->big && a->node.grows == b->node.grows;
}

static void grant_insert(struct gtree *t, struct grant *g) {
  enum abi_error e = gtree_insert(t, &g->node);
  kassert(e == OK);
}

static void grant_resize(struct gtree *t, struct gnode *n, uint64_t start, uint64_t end) {
  enum abi_error e = gtree_resize(t, n, start, end);
  kassert(e == OK);
}

static void grant_remove(struct gtree *t, struct gnode *n) {
  gtree_remove(t, n);
  grant_free(n);
}

/* Neighbours that are to be one with `g`, which is in no tree, grow over its range [M5]. False when
 * there are none. */
static bool grant_absorb(struct gtree *t, const struct gplace *place, const struct grant *g) {
  struct gnode *below = place->below, *above = place->above;
  bool low = below != NULL && grants_join(grant_of(below), g);
  bool high = above != NULL && grants_join(g, grant_of(above));
  if (low) {
    uint64_t end = high ? above->end : g->node.end;
    if (high) {
      grant_remove(t, above);
    }
    grant_resize(t, below, below->start, end);
  } else if (high) {
    grant_resize(t, above, g->node.start, above->end);
  }
  return low || high;
}

enum abi_error grants_add(struct space *s, const struct grant *like) {
  struct gplace place;
  struct grant *g;
  enum abi_error e = grants_own(s);
  if (e != OK) {
    return e;
  }
  bool is_free = gtree_place(&s->grants->tree, like->node.start, like->node.end, &place);
  kassert(is_free);
  if (grant_absorb(&s->grants->tree, &place, like)) {
    return OK;
  }
  e = grant_create(like, &g);
  if (e == OK) {
    gtree_insert_at(&s->grants->tree, &place, &g->node);
  }
  return e;
}

void grants_place(struct space *s, struct grant *g) {
  uint64_t start = g->node.start, end = g->node.end;
  grant_insert(&s->grants->tree, g);
  grants_merge(s, start, end);
}

/* ---- cutting ------------------------------------------------------------------------------ */

/* The grant becomes two at `at`; `high`, a copy of it, takes what lies above. */
static void grant_divide(struct gtree *t, struct gnode *n, struct grant *high, uint64_t at) {
  high->offset += at - n->start;
  high->node.start = at;
  grant_resize(t, n, n->start, at);
  grant_insert(t, high);
}

static enum abi_error grant_split(struct gtree *t, uint64_t at) {
  struct gnode *n = gtree_find(t, at);
  if (n == NULL || n->start == at) {
    return OK;
  }
  struct gnode *high = grant_copy(n);
  if (high == NULL) {
    return ABI_ENOMEM;
  }
  grant_divide(t, n, grant_of(high), at);
  return OK;
}

enum abi_error grants_split(struct space *s, uint64_t start, uint64_t end) {
  enum abi_error e = grants_own(s);
  if (e != OK) {
    return e;
  }
  e = grant_split(&s->grants->tree, start);
  e = e == OK ? grant_split(&s->grants->tree, end) : e;
  if (e != OK) {
    grants_merge(s, start, end); /* the boundary that was made goes again [M5] */
  }
  return e;
}

enum abi_error grants_cut_prepare(struct space *s, uint64_t start, uint64_t end,
                                  struct grants_cut *cut) {
  enum abi_error e = grants_own(s);
  if (e != OK) {
    return e;
  }
  struct gnode *n = gtree_first_from(&s->grants->tree, start);
  *cut = (struct grants_cut){start, end, n != NULL && n->start < end ? n : NULL, NULL};
  if (cut->first != NULL && n->start < start && n->end > end) {
    struct gnode *spare = grant_copy(n);
    if (spare == NULL) {
      return ABI_ENOMEM;
    }
    cut->spare = grant_of(spare);
  }
  return OK;
}

void grants_cut_cancel(struct grants_cut *cut) {
  if (cut->spare != NULL) {
    grant_destroy(cut->spare);
  }
}

/* Takes [start, end) away from one grant that overlaps it at an end, or wholly. */
static void grant_trim(struct gtree *t, struct gnode *n, const struct grants_cut *cut) {
  if (n->start < cut->start) {
    grant_resize(t, n, n->start, cut->start);
  } else if (n->end > cut->end) {
    grant_of(n)->offset += cut->end - n->start;
    grant_resize(t, n, cut->end, n->end);
  } else {
    grant_remove(t, n);
  }
}

void grants_cut(struct space *s, struct grants_cut *cut) {
  struct gtree *t = &s->grants->tree;
  struct gnode *n = cut->first, *next;
  if (cut->spare != NULL) {
    grant_divide(t, n, cut->spare, cut->end);
  }
  for (; n != NULL && n->start < cut->end; n = next) {
    next = n->end < cut->end ? gtree_next(n) : NULL;
    grant_trim(t, n, cut);
  }
}

void grants_set_prot(struct space *s, struct grant *g, uint32_t prot) {
  g->prot = (uint8_t)prot;
  gtree_set_data(&s->grants->tree, &g->node, grant_is_data(g));
}

void grants_merge(struct space *s, uint64_t start, uint64_t end) {
  struct gtree *t = &s->grants->tree;
  struct gnode *n = gtree_first_from(t, start - 1), *next;
  for (; n != NULL && n->start < end; n = next) {
    next = gtree_next(n);
    if (next != NULL && grants_join(grant_of(n), grant_of(next))) {
      uint64_t joined_end = next->end;
      grant_remove(t, next);
      grant_resize(t, n, n->start, joined_end);
      next = n;
    }
  }
}
