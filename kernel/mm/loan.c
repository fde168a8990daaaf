/* Loans: memory that a space maps shared, seen by other spaces for as long as it likes.
 *
 * A loan is an object of its own that shows a part of the lender's, page by page as it is touched:
 * what the borrower maps is the loan, so that taking it back is taking an object's pages out of all
 * spaces (spaces.c), which finds the borrower's clones and mappings made of the mapping as well. A
 * lender keeps a list of its loans without references; each is there until it has ended, or nobody
 * has its object any more.
 *
 *   lent -> ended       memobj_end_loan(): no page can be had
 *   ended -> returned   the same: no space has one any more; off the list, the source let go
 *
 * [M10] A loan that is not ended lies in shared grants of its lender: who takes such grants away
 * ends the loans on them first (loans_end), and so does the end of the lender. What changes
 * grants without taking them away (mprotect) leaves loans as they are, and a lender's clone lends
 * nothing.
 *
 * Locks: the lender's SPACE, exclusive, to lend; LOANS for the lists; none while pages are taken
 * back. Who only finds a loan to end holds it by a reference: if the last has gone, nobody maps it.
 *
 * Limits: a loan ends as a whole, also by what touches a part of its range. A call that copies for
 * a borrower, and has a page in hand, finishes that page. A lender's end is not held up by want of
 * memory: a borrower then may keep pages that it had. */
#include "mm/mm_priv.h"

struct loan {
  struct list node;    /* [LOANS] of its lender, of the orphans, or of none */
  struct memobj *obj;  /* [c] no reference */
  uint64_t start, end; /* [c] the lender's addresses */
};

static struct kcache loan_cache = KCACHE_OF(struct loan, "loan");
static struct spinlock loans_lock = SPINLOCK(LOANS);
static struct list orphans = LIST_INIT(orphans); /* [loans_lock] of lenders that are gone */
static _Atomic bool orphans_busy;                /* somebody ends them */

/* ---- lending ------------------------------------------------------------------------------ */

static enum abi_error loan_create(struct memobj *source, uint64_t first, uint64_t start,
                                  uint64_t end, struct loan **out) {
  struct loan *l = kcache_alloc(&loan_cache);
  if (l == NULL) {
    return ABI_ENOMEM;
  }
  *l = (struct loan){.start = start, .end = end};
  list_init(&l->node);
  enum abi_error e = memobj_create_loan(source, first, first + (end - start), l, &l->obj);
  if (e != OK) {
    kcache_free(&loan_cache, l);
  }
  *out = l;
  return e;
}

void loan_forget(struct loan *l) {
  spin_lock(&loans_lock);
  list_remove(&l->node);
  spin_unlock(&loans_lock);
  kcache_free(&loan_cache, l);
}

static void loan_enter(struct space *s, struct loan *l) {
  if (!s->lends) {
    list_init(&s->loans);
    s->lends = true;
  }
  spin_lock(&loans_lock);
  list_push_back(&s->loans, &l->node);
  spin_unlock(&loans_lock);
}

static enum abi_error lend_locked(struct space *s, uint64_t addr, uint64_t end, uint32_t prot,
                                  struct object_ref *out) {
  struct loan *l;
  struct gnode *n = gtree_find(&s->grants->tree, addr);
  if (n == NULL || end > n->end || !grant_of(n)->shared) {
    return ABI_EINVAL;
  }
  const struct grant *g = grant_of(n);
  if ((prot & ~(uint32_t)g->prot) != 0 || (g->prot & PROT_ABI_READ) == 0) {
    return ABI_EACCES;
  }
  uint64_t first = g->offset + (addr - n->start);
  enum abi_error e = loan_create(g->obj, first, addr, end, &l);
  if (e == OK) {
    loan_enter(s, l);
    *out = (struct object_ref){l->obj, first, (g->prot & PROT_ABI_WRITE) == 0};
  }
  return e;
}

/* Rounds len up; false: no pages of user memory. */
static bool loan_range(uint64_t addr, uint64_t *len) {
  bool sane = *len != 0 && *len <= ABI_USER_END && IS_ALIGNED(addr, PAGE_SIZE);
  *len = sane ? ALIGN_UP(*len, PAGE_SIZE) : 0;
  return sane && user_range_ok((uaddr_t){addr}, *len);
}

