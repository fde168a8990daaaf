/* Locks with priority inheritance: a futex word that holds its owner's thread id (abi.h,
 * FUTEX_PI_*). Without contention user space takes and leaves such a lock by itself; from the first
 * waiter on FUTEX_PI_WAITERS is set and the kernel hands it over.
 *
 * Each waiter has a record on its stack: in its key's bucket, and, once it knows the owner, on the
 * owner's list (attached). A context runs at least at the priority of the best waiter on its list,
 * and so does whoever that context waits for, along the chain.
 *
 *   WAITING --pi_choose()--> CHOSEN --pi_grant()--> GRANTED       unlock hands the lock over
 *      \--pi_take(), a timeout, a signal--> gone                  CHOSEN cannot leave
 *
 * No user memory is touched with the lock held, so a word and its records are brought together by
 * order:
 * [F1] A waiter is in its bucket before it reads the word. An unlocker that leaves the word free
 *      looks into the bucket afterwards. Either sees the other.
 * [F2] A waiter sleeps only after it has read owner | WAITERS and is attached to that owner. From
 *      then on the owner can release the lock only here: pi_grant() attaches all waiters to the
 *      next owner, waiters_rouse() detaches them.
 * [F3] An attachment counts for deadlocks once it is verified: the word was read again after it was
 *      made, and still named that owner. Who closes a cycle verifies last, and sees it whole.
 * [F4] A dying context says that it is dead before it looks at its list; who attaches to it looks
 *      for that afterwards. So no list outlives its context, and exit takes no lock without need.
 *
 * [F5] Who waits for an owner that dies remembers it, by a reference: its id is not used again, so
 *      the word that still has it is without owner, and is taken with FUTEX_PI_OWNER_DIED.
 *
 * [F6] Who waits, who owns, and whom that waits for in turn are processes of one domain, whose lock
 *      is held by who looks at them. A private lock is owned by its own process, so each process
 *      has a domain of its own (hashed), until it first meets a lock that processes share: then it
 *      moves to the shared domain with all its waiters, and stays there.
 *
 * Lock: PI, one a domain. Limits: choosing and re-attaching are O(waiters of a bucket), a chain is
 * followed for CHAIN_MAX owners. */
#include "base/clock.h"
#include "lib/hash.h"
#include "proc/proc_priv.h"

#define BUCKETS 32u
#define DOMAINS 32u
#define CHAIN_MAX 1024u
#define ABI_RETRY ABI_EBUSY /* inside this file: the word has changed, look again */

enum pi_state { PI_WAITING, PI_CHOSEN, PI_GRANTED };

struct pi_waiter {
  struct list node; /* first; [PI] in its bucket while WAITING */
  struct list owed; /* [PI] on owner->pi_waiters while there is an owner */
  struct futex_key key;
  struct context *context;
  struct context *owner; /* [PI] attached to, NULL: to nobody */
  struct context *dead;  /* [PI] who died while it was waited for, a reference; or NULL */
  bool shared;           /* [c] the owner may be of another process */
  bool verified;         /* [PI] [F3] */
  enum pi_state state;   /* [PI/r] */
  enum abi_error result; /* [PI/r] once GRANTED */
};

struct pi_domain {
  struct spinlock lock;
  struct list buckets[BUCKETS]; /* [PI] in order of arrival */
} __attribute__((aligned(64)));

static struct pi_domain domains[DOMAINS];
static struct pi_domain *const shared_domain = &domains[0];

void futex_pi_init(void) {
  for (uint32_t d = 0; d < DOMAINS; d++) {
    spin_init(&domains[d].lock, RANK_PI);
    for (uint32_t i = 0; i < BUCKETS; i++) {
      list_init(&domains[d].buckets[i]);
    }
  }
}

void futex_pi_group_init(struct group *g) {
  g->pi_domain = &domains[1 + g->pid % (DOMAINS - 1)];
}

static struct list *bucket_of(struct pi_domain *d, const struct futex_key *key) {
  return &d->buckets[hash_pair(key->a, key->b) % BUCKETS];
}

static struct pi_waiter *waiter_of(struct list *node) {
  return (struct pi_waiter *)node;
}

/* ---- domains ------------------------------------------------------------------------------ */

/* The domain of a process, locked. It may change until it is. */
static struct pi_domain *domain_enter(struct group *g) NO_LOCK_CHECK {
  for (;;) {
    struct pi_domain *d = __atomic_load_n(&g->pi_domain, __ATOMIC_ACQUIRE);
    spin_lock(&d->lock);
    if (d == g->pi_domain) {
      return d;
    }
    spin_unlock(&d->lock);
  }
}

