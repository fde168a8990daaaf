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
 * mapped page on the way, and those who ask for pages need no other tag to be done. [U6] The answer
 * and the opened record of a request are empty but for what a call that opens or maps has put
 * there. */
#include "lib/hash.h"
#include "lib/string.h"
#include "scheme/user_priv.h"

#define ERROR_MOST 4095 /* results below are no errors */
#define SLOT_SHORT 256u /* so many bytes may be copied into a slot under the lock */

static struct kcache user_file_cache = KCACHE_OF(struct user_file, "user_file");

/* ---- the ring ----------------------------------------------------------------------------- */

/* With s->lock held. RING_SQES says why there is always room. */
static inline void submit(struct server *s, const struct ring_sqe *sqe) {
  *server_sqe(s, s->sq_tail) = *sqe;
  s->sq_tail++;
  __atomic_store_n(&s->header->sq_tail, s->sq_tail, __ATOMIC_RELEASE);
}

static bool has_submissions(void *arg) {
  const struct server *s = arg;
  return __atomic_load_n(&s->header->sq_head, __ATOMIC_ACQUIRE) != s->sq_tail;
}

/* ---- requests ----------------------------------------------------------------------------- */

/* With s->lock held: a free tag, in this state, with nothing of an earlier request [U6]. */
static inline bool tag_take(struct server *s, enum request_state state, uint32_t *tag) {
  if (s->free_tags == 0) {
    return false;
  }
  *tag = bit_first(s->free_tags);
  s->free_tags &= s->free_tags - 1;
  struct request *r = &s->requests[*tag];
  r->state = state;
  r->op = 0;
  r->client = thread_current();
  return true;
}

/* Who holds a tag for a page does not look into its process's memory, where the very page may be
 * missing that says whether a signal is due [U4]: it leaves whatever there is to do, and looks on
 * its way to ring 3. */
static inline bool must_leave(const struct user_call *c) {
  if (UNLIKELY(c->patient)) {
    return context_is_dying();
  }
  return c->for_page ? context_has_work() : context_interrupted();
}

