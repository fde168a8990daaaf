/* User schemes as descriptors: the ring that a server holds, the files that its clients hold. */
#include "lib/string.h"
#include "scheme/user_priv.h"

static const struct file_ops user_ops, root_ops, ring_ops;

/* ---- client files -------------------------------------------------------------------------- */

/* A root's object is the server itself; its file id is 0. */
static struct server *server_of(struct file *f, uint64_t *id) {
  if (f->ops == &root_ops) {
    *id = 0;
    return f->object;
  }
  *id = user_file_of(f)->id;
  return user_file_of(f)->server;
}

/* Long transfers go slot by slot and end with a short one, as the server's do. */
static int64_t transfer(struct file *f, uaddr_t buf, size_t len, uint64_t offset, bool write) {
  struct user_file *uf = user_file_of(f);
  size_t done = 0;
  do {
    size_t n = MIN(len - done, (size_t)RING_SLOT_SIZE);
    struct user_call c = {.op = write ? OP_WRITE : OP_READ, .file = uf->id, .arg = offset + done};
    c.arg2 = atomic_load_explicit(&f->flags, memory_order_relaxed);
    c.in = c.out = uaddr_add(buf, done);
    c.in_len = write ? n : 0;
    c.out_cap = write ? 0 : n;
    int64_t r = user_call(uf->server, &c);
    if (r < 0) {
      return done > 0 ? (int64_t)done : r;
    }
    r = MIN(r, (int64_t)n);
    done += (size_t)r;
    if ((size_t)r < n) {
      break;
    }
  } while (done < len);
  return (int64_t)done;
}

static int64_t user_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  return transfer(f, buf, len, offset, false);
}

static int64_t user_write(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  return transfer(f, buf, len, offset, true);
}

/* OPEN or DUP: the answer is one of the server's own descriptors, or a new file of its own. */
static int64_t open_call(struct server *s, struct user_call *c, uint32_t flags, struct file **out) {
  struct user_file *uf = c->opened = user_file_create(s);
  if (uf == NULL) {
    return -ABI_ENOMEM;
  }
  struct user_answer answer = {0};
  c->answer = &answer;
  int64_t result = user_call(s, c);
  if (answer.file != NULL) {
    *out = answer.file;
    return 0;
  }
  if (result <= 0 || c->opened == NULL) {
    user_file_discard(c->opened);
    return result < 0 ? result : -ABI_EIO;
  }
  *out = file_create(&user_ops, flags, uf, uf->id);
  if (*out == NULL) {
    user_file_close(uf);
    return -ABI_ENOMEM;
  }
  return 0;
}

static int64_t user_open(struct file *dir, const char *path, size_t len, uint32_t flags,
                         uint32_t mode, struct file **out) {
  uint64_t id;
  struct server *s = server_of(dir, &id);
  struct user_call c = {
      .op = OP_OPEN, .file = id, .arg = flags | (uint64_t)mode << 32, .path = path, .in_len = len};
  return open_call(s, &c, flags, out);
}

static int64_t user_dup(struct file *f, const char *name, size_t len, struct file **out) {
  uint64_t id;
  struct server *s = server_of(f, &id);
  struct user_call c = {.op = OP_DUP, .file = id, .path = name, .in_len = len};
  return open_call(s, &c, atomic_load(&f->flags), out);
}

/* Operations that only the kernel itself may send. */
static bool op_is_internal(uint32_t op) {
  return op < OP_STAT || op == OP_MMAP || op == OP_POLL || op == OP_CANCEL || op == OP_PAGE ||
         op == OP_MAPAT;
}

static int64_t user_file_call(struct file *f, const struct file_call *call) {
  uint64_t id;
  struct server *s = server_of(f, &id);
  if (op_is_internal(call->op)) {
    return -ABI_EINVAL;
  }
  struct user_call c = {
      .op = call->op, .file = id, .arg = call->arg, .in = call->in, .out = call->out};
  c.in_len = call->in_len;
  c.out_cap = MIN(call->out_cap, (size_t)RING_SLOT_SIZE);
  return user_call(s, &c);
}

static int64_t user_map(struct file *f, uint64_t offset, uint64_t len, struct object_ref *out) {
  struct user_answer answer = {0};
  struct user_call c = {
      .op = OP_MMAP, .file = user_file_of(f)->id, .arg = offset, .arg2 = len, .answer = &answer};
  int64_t r = user_call(user_file_of(f)->server, &c);
  if (answer.paged) {
    return user_paged_map(f, (uint64_t)r, offset, out);
  }
  if (answer.memory.obj == NULL) {
    return r < 0 ? r : -ABI_ENODEV;
  }
  *out = answer.memory;
  return 0;
}

