/* Address spaces: grants in a tree, page tables below, and the operations that change both.
 *
 * [M4] Every used leaf of the page tables lies in a grant; its rights are at most the grant's.
 * [M5] No two grants overlap (gtree); a private anonymous grant never touches another of the same
 * rights (they are merged), so that a heap grown in pieces stays one grant. [M6] An object that was
 * opened for reading, or is the boot image, is never written through any mapping. Locks: s->lock
 * exclusive for every change of grants and for what shares or frees tables; s->pt_lock for the
 * tables. Faults hold the first shared and a region's lock (fault.c). */
#include "mm/mm_priv.h"
#include "sched/sched.h"

#define LARGE_LEAST (512ul << 10) /* bytes: a mapping that fills much of a page table */

static struct kcache space_cache = KCACHE_OF(struct space, "space");
bool mm_big_default; /* [c] */
static const struct space_limit limits_none[SPACE_LIMIT_KINDS] = {
    [SPACE_LIMIT_MAPPED] = {UINT64_MAX, UINT64_MAX},
    [SPACE_LIMIT_STACK] = {8ul << 20, UINT64_MAX},
    [SPACE_LIMIT_DATA] = {UINT64_MAX, UINT64_MAX},
    [SPACE_LIMIT_RESIDENT] = {UINT64_MAX, UINT64_MAX},
};

/* ---- life --------------------------------------------------------------------------------- */

/* What is asked instead of the limits themselves. */
static void limits_note(struct space *s) {
  uint64_t least = MIN(s->limits[SPACE_LIMIT_MAPPED].soft, s->limits[SPACE_LIMIT_DATA].soft);
  s->limited = least != UINT64_MAX;
  s->watched = s->limits[SPACE_LIMIT_RESIDENT].soft != UINT64_MAX;
  space_room_set(s);
}

static void limits_copy(struct space *dst, const struct space_limit *src) {
  struct space_limit *to = dst->limits;
  _Static_assert(SPACE_LIMIT_KINDS == 4, "all of them");
  to[0] = src[0]; /* fewer instructions than a call of memcpy() */
  to[1] = src[1];
  to[2] = src[2];
  to[3] = src[3];
}

/* An empty space that takes over a reference on grants. */
static enum abi_error space_with(struct grants *grants, const struct space_limit *limits,
                                 struct space **out) {
  paddr_t root;
  struct space *s = kcache_alloc_zeroed(&space_cache);
  if (s == NULL) {
    return ABI_ENOMEM;
  }
  if (!frame_alloc_zeroed(FRAME_TABLE, &root)) {
    kcache_free(&space_cache, s);
    return ABI_ENOMEM;
  }
  refcount_init(&s->refs, 1);
  rw_init(&s->lock, RANK_SPACE);
  spin_init(&s->pt_lock, RANK_PTREE);
  s->grants = grants;
  s->ceiling = ABI_NEAR_END;
  limits_copy(s, limits);
  limits_note(s);
  s->may_big = mm_big_default;
  ptree_init(root.v);
  arch_space_init(&s->arch, root, direct_map(root));
  list_init(&s->spaces_node);
  *out = s;
  return OK;
}

enum abi_error space_create(struct space **out) {
  struct grants *grants;
  enum abi_error e = grants_create(&grants);
  if (e != OK) {
    return e;
  }
  e = space_with(grants, limits_none, out);
  if (e != OK) {
    grants_put(grants);
    return e;
  }
  spaces_add(*out);
  return OK;
}

void space_get(struct space *s) {
  refcount_get(&s->refs);
}

bool space_is_shared(struct space *s) {
  return refcount_read(&s->refs) > 1;
}

_Atomic uint32_t space_n_ending;
_Atomic uint64_t space_n_ended;