static void domain_leave(struct pi_domain *d) NO_LOCK_CHECK {
  spin_unlock(&d->lock);
}

/* With both domains locked. */
static void bucket_move(struct list *bucket, struct group *g) {
  list_for_each_safe (pos, bucket) {
    struct pi_waiter *w = waiter_of(pos);
    if (w->context->group == g) {
      list_remove(&w->node);
      list_push_back(bucket_of(shared_domain, &w->key), &w->node);
    }
  }
}

/* Answers in *shared whether the word is said to be shared and in memory that is: then other
 * processes may use its key. Else the key is the process's own, not the space's: two processes can
 * have one space, but no lock together [F6]. */
static enum abi_error key_make(struct space *s, uaddr_t word, bool *shared, struct futex_key *key) {
  enum abi_error e = futex_key_make(s, word, *shared, key);
  if (e != OK) {
    return e;
  }
  *shared = key->a != (uint64_t)s;
  if (!*shared) {
    key->a = (uint64_t)context_current()->group;
  }
  return OK;
}

/* [F6] Once in the life of a process, if ever. A private domain's lock comes before the shared's.
 */
static void domain_share(struct group *g) NO_LOCK_CHECK {
  if (__atomic_load_n(&g->pi_domain, __ATOMIC_ACQUIRE) == shared_domain) {
    return;
  }
  struct pi_domain *d = domain_enter(g);
  if (d != shared_domain) {
    spin_lock_second(&shared_domain->lock);
    for (uint32_t i = 0; i < BUCKETS; i++) {
      bucket_move(&d->buckets[i], g);
    }
    __atomic_store_n(&g->pi_domain, shared_domain, __ATOMIC_RELEASE);
    spin_unlock(&shared_domain->lock);
  }
  domain_leave(d);
}

/* ---- inheritance: all with the domain locked ---------------------------------------------- */

static struct context *owner_awaited(const struct context *c) {
  return c->pi_blocked != NULL ? c->pi_blocked->owner : NULL;
}

static uint8_t best_waiting(const struct context *c) {
  uint8_t best = RUNQ_NONE;
  list_for_each (pos, &c->pi_waiters) {
    best = MIN(best, CONTAINER_OF(pos, struct pi_waiter, owed)->context->thread.level);
  }
  return best;
}

/* The list of c has changed, or somebody's priority on it. Ends where nothing changes. */
static void boost_update(struct context *c) {
  for (uint32_t i = 0; c != NULL && i < CHAIN_MAX; i++) {
    uint8_t best = best_waiting(c), before = c->thread.level;
    if (best == c->pi_boost) {
      return;
    }
    c->pi_boost = best;
    sched_boost(&c->thread, best);
    c = c->thread.level != before ? owner_awaited(c) : NULL;
  }
}

/* Without telling the scheduler; answers the owner until now. */
static struct context *owner_change(struct pi_waiter *w, struct context *owner) {
  struct context *old = w->owner;
  if (old != NULL) {
    list_remove(&w->owed);
  }
  w->owner = owner;
  w->verified = false;
  if (owner != NULL) {
    list_push_back(&owner->pi_waiters, &w->owed);
  }
  return old;
}

static void waiter_attach(struct pi_waiter *w, struct context *owner) {
  if (w->owner != owner) {
    boost_update(owner_change(w, owner));
    boost_update(owner);
  }
}

/* All who wait for the key wait for this owner now, who has just got it from `from`. */
static void waiters_attach(struct pi_domain *d, const struct futex_key *key, struct context *owner,
                           struct context *from) {
  list_for_each (pos, bucket_of(d, key)) {
    struct pi_waiter *w = waiter_of(pos);
    if (futex_key_equal(&w->key, key) && w->context != owner) {
      struct context *old = owner_change(w, owner);
      w->verified = true; /* we know: we have written the word */
      if (old != from && old != owner) {
        boost_update(old);
      }
    }
  }
  boost_update(from);
  boost_update(owner);
}

/* [F3] Would c, which just got verified, wait for itself? A chain too long to follow counts. */
static bool is_deadlock(struct context *c) {
  struct context *at = c;
  for (uint32_t i = 0; i < CHAIN_MAX; i++) {
    if (at->pi_blocked == NULL || !at->pi_blocked->verified) {
      return false;
    }
    at = at->pi_blocked->owner;
    if (at == c) {
      return true;
    }
  }
  return true;
}

