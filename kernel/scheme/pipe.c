/* pipe: a byte stream of 64 KiB between two ends. Opening gives the reading end, dup "write" of it
 * the writing end. Writes of at most 4096 bytes are atomic (POSIX PIPE_BUF): they go in whole or
 * wait.
 *
 * Pages come when bytes do and stay with the pipe. A few bytes are copied under the lock, where no
 * page is missing on either side. All else passes without the lock, since user memory may fault:
 * the side that copies owns its range of the ring (busy flags), the other side sees it when the
 * index has moved. Lock: p->lock (PIPE). */
#include "lib/string.h"
#include "scheme/scheme.h"

#define PIPE_PAGES 16u
#define PIPE_SIZE (PIPE_PAGES * (uint32_t)PAGE_SIZE)
#define PIPE_ATOMIC 4096u
#define PIPE_SHORT 256u /* so many may be copied under the lock */

struct pipe {
  struct refcount refs; /* ends */
  struct spinlock lock;
  uint32_t head, tail;           /* [lock/r] free-running byte counts */
  uint32_t n_readers, n_writers; /* [lock/r] open files of each end */
  bool reading, writing;         /* [lock/r] an end is copying */
  uint32_t n_waiting;            /* [lock] in side_lock(), for the other end or for their own */
  struct waitq waitq;
  uint8_t *pages[PIPE_PAGES];
};

enum pipe_end { PIPE_READ = 1, PIPE_WRITE = 2 };

static struct kcache pipe_cache = KCACHE_OF(struct pipe, "pipe");
static const struct file_ops pipe_ops;

static void pipe_destroy(struct pipe *p) {
  for (uint32_t i = 0; i < PIPE_PAGES; i++) {
    if (p->pages[i] != NULL) {
      frame_free(direct_unmap(p->pages[i]));
    }
  }
  kcache_free(&pipe_cache, p);
}

static void pipe_close(struct file *f) {
  struct pipe *p = f->object;
  spin_lock(&p->lock);
  p->n_readers -= f->id == PIPE_READ;
  p->n_writers -= f->id == PIPE_WRITE;
  spin_unlock(&p->lock);
  waitq_wake(&p->waitq);
  if (refcount_put(&p->refs)) {
    pipe_destroy(p);
  }
}

static bool can_read(void *arg) {
  const struct pipe *p = arg;
  return !p->reading && (p->head != p->tail || p->n_writers == 0);
}

static bool can_write_some(void *arg) {
  const struct pipe *p = arg;
  return !p->writing && (p->tail - p->head < PIPE_SIZE || p->n_readers == 0);
}

static bool can_write_atomic(void *arg) {
  const struct pipe *p = arg;
  return !p->writing && (PIPE_SIZE - (p->tail - p->head) >= PIPE_ATOMIC || p->n_readers == 0);
}

/* What poll says of the two ends. */
static uint32_t ends_ready(const struct pipe *p) {
  return (p->head != p->tail ? POLL_ABI_IN : 0) |
         (PIPE_SIZE - (p->tail - p->head) >= PIPE_ATOMIC ? POLL_ABI_OUT : 0);
}

/* ---- the two sides ---- */

/* Waits for cond; who is here is counted as waiting, and is no longer after an error. */
static __attribute__((noinline)) enum abi_error side_wait(struct pipe *p, const struct file *f,
                                                          bool (*cond)(void *)) {
  enum abi_error e = file_is_nonblock(f) ? ABI_EAGAIN : wait_until(&p->waitq, cond, p, NO_DEADLINE);
  if (e != OK) {
    spin_lock(&p->lock);
    p->n_waiting--;
    spin_unlock(&p->lock);
  }
  return e;
}

/* Locks the pipe once cond holds; after an error it is not locked. */
static inline enum abi_error side_lock(struct pipe *p, const struct file *f,
                                       bool (*cond)(void *)) NO_LOCK_CHECK {
  for (uint32_t counted = 0;; counted = 1) {
    spin_lock(&p->lock);
    p->n_waiting -= counted;
    if (LIKELY(cond(p))) {
      return OK;
    }
    p->n_waiting++;
    spin_unlock(&p->lock);
    enum abi_error e = side_wait(p, f, cond);
    if (e != OK) {
      return e;
    }
  }
}

/* Moves an index, and answers whether anybody is to be told: those of side_lock(), who were counted
 * before they looked for the last time, and pollers, when the other end becomes ready. */