void space_put(struct space *s) {
  if (!refcount_put(&s->refs)) {
    return;
  }
  atomic_fetch_add(&space_n_ending, 1);
  spaces_remove(s);
  if (UNLIKELY(s->lends)) {
    loans_orphan(s);
  }
  if (arch_cpu_self()->space == &s->arch) {
    arch_space_enter(&arch_kernel_space);
  }
  shootdown_leave(s);
  while (!ptree_destroy(s->arch.root.v, TEARDOWN_PIECE)) {
    sched_point();
  }
  grants_put(s->grants);
  while (memobj_reap()) {
    sched_point();
  }
  frame_free(s->arch.root);
  kcache_free(&space_cache, s);
  atomic_fetch_add(&space_n_ended, 1);
  atomic_fetch_sub(&space_n_ending, 1);
}

/* ---- map and unmap, with the lock held ------------------------------------------------------ */

static enum abi_error range_check(uint64_t addr, uint64_t *len) {
  if (*len == 0 || !IS_ALIGNED(addr, PAGE_SIZE) || *len > ABI_USER_END) {
    return ABI_EINVAL;
  }
  *len = ALIGN_UP(*len, PAGE_SIZE);
  return addr < ABI_USER_BASE || addr >= ABI_USER_END || *len > ABI_USER_END - addr ? ABI_ENOMEM
                                                                                    : OK;
}

/* What went is torn down by the caller, with gather_drain(), when it has let go of the lock. */
static inline __attribute__((always_inline)) enum abi_error
tables_unmap(struct space *s, uint64_t start, uint64_t end, struct ptree_gather *gather) {
  spin_lock(&s->pt_lock);
  enum abi_error e = ptree_unmap(s->arch.root.v, start, end, gather);
  gather_settle(gather);
  spin_unlock(&s->pt_lock);
  return e;
}

enum abi_error space_tables_unmap(struct space *s, uint64_t start, uint64_t end,
                                  struct ptree_gather *gather) {
  return tables_unmap(s, start, end, gather);
}

static inline __attribute__((always_inline)) enum abi_error
unmap_locked(struct space *s, uint64_t start, uint64_t end, struct ptree_gather *gather) {
  struct grants_cut cut;
  enum abi_error e = grants_cut_prepare(s, start, end, &cut);
  if (e != OK || cut.first == NULL) {
    return e;
  }
  e = tables_unmap(s, start, end, gather);
  if (e != OK) {
    grants_cut_cancel(&cut);
    return e;
  }
  grants_cut(s, &cut);
  return OK;
}

enum abi_error space_unmap_locked(struct space *s, uint64_t start, uint64_t end,
                                  struct ptree_gather *gather) {
  return unmap_locked(s, start, end, gather);
}

static bool hole_between(struct space *s, struct ghole *h, uint64_t lo, uint64_t hi) {
  h->lo = lo;
  h->hi = hi;
  return gtree_hole_below(&s->grants->tree, h);
}

/* Large mappings keep out of the GiB that has the top of the stack: their page tables would fill
 * the directory that every fork copies. */
static bool hole_search(struct space *s, struct ghole *h) {
  uint64_t apart = ALIGN_DOWN(s->ceiling - 1, 1ul << 30);
  return (h->len >= LARGE_LEAST && hole_between(s, h, ABI_USER_BASE, apart)) ||
         hole_between(s, h, ABI_USER_BASE, s->ceiling) ||
         hole_between(s, h, s->ceiling, ABI_USER_END);
}

/* As it must be: right up to the guard. */
static __attribute__((noinline)) bool hole_narrow(struct space *s, struct ghole *h) {
  static const struct groom guard_only = {.guard = GROW_ABI_GUARD};
  h->room = &guard_only;
  return hole_search(s, h);
}

bool space_hole(struct space *s, uint64_t len, uint64_t *start) {
  struct ghole h;
  h.len = len;
  h.room = &s->room;
  bool found = LIKELY(hole_search(s, &h)) || hole_narrow(s, &h);
  *start = h.start;
  return found;
}