/* ---- locking ------------------------------------------------------------------------------ */

static enum pi_state waiter_state(const struct pi_waiter *w) {
  return __atomic_load_n(&w->state, __ATOMIC_ACQUIRE);
}

static bool waiter_is_alone(struct pi_domain *d, const struct pi_waiter *w) {
  list_for_each (pos, bucket_of(d, &w->key)) {
    if (waiter_of(pos) != w && futex_key_equal(&waiter_of(pos)->key, &w->key)) {
      return false;
    }
  }
  return true;
}

/* The word names no owner, or a dead one: be it. */
static enum abi_error pi_take(struct pi_waiter *w, uaddr_t word, uint32_t seen) {
  struct pi_domain *d = domain_enter(w->context->group);
  waiter_attach(w, NULL);
  bool alone = waiter_is_alone(d, w);
  domain_leave(d);
  uint32_t died = seen & FUTEX_PI_TID ? FUTEX_PI_OWNER_DIED : seen & FUTEX_PI_OWNER_DIED;
  uint32_t was = seen, wanted = w->context->id | died;
  if (!arch_cas_user_u32(word.v, &was, wanted | (alone ? 0 : FUTEX_PI_WAITERS))) {
    return ABI_EFAULT;
  }
  if (was != seen) {
    return ABI_RETRY;
  }
  d = domain_enter(w->context->group);
  waiters_attach(d, &w->key, w->context, NULL);
  domain_leave(d);
  return OK;
}

/* [F5] Has this thread died while w, or another who waits for the same lock, waited for it? */
static bool owner_has_died(struct pi_waiter *w, uint32_t tid) {
  bool died = false;
  struct pi_domain *d = domain_enter(w->context->group);
  list_for_each (pos, bucket_of(d, &w->key)) {
    const struct pi_waiter *other = waiter_of(pos);
    if (futex_key_equal(&other->key, &w->key) && other->dead != NULL && other->dead->id == tid) {
      died = true;
    }
  }
  domain_leave(d);
  return died;
}

static void waiter_forget_dead(struct pi_waiter *w) {
  struct pi_domain *d = domain_enter(w->context->group);
  struct context *dead = w->dead;
  w->dead = NULL;
  domain_leave(d);
  if (dead != NULL) {
    context_put(dead);
  }
}

static bool owner_is_alive(const struct context *owner) {
  uint32_t state = __atomic_load_n(&owner->state, __ATOMIC_SEQ_CST);
  return state != PROC_STATE_NEW && state != PROC_STATE_DEAD;
}

/* Does anybody who waits for the lock know this owner, who is dead? Then it is inherited from it,
 * as soon as futex_pi_exit() has told. */
static bool owner_is_known(struct pi_domain *d, const struct pi_waiter *w,
                           const struct context *owner) {
  list_for_each (pos, bucket_of(d, &w->key)) {
    const struct pi_waiter *other = waiter_of(pos);
    if (futex_key_equal(&other->key, &w->key) && (other->owner == owner || other->dead == owner)) {
      return true;
    }
  }
  return false;
}

/* [F4] A private lock is owned by a thread of the same process, or the word is wrong. */
static enum abi_error waiter_attach_alive(struct pi_waiter *w, struct context *owner) {
  if (!w->shared && owner->group != w->context->group) {
    return ABI_ESRCH;
  }
  enum abi_error e = ABI_RETRY;
  struct pi_domain *d = domain_enter(w->context->group);
  if (w->state == PI_WAITING) {
    bool known = owner_is_known(d, w, owner), before = w->owner == owner;
    waiter_attach(w, owner);
    atomic_thread_fence(memory_order_seq_cst);
    e = owner_is_alive(owner) ? OK : known ? ABI_RETRY : ABI_ESRCH;
    if (e != OK && !before) { /* it may have looked at its list already */
      waiter_attach(w, NULL);
    }
  }
  domain_leave(d);
  return e;
}

static enum abi_error owner_attach(struct pi_waiter *w, uint32_t tid, struct context **out) {
  struct context *owner = context_find(tid);
  if (owner == NULL) {
    return ABI_ESRCH;
  }
  if (w->shared) {
    domain_share(owner->group); /* [F6] */
  }
  enum abi_error e = waiter_attach_alive(w, owner);
  *out = owner; /* from here on compared only */
  context_put(owner);
  return e;
}