static inline bool side_move(struct pipe *p, uint32_t *index, uint32_t n) HOLDS(&p->lock) {
  uint32_t before = ends_ready(p);
  *index += n;
  return p->n_waiting != 0 || (ends_ready(p) & ~before) != 0;
}

static inline void side_unlock(struct pipe *p, bool tell) RELEASES(&p->lock) {
  spin_unlock(&p->lock);
  if (tell) {
    waitq_wake_handoff(&p->waitq);
  }
}

/* The end of a copy without the lock. */
static void side_give(struct pipe *p, bool *busy, uint32_t *index, uint32_t n) {
  spin_lock(&p->lock);
  *busy = false;
  side_unlock(p, side_move(p, index, n));
}

/* Where n bytes of the ring from `at` on are, if they are few, in one page, and that is there. */
static inline uint8_t *ring_short(const struct pipe *p, uint32_t at, size_t n) {
  uint32_t in = at % PAGE_SIZE;
  uint8_t *page = p->pages[at % PIPE_SIZE / PAGE_SIZE];
  return n - 1 < PIPE_SHORT && n <= PAGE_SIZE - in && page != NULL ? page + in : NULL;
}

/* The bytes of the ring from `at` on that lie in one page. */
static uint8_t *ring_piece(struct pipe *p, uint32_t at, size_t want, size_t *n) {
  uint32_t in = at % PIPE_SIZE;
  uint8_t **page = &p->pages[in / PAGE_SIZE];
  if (*page == NULL) {
    paddr_t pa;
    if (!frame_alloc(FRAME_KERNEL, &pa)) {
      return NULL;
    }
    *page = direct_map(pa);
  }
  *n = MIN(want, PAGE_SIZE - in % PAGE_SIZE);
  return *page + in % PAGE_SIZE;
}

/* ---- reading ---- */

/* The reading side is the caller's. */
static __attribute__((noinline)) int64_t pipe_drain(struct pipe *p, uaddr_t buf, size_t wanted) {
  size_t done = 0;
  enum abi_error e = OK;
  while (done < wanted && e == OK) {
    size_t n = 0;
    const uint8_t *from = ring_piece(p, p->head + (uint32_t)done, wanted - done, &n);
    e = user_copy_out(uaddr_add(buf, done), from, n);
    done += e == OK ? n : 0;
  }
  side_give(p, &p->reading, &p->head, (uint32_t)done);
  return done > 0 || e == OK ? (int64_t)done : -(int64_t)e;
}

static int64_t pipe_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) NO_LOCK_CHECK {
  (void)offset;
  struct pipe *p = f->object;
  enum abi_error e = len == 0 ? OK : side_lock(p, f, can_read);
  if (UNLIKELY(e != OK || len == 0)) {
    return -(int64_t)e;
  }
  size_t n = MIN(len, (size_t)(p->tail - p->head));
  const uint8_t *from = ring_short(p, p->head, n);
  if (LIKELY(from != NULL && user_copy_out_now(buf, from, n))) {
    side_unlock(p, side_move(p, &p->head, (uint32_t)n));
    return (int64_t)n;
  }
  p->reading = true;
  spin_unlock(&p->lock);
  return pipe_drain(p, buf, n);
}

/* ---- writing ---- */

/* All of it, if that needs no waiting. */
static inline bool pipe_put(struct pipe *p, uaddr_t buf, size_t len) {
  spin_lock(&p->lock);
  uint8_t *to = ring_short(p, p->tail, len);
  bool can = to != NULL && can_write_atomic(p) && p->n_readers != 0;
  bool done = can && user_copy_in_now(to, buf, len);
  side_unlock(p, done && side_move(p, &p->tail, (uint32_t)len));
  return done;
}

/* As much of [buf, buf + len) as fits now; the writing side is the caller's. */
static int64_t pipe_fill(struct pipe *p, uaddr_t buf, size_t len) {
  size_t wanted = MIN(len, (size_t)(PIPE_SIZE - (p->tail - p->head))), done = 0;
  enum abi_error e = OK;
  while (done < wanted && e == OK) {
    size_t n;
    uint8_t *to = ring_piece(p, p->tail + (uint32_t)done, wanted - done, &n);
    e = to == NULL ? ABI_ENOMEM : user_copy_in(to, uaddr_add(buf, done), n);
    done += e == OK ? n : 0;
  }
  side_give(p, &p->writing, &p->tail, (uint32_t)done);
  return done > 0 ? (int64_t)done : -(int64_t)e;
}