/* [U4] */
static inline bool tag_is_free(const struct server *s, const struct user_call *c) {
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
    bool dead = s->dead, ok = !dead && tag_is_free(s, c) && tag_take(s, REQUEST_SENT, tag);
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

/* With s->lock held and a tag free: the file that has waited longest for one is closed by it. */
static __attribute__((noinline)) void tag_reuse(struct server *s) {
  uint32_t tag;
  struct user_file *uf = CONTAINER_OF(list_pop_front(&s->closing), struct user_file, closing);
  bool taken = tag_take(s, REQUEST_ORPHAN, &tag);
  kassert(taken);
  struct ring_sqe sqe = {.op = OP_CLOSE, .tag = tag, .file = uf->id};
  submit(s, &sqe);
  kcache_free(&user_file_cache, uf);
}

/* With s->lock held. Files that could not be closed for want of a tag go first. */
static inline void tag_put(struct server *s, uint32_t tag) {
  struct request *r = &s->requests[tag];
  if (UNLIKELY(r->opened != NULL)) {
    user_file_discard(r->opened);
    r->opened = NULL;
  }
  r->state = REQUEST_FREE;
  s->free_tags |= 1ul << tag;
  if (UNLIKELY(!s->dead && !list_is_empty(&s->closing))) {
    tag_reuse(s);
  }
}

/* With s->lock held: there is none, or one for pages; somebody may wait for the next. */
static inline bool tags_are_scarce(const struct server *s) {
  return (s->free_tags & (s->free_tags - 1)) == 0;
}

static inline void tag_release(struct server *s, uint32_t tag) {
  spin_lock(&s->lock);
  bool was_scarce = tags_are_scarce(s);
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

/* Under the lock, where no page is missing: false when that does not suit. */
static inline bool slot_fill_now(struct server *s, uint32_t tag, const struct user_call *c) {
  uint8_t *page = s->slot_pages[tag][0];
  if (c->in_len == 0) {
    return true;
  }
  if (c->in_len > SLOT_SHORT || page == NULL) {
    return false;
  }
  if (c->path == NULL) {
    return user_range_ok(c->in, c->in_len) && user_copy_in_now(page, c->in, c->in_len);
  }
  memcpy(page, c->path, c->in_len);
  return true;
}

static bool op_opens(uint32_t op) {
  return op == OP_OPEN || op == OP_DUP;
}

/* Whether an answer to it may refer to something. */
static inline bool op_refers(uint32_t op) {
  return op_opens(op) || op == OP_MMAP || op == OP_MAPAT;
}

/* A new file of the server's; it must be closed again if its client has left. */
static bool answer_is_file(uint32_t op, int64_t result, const struct user_answer *answer) {
  return op_opens(op) && result > 0 && answer->file == NULL;
}

/* ---- the client's side ---------------------------------------------------------------------- */

/* With s->lock held and the slot filled. */
static inline void request_submit(struct server *s, uint32_t tag, struct user_call *c) {
  const struct context *self = context_current();
  struct request *r = &s->requests[tag];
  r->op = c->op;
  r->length = c->arg2;
  r->opened = c->opened;
  c->opened = NULL;
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
  submit(s, &sqe);
}

/* Most requests bring little or nothing: tag, slot and entry under the lock once. */
static inline bool request_send_now(struct server *s, struct user_call *c, uint32_t *tag) {
  spin_lock(&s->lock);
  bool taken = !s->dead && tag_is_free(s, c) && tag_take(s, REQUEST_SENT, tag);
  bool sent = taken && slot_fill_now(s, *tag, c);
  if (LIKELY(sent)) {
    request_submit(s, *tag, c);
  } else if (taken) {
    tag_put(s, *tag);
  }
  spin_unlock(&s->lock);
  return sent;
}

/* The tag's slot is filled without the lock: the caller's memory may be missing. */
static __attribute__((noinline)) enum abi_error request_send(struct server *s, struct user_call *c,
                                                             uint32_t *tag) {
  enum abi_error e = tag_get(s, c, tag);
  if (e != OK) {
    return e;
  }
  e = slot_fill(s, *tag, c);
  if (e != OK) {
    tag_release(s, *tag);
    return e;
  }
  spin_lock(&s->lock);
  if (s->dead) {
    s->requests[*tag].state = REQUEST_DONE;
    s->requests[*tag].result = -ABI_ESHUTDOWN;
  } else {
    request_submit(s, *tag, c);
  }
  spin_unlock(&s->lock);
  return OK;
}

/* Interrupted: the request is on its own now, unless it has been answered meanwhile [U2]. */
static __attribute__((noinline)) bool request_leave(struct server *s, uint32_t tag) {
  struct request *r = &s->requests[tag];
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
  }
  return sent;
}

/* True when the answer is there; false: interrupted. */
static inline bool request_wait(struct server *s, const struct user_call *c, uint32_t tag) {
  const struct request *r = &s->requests[tag];
  inject_point("request");
  while (__atomic_load_n(&r->state, __ATOMIC_ACQUIRE) != REQUEST_DONE) {
    if (LIKELY(!must_leave(c))) {
      sched_park(NO_DEADLINE);
    } else if (request_leave(s, tag)) {
      return false;
    }
  }
  return true;
}

/* What an answer refers to becomes the call's [U6]. */
static inline void answer_take(struct request *r, struct user_call *c) {
  if (UNLIKELY(op_refers(r->op))) {
    *c->answer = r->answer;
    r->answer = (struct user_answer){0};
    if (answer_is_file(r->op, r->result, c->answer)) {
      c->opened = r->opened;
      r->opened = NULL;
    }
  }
}

int64_t user_call(struct server *s, struct user_call *c) {
  uint32_t tag = 0;
  if (c->in_len > RING_SLOT_SIZE || c->out_cap > RING_SLOT_SIZE) {
    return -ABI_EINVAL;
  }
  enum abi_error e = LIKELY(request_send_now(s, c, &tag)) ? OK : request_send(s, c, &tag);
  if (e != OK) {
    return -(int64_t)e;
  }
  waitq_wake_handoff(&s->server_waitq);
  if (!request_wait(s, c, tag)) {
    return -ABI_EINTR;
  }
  int64_t result = s->requests[tag].result;
  answer_take(&s->requests[tag], c);
  if (result > 0 && c->out_cap > 0) {
    result = MIN(result, (int64_t)c->out_cap);
    e = slot_empty(s, tag, c, (size_t)result);
    result = e == OK ? result : -(int64_t)e;
  }
  tag_release(s, tag);
  return result;
}

/* ---- the server's side ---------------------------------------------------------------------- */

static inline int64_t result_checked(const struct ring_cqe *cqe) {
  return cqe->result < -ERROR_MOST ? -ABI_EIO : cqe->result;
}

/* What an answer refers to is resolved here, in the server's context. An answer of the wrong kind,
 * or a number that is neither a result nor an error, becomes EIO [U1]. */
static void answer_resolve(struct request *r, const struct ring_cqe *cqe) {
  struct context *server = context_current();
  r->result = result_checked(cqe);
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

/* Most answers are a number, for a client that waits or for nobody any more. */
static inline bool complete_plain(struct server *s, struct request *r, const struct ring_cqe *cqe) {
  spin_lock(&s->lock);
  bool plain = cqe->kind == CQE_DONE && !op_refers(r->op), scarce = false;
  if (plain && LIKELY(r->state == REQUEST_SENT)) {
    struct thread *client = r->client;
    r->result = result_checked(cqe);
    __atomic_store_n(&r->state, REQUEST_DONE, __ATOMIC_RELEASE);
    sched_unpark_handoff(client);
  } else if (plain && r->state == REQUEST_ORPHAN) {
    scarce = tags_are_scarce(s);
    tag_put(s, cqe->tag);
  }
  spin_unlock(&s->lock);
  if (UNLIKELY(scarce)) {
    waitq_wake(&s->tags_waitq);
  }
  return plain;
}

static __attribute__((noinline)) void complete_any(struct server *s, struct request *r,
                                                   const struct ring_cqe *cqe) {
  struct request answer = {.op = r->op, .length = r->length};
  answer_resolve(&answer, cqe); /* takes other locks: not under s->lock */
  bool is_file = answer_is_file(answer.op, answer.result, &answer.answer);
  spin_lock(&s->lock);
  uint32_t state = r->state;
  bool stale = r->op != answer.op || (is_file && r->opened == NULL);
  if (state == REQUEST_SENT && stale) {
    answer_drop(&answer); /* a second answer to a tag that has been used again [U1] */
    answer = (struct request){.result = -ABI_EIO};
    is_file = false;
  }
  if (state == REQUEST_SENT) {
    r->result = answer.result;
    r->answer = answer.answer;
    if (is_file) {
      opened_publish(s, r, cqe);
    }
    struct thread *client = r->client;
    __atomic_store_n(&r->state, REQUEST_DONE, __ATOMIC_RELEASE);
    sched_unpark_handoff(client);
  } else if (state == REQUEST_ORPHAN && is_file) {
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

static inline void complete(struct server *s, const struct ring_cqe *cqe) {
  struct request *r = &s->requests[cqe->tag % RING_TAGS];
  if (cqe->tag < RING_TAGS && !complete_plain(s, r, cqe)) {
    complete_any(s, r, cqe);
  }
}

static struct user_file *file_of_id(struct server *s, uint64_t id) {
  const struct list *bucket = &s->files[hash_u64(id) % SERVER_BUCKETS];
  list_for_each (pos, bucket) {
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
  struct user_file *uf = kcache_alloc(&user_file_cache);
  if (uf == NULL) {
    return NULL;
  }
  uf->server = s;
  uf->id = 0;
  uf->ready = 0;
  uf->pollable = false;
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
  bool sent = !s->dead && tag_take(s, REQUEST_ORPHAN, &tag);
  bool later = !s->dead && !sent;
  if (sent) {
    s->requests[tag].op = OP_CLOSE;
    struct ring_sqe sqe = {.op = OP_CLOSE, .tag = tag, .file = uf->id};
    submit(s, &sqe);
  } else if (later) {
    list_push_back(&s->closing, &uf->closing);
  }
  spin_unlock(&s->lock);
  if (sent) {
    waitq_wake_later(&s->server_waitq); /* nobody waits for the answer */
  }
  if (!later) {
    kcache_free(&user_file_cache, uf);
  }
  server_put(s);
}
