/* proc: contexts and address spaces as descriptors.
 *
 * `proc:PID` opens a context by its id (who may signal it), `proc:PID/sched` its scheduling as
 * text, `proc:PID/mem-stat` what memory it has. Everything else comes from a context's descriptor,
 * or from FD_SELF: dup "addrspace" (its space), dup "addrspace/empty" (a new one), dup "sched", and
 * the batches of steps. Reading a context's descriptor waits for its process to end and answers
 * struct proc_status. */
#include "lib/fmt.h"
#include "lib/string.h"
#include "scheme/event.h"
#include "scheme/proc_priv.h"

#define DESCRIBE_SIZE PAGE_SIZE
#define STEPS_AT_ONCE 8u

/* ---- address space descriptors -----------------------------------------------------------------
 */

static const struct file_ops space_ops;

struct space *space_of_file(struct file *f) {
  return f->ops == &space_ops ? f->object : NULL;
}

/* Before step i of a batch: steps come from the caller STEPS_AT_ONCE at a time, so none of those is
 * done if one cannot be read. */
static int64_t steps_read(void *steps, size_t size, const struct file_call *c, size_t i) {
  if (i % STEPS_AT_ONCE != 0) {
    return 0;
  }
  size_t left = c->in_len - i * size;
  return -(int64_t)user_copy_in(steps, uaddr_add(c->in, i * size), MIN(left, STEPS_AT_ONCE * size));
}

/* Steps that say where something came to lie. */
static bool op_answers(const struct space_op *op) {
  return op->code == SPACE_MAP || op->code == SPACE_REMAP || op->code == SPACE_BORROW;
}

static int64_t space_apply(struct space *s, const struct file_call *c) {
  size_t n = c->in_len / sizeof(struct space_op);
  if (n == 0 || n > SPACE_OPS_MAX || c->in_len % sizeof(struct space_op) != 0) {
    return -ABI_EINVAL;
  }
  struct space_op ops[STEPS_AT_ONCE];
  for (size_t i = 0; i < n; i++) {
    struct space_op *op = &ops[i % STEPS_AT_ONCE];
    inject_point("space step");
    int64_t r = steps_read(ops, sizeof(*op), c, i);
    r = r == 0 ? space_step(s, context_current()->files, op) : r;
    if (r == 0 && c->out_cap >= c->in_len && op_answers(op)) {
      r = -(int64_t)user_copy_out(uaddr_add(c->in, i * sizeof(*op)), op, sizeof(*op));
    }
    if (r < 0) {
      return i > 0 && c->arg != 0 ? (int64_t)i : r;
    }
    sched_point();
  }
  return (int64_t)n;
}

static int64_t grants_describe(struct space *s, const struct file_call *c) {
  paddr_t pa;
  if (!frame_alloc(FRAME_KERNEL, &pa)) {
    return -ABI_ENOMEM;
  }
  size_t len = space_describe(s, direct_map(pa), DESCRIBE_SIZE);
  int64_t r = text_read(direct_map(pa), len, c->out, c->out_cap, 0);
  frame_free(pa);
  return r;
}

static int64_t space_call(struct file *f, const struct file_call *c) {
  switch (c->op) {
  case OP_SPACE_APPLY:
    return space_apply(f->object, c);
  case OP_PROC_GRANTS:
    return grants_describe(f->object, c);
  default:
    return -ABI_ENOTTY;
  }
}

static void space_close(struct file *f) {
  space_put(f->object);
}

static const struct file_ops space_ops = {.call = space_call, .close = space_close};

static int64_t space_file(struct space *s, struct file **out) {
  *out = file_create(&space_ops, O_ABI_RDWR, s, 0);
  if (*out == NULL) {
    space_put(s);
    return -ABI_ENOMEM;
  }
  return 0;
}

/* ---- context descriptors -----------------------------------------------------------------------
 */

static const struct file_ops context_ops;

struct context *context_of_file(struct file *f) {
  return f->ops == &context_ops ? f->object : NULL;
}

static bool process_is_dead(void *arg) {
  return __atomic_load_n(&((struct group *)arg)->state, __ATOMIC_ACQUIRE) == PROC_STATE_DEAD;
}

static int64_t context_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  struct group *g = ((struct context *)f->object)->group;
  struct proc_status st;
  if (len < sizeof(st)) {
    return -ABI_EINVAL;
  }
  if (!process_is_dead(g)) {
    enum abi_error e =
        file_is_nonblock(f) ? ABI_EAGAIN : wait_until(&g->status, process_is_dead, g, NO_DEADLINE);
    if (e != OK) {
      return -(int64_t)e;
    }
  }
  group_status_read(g, &st);
  enum abi_error e = user_copy_out(buf, &st, sizeof(st));
  return e == OK ? (int64_t)sizeof(st) : -(int64_t)e;
}

