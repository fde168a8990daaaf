/* Loans: memory of one space, seen by other spaces for as long as it likes.
 *
 * A loan is an object of its own that shows a part of the lender's memory, page by page as it is
 * touched: what the borrower maps is the loan, so that taking it back is taking an object's pages
 * out of all spaces (spaces.c), which finds the borrower's clones and mappings made of the mapping
 * as well. A lender keeps a list of its loans without references; each is there until it has ended,
 * or nobody has its object any more. What the lender maps shared is shown by its object; what it
 * has privately, by the lender's own frames, which the loan's object collects as they are touched.
 *
 *   lent -> ended       memobj_end_loan(): no page can be had
 *   ended -> returned   the same: no space has one any more; off the list, the source let go
 *
 * [M10] A loan that is not ended lies in grants of its lender, shared ones or private anonymous
 * ones: who takes such grants away ends the loans on them first (loans_end), and so does the end of
 * the lender. What changes grants without taking them away (mprotect) leaves loans as they are, and
 * a lender's clone lends nothing.
 * [M12] A page that a loan of private memory has is the lender's own: its leaf, in tables that are
 * the lender's alone, has the only other reference and the mark PTE_SHARED, by which a write that
 * the lender has lost the right to (mprotect) does not copy it. What would make the page two,
 * throw it away or share it (a clone of the lender, a move, MADV_DONTNEED) ends the loan first, and
 * then takes the marks away; they may stay when a borrower has gone by itself, and do no harm
 * before that. All of them are in [lent_start, lent_end).
 * Who ends loans lets go of the lender's lock for each. The space lends nothing anew until that is
 * done (ABI_EAGAIN): borrowers that come again and again could hold it up for ever.
 *
 * Locks: the lender's SPACE, exclusive, to lend, and shared to bring a private page; LOANS for the
 * lists and the lender of each; none while pages are taken back. Who only finds a loan to end holds
 * it by a reference: if the last has gone, nobody maps it.
 *
 * Limits: a loan ends as a whole, also by what touches a part of its range. A call that copies for
 * a borrower, and has a page in hand, finishes that page. A lender's end is not held up by want of
 * memory: a borrower then may keep pages that it had. A futex word in private memory that is lent
 * has one name for the lender and another for its borrowers. */
#include "mm/mm_priv.h"

struct loan {
  struct list node;     /* [LOANS] of its lender, of the orphans, or of none */
  struct memobj *obj;   /* [c] no reference */
  uint64_t start, end;  /* [c] the lender's addresses */
  struct space *lender; /* [LOANS] of private memory, while it lives; NULL: none */
};

static struct kcache loan_cache = KCACHE_OF(struct loan, "loan");
static struct spinlock loans_lock = SPINLOCK(LOANS);
static struct list orphans = LIST_INIT(orphans); /* [loans_lock] of lenders that are gone */
static _Atomic bool orphans_busy;                /* somebody ends them */

/* ---- lending ------------------------------------------------------------------------------ */

