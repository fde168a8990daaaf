/* All address spaces, and taking an object's pages out of every one of them.
 *
 * An object does not know who maps it: grants are shared by clones, so that fork costs nothing, and
 * a list of mappings would have to be copied with them. Taking pages back is rare (a file is cut,
 * a server has changed what it serves), so it walks all spaces and their grants instead.
 *
 * [M9] Who has made an object's pages unavailable and has then gone through the list finds every
 * mapping of them: a space enters at the end of the list, and a clone copies what its source still
 * had. If the source was visited before, that is nothing; if it was not, the clone comes later.
 * Locks: SPACES for the list; a space's, exclusive, while its pages go. A space in the list may
 * have lost its last reference; it leaves before its memory goes. */
#include "mm/mm_priv.h"
#include "sched/sched.h"

static struct spinlock spaces_lock = SPINLOCK(SPACES);
static struct list spaces = LIST_INIT(spaces); /* [spaces_lock] */

void spaces_add(struct space *s) {
  spin_lock(&spaces_lock);
  list_push_back(&spaces, &s->spaces_node);
  spin_unlock(&spaces_lock);
}

void spaces_remove(struct space *s) {
  spin_lock(&spaces_lock);
  list_remove(&s->spaces_node);
  spin_unlock(&spaces_lock);
}

/* The next space (NULL: the first), with a reference; that on the last one is dropped. */
static struct space *spaces_next(struct space *last) {
  struct space *s = NULL;
  spin_lock(&spaces_lock);
  struct list *pos = last != NULL ? last->spaces_node.next : spaces.next;
  for (; pos != &spaces && s == NULL; pos = pos->next) {
    struct space *found = CONTAINER_OF(pos, struct space, spaces_node);
    s = refcount_get_unless_zero(&found->refs) ? found : NULL;
  }
  spin_unlock(&spaces_lock);
  if (last != NULL) {
    space_put(last);
  }
  return s;
}

/* The addresses of a grant at which the object's bytes from `offset` on lie. */
static bool grant_part(const struct grant *g, const struct memobj *o, uint64_t offset,
                       uint64_t *start) {
  uint64_t len = g->node.end - g->node.start;
  if (!memobj_is_of(g->obj, o) || (offset > g->offset && offset - g->offset >= len)) {
    return false;
  }
  *start = g->node.start + (offset > g->offset ? offset - g->offset : 0);
  return true;
}

static bool space_maps(struct space *s, const struct memobj *o) {
  rw_lock_shared(&s->lock);
  const struct gnode *n = gtree_first_from(&s->grants->tree, 0);
  while (n != NULL && !memobj_is_of(((const struct grant *)n)->obj, o)) {
    n = gtree_next(n);
  }
  rw_unlock_shared(&s->lock);
  return n != NULL;
}

static enum abi_error space_take_back(struct space *s, const struct memobj *o, uint64_t offset,
                                      bool also_private) {
  enum abi_error e = OK;
  struct ptree_gather gather;
  gather_begin(&gather, s);
  rw_lock_exclusive(&s->lock);
  for (struct gnode *n = gtree_first_from(&s->grants->tree, 0); n != NULL; n = gtree_next(n)) {
    uint64_t start;
    const struct grant *g = grant_of(n);
    if (grant_part(g, o, offset, &start) && (g->shared || also_private)) {
      enum abi_error part = space_tables_unmap(s, start, n->end, &gather);
      e = e == OK ? part : e;
    }
  }
  rw_unlock_exclusive(&s->lock);
  gather_drain(&gather);
  return e;
}

enum abi_error spaces_take_back(const struct memobj *o, uint64_t offset, bool also_private) {
  enum abi_error e = OK;
  for (struct space *s = spaces_next(NULL); s != NULL; s = spaces_next(s)) {
    if (space_maps(s, o)) {
      enum abi_error one = space_take_back(s, o, offset, also_private);
      e = e == OK ? one : e;
    }
    sched_point();
  }
  return e;
}
