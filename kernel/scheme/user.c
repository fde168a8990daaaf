/* User schemes: requests to a server through its ring, and back.
 *
 * Opening `:name` makes a scheme and answers its ring, a descriptor that the server maps (abi.h,
 * struct ring_header). A client's call takes a tag, copies its bytes into the tag's buffer slot,
 * puts an entry on the submission queue, wakes the server and parks. The server answers on the
 * completion queue and comes in with ring_enter(), which completes the requests of all answers it
 * finds.
 *
 *   request:  FREE -> SENT user_call()      -> DONE ring_enter(), server death   -> FREE client
 *                          \-> ORPHAN client was interrupted (CANCEL is sent)    -> FREE
 * ring_enter()
 *
 * [U1] Everything in the ring's memory may be changed by the server at any moment: each value is
 * read once and checked; indices are kept here. [U2] A client leaves SENT only with s->lock held,
 * and ring_enter() unparks under it. [U3] After death (the ring's last descriptor has gone) no
 * request is SENT. Closing a file sends CLOSE without waiting; when no tag is free it waits in
 * s->closing. [U4] One tag is left to requests for pages: a client that holds a tag may touch a
 * mapped page on the way, and those who ask for pages need no other tag to be done. */
#include "lib/hash.h"
#include "lib/string.h"
#include "scheme/user_priv.h"

#define ERROR_MOST 4095 /* results below are no errors */

static struct kcache user_file_cache = KCACHE_OF(struct user_file, "user_file");

/* ---- the ring ----------------------------------------------------------------------------- */

/* With s->lock held. RING_SQES says why there is always room. */
static void submit(struct server *s, const struct ring_sqe *sqe) {
  *server_sqe(s, s->sq_tail) = *sqe;
  s->sq_tail++;
  __atomic_store_n(&s->header->sq_tail, s->sq_tail, __ATOMIC_RELEASE);
}

static bool has_submissions(void *arg) {
  const struct server *s = arg;
  return __atomic_load_n(&s->header->sq_head, __ATOMIC_ACQUIRE) != s->sq_tail;
}

/* ---- requests ----------------------------------------------------------------------------- */

/* With s->lock held: a free tag, now SENT by the caller. */
static bool tag_take(struct server *s, uint32_t *tag) {
  if (s->free_tags == 0) {
    return false;
  }
  *tag = bit_first(s->free_tags);
  s->free_tags &= s->free_tags - 1;
  return true;
}

/* Who holds a tag for a page does not look into its process's memory, where the very page may be
 * missing that says whether a signal is due [U4]: it leaves whatever there is to do, and looks on
 * its way to ring 3. */
static bool must_leave(const struct user_call *c) {
  if (c->patient) {
    return context_is_dying();
  }
  return c->for_page ? context_has_work() : context_interrupted();
}

/* [U4] */
static bool tag_is_free(const struct server *s, const struct user_call *c) {
  uint64_t tags = __atomic_load_n(&s->free_tags, __ATOMIC_ACQUIRE);
  return (c->for_page ? tags : tags & (tags - 1)) != 0;
}

static enum abi_error tag_wait(struct server *s, const struct user_call *c) {
  struct waiter w;
  bool leave = false;
  inject_point("wait");
  waitq_add(&s->tags_waitq, &w);
  while (!tag_is_free(s, c) && !s->dead && !(leave = must_leave(c))) {
    sched_park(NO_DEADLINE);
  }
  waitq_remove(&s->tags_waitq, &w);
  return leave ? ABI_EINTR : OK;
}

static enum abi_error tag_get(struct server *s, const struct user_call *c, uint32_t *tag) {
  for (;;) {
    spin_lock(&s->lock);
    bool dead = s->dead, ok = !dead && tag_is_free(s, c) && tag_take(s, tag);
    if (ok) {
      s->requests[*tag] = (struct request){.state = REQUEST_SENT, .client = thread_current()};
    }
    spin_unlock(&s->lock);
    if (ok || dead) {
      return ok ? OK : ABI_ESHUTDOWN;
    }
    enum abi_error e = tag_wait(s, c);
    if (e != OK) {
      return e;
    }
  }
}