/* [F3] The word has been read again. EAGAIN: now sleep. */
static enum abi_error owner_verify(struct pi_waiter *w, const struct context *owner) {
  enum abi_error e = ABI_EAGAIN;
  struct pi_domain *d = domain_enter(w->context->group);
  if (w->state == PI_WAITING && w->owner == owner) {
    w->verified = true;
    e = is_deadlock(w->context) ? ABI_EDEADLK : ABI_EAGAIN;
  } else if (w->state == PI_WAITING) {
    e = ABI_RETRY;
  }
  domain_leave(d);
  return e;
}

/* [F2] The word names another thread: attach to it. */
static enum abi_error pi_attach(struct pi_waiter *w, uaddr_t word, uint32_t seen) {
  struct context *owner = NULL;
  uint32_t was = seen, now;
  if (!(seen & FUTEX_PI_WAITERS) && !arch_cas_user_u32(word.v, &was, seen | FUTEX_PI_WAITERS)) {
    return ABI_EFAULT;
  }
  if (was != seen) {
    return ABI_RETRY;
  }
  enum abi_error e = owner_attach(w, seen & FUTEX_PI_TID, &owner);
  if (!arch_load_user_u32(word.v, &now)) {
    return ABI_EFAULT;
  }
  return now != (seen | FUTEX_PI_WAITERS) ? ABI_RETRY : e != OK ? e : owner_verify(w, owner);
}

/* OK: the lock is ours. EAGAIN: sleep, and look again when woken. */
static enum abi_error pi_look(struct pi_waiter *w, uaddr_t word) {
  for (;;) {
    uint32_t seen;
    if (waiter_state(w) != PI_WAITING) {
      return ABI_EAGAIN; /* about to be given it */
    }
    if (!arch_load_user_u32(word.v, &seen)) {
      return ABI_EFAULT;
    }
    uint32_t tid = seen & FUTEX_PI_TID;
    if (tid == w->context->id && waiter_state(w) == PI_WAITING) {
      return ABI_EDEADLK;
    }
    enum abi_error e = tid == w->context->id                ? ABI_EAGAIN
                       : tid == 0 || owner_has_died(w, tid) ? pi_take(w, word, seen)
                                                            : pi_attach(w, word, seen);
    if (e != ABI_RETRY) {
      return e;
    }
    sched_point();
    if (context_interrupted()) {
      return ABI_EINTR;
    }
  }
}

static void waiter_enter(struct pi_waiter *w) {
  struct pi_domain *d = domain_enter(w->context->group);
  list_push_back(bucket_of(d, &w->key), &w->node);
  w->context->pi_blocked = w;
  domain_leave(d);
}

/* Who has been chosen meanwhile owns the lock, whatever else has happened. */
static enum abi_error waiter_leave(struct pi_waiter *w, enum abi_error e) {
  struct pi_domain *d = domain_enter(w->context->group);
  while (w->state == PI_CHOSEN) {
    domain_leave(d);
    sched_park(NO_DEADLINE);
    d = domain_enter(w->context->group);
  }
  bool granted = w->state == PI_GRANTED;
  if (!granted) {
    list_remove(&w->node);
    waiter_attach(w, NULL);
    w->context->pi_blocked = NULL;
  }
  domain_leave(d);
  return granted ? w->result : e;
}

int64_t futex_lock_pi(struct space *s, uaddr_t word, bool shared, uint64_t deadline_ns) {
  struct pi_waiter w = {.context = context_current()};
  enum abi_error e = key_make(s, word, &shared, &w.key);
  if (e != OK) {
    return -(int64_t)e;
  }
  w.shared = shared;
  if (shared) {
    domain_share(w.context->group);
  }
  waiter_enter(&w); /* [F1] */
  while (waiter_state(&w) != PI_GRANTED) {
    e = pi_look(&w, word);
    if (e != ABI_EAGAIN) {
      break;
    }
    e = wait_over(deadline_ns);
    if (e != OK) {
      break;
    }
    sched_park(deadline_ns);
  }
  e = waiter_leave(&w, e);
  waiter_forget_dead(&w);
  return -(int64_t)e;
}

/* ---- unlocking ---------------------------------------------------------------------------- */

/* The best of those who wait, the first among equals; off its bucket, and held there until
 * pi_grant(). */