/* How long the file is stands in what the server wrote, and is read once; how much it has there to
 * map, in its space [U1]. */
static int64_t user_map_at(struct file *dir, uaddr_t path, size_t len, struct abi_stat *stat,
                           struct object_ref *out) {
  uint64_t id;
  struct server *s = server_of(dir, &id);
  struct user_answer answer = {0};
  struct user_call c = {.op = OP_MAPAT,
                        .file = id,
                        .arg2 = 1, /* byte at least */
                        .in = path,
                        .in_len = len,
                        .kernel_out = stat,
                        .out_cap = sizeof(*stat),
                        .answer = &answer};
  int64_t r = user_call(s, &c);
  if (answer.memory.obj == NULL) {
    return r < 0 ? r : -ABI_ENODEV;
  }
  if (r < 0 || stat->size == 0 || stat->size > answer.room) {
    memobj_put(answer.memory.obj);
    return r < 0 ? r : -ABI_EIO;
  }
  *out = answer.memory;
  return 0;
}

static int64_t user_size(struct file *f) {
  struct abi_stat st;
  struct user_call c = {
      .op = OP_STAT, .file = user_file_of(f)->id, .kernel_out = &st, .out_cap = sizeof(st)};
  int64_t r = user_call(user_file_of(f)->server, &c);
  if (r < 0) {
    return r;
  }
  return r == sizeof(st) && st.size <= INT64_MAX ? (int64_t)st.size : -ABI_EIO;
}

static uint32_t user_poll(struct file *f, uint32_t events) {
  const struct user_file *uf = user_file_of(f);
  uint32_t ready = POLL_ABI_IN | POLL_ABI_OUT;
  if (uf->server->dead) {
    return POLL_ABI_ERR | POLL_ABI_HUP;
  }
  if (uf->pollable) {
    ready = __atomic_load_n(&uf->ready, __ATOMIC_ACQUIRE);
  }
  return ready & (events | POLL_ABI_HUP | POLL_ABI_ERR);
}

static struct waitq *user_waitq(struct file *f) {
  return &user_file_of(f)->waitq;
}

static void user_close(struct file *f) {
  user_file_close(user_file_of(f));
}

static const struct file_ops user_ops = {.read = user_read,
                                         .write = user_write,
                                         .open = user_open,
                                         .dup = user_dup,
                                         .call = user_file_call,
                                         .map = user_map,
                                         .poll = user_poll,
                                         .waitq = user_waitq,
                                         .size = user_size,
                                         .close = user_close,
                                         .seekable = true};

static void root_close(struct file *f) {
  server_put(f->object);
}

static const struct file_ops root_ops = {.open = user_open,
                                         .call = user_file_call,
                                         .dup = user_dup,
                                         .map_at = user_map_at,
                                         .close = root_close};

/* ---- the ring's descriptor ------------------------------------------------------------------ */

void server_get(struct server *s) {
  refcount_get(&s->refs);
}

static void slot_pages_drop(struct server *s) {
  for (uint32_t tag = 0; tag < RING_TAGS; tag++) {
    for (uint32_t i = 0; i < RING_SLOT_SIZE / PAGE_SIZE; i++) {
      if (s->slot_pages[tag][i] != NULL) {
        frame_put(direct_unmap(s->slot_pages[tag][i]));
      }
    }
  }
}

static unsigned server_order(void) {
  unsigned order = 0;
  while (PAGE_SIZE << order < sizeof(struct server)) {
    order++;
  }
  return order;
}

void server_put(struct server *s) {
  if (!refcount_put(&s->refs)) {
    return;
  }
  slot_pages_drop(s);
  for (uint64_t at = 0; at < RING_SLOTS_OFFSET; at += PAGE_SIZE) {
    if (s->ring_pages[at / PAGE_SIZE] != NULL) {
      frame_put(direct_unmap(s->ring_pages[at / PAGE_SIZE]));
    }
  }
  if (s->memory != NULL) {
    memobj_put(s->memory);
  }
  frame_free_order(direct_unmap(s), server_order());
}

static int64_t ring_map(struct file *f, uint64_t offset, uint64_t len, struct object_ref *out) {
  struct server *s = f->object;
  if (offset > RING_TOTAL || len > RING_TOTAL - offset) {
    return -ABI_EINVAL;
  }
  memobj_get(s->memory);
  *out = (struct object_ref){s->memory, offset, false};
  return 0;
}