static uint32_t context_poll(struct file *f, uint32_t events) {
  const struct group *g = ((struct context *)f->object)->group;
  uint32_t state = __atomic_load_n(&g->state, __ATOMIC_ACQUIRE);
  return events & (state == PROC_STATE_DEAD      ? POLL_ABI_IN
                   : state == PROC_STATE_STOPPED ? POLL_ABI_PRI
                                                 : 0);
}

static struct waitq *context_waitq(struct file *f) {
  return &((struct context *)f->object)->group->status;
}

static int64_t attr_read(struct context *t, const struct file_call *c) {
  struct group *g = t->group;
  struct proc_attr a = {.tid = t->id, .affinity = t->thread.affinity, .nice = t->thread.nice};
  if (c->out_cap < sizeof(a)) {
    return -ABI_EINVAL;
  }
  a.policy = t->thread.policy;
  a.slice_us = (uint32_t)(sched_slice_ns(&t->thread) / 1000);
  a.rt_priority = t->thread.rt_priority;
  a.cpu = atomic_load(&t->thread.cpu);
  a.sig_ignore = t == context_current() ? atomic_load(&t->actions->ignore) : 0;
  a.sig_catch = t == context_current() ? atomic_load(&t->actions->catch) : 0;
  spin_lock(&g->lock);
  a.pid = g->pid;
  a.ppid = g->parent == NULL ? 0 : g->parent->state == PROC_STATE_DEAD ? 1 : g->parent->pid;
  a.pgid = g->pgid;
  a.sid = g->sid;
  a.uid = g->uid;
  a.gid = g->gid;
  a.euid = g->euid;
  a.egid = g->egid;
  a.n_threads = g->n_started;
  a.state = g->state;
  memcpy(a.name, g->name, sizeof(a.name));
  spin_unlock(&g->lock);
  enum abi_error e = user_copy_out(c->out, &a, sizeof(a));
  return e == OK ? (int64_t)sizeof(a) : -(int64_t)e;
}

static int64_t step_watch(struct file *context_file, const struct proc_op *op) {
  struct fd_ref queue;
  enum abi_error e = fd_get(context_current()->files, op->fd, &queue);
  if (e != OK) {
    return -(int64_t)e;
  }
  e = event_is_queue(queue.file) ? event_watch_add(queue.file, context_file, POLL_ABI_IN, op->a)
                                 : ABI_EBADF;
  fd_put(&queue);
  return -(int64_t)e;
}

/* The descriptor of the target is NULL for FD_SELF and new threads. */
static inline int64_t step_run(struct context *target, struct file *f, const struct proc_op *op) {
  if (UNLIKELY(op->code == PROC_WATCH)) {
    return f != NULL ? step_watch(f, op) : -ABI_EINVAL;
  }
  if (f != NULL && proc_step_may_not_return(target, op)) {
    return -ABI_EINVAL; /* on FD_SELF only: nothing is left to give the descriptor back */
  }
  return proc_step(target, op);
}

static __attribute__((noinline)) int64_t steps_run(struct context *target, struct file *f,
                                                   const struct file_call *c, size_t n) {
  struct proc_op ops[STEPS_AT_ONCE];
  for (size_t i = 0; i < n; i++) {
    inject_point("step");
    int64_t r = steps_read(ops, sizeof(ops[0]), c, i);
    r = r == 0 ? step_run(target, f, &ops[i % STEPS_AT_ONCE]) : r;
    if (r < 0) {
      return r;
    }
  }
  return (int64_t)n;
}

/* Most often one step. */
static int64_t steps_apply(struct context *target, struct file *f, const struct file_call *c) {
  struct proc_op op;
  if (UNLIKELY(c->in_len != sizeof(op))) {
    size_t n = c->in_len / sizeof(op);
    return n > PROC_OPS_MAX || c->in_len % sizeof(op) != 0 ? -ABI_EINVAL
                                                           : steps_run(target, f, c, n);
  }
  inject_point("step");
  enum abi_error e = user_copy_in(&op, c->in, sizeof(op));
  int64_t r = e == OK ? step_run(target, f, &op) : -(int64_t)e;
  return r < 0 ? r : 1;
}

/* What may be done is each step's to say. A step may close the very descriptor that the call came
 * through. */
static int64_t context_apply(struct context *t, struct file *f, const struct file_call *c) {
  file_get(f);
  int64_t r = steps_apply(t, f, c);
  file_put(f);
  return r;
}

static int64_t context_call(struct file *f, const struct file_call *c) {
  struct context *t = f->object;
  switch (c->op) {
  case OP_PROC_APPLY:
    return context_apply(t, f, c);
  case OP_PROC_ATTR:
    return attr_read(t, c);
  case OP_STAT:
    return stat_out(c, S_ABI_IFREG | 0400, t->id, 0);
  default:
    return -ABI_ENOTTY;
  }
}

static void context_close(struct file *f) {
  context_put(f->object);
}

