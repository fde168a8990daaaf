/* event: queues of readiness.
 *
 * A queue watches files: each watch is a waiter on its file's wait queue. When that is woken the
 * watch goes on the queue's ready list (if it is not there already); a reader asks the files on
 * that list alone what holds now, and leaves the watch listed while it does (level-triggered). So
 * reading costs what is ready, not what is watched.
 *
 * A watch holds no reference on its file. It ends with the last descriptor of the file
 * (file_unwatch), with the queue, or when it is removed. Whoever ends it holds the queue's lock;
 * the file's memory lasts until its closer has had that lock too [E1]. A queue cannot watch a
 * queue: wake-ups form no cycles.
 *
 * Locks: q->lock (EVENT) for the watches of a queue; watch_locks (WATCH) for the watches of a file;
 * q->ready_lock (READY) for the ready list, taken below wait queues. */
#include "scheme/event.h"
#include "lib/hash.h"
#include "lib/string.h"

#define WATCH_LOCKS 64u

struct event_queue {
  struct refcount refs;       /* its file, and closers of watched files */
  struct spinlock lock;       /* EVENT: watches */
  struct spinlock ready_lock; /* READY: ready */
  struct list watches, ready;
  struct waitq waitq; /* readers of the queue */
};

struct watch {
  struct waiter waiter;      /* on the file's wait queue */
  struct list node;          /* [EVENT] of the queue's watches */
  struct list of_file;       /* [WATCH] of the file's watches */
  struct list ready;         /* [READY] */
  struct event_queue *queue; /* [c] */
  struct file *file;         /* [c] */
  uint32_t events;
  uint64_t data;
};

static struct kcache queue_cache = KCACHE_OF(struct event_queue, "event_queue");
static struct kcache watch_cache = KCACHE_OF(struct watch, "event_watch");
static struct spinlock watch_locks[WATCH_LOCKS];
static const struct file_ops event_ops;

static struct spinlock *watch_lock_of(const struct file *f) {
  return &watch_locks[hash_u64((uint64_t)f) % WATCH_LOCKS];
}

static void queue_put(struct event_queue *q) {
  if (refcount_put(&q->refs)) {
    kcache_free(&queue_cache, q);
  }
}

/* ---- watches ------------------------------------------------------------------------------ */

static void watch_note(struct watch *w) {
  struct event_queue *q = w->queue;
  spin_lock(&q->ready_lock);
  if (!list_is_linked(&w->ready)) {
    list_push_back(&q->ready, &w->ready);
  }
  spin_unlock(&q->ready_lock);
}

/* With the file's wait queue locked. */
static void watch_wake(struct waiter *waiter) {
  struct watch *w = CONTAINER_OF(waiter, struct watch, waiter);
  watch_note(w);
  waitq_wake_second(&w->queue->waitq);
}

/* With the queue's lock held [E1]. */
static void watch_destroy(struct watch *w) {
  struct event_queue *q = w->queue;
  struct spinlock *file_lock = watch_lock_of(w->file);
  list_remove(&w->node);
  waitq_remove(w->file->ops->waitq(w->file), &w->waiter);
  spin_lock(file_lock);
  list_remove(&w->of_file); /* last: from here on the file's closer does not wait for us */
  spin_unlock(file_lock);
  spin_lock(&q->ready_lock);
  list_remove(&w->ready);
  spin_unlock(&q->ready_lock);
  kcache_free(&watch_cache, w);
}

/* Any watch of the file, or that of one queue; with a reference on its queue. */
static struct event_queue *watched_by(struct file *f, const struct event_queue *only,
                                      struct watch **out) {
  struct event_queue *q = NULL;
  spin_lock(watch_lock_of(f));
  list_for_each (pos, &f->watches) {
    struct watch *w = CONTAINER_OF(pos, struct watch, of_file);
    if (q == NULL && (only == NULL || w->queue == only)) {
      q = w->queue;
      *out = w;
      refcount_get(&q->refs);
    }
  }
  spin_unlock(watch_lock_of(f));
  return q;
}

/* The watch may have gone between finding it and locking its queue: then it is no longer the
 * file's. */
static bool watch_end(struct file *f, struct event_queue *only) {
  struct watch *w, *again;
  struct event_queue *q = watched_by(f, only, &w);
  if (q == NULL) {
    return false;
  }
  spin_lock(&q->lock);
  struct event_queue *same = watched_by(f, q, &again);
  if (same != NULL) {
    watch_destroy(again);
  }
  spin_unlock(&q->lock);
  if (same != NULL) {
    queue_put(q);
  }
  queue_put(q);
  return true;
}

static void event_file_unwatch(struct file *f) {
  while (watch_end(f, NULL)) {
  }
}

bool event_is_queue(const struct file *f) {
  return f->ops == &event_ops;
}

enum abi_error event_watch_add(struct file *queue, struct file *f, uint32_t events, uint64_t data) {
  struct event_queue *q = queue->object;
  if (f->ops->poll == NULL || f->ops->waitq == NULL || event_is_queue(f)) {
    return ABI_EPERM;
  }
  struct watch *w = kcache_alloc_zeroed(&watch_cache);
  if (w == NULL) {
    return ABI_ENOMEM;
  }
  w->queue = q;
  w->file = f;
  w->events = events;
  w->data = data;
  list_init(&w->ready);
  f->watched = true;
  spin_lock(&q->lock);
  list_push_back(&q->watches, &w->node);
  spin_lock(watch_lock_of(f));
  list_push_back(&f->watches, &w->of_file);
  spin_unlock(watch_lock_of(f));
  waitq_add_callback(f->ops->waitq(f), &w->waiter, watch_wake);
  bool ready = f->ops->poll(f, events) != 0;
  if (ready) {
    watch_note(w);
  }
  spin_unlock(&q->lock);
  if (ready) {
    waitq_wake(&q->waitq);
  }
  return OK;
}