/* `source` NULL: private memory. */
static enum abi_error loan_create(struct memobj *source, uint64_t first, uint64_t start,
                                  uint64_t end, struct loan **out) {
  struct loan *l = kcache_alloc(&loan_cache);
  if (l == NULL) {
    return ABI_ENOMEM;
  }
  *l = (struct loan){.start = start, .end = end};
  list_init(&l->node);
  enum abi_error e = source == NULL
                         ? memobj_create_lent(end - start, l, &l->obj)
                         : memobj_create_loan(source, first, first + (end - start), l, &l->obj);
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

/* Where marks may be from now on [M12]. */
static void lent_widen(struct space *s, uint64_t start, uint64_t end) {
  bool none = s->lent_start == s->lent_end;
  s->lent_start = none ? start : MIN(s->lent_start, start);
  s->lent_end = none ? end : MAX(s->lent_end, end);
}

static enum abi_error lend_locked(struct space *s, uint64_t addr, uint64_t end, uint32_t prot,
                                  struct object_ref *out) {
  struct loan *l;
  if (s->n_takers != 0) {
    return ABI_EAGAIN;
  }
  struct gnode *n = gtree_find(&s->grants->tree, addr);
  const struct grant *g = n != NULL ? grant_of(n) : NULL;
  if (n == NULL || end > n->end || (!g->shared && g->obj != NULL)) {
    return ABI_EINVAL;
  }
  if ((prot & ~(uint32_t)g->prot) != 0 || (g->prot & PROT_ABI_READ) == 0) {
    return ABI_EACCES;
  }
  uint64_t first = g->shared ? g->offset + (addr - n->start) : 0;
  enum abi_error e = loan_create(g->obj, first, addr, end, &l);
  if (e == OK && !g->shared) {
    l->lender = s;
    lent_widen(s, addr, end);
  }
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

/* ---- private pages ------------------------------------------------------------------------ */

/* Who ends a loan has ended it before it takes the lender's lock again, and then takes the marks
 * away: a loan that has not ended here cannot get that far while the lock is held, and one that has
 * gets no new mark. */
static enum abi_error page_lend(struct space *s, uint64_t va, struct memobj *o, uint64_t offset) {
  enum abi_error e = ABI_EIO;
  rw_lock_shared(&s->lock);
  struct gnode *n = memobj_is_ended(o) ? NULL : gtree_find(&s->grants->tree, va);
  if (n != NULL && !grant_of(n)->shared && grant_of(n)->obj == NULL) {
    paddr_t pa;
    struct ptree_gather gather;
    gather_begin(&gather, s);
    struct spinlock *region = fault_region(s, va);
    spin_lock(region);
    e = fault_lend(s, grant_of(n), va, &gather, &pa);
    e = e == OK ? memobj_keep_lent(o, offset, pa) : e;
    gather_end(&gather);
    spin_unlock(region);
  }
  rw_unlock_shared(&s->lock);
  return e;
}

/* An object that is given a page before it ends loses it when it ends. */
enum abi_error loan_fetch(struct loan *l, uint64_t offset) {
  spin_lock(&loans_lock);
  struct space *s = l->lender;
  s = s != NULL && refcount_get_unless_zero(&s->refs) ? s : NULL;
  spin_unlock(&loans_lock);
  if (s == NULL) {
    return ABI_EIO;
  }
  enum abi_error e = page_lend(s, l->start + offset, l->obj, offset);
  space_put(s);
  return e;
}

/* No leaf of [start, end) is marked any more. The tables are the space's own, so that this finds
 * memory, or none to change. */
static enum abi_error marks_clear(struct space *s, uint64_t start, uint64_t end) {
  enum abi_error e = OK;
  struct ptree_gather gather;
  gather_begin(&gather, s);
  start = MAX(start, s->lent_start);
  end = MIN(end, s->lent_end);
  spin_lock(&s->pt_lock);
  struct gnode *n = start < end ? gtree_first_from(&s->grants->tree, start) : NULL;
  for (; e == OK && n != NULL && n->start < end; n = gtree_next(n)) {
    if (!grant_of(n)->shared && grant_of(n)->obj == NULL) {
      e = ptree_protect(s->arch.root.v, MAX(start, n->start), MIN(end, n->end),
                        (struct ptree_rights){.clear = PTE_SHARED}, &gather);
    }
  }
  gather_end(&gather);
  spin_unlock(&s->pt_lock);
  return e;
}

/* ---- ending ------------------------------------------------------------------------------- */

/* A loan of a part of [start, end) that somebody has, with a reference; NULL: there is none. */
static struct memobj *loan_find(const struct space *s, uint64_t start, uint64_t end,
                                bool private_only) {
  struct memobj *found = NULL;
  spin_lock(&loans_lock);
  for (struct list *pos = s->loans.next; pos != &s->loans && found == NULL; pos = pos->next) {
    const struct loan *l = CONTAINER_OF(pos, struct loan, node);
    bool hit = l->start < end && start < l->end && (l->lender != NULL || !private_only) &&
               memobj_get_unless_zero(l->obj);
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
    memobj_loan(o)->lender = NULL;
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

static enum abi_error loans_end_some(struct space *s, uint64_t start, uint64_t end,
                                     bool private_only) HOLDS(&s->lock) {
  struct memobj *o;
  enum abi_error e = OK;
  lending_stop(s);
  while (e == OK && (o = loan_find(s, start, end, private_only)) != NULL) {
    e = loan_end_unlocked(s, o);
  }
  lending_resume(s);
  return e == OK ? marks_clear(s, start, end) : e;
}

enum abi_error loans_end_slow(struct space *s, uint64_t start, uint64_t end) {
  return loans_end_some(s, start, end, false);
}

enum abi_error loans_end_private(struct space *s, uint64_t start, uint64_t end) {
  return s->lent_start == s->lent_end ? OK : loans_end_some(s, start, end, true);
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
  for (struct list *pos = s->loans.next; pos != &s->loans; pos = pos->next) {
    CONTAINER_OF(pos, struct loan, node)->lender = NULL;
  }
  list_splice_back(&orphans, &s->loans);
  spin_unlock(&loans_lock);
  orphans_end();
}