/* With s->lock held. Files that could not be closed for want of a tag go first. */
static void tag_put(struct server *s, uint32_t tag) {
  user_file_discard(s->requests[tag].opened);
  s->requests[tag].opened = NULL;
  s->requests[tag].state = REQUEST_FREE;
  struct list *node = s->dead ? NULL : list_pop_front(&s->closing);
  if (node == NULL) {
    s->free_tags |= 1ul << tag;
    return;
  }
  struct user_file *uf = CONTAINER_OF(node, struct user_file, closing);
  s->requests[tag] = (struct request){.state = REQUEST_ORPHAN};
  struct ring_sqe sqe = {.op = OP_CLOSE, .tag = tag, .file = uf->id};
  submit(s, &sqe);
  kcache_free(&user_file_cache, uf);
}

static void tag_release(struct server *s, uint32_t tag) {
  spin_lock(&s->lock);
  bool was_scarce = (s->free_tags & (s->free_tags - 1)) == 0; /* none, or one for pages */
  bool closes = !list_is_empty(&s->closing);
  tag_put(s, tag);
  spin_unlock(&s->lock);
  if (was_scarce) {
    waitq_wake(&s->tags_waitq);
  }
  if (closes) {
    waitq_wake(&s->server_waitq);
  }
}

/* ---- slots: the bytes of a request ----------------------------------------------------------- */

/* The page of a tag's slot that holds byte `at`. The kernel keeps one reference on each page it has
 * used. */
static uint8_t *slot_page(struct server *s, uint32_t tag, size_t at) {
  uint8_t **page = &s->slot_pages[tag][at / PAGE_SIZE];
  if (*page == NULL) {
    paddr_t pa;
    bool counted;
    uint64_t offset =
        RING_SLOTS_OFFSET + (uint64_t)tag * RING_SLOT_SIZE + ALIGN_DOWN(at, PAGE_SIZE);
    if (memobj_page(s->memory, offset, &pa, &counted) != OK) {
      return NULL;
    }
    *page = direct_map(pa);
  }
  return *page + at % PAGE_SIZE;
}

static enum abi_error slot_copy(struct server *s, uint32_t tag, size_t at, uaddr_t user, size_t len,
                                bool out) {
  enum abi_error e = OK;
  for (size_t done = 0; done < len && e == OK;) {
    size_t n = MIN(len - done, PAGE_SIZE - (at + done) % PAGE_SIZE);
    uint8_t *page = slot_page(s, tag, at + done);
    if (page == NULL) {
      return ABI_ENOMEM;
    }
    e = out ? user_copy_out(uaddr_add(user, done), page, n)
            : user_copy_in(page, uaddr_add(user, done), n);
    done += n;
  }
  return e;
}

static enum abi_error slot_fill(struct server *s, uint32_t tag, const struct user_call *c) {
  if (c->path != NULL) {
    for (size_t done = 0; done < c->in_len;) {
      size_t n = MIN(c->in_len - done, PAGE_SIZE);
      uint8_t *page = slot_page(s, tag, done);
      if (page == NULL) {
        return ABI_ENOMEM;
      }
      memcpy(page, c->path + done, n);
      done += n;
    }
    return OK;
  }
  return slot_copy(s, tag, 0, c->in, c->in_len, false);
}

/* What the answer brought, at most one page of it to the kernel itself. */
static enum abi_error slot_empty(struct server *s, uint32_t tag, const struct user_call *c,
                                 size_t len) {
  if (c->kernel_out == NULL) {
    return slot_copy(s, tag, 0, c->out, len, true);
  }
  const uint8_t *page = slot_page(s, tag, 0);
  if (page == NULL || len > PAGE_SIZE) {
    return ABI_ENOMEM;
  }
  memcpy(c->kernel_out, page, len);
  return OK;
}

static bool op_opens(uint32_t op) {
  return op == OP_OPEN || op == OP_DUP;
}

/* A new file of the server's; it must be closed again if its client has left. */
static bool answer_is_file(const struct request *r) {
  return op_opens(r->op) && r->result > 0 && r->answer.file == NULL;
}