/* Where a request goes: its address if that is fixed or free, else the highest hole. */
static enum abi_error map_place(struct space *s, struct map_request *r,
                                struct ptree_gather *gather) {
  if (r->flags & (MAP_ABI_FIXED_NOREPLACE | MAP_ABI_FIXED)) {
    return gtree_is_free(&s->grants->tree, r->addr, r->addr + r->len) ? OK
           : r->flags & MAP_ABI_FIXED_NOREPLACE
               ? ABI_EEXIST
               : unmap_locked(s, r->addr, r->addr + r->len, gather);
  }
  uint64_t len = r->len;
  uint64_t hint = ALIGN_DOWN(r->addr, PAGE_SIZE);
  if (hint != 0 && range_check(hint, &len) == OK && space_is_clear(s, hint, hint + r->len)) {
    r->addr = hint;
    return OK;
  }
  return space_hole(s, r->len, &r->addr) ? OK : ABI_ENOMEM;
}

static enum abi_error map_check(struct map_request *r) {
  bool fixed = r->flags & (MAP_ABI_FIXED | MAP_ABI_FIXED_NOREPLACE);
  bool shared = r->flags & MAP_ABI_SHARED, private = r->flags & MAP_ABI_PRIVATE;
  if (shared == private || (r->prot & ~7u) != 0 || !IS_ALIGNED(r->offset, PAGE_SIZE) ||
      r->len == 0) {
    return ABI_EINVAL;
  }
  if (UNLIKELY(r->flags & MAP_ABI_GROWSDOWN) && (shared || r->obj != NULL)) {
    return ABI_EINVAL;
  }
  if (r->obj != NULL && !shared && memobj_is_device(r->obj)) {
    return ABI_EINVAL; /* registers cannot be copied */
  }
  if (shared && r->read_only && r->prot & PROT_ABI_WRITE) {
    return ABI_EACCES;
  }
  if (r->len > ABI_USER_END) {
    return ABI_ENOMEM;
  }
  r->len = ALIGN_UP(r->len, PAGE_SIZE);
  return fixed ? range_check(r->addr, &r->len) : OK;
}

/* MAP_POPULATE: what cannot be had now comes by fault later. */
static void populate(struct space *s, const struct map_request *r) {
  for (uint64_t va = r->addr; va < r->addr + r->len; va += PAGE_SIZE) {
    if (space_fault(s, va, r->prot & PROT_ABI_WRITE, false) != OK) {
      return;
    }
    sched_point();
  }
}

/* The same for what replaces something: that does not count. */
static __attribute__((noinline)) bool replace_has_room(const struct space *s,
                                                       const struct map_request *r, bool is_data) {
  uint64_t added = r->len, end = r->addr + r->len, data = is_data ? added : 0;
  const struct gnode *n = gtree_first_from(&s->grants->tree, r->addr);
  for (; n != NULL && n->start < end; n = gtree_next(n)) {
    uint64_t part = MIN(n->end, end) - MAX(n->start, r->addr);
    added -= part;
    data -= n->data ? MIN(data, part) : 0;
  }
  return space_has_room(s, added, false) && (data == 0 || space_has_data_room(s, data));
}

static bool map_has_room(const struct space *s, const struct map_request *r, bool is_data) {
  return LIKELY(space_has_room(s, r->len, is_data)) ||
         (r->flags & MAP_ABI_FIXED && replace_has_room(s, r, is_data));
}

/* As grant_is_data(). */
static bool map_is_data(const struct map_request *r) {
  return (r->prot & PROT_ABI_WRITE) != 0 && (r->flags & (MAP_ABI_SHARED | MAP_ABI_GROWSDOWN)) == 0;
}

