/* Grants that grow downwards, as stacks do, and the room that is kept for them.
 *
 * A fault below such a grant, at an address that nothing has, makes it longer: to that address, and
 * on to a multiple of GROW_STEP if that is still allowed, so that a deep stack does not take the
 * exclusive lock for each of its pages. Fault handling comes here only when it has found no grant.
 *
 * [M11] A grant that has grown is at most the space's stack limit long, keeps GROW_ABI_GUARD bytes
 * away from what lies below it, unless nobody can access that, and did not take the space over its
 * limit on mapped bytes.
 *
 * Places that nobody named are chosen outside of what such grants may still need: up to the limit,
 * which may be raised later (ROOM_LEAST), or be none (ROOM_MOST). Where that leaves no room, only
 * the guard is kept. A mapping that names its place may lie where it likes; what grows then ends
 * above it. */
#include "mm/mm_priv.h"

#define GROW_STEP (64ul << 10)
#define ROOM_LEAST (128ul << 20)
#define ROOM_MOST (1ul << 30)

/* ---- room --------------------------------------------------------------------------------- */

void space_room_set(struct space *s) {
  uint64_t most = MIN(s->limits[SPACE_LIMIT_STACK].soft, ROOM_MOST);
  s->room = (struct groom){.reach = MAX(most, ROOM_LEAST), .guard = GROW_ABI_GUARD};
}

bool space_is_clear(const struct space *s, uint64_t start, uint64_t end) {
  const struct gnode *above = gtree_first_from(&s->grants->tree, start);
  return above == NULL || (above->grows ? end + GROW_ABI_GUARD : end) <= above->start;
}

/* ---- growth ------------------------------------------------------------------------------- */

/* Where growth ends [M11]. */
static uint64_t grow_floor(const struct space *s, const struct gnode *n) {
  const struct gnode *below = gtree_prev(n);
  uint64_t most = s->limits[SPACE_LIMIT_STACK].soft, floor = ABI_USER_BASE;
  if (most < n->end - floor) {
    floor = ALIGN_UP(n->end - most, PAGE_SIZE);
  }
  if (below != NULL) {
    bool guarded = ((const struct grant *)below)->prot != 0;
    floor = MAX(floor, below->end + (guarded ? GROW_ABI_GUARD : 0));
  }
  return floor;
}

/* The grant that a fault at va can make longer, or that has va by now. */
static struct gnode *grow_find(const struct space *s, uint64_t va, bool write, bool exec) {
  struct gnode *n = gtree_first_from(&s->grants->tree, va);
  bool may = n != NULL && (n->start <= va || (n->grows && grant_allows(grant_of(n), write, exec)));
  return may ? n : NULL;
}

/* Where the grant is to begin; 0: it cannot have va. */
static uint64_t grow_start(const struct space *s, const struct gnode *n, uint64_t va) {
  uint64_t floor = grow_floor(s, n), far = MAX(floor, ALIGN_DOWN(va, GROW_STEP));
  if (va < floor) {
    return 0;
  }
  return space_has_room(s, n->start - far, false)  ? far
         : space_has_room(s, n->start - va, false) ? va
                                                   : 0;
}

static enum abi_error grow_locked(struct space *s, uint64_t va, bool write, bool exec) {
  struct gnode *n = grow_find(s, va, write, exec);
  if (n == NULL || n->start <= va) {
    return n == NULL ? ABI_EFAULT : OK;
  }
  uint64_t start = grow_start(s, n, va);
  enum abi_error e = start != 0 ? grants_own(s) : ABI_EFAULT;
  if (e != OK) {
    return e;
  }
  n = gtree_first_from(&s->grants->tree, va); /* perhaps in another tree */
  return gtree_resize(&s->grants->tree, n, start, n->end) == OK ? OK : ABI_EFAULT;
}

/* Most that comes here is a wild pointer, and holds up nobody. */
enum abi_error space_grow(struct space *s, uint64_t va, bool write, bool exec) {
  rw_lock_shared(&s->lock);
  bool may = grow_find(s, va, write, exec) != NULL;
  rw_unlock_shared(&s->lock);
  if (!may) {
    return ABI_EFAULT;
  }
  rw_lock_exclusive(&s->lock);
  enum abi_error e = grow_locked(s, va, write, exec);
  rw_unlock_exclusive(&s->lock);
  return e;
}