/* ---- the client's side ---------------------------------------------------------------------- */

static void request_send(struct server *s, uint32_t tag, struct user_call *c) {
  const struct context *self = context_current();
  struct ring_sqe sqe = {.op = c->op,
                         .tag = tag,
                         .file = c->file,
                         .arg = c->arg,
                         .arg2 = c->arg2,
                         .in_len = (uint32_t)c->in_len,
                         .out_cap = (uint32_t)c->out_cap,
                         .pid = self->group->pid,
                         .uid = self->group->euid,
                         .caller = self->id};
  spin_lock(&s->lock);
  if (s->dead) {
    s->requests[tag].state = REQUEST_DONE;
    s->requests[tag].result = -ABI_ESHUTDOWN;
  } else {
    s->requests[tag].op = c->op;
    s->requests[tag].length = c->arg2;
    s->requests[tag].opened = c->opened;
    c->opened = NULL;
    submit(s, &sqe);
  }
  spin_unlock(&s->lock);
  waitq_wake_handoff(&s->server_waitq);
}

/* True when the answer is there; false: interrupted, and the request is on its own now [U2]. */
static bool request_wait(struct server *s, const struct user_call *c, uint32_t tag) {
  struct request *r = &s->requests[tag];
  inject_point("request");
  while (__atomic_load_n(&r->state, __ATOMIC_ACQUIRE) != REQUEST_DONE) {
    if (must_leave(c)) {
      spin_lock(&s->lock);
      bool sent = r->state == REQUEST_SENT;
      if (sent) {
        r->state = REQUEST_ORPHAN;
        user_file_discard(r->opened);
        r->opened = NULL;
        struct ring_sqe sqe = {.op = OP_CANCEL, .tag = tag, .arg = tag};
        submit(s, &sqe);
      }
      spin_unlock(&s->lock);
      if (sent) {
        waitq_wake(&s->server_waitq);
        return false;
      }
    } else {
      sched_park(NO_DEADLINE);
    }
  }
  return true;
}

int64_t user_call(struct server *s, struct user_call *c) {
  uint32_t tag = 0;
  if (c->in_len > RING_SLOT_SIZE || c->out_cap > RING_SLOT_SIZE) {
    return -ABI_EINVAL;
  }
  enum abi_error e = tag_get(s, c, &tag);
  if (e != OK) {
    return -(int64_t)e;
  }
  e = slot_fill(s, tag, c);
  if (e != OK) {
    tag_release(s, tag);
    return -(int64_t)e;
  }
  request_send(s, tag, c);
  if (!request_wait(s, c, tag)) {
    return -ABI_EINTR;
  }
  struct request *r = &s->requests[tag];
  int64_t result = r->result;
  c->answer = r->answer;
  if (answer_is_file(r)) {
    c->opened = r->opened;
    r->opened = NULL;
  }
  if (result > 0 && c->out_cap > 0) {
    result = MIN(result, (int64_t)c->out_cap);
    e = slot_empty(s, tag, c, (size_t)result);
    result = e == OK ? result : -(int64_t)e;
  }
  tag_release(s, tag);
  return result;
}

/* ---- the server's side ---------------------------------------------------------------------- */

/* What an answer refers to is resolved here, in the server's context. An answer of the wrong kind,
 * or a number that is neither a result nor an error, becomes EIO [U1]. */
static void answer_resolve(struct request *r, const struct ring_cqe *cqe) {
  struct context *server = context_current();
  r->result = cqe->result < -ERROR_MOST ? -ABI_EIO : cqe->result;
  if (cqe->kind == CQE_FD && !op_opens(r->op)) {
    r->result = -ABI_EIO;
  } else if (cqe->kind == CQE_FD && cqe->result >= 0) {
    struct fd_ref ref;
    enum abi_error e =
        cqe->result <= INT32_MAX ? fd_get(server->files, (int)cqe->result, &ref) : ABI_EBADF;
    r->result = -(int64_t)(e == OK ? OK : ABI_EIO);
    if (e == OK) {
      file_get(ref.file);
      fd_put(&ref);
      r->answer.file = ref.file;
    }
  } else if (cqe->kind == CQE_PAGED) {
    r->answer.paged = r->op == OP_MMAP && cqe->result > 0;
    r->result = r->answer.paged || cqe->result < 0 ? r->result : -ABI_EIO;
  } else if ((r->op == OP_MMAP || r->op == OP_MAPAT) && cqe->result > 0) {
    r->answer.room = r->length;
    enum abi_error e =
        space_object_at(server->space, (uint64_t)cqe->result, &r->answer.room, &r->answer.memory);
    r->result = e != OK ? -ABI_EIO : r->op == OP_MAPAT ? (int64_t)sizeof(struct abi_stat) : 0;
  }
}