/* The node's links stay unset: it is in no tree. */
static void grant_describe(const struct map_request *r, bool is_data, struct grant *g) {
  g->node.start = r->addr;
  g->node.end = r->addr + r->len;
  g->prot = (uint8_t)r->prot;
  g->shared = r->flags & MAP_ABI_SHARED;
  g->read_only = g->shared && r->read_only;
  g->big = mm_big_default; /* an object's grant takes no notice */
  g->obj = r->obj;
  g->offset = r->offset;
  g->node.grows = r->flags & MAP_ABI_GROWSDOWN;
  g->node.data = is_data;
}

/* What is to be replaced is lent no more [M10]. */
static __attribute__((noinline)) enum abi_error loans_end_below(struct space *s,
                                                                const struct map_request *r)
    HOLDS(&s->lock) {
  bool replaces = (r->flags & (MAP_ABI_FIXED | MAP_ABI_FIXED_NOREPLACE)) == MAP_ABI_FIXED;
  return replaces ? loans_end_slow(s, r->addr, r->addr + r->len) : OK;
}

enum abi_error space_map(struct space *s, struct map_request *r) {
  enum abi_error e = map_check(r);
  if (e != OK) {
    return e;
  }
  struct ptree_gather gather;
  gather_begin(&gather, s);
  rw_lock_exclusive(&s->lock);
  e = LIKELY(!s->lends) ? OK : loans_end_below(s, r);
  bool is_data = map_is_data(r);
  if (LIKELY(e == OK)) {
    e = map_has_room(s, r, is_data) ? map_place(s, r, &gather) : ABI_ENOMEM;
  }
  if (e == OK) {
    struct grant like;
    grant_describe(r, is_data, &like);
    e = grants_add(s, &like);
  }
  rw_unlock_exclusive(&s->lock);
  gather_drain(&gather);
  if (e == OK && r->flags & MAP_ABI_POPULATE) {
    populate(s, r);
  }
  return e;
}

enum abi_error space_set_ceiling(struct space *s, uint64_t addr) {
  if (!IS_ALIGNED(addr, PAGE_SIZE) || addr <= ABI_USER_BASE || addr > ABI_USER_END) {
    return ABI_EINVAL;
  }
  rw_lock_exclusive(&s->lock);
  s->ceiling = addr;
  rw_unlock_exclusive(&s->lock);
  return OK;
}

enum abi_error space_set_limit(struct space *s, enum space_limit_kind kind,
                               struct space_limit limit, bool may_rise) {
  if (limit.soft > limit.hard) {
    return ABI_EINVAL;
  }
  rw_lock_exclusive(&s->lock);
  struct space_limit *now = &s->limits[kind];
  enum abi_error e = limit.hard <= now->hard || may_rise ? OK : ABI_EPERM;
  *now = e == OK ? limit : *now;
  limits_note(s);
  space_resident_look(s);
  rw_unlock_exclusive(&s->lock);
  return e;
}

struct space_limit space_get_limit(struct space *s, enum space_limit_kind kind) {
  rw_lock_shared(&s->lock);
  struct space_limit limit = s->limits[kind];
  rw_unlock_shared(&s->lock);
  return limit;
}

void space_copy_limits(struct space *dst, struct space *src) {
  rw_lock_shared(&src->lock);
  limits_copy(dst, src->limits);
  limits_note(dst);
  rw_unlock_shared(&src->lock);
}

enum abi_error space_unmap(struct space *s, uint64_t addr, uint64_t len) {
  enum abi_error e = range_check(addr, &len);
  if (e != OK) {
    return ABI_EINVAL;
  }
  struct ptree_gather gather;
  gather_begin(&gather, s);
  rw_lock_exclusive(&s->lock);
  e = loans_end(s, addr, addr + len);
  e = LIKELY(e == OK) ? unmap_locked(s, addr, addr + len, &gather) : e;
  rw_unlock_exclusive(&s->lock);
  gather_drain(&gather);
  return e;
}

/* ---- rights ------------------------------------------------------------------------------- */

/* Every page of the range is mapped (else ENOMEM), by a grant that may have these rights (else
 * EACCES). */