static uint32_t ring_poll(struct file *f, uint32_t events) {
  const struct server *s = f->object;
  bool waiting = __atomic_load_n(&s->header->sq_head, __ATOMIC_ACQUIRE) != s->sq_tail;
  return waiting ? events & POLL_ABI_IN : 0;
}

static struct waitq *ring_waitq(struct file *f) {
  return &((struct server *)f->object)->server_waitq;
}

static void ring_close(struct file *f) {
  struct server *s = f->object;
  scheme_remove(s->root);
  server_die(s);
  file_put(s->root);
  server_put(s);
}

static const struct file_ops ring_ops = {
    .map = ring_map, .poll = ring_poll, .waitq = ring_waitq, .close = ring_close};

struct server *server_of_ring(struct file *f) {
  return f->ops == &ring_ops ? f->object : NULL;
}

/* ---- a new scheme --------------------------------------------------------------------------- */

/* Pages of the ring that the kernel works on: present for the server's whole life. */
static enum abi_error ring_pages_take(struct server *s) {
  for (uint64_t at = 0; at < RING_SLOTS_OFFSET; at += PAGE_SIZE) {
    paddr_t pa;
    bool counted;
    enum abi_error e = memobj_page(s->memory, at, &pa, &counted);
    if (e != OK) {
      return e;
    }
    s->ring_pages[at / PAGE_SIZE] = direct_map(pa);
  }
  return OK;
}

static void header_fill(struct server *s) {
  s->header = (struct ring_header *)s->ring_pages[0];
  *s->header = (struct ring_header){.magic = RING_MAGIC,
                                    .n_sqes = RING_SQES,
                                    .n_cqes = RING_CQES,
                                    .slot_size = RING_SLOT_SIZE,
                                    .sq_offset = RING_SQ_OFFSET,
                                    .cq_offset = RING_CQ_OFFSET,
                                    .slots_offset = RING_SLOTS_OFFSET,
                                    .total_size = RING_TOTAL};
}

static enum abi_error server_create(struct server **out) {
  paddr_t pa;
  if (!frame_alloc_order(server_order(), &pa)) {
    return ABI_ENOMEM;
  }
  struct server *s = direct_map(pa);
  refcount_init(&s->refs, 1);
  spin_init(&s->lock, RANK_RING);
  waitq_init(&s->server_waitq);
  waitq_init(&s->tags_waitq);
  list_init(&s->closing);
  list_init(&s->pagers);
  for (uint32_t i = 0; i < SERVER_BUCKETS; i++) {
    list_init(&s->files[i]);
  }
  s->free_tags = UINT64_MAX;
  enum abi_error e = memobj_create_anon(RING_TOTAL, &s->memory);
  e = e == OK ? ring_pages_take(s) : e;
  if (e != OK) {
    server_put(s);
    return e;
  }
  header_fill(s);
  *out = s;
  return OK;
}

/* Opening `:name`: the empty scheme is where schemes are made. */
static int64_t scheme_open(struct file *dir, const char *path, size_t len, uint32_t flags,
                           uint32_t mode, struct file **out) {
  (void)dir;
  (void)mode;
  struct server *s;
  if (!(flags & O_ABI_CREAT)) {
    return -ABI_ENOENT;
  }
  enum abi_error e = server_create(&s);
  if (e != OK) {
    return -(int64_t)e;
  }
  s->root = file_create(&root_ops, O_ABI_RDWR, s, 0);
  struct file *ring =
      s->root != NULL ? file_create(&ring_ops, O_ABI_RDWR | (flags & O_ABI_NONBLOCK), s, 0) : NULL;
  if (ring == NULL) {
    e = ABI_ENOMEM;
  } else {
    server_get(s); /* one for the root, one for the ring */
    e = scheme_add(path, len, s->root);
  }
  if (e == OK) {
    *out = ring;
    return 0;
  }
  if (ring == NULL) {
    s->root != NULL ? file_put(s->root) : server_put(s);
  } else {
    file_put(ring); /* ring_close() undoes the rest */
  }
  return -(int64_t)e;
}

static const struct file_ops maker_ops = {.open = scheme_open};

void user_scheme_init(void) {
  static struct file *maker;
  maker = file_create(&maker_ops, O_ABI_RDWR, NULL, 0);
  scheme_set_maker(maker);
}