enum abi_error space_lend(struct space *s, uint64_t addr, uint64_t len, uint32_t prot,
                          struct object_ref *out) {
  if (!loan_range(addr, &len)) {
    return ABI_EINVAL;
  }
  rw_lock_exclusive(&s->lock);
  enum abi_error e = lend_locked(s, addr, addr + len, prot, out);
  rw_unlock_exclusive(&s->lock);
  return e;
}

/* ---- ending ------------------------------------------------------------------------------- */

/* A loan of a part of [start, end) that somebody has, with a reference; NULL: there is none. */
static struct memobj *loan_find(const struct space *s, uint64_t start, uint64_t end) {
  struct memobj *found = NULL;
  spin_lock(&loans_lock);
  for (struct list *pos = s->loans.next; pos != &s->loans && found == NULL; pos = pos->next) {
    const struct loan *l = CONTAINER_OF(pos, struct loan, node);
    bool hit = l->start < end && start < l->end && memobj_get_unless_zero(l->obj);
    found = hit ? l->obj : NULL;
  }
  spin_unlock(&loans_lock);
  return found;
}

/* Ends a loan, and drops the caller's reference. It stays on its list until it is returned, so that
 * who finds it ended waits for that too, by doing it again. */
static enum abi_error loan_end(struct memobj *o) {
  enum abi_error e = memobj_end_loan(o);
  if (e == OK) {
    spin_lock(&loans_lock);
    list_remove(&memobj_loan(o)->node);
    spin_unlock(&loans_lock);
  }
  memobj_put(o);
  return e;
}

static enum abi_error loan_end_unlocked(struct space *s, struct memobj *o) HOLDS(&s->lock) {
  rw_unlock_exclusive(&s->lock);
  enum abi_error e = loan_end(o);
  rw_lock_exclusive(&s->lock);
  return e;
}

enum abi_error loans_end_slow(struct space *s, uint64_t start, uint64_t end) {
  struct memobj *o;
  enum abi_error e = OK;
  while (e == OK && (o = loan_find(s, start, end)) != NULL) {
    e = loan_end_unlocked(s, o);
  }
  return e;
}

bool space_lends_any(struct space *s, uint64_t start, uint64_t end) {
  struct memobj *o = s->lends ? loan_find(s, start, end) : NULL;
  if (o != NULL) {
    memobj_put(o);
  }
  return o != NULL;
}

enum abi_error space_revoke(struct space *s, uint64_t addr, uint64_t len) {
  if (!loan_range(addr, &len)) {
    return ABI_EINVAL;
  }
  rw_lock_exclusive(&s->lock);
  enum abi_error e = loans_end(s, addr, addr + len);
  rw_unlock_exclusive(&s->lock);
  return e;
}

/* ---- lenders that go ------------------------------------------------------------------------ */

/* The first orphan that somebody has, with a reference, off the list. */
static struct memobj *orphan_take(void) {
  struct memobj *found = NULL;
  spin_lock(&loans_lock);
  for (struct list *pos; found == NULL && (pos = list_pop_front(&orphans)) != NULL;) {
    struct memobj *o = CONTAINER_OF(pos, struct loan, node)->obj;
    found = memobj_get_unless_zero(o) ? o : NULL;
  }
  spin_unlock(&loans_lock);
  return found;
}

static bool orphans_exist(void) {
  spin_lock(&loans_lock);
  bool exist = !list_is_empty(&orphans);
  spin_unlock(&loans_lock);
  return exist;
}

/* One at a time: taking pages back may drop the last reference of a space that lends, too, and its
 * loans are then left to the loop that is at work, not to a deeper one. */
static void orphans_end(void) {
  while (orphans_exist() && !atomic_exchange(&orphans_busy, true)) {
    struct memobj *o;
    while ((o = orphan_take()) != NULL) {
      (void)loan_end(o); /* what it cannot take back has nobody to ask for it any more */
    }
    atomic_store(&orphans_busy, false);
  }
}

void loans_orphan(struct space *s) {
  spin_lock(&loans_lock);
  list_splice_back(&orphans, &s->loans);
  spin_unlock(&loans_lock);
  orphans_end();
}