int64_t proc_dup(struct context *target, const char *name, size_t len, struct file **out) {
  if (name_is(name, len, "addrspace/empty")) {
    struct space *s;
    enum abi_error e = space_create(&s);
    if (e != OK) {
      return -(int64_t)e;
    }
    space_copy_limits(s, context_current()->space);
    return space_file(s, out);
  }
  if (name_is(name, len, "sched")) {
    return sched_file_create(target, out);
  }
  if (!name_is(name, len, "addrspace")) {
    return -ABI_ENOENT;
  }
  enum abi_error e = context_claim(target);
  struct space *s = e == OK ? target->space : NULL;
  if (s != NULL) {
    space_get(s);
  }
  if (e == OK) {
    context_unclaim(target);
  }
  return s != NULL ? space_file(s, out) : e == OK ? -ABI_ENOENT : -(int64_t)e;
}

static bool context_stays(struct file *f) {
  return ((struct context *)f->object)->state == PROC_STATE_NEW;
}

static int64_t context_dup(struct file *f, const char *name, size_t len, struct file **out) {
  struct context *t = f->object;
  return group_may_control(context_current(), t->group) ? proc_dup(t, name, len, out) : -ABI_EPERM;
}

static const struct file_ops context_ops = {.read = context_read,
                                            .poll = context_poll,
                                            .waitq = context_waitq,
                                            .call = context_call,
                                            .dup = context_dup,
                                            .stays = context_stays,
                                            .close = context_close};

/* ---- creation ----------------------------------------------------------------------------- */

static int64_t create_thread(struct context *self, const struct file_call *c) {
  struct context *t;
  enum abi_error e = context_create(self, true, &t);
  if (e != OK) {
    return -(int64_t)e;
  }
  int64_t r = steps_apply(t, NULL, c);
  r = r < 0 ? r : (int64_t)t->id;
  context_put(t);
  return r;
}

static int64_t create_process(struct context *self, const struct file_call *c) {
  struct context *t;
  enum abi_error e = context_create(self, false, &t);
  if (e != OK) {
    return -(int64_t)e;
  }
  struct file *f = file_create(&context_ops, O_ABI_RDWR, t, 0);
  if (f == NULL) {
    context_put(t);
    return -ABI_ENOMEM;
  }
  uint32_t flags = (uint32_t)c->arg;
  int64_t fd = filetable_add(self->files, f, flags & O_ABI_UPPER ? FD_UPPER : 0, flags);
  if (fd < 0) {
    file_put(f);
    return fd;
  }
  file_get(f); /* another thread may close the number meanwhile */
  int64_t r = steps_apply(t, f, c);
  if (r < 0) {
    filetable_remove(self->files, (int)fd, f);
  }
  file_put(f);
  return r < 0 ? r : fd;
}

int64_t proc_call(struct context *self, const struct file_call *c) {
  switch (c->op) {
  case OP_PROC_CREATE:
    return c->arg & PROC_THREAD ? create_thread(self, c) : create_process(self, c);
  case OP_PROC_APPLY:
    return steps_apply(self, NULL, c);
  case OP_PROC_ATTR:
    return attr_read(self, c);
  case OP_PROC_GRANTS:
    return grants_describe(self->space, c);
  case OP_SPACE_APPLY:
    return space_apply(self->space, c);
  default:
    return -ABI_ENOTTY;
  }
}

/* ---- proc:PID ------------------------------------------------------------------------------ */

/* A context that has started, by the text of its id; a reference. Who may not signal it gets
 * EPERM; only its maker has a new one. */
static int64_t context_named(const char *text, size_t len, struct context **out) {
  uint64_t id;
  if (!fmt_parse_u64(text, len, &id)) {
    return -ABI_ENOENT;
  }
  struct context *c = id <= UINT32_MAX ? context_find((uint32_t)id) : NULL;
  if (c == NULL) {
    return -ABI_ESRCH;
  }
  int64_t r = c->state == PROC_STATE_NEW                      ? -ABI_ESRCH
              : group_may_signal(context_current(), c->group) ? 0
                                                              : -ABI_EPERM;
  if (r < 0) {
    context_put(c);
  }
  *out = c;
  return r;
}

static int64_t proc_open(struct file *dir, const char *path, size_t len, uint32_t flags,
                         uint32_t mode, struct file **out) {
  (void)dir;
  (void)mode;
  struct context *c;
  size_t digits = 0;
  while (digits < len && path[digits] != '/') {
    digits++;
  }
  int64_t r = context_named(path, digits, &c);
  if (r < 0) {
    return r;
  }
  if (digits < len) {
    r = name_is(path + digits, len - digits, "/sched")      ? sched_file_create(c, out)
        : name_is(path + digits, len - digits, "/mem-stat") ? mem_file_create(c, out)
                                                            : -ABI_ENOENT;
    context_put(c);
    return r;
  }
  *out = file_create(&context_ops, (flags & O_ABI_NONBLOCK) | O_ABI_RDWR, c, 0);
  if (*out == NULL) {
    context_put(c);
  }
  return *out != NULL ? 0 : -ABI_ENOMEM;
}

void proc_scheme_init(void) {
  static const struct file_ops root_ops = {.open = proc_open};
  scheme_add_kernel("proc", &root_ops);
}