/* ---- the queue as a file ------------------------------------------------------------------- */

static bool queue_is_ready(void *arg) {
  struct event_queue *q = arg;
  spin_lock(&q->ready_lock);
  bool ready = !list_is_empty(&q->ready);
  spin_unlock(&q->ready_lock);
  return ready;
}

/* A wake-up may have listed it again meanwhile; then it stays where it is. */
static void seen_push(struct event_queue *q, struct list *seen, struct watch *w) {
  spin_lock(&q->ready_lock);
  if (!list_is_linked(&w->ready)) {
    list_push_back(seen, &w->ready);
  }
  spin_unlock(&q->ready_lock);
}

/* Up to n records of what holds now; what no longer holds leaves the list. */
static size_t queue_collect(struct event_queue *q, struct event_ready *out, size_t n) {
  struct list seen;
  list_init(&seen);
  size_t found = 0;
  spin_lock(&q->lock);
  while (found < n) {
    spin_lock(&q->ready_lock);
    struct list *node = list_pop_front(&q->ready);
    spin_unlock(&q->ready_lock);
    if (node == NULL) {
      break;
    }
    struct watch *w = CONTAINER_OF(node, struct watch, ready);
    uint32_t events = w->file->ops->poll(w->file, w->events);
    if (events != 0) {
      out[found++] = (struct event_ready){.data = w->data, .events = events};
      seen_push(q, &seen, w);
    }
  }
  spin_lock(&q->ready_lock);
  list_splice_back(&q->ready, &seen);
  spin_unlock(&q->ready_lock);
  spin_unlock(&q->lock);
  return found;
}

#define COLLECT_MOST 16u

static int64_t event_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  struct event_queue *q = f->object;
  struct event_ready found[COLLECT_MOST];
  size_t most = MIN(len / sizeof(found[0]), (size_t)COLLECT_MOST);
  if (most == 0) {
    return -ABI_EINVAL;
  }
  for (;;) {
    size_t n = queue_collect(q, found, most);
    if (n > 0) {
      enum abi_error e = user_copy_out(buf, found, n * sizeof(found[0]));
      return e == OK ? (int64_t)(n * sizeof(found[0])) : -(int64_t)e;
    }
    enum abi_error e =
        file_is_nonblock(f) ? ABI_EAGAIN : wait_until(&q->waitq, queue_is_ready, q, NO_DEADLINE);
    if (e != OK) {
      return -(int64_t)e;
    }
  }
}

static int64_t event_write(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  struct event_watch watch;
  if (len != sizeof(watch)) {
    return -ABI_EINVAL;
  }
  enum abi_error e = user_copy_in(&watch, buf, sizeof(watch));
  struct fd_ref target;
  e = e == OK ? fd_get(context_current()->files, watch.fd, &target) : e;
  if (e != OK) {
    return -(int64_t)e;
  }
  if (watch.events == 0) {
    e = watch_end(target.file, f->object) ? OK : ABI_ENOENT;
  } else {
    e = event_watch_add(f, target.file, watch.events, watch.data);
  }
  fd_put(&target);
  return e == OK ? (int64_t)len : -(int64_t)e;
}

static uint32_t event_poll(struct file *f, uint32_t events) {
  return queue_is_ready(f->object) ? events & POLL_ABI_IN : 0;
}

static struct waitq *event_waitq(struct file *f) {
  return &((struct event_queue *)f->object)->waitq;
}

static void event_close(struct file *f) {
  struct event_queue *q = f->object;
  spin_lock(&q->lock);
  while (!list_is_empty(&q->watches)) {
    watch_destroy(CONTAINER_OF(list_front(&q->watches), struct watch, node));
  }
  spin_unlock(&q->lock);
  queue_put(q);
}

static int64_t event_call(struct file *f, const struct file_call *c) {
  return c->op == OP_STAT ? stat_out(c, S_ABI_IFCHR | 0600, (uint64_t)f->object >> 6, 0)
                          : -ABI_ENOTTY;
}

static const struct file_ops event_ops = {.read = event_read,
                                          .write = event_write,
                                          .poll = event_poll,
                                          .waitq = event_waitq,
                                          .call = event_call,
                                          .close = event_close};

static int64_t event_open(struct file *dir, const char *path, size_t len, uint32_t flags,
                          uint32_t mode, struct file **out) {
  (void)dir;
  (void)path;
  (void)mode;
  if (len != 0) {
    return -ABI_ENOENT;
  }
  struct event_queue *q = kcache_alloc_zeroed(&queue_cache);
  *out = q != NULL ? file_create(&event_ops, (flags & O_ABI_NONBLOCK) | O_ABI_RDWR, q, 0) : NULL;
  if (*out == NULL) {
    if (q != NULL) {
      kcache_free(&queue_cache, q);
    }
    return -ABI_ENOMEM;
  }
  refcount_init(&q->refs, 1);
  spin_init(&q->lock, RANK_EVENT);
  spin_init(&q->ready_lock, RANK_READY);
  list_init(&q->watches);
  list_init(&q->ready);
  waitq_init(&q->waitq);
  return 0;
}

void event_scheme_init(void) {
  static const struct file_ops root_ops = {.open = event_open};
  for (uint32_t i = 0; i < WATCH_LOCKS; i++) {
    spin_init(&watch_locks[i], RANK_WATCH);
  }
  file_unwatch = event_file_unwatch;
  scheme_add_kernel("event", &root_ops);
}
