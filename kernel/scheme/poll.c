/* poll: wait until one of several descriptors is ready. First all are asked, and most of the time
 * that is all. Only if none is ready, each gets a waiter, on its file's wait queue, and each
 * wake-up asks all of them again. Event queues serve those who wait for many. */
#include "base/clock.h"
#include "scheme/scheme.h"

#define POLL_MOST 4096u
#define POLL_SMALL 8u
#define POLL_CHUNK 64ul

struct poll_item {
  struct poll_fd user; /* first */
  struct fd_ref ref;
  struct waiter waiter;
  bool waits;
};

static uint32_t file_ready(struct file *f, uint32_t events) {
  return f->ops->poll != NULL ? f->ops->poll(f, events) : events & (POLL_ABI_IN | POLL_ABI_OUT);
}

/* ---- asking ------------------------------------------------------------------------------- */

static uint32_t fd_ready(struct filetable *t, const struct poll_fd *p) {
  struct fd_ref ref;
  if (p->fd < 0) {
    return 0;
  }
  if (fd_get(t, p->fd, &ref) != OK) {
    return POLL_ABI_NVAL;
  }
  uint32_t ready = file_ready(ref.file, p->events);
  fd_put(&ref);
  return ready;
}

/* Up to POLL_CHUNK of them: how many are ready now. */
static int64_t chunk_ask(struct filetable *t, uaddr_t fds, uint64_t n) {
  struct poll_fd chunk[POLL_CHUNK];
  enum abi_error e = user_copy_in(chunk, fds, n * sizeof(chunk[0]));
  if (e != OK) {
    return -(int64_t)e;
  }
  int64_t ready = 0;
  for (struct poll_fd *p = chunk; p != chunk + n; p++) {
    p->revents = (uint16_t)fd_ready(t, p);
    ready += p->revents != 0;
  }
  e = user_copy_out(fds, chunk, n * sizeof(chunk[0]));
  return e == OK ? ready : -(int64_t)e;
}

static __attribute__((noinline)) int64_t chunks_ask(struct filetable *t, uaddr_t fds, uint64_t n) {
  int64_t ready = 0;
  for (uint64_t i = 0; i < n; i += POLL_CHUNK) {
    int64_t r = chunk_ask(t, uaddr_add(fds, i * sizeof(struct poll_fd)), MIN(n - i, POLL_CHUNK));
    if (r < 0) {
      return r;
    }
    ready += r;
  }
  return ready;
}

/* How many are ready now. */
static inline int64_t poll_ask(struct filetable *t, uaddr_t fds, uint64_t n) {
  return LIKELY(n <= POLL_CHUNK) ? chunk_ask(t, fds, n) : chunks_ask(t, fds, n);
}

/* ---- waiting ------------------------------------------------------------------------------ */

static uint32_t item_ready(struct poll_item *i) {
  if (i->user.fd < 0) {
    return 0;
  }
  return i->ref.file == NULL ? POLL_ABI_NVAL : file_ready(i->ref.file, i->user.events);
}

static void items_open(struct filetable *t, struct poll_item *items, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) {
    if (items[i].user.fd >= 0 && fd_get(t, items[i].user.fd, &items[i].ref) != OK) {
      items[i].ref.file = NULL;
    }
    const struct file *f = items[i].user.fd >= 0 ? items[i].ref.file : NULL;
    if (f != NULL && f->ops->waitq != NULL) {
      waitq_add(f->ops->waitq(items[i].ref.file), &items[i].waiter);
      items[i].waits = true;
    }
  }
}

static void items_close(struct poll_item *items, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) {
    if (items[i].waits) {
      waitq_remove(items[i].ref.file->ops->waitq(items[i].ref.file), &items[i].waiter);
    }
    if (items[i].user.fd >= 0 && items[i].ref.file != NULL) {
      fd_put(&items[i].ref);
    }
  }
}

static int64_t items_ready(struct poll_item *items, uint64_t n) {
  int64_t ready = 0;
  for (uint64_t i = 0; i < n; i++) {
    items[i].user.revents = (uint16_t)item_ready(&items[i]);
    ready += items[i].user.revents != 0;
  }
  return ready;
}

static int64_t items_wait(struct poll_item *items, uint64_t n, uint64_t deadline_ns) {
  for (;;) {
    int64_t ready = items_ready(items, n);
    if (ready > 0 || (deadline_ns != NO_DEADLINE && clock_now() >= deadline_ns)) {
      return ready;
    }
    if (context_interrupted()) {
      return -ABI_EINTR;
    }
    sched_park(deadline_ns);
  }
}

static int64_t poll_items(struct filetable *t, struct poll_item *items, uaddr_t fds, uint64_t n,
                          uint64_t deadline_ns) {
  for (uint64_t i = 0; i < n; i++) {
    items[i] = (struct poll_item){0};
    enum abi_error e = user_copy_in(&items[i].user, uaddr_add(fds, i * sizeof(struct poll_fd)),
                                    sizeof(struct poll_fd));
    if (e != OK) {
      return -(int64_t)e;
    }
  }
  items_open(t, items, n);
  int64_t r = items_wait(items, n, deadline_ns);
  items_close(items, n);
  for (uint64_t i = 0; r >= 0 && i < n; i++) {
    enum abi_error e = user_copy_out(uaddr_add(fds, i * sizeof(struct poll_fd)), &items[i].user,
                                     sizeof(struct poll_fd));
    r = e == OK ? r : -(int64_t)e;
  }
  return r;
}

static __attribute__((noinline)) int64_t poll_sleep(struct filetable *t, uaddr_t fds, uint64_t n,
                                                    uint64_t deadline_ns) {
  if (deadline_ns != NO_DEADLINE && clock_now() >= deadline_ns) {
    return 0;
  }
  if (n <= POLL_SMALL) {
    struct poll_item items[POLL_SMALL];
    return poll_items(t, items, fds, n, deadline_ns);
  }
  unsigned order = 0;
  while (PAGE_SIZE << order < n * sizeof(struct poll_item)) {
    order++;
  }
  paddr_t pa;
  if (!frame_alloc_order(order, &pa)) {
    return -ABI_ENOMEM;
  }
  int64_t r = poll_items(t, direct_map(pa), fds, n, deadline_ns);
  frame_free_order(pa, order);
  return r;
}

int64_t poll_wait(struct filetable *t, uaddr_t fds, uint64_t n, uint64_t deadline_ns) {
  int64_t ready = n <= POLL_MOST ? poll_ask(t, fds, n) : -ABI_EINVAL;
  return ready != 0 ? ready : poll_sleep(t, fds, n, deadline_ns);
}