static enum abi_error range_check_grants(struct space *s, uint64_t start, uint64_t end,
                                         uint32_t prot) {
  for (struct gnode *n = gtree_find(&s->grants->tree, start); n != NULL && n->start <= start;
       n = gtree_next(n)) {
    if (grant_of(n)->read_only && prot & PROT_ABI_WRITE) {
      return ABI_EACCES;
    }
    if (n->end >= end) {
      return OK;
    }
    start = n->end;
  }
  return ABI_ENOMEM;
}

/* What the change makes data of the range is allowed. */
static bool protect_has_room(const struct space *s, uint64_t start, uint64_t end, uint32_t prot) {
  uint64_t more = 0;
  if (!(prot & PROT_ABI_WRITE) || LIKELY(s->limits[SPACE_LIMIT_DATA].soft == UINT64_MAX)) {
    return true;
  }
  const struct gnode *n = gtree_first_from(&s->grants->tree, start);
  for (; n != NULL && n->start < end; n = gtree_next(n)) {
    bool becomes = !n->data && !n->grows && !((const struct grant *)n)->shared;
    more += becomes ? MIN(n->end, end) - MAX(n->start, start) : 0;
  }
  return more == 0 || space_has_data_room(s, more);
}

static enum abi_error tables_protect(struct space *s, uint64_t start, uint64_t end, uint32_t prot) {
  struct grant g = {.prot = (uint8_t)prot};
  uint64_t set = grant_leaf_bits(&g) & (PTE_P | PTE_NX);
  /* W comes by fault: the fault decides on copy-on-write. */
  uint64_t clear = (PTE_P | PTE_NX) & ~set;
  clear |= prot & PROT_ABI_WRITE ? 0 : PTE_W;
  struct ptree_gather gather;
  gather_begin(&gather, s);
  spin_lock(&s->pt_lock);
  enum abi_error e = ptree_protect(s->arch.root.v, start, end,
                                   (struct ptree_rights){.clear = clear, .set = set}, &gather);
  gather_end(&gather);
  spin_unlock(&s->pt_lock);
  return e;
}

/* The range has boundaries at its ends, which go again if it stays as it is [M5]. */
static enum abi_error grants_protect(struct space *s, uint64_t start, uint64_t end, uint32_t prot) {
  enum abi_error e = tables_protect(s, start, end, prot);
  for (struct gnode *n = gtree_first_from(&s->grants->tree, start);
       e == OK && n != NULL && n->start < end; n = gtree_next(n)) {
    grants_set_prot(s, grant_of(n), prot);
  }
  grants_merge(s, start, end);
  return e;
}

enum abi_error space_protect(struct space *s, uint64_t addr, uint64_t len, uint32_t prot) {
  if (len == 0 && IS_ALIGNED(addr, PAGE_SIZE)) {
    return OK;
  }
  enum abi_error e = prot & ~7u ? ABI_EINVAL : range_check(addr, &len);
  if (e != OK) {
    return e;
  }
  rw_lock_exclusive(&s->lock);
  e = range_check_grants(s, addr, addr + len, prot);
  e = e == OK && !protect_has_room(s, addr, addr + len, prot) ? ABI_ENOMEM : e;
  e = e == OK ? grants_split(s, addr, addr + len) : e;
  e = e == OK ? grants_protect(s, addr, addr + len, prot) : e;
  rw_unlock_exclusive(&s->lock);
  return e;
}

/* ---- advice ------------------------------------------------------------------------------- */

/* Anonymous pages read as zero again, others as the object has them. */
static enum abi_error range_discard(struct space *s, uint64_t addr, uint64_t len) {
  struct ptree_gather gather;
  gather_begin(&gather, s);
  rw_lock_exclusive(&s->lock);
  enum abi_error e = loans_end_private(s, addr, addr + len);
  e = e == OK ? tables_unmap(s, addr, addr + len, &gather) : e;
  rw_unlock_exclusive(&s->lock);
  gather_drain(&gather);
  return e;
}

