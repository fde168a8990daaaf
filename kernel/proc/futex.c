/* Futexes: sleep on a word of user memory.
 *
 * A waiter puts itself on its bucket's list first and reads the word afterwards; a waker changes
 * the word first and searches the list afterwards. So either the waiter sees the change, or the
 * waker sees the waiter (both go through the bucket's lock: a full barrier) [P2]. No user memory is
 * touched with the lock held.
 *
 * A waiter's record is on its stack; it leaves only after taking the bucket's lock, and a waker
 * unparks under that lock. Locks with priority inheritance are futex_pi.c's. */
#include "base/clock.h"
#include "lib/hash.h"
#include "lib/string.h"
#include "proc/proc_priv.h"

#define BUCKETS 256u

struct futex_waiter {
  struct list node; /* first */
  struct futex_key key;
  struct thread *thread;
  struct futex_bucket *bucket; /* where it is: requeue moves it */
  bool woken;
};

struct futex_bucket {
  struct spinlock lock; /* FUTEX */
  struct list waiters;
} __attribute__((aligned(64)));

static struct futex_bucket buckets[BUCKETS];

void futex_init(void) {
  for (uint32_t i = 0; i < BUCKETS; i++) {
    spin_init(&buckets[i].lock, RANK_FUTEX);
    list_init(&buckets[i].waiters);
  }
  futex_pi_init();
}

enum abi_error futex_key_find(struct space *s, uaddr_t word, bool shared, struct futex_key *key) {
  if (!user_range_ok(word, 4)) {
    return ABI_EFAULT;
  }
  if (word.v & 3) {
    return ABI_EINVAL;
  }
  *key = (struct futex_key){(uint64_t)s, word.v};
  struct object_ref ref;
  uint64_t page = ALIGN_DOWN(word.v, PAGE_SIZE);
  if (shared && space_shared_at(s, page, &ref) == OK) {
    *key = (struct futex_key){(uint64_t)ref.obj, ref.offset + (word.v - page)};
    memobj_put(ref.obj); /* the mapping keeps it; a key is only compared */
  }
  return OK;
}

static struct futex_bucket *bucket_of(const struct futex_key *key) {
  return &buckets[hash_pair(key->a, key->b) % BUCKETS];
}

/* The lock of the bucket that the waiter is in, which may change until it is held. */
static struct futex_bucket *waiter_lock(struct futex_waiter *w) NO_LOCK_CHECK {
  for (;;) {
    struct futex_bucket *b = __atomic_load_n(&w->bucket, __ATOMIC_ACQUIRE);
    spin_lock(&b->lock);
    if (b == w->bucket) {
      return b;
    }
    spin_unlock(&b->lock);
  }
}

/* Off the list; answers whether a waker had taken it off already. */
static inline bool waiter_leave(struct futex_waiter *w) NO_LOCK_CHECK {
  struct futex_bucket *b = waiter_lock(w);
  bool woken = w->woken;
  if (!woken) {
    list_remove(&w->node);
  }
  spin_unlock(&b->lock);
  return woken;
}

static inline enum abi_error waiter_sleep(struct futex_waiter *w, uint64_t deadline_ns) {
  inject_point("futex");
  while (!__atomic_load_n(&w->woken, __ATOMIC_ACQUIRE)) {
    enum abi_error e = wait_over(deadline_ns);
    if (e != OK) {
      return e;
    }
    sched_park(deadline_ns);
  }
  return OK;
}

int64_t futex_wait(struct space *s, uaddr_t word, uint32_t expected, bool shared,
                   uint64_t deadline_ns) {
  struct futex_waiter w;
  enum abi_error e = futex_key_make(s, word, shared, &w.key);
  if (e != OK) {
    return -(int64_t)e;
  }
  w.thread = thread_current();
  w.woken = false;
  struct futex_bucket *b = w.bucket = bucket_of(&w.key);
  spin_lock(&b->lock);
  list_push_back(&b->waiters, &w.node);
  spin_unlock(&b->lock);
  uint32_t now;
  if (!arch_load_user_u32(word.v, &now)) {
    e = ABI_EFAULT;
  } else if (now != expected) {
    e = ABI_EAGAIN;
  } else {
    e = waiter_sleep(&w, deadline_ns);
  }
  return waiter_leave(&w) ? 0 : -(int64_t)e;
}

/* With the bucket locked. */
static void waiter_wake(struct futex_waiter *w) {
  list_remove(&w->node);
  __atomic_store_n(&w->woken, true, __ATOMIC_RELEASE);
  sched_unpark(w->thread);
}

int64_t futex_wake(struct space *s, uaddr_t word, uint32_t n, bool shared) {
  struct futex_key key;
  enum abi_error e = futex_key_make(s, word, shared, &key);
  if (e != OK) {
    return -(int64_t)e;
  }
  struct futex_bucket *b = bucket_of(&key);
  uint32_t woken = 0;
  spin_lock(&b->lock);
  list_for_each_safe (pos, &b->waiters) {
    struct futex_waiter *w = (struct futex_waiter *)pos;
    if (woken == n) {
      break;
    }
    if (futex_key_equal(&w->key, &key)) {
      waiter_wake(w);
      woken++;
    }
  }
  spin_unlock(&b->lock);
  return woken;
}

static void buckets_lock(struct futex_bucket *a, struct futex_bucket *b) NO_LOCK_CHECK {
  spin_lock(a < b ? &a->lock : &b->lock);
  if (a != b) {
    spin_lock_second(a < b ? &b->lock : &a->lock);
  }
}

static void buckets_unlock(struct futex_bucket *a, struct futex_bucket *b) NO_LOCK_CHECK {
  spin_unlock(&a->lock);
  if (a != b) {
    spin_unlock(&b->lock);
  }
}

int64_t futex_requeue(struct space *s, uaddr_t word, uint32_t n_wake, uaddr_t word2,
                      uint32_t n_move, bool shared) {
  struct futex_key from, to;
  enum abi_error e = futex_key_make(s, word, shared, &from);
  e = e == OK ? futex_key_make(s, word2, shared, &to) : e;
  if (e != OK) {
    return -(int64_t)e;
  }
  struct futex_bucket *a = bucket_of(&from), *b = bucket_of(&to);
  struct list moved;
  list_init(&moved);
  uint32_t woken = 0, n_moved = 0;
  buckets_lock(a, b);
  list_for_each_safe (pos, &a->waiters) {
    struct futex_waiter *w = (struct futex_waiter *)pos;
    if (!futex_key_equal(&w->key, &from)) {
      continue;
    }
    if (woken < n_wake) {
      waiter_wake(w);
      woken++;
    } else if (n_moved < n_move) {
      list_remove(&w->node);
      w->key = to;
      __atomic_store_n(&w->bucket, b, __ATOMIC_RELEASE);
      list_push_back(&moved, &w->node);
      n_moved++;
    }
  }
  list_splice_back(&b->waiters, &moved);
  buckets_unlock(a, b);
  return woken + n_moved;
}