static struct pi_waiter *pi_choose(const struct futex_key *key) {
  struct pi_waiter *best = NULL;
  struct pi_domain *d = domain_enter(context_current()->group);
  list_for_each (pos, bucket_of(d, key)) {
    struct pi_waiter *w = waiter_of(pos);
    if (futex_key_equal(&w->key, key) &&
        (best == NULL || w->context->thread.level < best->context->thread.level)) {
      best = w;
    }
  }
  if (best != NULL) {
    list_remove(&best->node);
    __atomic_store_n(&best->state, PI_CHOSEN, __ATOMIC_RELEASE);
  }
  domain_leave(d);
  return best;
}

/* The word names w's thread, or could not be written. */
static void pi_grant(struct pi_waiter *w, enum abi_error result) {
  struct context *self = context_current(), *next = w->context;
  struct pi_domain *d = domain_enter(self->group);
  boost_update(owner_change(w, NULL));
  next->pi_blocked = NULL;
  if (result == OK) {
    waiters_attach(d, &w->key, next, self);
  }
  w->result = result;
  __atomic_store_n(&w->state, PI_GRANTED, __ATOMIC_RELEASE);
  sched_unpark(&next->thread); /* under the lock: it cannot leave its stack before */
  domain_leave(d);
}

/* [F1] The caller does not own it any more, and nobody else does: whoever has come meanwhile looks
 * again. */
static void waiters_rouse(const struct futex_key *key) {
  struct pi_domain *d = domain_enter(context_current()->group);
  list_for_each (pos, bucket_of(d, key)) {
    if (futex_key_equal(&waiter_of(pos)->key, key)) {
      waiter_attach(waiter_of(pos), NULL);
      sched_unpark(&waiter_of(pos)->context->thread);
    }
  }
  domain_leave(d);
}

/* Ours to release: others may only add FUTEX_PI_WAITERS. */
static enum abi_error word_release(uaddr_t word, uint32_t wanted) {
  uint32_t seen = context_current()->id;
  for (;;) {
    uint32_t was = seen;
    if (!arch_cas_user_u32(word.v, &was, wanted)) {
      return ABI_EFAULT;
    }
    if (was == seen) {
      return OK;
    }
    if ((was & FUTEX_PI_TID) != context_current()->id) {
      return ABI_EPERM; /* another thread scribbles on it */
    }
    seen = was;
  }
}

int64_t futex_unlock_pi(struct space *s, uaddr_t word, bool shared) {
  struct futex_key key;
  uint32_t seen;
  enum abi_error e = key_make(s, word, &shared, &key);
  if (e != OK) {
    return -(int64_t)e;
  }
  if (!arch_load_user_u32(word.v, &seen)) {
    return -ABI_EFAULT;
  }
  if ((seen & FUTEX_PI_TID) != context_current()->id) {
    return -ABI_EPERM;
  }
  if (shared) {
    domain_share(context_current()->group);
  }
  struct pi_waiter *w = pi_choose(&key);
  if (w == NULL) {
    e = word_release(word, 0);
    waiters_rouse(&key);
    return -(int64_t)e;
  }
  e = word_release(word, w->context->id | FUTEX_PI_WAITERS);
  pi_grant(w, e);
  return -(int64_t)e;
}

/* ---- changes from outside ----------------------------------------------------------------- */

void futex_pi_refresh(struct context *c) {
  if (__atomic_load_n(&c->pi_blocked, __ATOMIC_RELAXED) == NULL) {
    return;
  }
  struct pi_domain *d = domain_enter(c->group);
  boost_update(owner_awaited(c));
  domain_leave(d);
}

/* Sends those who wait for c to look again; [F5] remembering c if it is dead. Each is done with the
 * lock anew, since a reference cannot be given back under it. */
static void waiters_detach(struct context *c, bool died) {
  struct pi_domain *d = domain_enter(c->group);
  while (!list_is_empty(&c->pi_waiters)) {
    struct pi_waiter *w = CONTAINER_OF(c->pi_waiters.next, struct pi_waiter, owed);
    struct context *before = NULL;
    (void)owner_change(w, NULL);
    if (died) {
      before = w->dead;
      w->dead = c;
      context_get(c);
    }
    sched_unpark(&w->context->thread);
    domain_leave(d);
    if (before != NULL) {
      context_put(before);
    }
    d = domain_enter(c->group);
  }
  boost_update(c);
  domain_leave(d);
}

void futex_pi_exit(struct context *c) {
  atomic_thread_fence(memory_order_seq_cst); /* [F4] */
  if (!list_is_empty(&c->pi_waiters)) {
    waiters_detach(c, true);
  }
}

void futex_pi_leave(struct context *c) {
  if (!list_is_empty(&c->pi_waiters)) {
    waiters_detach(c, false);
  }
}