static void answer_drop(const struct request *r) {
  if (r->answer.file != NULL) {
    file_put(r->answer.file);
  }
  if (r->answer.memory.obj != NULL) {
    memobj_put(r->answer.memory.obj);
  }
}

/* With s->lock held. The record is among the files before anything can be told of it: no event is
 * lost. */
static void opened_publish(struct server *s, struct request *r, const struct ring_cqe *cqe) {
  struct user_file *uf = r->opened;
  uf->id = (uint64_t)r->result;
  uf->pollable = cqe->extra & CQE_EXTRA_POLLABLE;
  uf->ready = cqe->extra & ~CQE_EXTRA_POLLABLE;
  list_push_back(&s->files[hash_u64(uf->id) % SERVER_BUCKETS], &uf->node);
}

static void complete(struct server *s, const struct ring_cqe *cqe) {
  if (cqe->tag >= RING_TAGS) {
    return;
  }
  struct request *r = &s->requests[cqe->tag];
  struct request answer = {.op = r->op, .length = r->length};
  answer_resolve(&answer, cqe); /* takes other locks: not under s->lock */
  spin_lock(&s->lock);
  uint32_t state = r->state;
  bool stale = r->op != answer.op || (answer_is_file(&answer) && r->opened == NULL);
  if (state == REQUEST_SENT && stale) {
    answer_drop(&answer); /* a second answer to a tag that has been used again [U1] */
    answer = (struct request){.result = -ABI_EIO};
  }
  if (state == REQUEST_SENT) {
    r->result = answer.result;
    r->answer = answer.answer;
    if (answer_is_file(&answer)) {
      opened_publish(s, r, cqe);
    }
    struct thread *client = r->client;
    __atomic_store_n(&r->state, REQUEST_DONE, __ATOMIC_RELEASE);
    sched_unpark_handoff(client);
  } else if (state == REQUEST_ORPHAN && answer_is_file(&answer)) {
    r->op = OP_CLOSE;
    struct ring_sqe sqe = {.op = OP_CLOSE, .tag = cqe->tag, .file = (uint64_t)answer.result};
    submit(s, &sqe);
  } else if (state == REQUEST_ORPHAN) {
    tag_put(s, cqe->tag);
  }
  spin_unlock(&s->lock);
  if (state == REQUEST_ORPHAN) {
    answer_drop(&answer);
    waitq_wake(&s->tags_waitq);
  } else if (state != REQUEST_SENT) {
    answer_drop(&answer);
  }
}

static struct user_file *file_of_id(struct server *s, uint64_t id) {
  list_for_each (pos, &s->files[hash_u64(id) % SERVER_BUCKETS]) {
    struct user_file *uf = CONTAINER_OF(pos, struct user_file, node);
    if (uf->id == id) {
      return uf;
    }
  }
  return NULL;
}

/* CQE_EVENT: the file's readiness is now `extra`. Woken under the lock: the file cannot go
 * meanwhile. */
static void event_note(struct server *s, const struct ring_cqe *cqe) {
  spin_lock(&s->lock);
  struct user_file *uf = file_of_id(s, (uint64_t)cqe->result);
  if (uf != NULL) {
    __atomic_store_n(&uf->ready, cqe->extra, __ATOMIC_RELEASE);
    waitq_wake(&uf->waitq);
  }
  spin_unlock(&s->lock);
}

/* At most one round of the queue, so that a server that lies about its index does not keep the CPU.
 */