/* Once there is room: as much as fits, or SIGPIPE. */
static int64_t pipe_write_some(struct pipe *p, const struct file *f, uaddr_t buf, size_t len,
                               bool (*cond)(void *)) NO_LOCK_CHECK {
  enum abi_error e = side_lock(p, f, cond);
  if (e != OK) {
    return -(int64_t)e;
  }
  bool read = p->n_readers != 0;
  p->writing = read;
  spin_unlock(&p->lock);
  if (!read) {
    e = signal_post_thread(context_current(), SIGNAL_PIPE, 0);
    return -ABI_EPIPE;
  }
  return pipe_fill(p, buf, len);
}

static __attribute__((noinline)) int64_t pipe_write_all(struct pipe *p, const struct file *f,
                                                        uaddr_t buf, size_t len) {
  bool (*cond)(void *) = len <= PIPE_ATOMIC ? can_write_atomic : can_write_some;
  size_t done = 0;
  while (done < len) {
    int64_t n = pipe_write_some(p, f, uaddr_add(buf, done), len - done, cond);
    if (n < 0) {
      return done > 0 ? (int64_t)done : n;
    }
    done += (size_t)n;
  }
  return (int64_t)done;
}

static int64_t pipe_write(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  struct pipe *p = f->object;
  return LIKELY(pipe_put(p, buf, len)) ? (int64_t)len : pipe_write_all(p, f, buf, len);
}

/* ---- polling ---- */

static uint32_t pipe_poll(struct file *f, uint32_t events) {
  const struct pipe *p = f->object;
  if (f->id == PIPE_READ) {
    uint32_t ready = p->head != p->tail ? events & POLL_ABI_IN : 0;
    return UNLIKELY(p->n_writers == 0) ? ready | POLL_ABI_HUP : ready;
  }
  return (ends_ready(p) & events & POLL_ABI_OUT) | (p->n_readers == 0 ? POLL_ABI_ERR : 0);
}

static struct waitq *pipe_waitq(struct file *f) {
  return &((struct pipe *)f->object)->waitq;
}

static int64_t pipe_call(struct file *f, const struct file_call *c) {
  const struct pipe *p = f->object;
  return c->op == OP_STAT ? stat_out(c, S_ABI_IFIFO | 0600, (uint64_t)p >> 6, 0) : -ABI_ENOTTY;
}

static int64_t pipe_dup(struct file *f, const char *name, size_t len, struct file **out) {
  struct pipe *p = f->object;
  if (!name_is(name, len, "write") || f->id != PIPE_READ) {
    return -ABI_EINVAL;
  }
  *out = file_create(&pipe_ops, O_ABI_WRONLY, p, PIPE_WRITE);
  if (*out == NULL) {
    return -ABI_ENOMEM;
  }
  refcount_get(&p->refs);
  spin_lock(&p->lock);
  p->n_writers++;
  spin_unlock(&p->lock);
  return 0;
}

static const struct file_ops pipe_ops = {.read = pipe_read,
                                         .write = pipe_write,
                                         .poll = pipe_poll,
                                         .waitq = pipe_waitq,
                                         .call = pipe_call,
                                         .dup = pipe_dup,
                                         .close = pipe_close};

static int64_t pipe_open(struct file *dir, const char *path, size_t len, uint32_t flags,
                         uint32_t mode, struct file **out) {
  (void)dir;
  (void)path;
  (void)mode;
  if (len != 0) {
    return -ABI_ENOENT;
  }
  struct pipe *p = kcache_alloc_zeroed(&pipe_cache);
  *out = p != NULL ? file_create(&pipe_ops, flags & O_ABI_NONBLOCK, p, PIPE_READ) : NULL;
  if (*out == NULL) {
    if (p != NULL) {
      kcache_free(&pipe_cache, p);
    }
    return -ABI_ENOMEM;
  }
  refcount_init(&p->refs, 1);
  spin_init(&p->lock, RANK_PIPE);
  waitq_init(&p->waitq);
  p->n_readers = 1;
  return 0;
}

void pipe_scheme_init(void) {
  static const struct file_ops root_ops = {.open = pipe_open};
  scheme_add_kernel("pipe", &root_ops);
}