/* Faults the range in, as far as it is mapped. */
static enum abi_error range_populate(struct space *s, uint64_t addr, uint64_t len, bool write) {
  enum abi_error first = OK;
  for (uint64_t va = addr; va < addr + len && first != ABI_ENOMEM; va += PAGE_SIZE) {
    enum abi_error e = space_fault(s, va, write, false);
    first = first == OK ? e : first;
    sched_point();
  }
  return first;
}

static enum abi_error range_check_mapped(struct space *s, uint64_t addr, uint64_t len) {
  rw_lock_shared(&s->lock);
  enum abi_error e = range_check_grants(s, addr, addr + len, 0);
  rw_unlock_shared(&s->lock);
  return e;
}

/* Whether the private anonymous memory of the range is to be had by 2 MiB. What is there stays as
 * it is. */
static enum abi_error range_set_big(struct space *s, uint64_t addr, uint64_t len, bool big) {
  rw_lock_exclusive(&s->lock);
  enum abi_error e = grants_split(s, addr, addr + len);
  for (struct gnode *n = gtree_first_from(&s->grants->tree, addr);
       e == OK && n != NULL && n->start < addr + len; n = gtree_next(n)) {
    grant_of(n)->big = big && grant_of(n)->obj == NULL;
  }
  if (e == OK) {
    s->may_big = s->may_big || big;
    grants_merge(s, addr, addr + len);
  }
  rw_unlock_exclusive(&s->lock);
  return e;
}

enum abi_error space_advise(struct space *s, uint64_t addr, uint64_t len, uint32_t advice) {
  enum abi_error e = range_check(addr, &len);
  if (e != OK) {
    return e;
  }
  e = range_check_mapped(s, addr, len);
  enum abi_error done = OK;
  switch (advice) {
  case ADVISE_ABI_DONTNEED:
    done = range_discard(s, addr, len);
    break;
  case ADVISE_ABI_WILLNEED: /* a hint: what cannot be had now comes by fault */
    (void)(e == OK ? range_populate(s, addr, len, false) : OK);
    break;
  case ADVISE_ABI_POPULATE_READ:
  case ADVISE_ABI_POPULATE_WRITE:
    done = e == OK ? range_populate(s, addr, len, advice == ADVISE_ABI_POPULATE_WRITE) : OK;
    break;
  case ADVISE_ABI_HUGEPAGE:
  case ADVISE_ABI_NOHUGEPAGE:
    done = range_set_big(s, addr, len, advice == ADVISE_ABI_HUGEPAGE);
    break;
  default:
    break; /* in what order pages are used is no matter here */
  }
  return e != OK ? e : done;
}

/* ---- clone -------------------------------------------------------------------------------- */

/* With the lock exclusive: a fault relies on private tables staying private [M8]. What is lent of
 * private memory is two spaces' alone: before a third has it, it comes back [M12]. */
enum abi_error space_clone(struct space *src, struct space **out) {
  rw_lock_exclusive(&src->lock);
  enum abi_error e = loans_end_private(src, 0, ABI_USER_END);
  if (UNLIKELY(e != OK)) {
    rw_unlock_exclusive(&src->lock);
    return e;
  }
  src->lent_start = src->lent_end = 0;
  struct grants *grants = grants_share(src->grants);
  e = space_with(grants, src->limits, out);
  if (e == OK) {
    (*out)->ceiling = src->ceiling;
    space_resident_inherit(*out, src);
    (*out)->may_big = src->may_big;
    spin_lock(&src->pt_lock);
    if (ptree_clone((*out)->arch.root.v, src->arch.root.v)) {
      shootdown_all(src);
    }
    spin_unlock(&src->pt_lock);
    spaces_add(*out); /* with the source's lock: it holds what the source does now [M9] */
  }
  rw_unlock_exclusive(&src->lock);
  if (e != OK) {
    grants_put(grants);
  }
  return e;
}