static void completions_take(struct server *s) {
  uint32_t tail = __atomic_load_n(&s->header->cq_tail, __ATOMIC_ACQUIRE);
  uint32_t n = tail - s->cq_head;
  if (n > RING_CQES) {
    n = 0; /* an impossible index: nothing is taken [U1] */
  }
  for (uint32_t i = 0; i < n; i++) {
    struct ring_cqe cqe = *server_cqe(s, s->cq_head);
    s->cq_head++;
    if (cqe.kind == CQE_EVENT) {
      event_note(s, &cqe);
    } else if (cqe.kind == CQE_STALE) {
      user_paged_stale(s, (uint64_t)cqe.result);
    } else {
      complete(s, &cqe);
    }
  }
  __atomic_store_n(&s->header->cq_head, s->cq_head, __ATOMIC_RELEASE);
}

int64_t ring_enter(struct file *f, uint32_t flags, uint64_t deadline_ns) {
  struct server *s = server_of_ring(f);
  if (s == NULL) {
    return -ABI_ENOTTY;
  }
  completions_take(s);
  if (flags & RING_WAIT && !has_submissions(s)) {
    enum abi_error e = wait_until(&s->server_waitq, has_submissions, s, deadline_ns);
    if (e != OK) {
      return -(int64_t)e;
    }
  }
  return (int64_t)(s->sq_tail - __atomic_load_n(&s->header->sq_head, __ATOMIC_ACQUIRE));
}

/* Every waiting client gets its error; nobody can send any more [U3]. */
void server_die(struct server *s) {
  struct list closing;
  list_init(&closing);
  spin_lock(&s->lock);
  s->dead = true;
  list_splice_back(&closing, &s->closing);
  for (uint32_t tag = 0; tag < RING_TAGS; tag++) {
    struct request *r = &s->requests[tag];
    if (r->state == REQUEST_SENT) {
      r->result = -ABI_ESHUTDOWN;
      struct thread *client = r->client;
      __atomic_store_n(&r->state, REQUEST_DONE, __ATOMIC_RELEASE);
      sched_unpark(client);
    }
  }
  for (uint32_t i = 0; i < SERVER_BUCKETS; i++) {
    list_for_each (pos, &s->files[i]) {
      waitq_wake(&CONTAINER_OF(pos, struct user_file, node)->waitq);
    }
  }
  spin_unlock(&s->lock);
  waitq_wake(&s->tags_waitq);
  struct list *node;
  while ((node = list_pop_front(&closing)) != NULL) {
    kcache_free(&user_file_cache, CONTAINER_OF(node, struct user_file, closing));
  }
}

/* ---- files -------------------------------------------------------------------------------- */

struct user_file *user_file_create(struct server *s) {
  struct user_file *uf = kcache_alloc_zeroed(&user_file_cache);
  if (uf == NULL) {
    return NULL;
  }
  uf->server = s;
  waitq_init(&uf->waitq);
  list_init(&uf->node);
  list_init(&uf->closing);
  server_get(s);
  return uf;
}

/* A record that was never opened. Its server is alive: somebody else holds a reference. */
void user_file_discard(struct user_file *uf) {
  if (uf != NULL) {
    bool last = refcount_put(&uf->server->refs);
    kassert(!last);
    kcache_free(&user_file_cache, uf);
  }
}

/* The record itself waits in s->closing when no tag is free. */
void user_file_close(struct user_file *uf) {
  struct server *s = uf->server;
  uint32_t tag;
  spin_lock(&s->lock);
  list_remove(&uf->node);
  bool sent = !s->dead && tag_take(s, &tag);
  bool later = !s->dead && !sent;
  if (sent) {
    s->requests[tag] = (struct request){.state = REQUEST_ORPHAN, .op = OP_CLOSE};
    struct ring_sqe sqe = {.op = OP_CLOSE, .tag = tag, .file = uf->id};
    submit(s, &sqe);
  } else if (later) {
    list_push_back(&s->closing, &uf->closing);
  }
  spin_unlock(&s->lock);
  if (sent) {
    waitq_wake(&s->server_waitq);
  }
  if (!later) {
    kcache_free(&user_file_cache, uf);
  }
  server_put(s);
}
