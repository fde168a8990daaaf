/* Contexts: ids, creation, start, death. */
#include "proc/proc.h"
#include "base/clock.h"
#include "base/panic.h"
#include "base/trace.h"
#include "lib/idalloc.h"
#include "lib/string.h"
#include "proc/proc_priv.h"

#define IDS_MAX 65536u

static struct kcache context_cache = KCACHE_OF(struct context, "context");
static struct kcache fpu_cache = {.name = "fpu", .align = 64, .lock = SPINLOCK(KCACHE)};
static struct spinlock ids_lock = SPINLOCK(CONTEXT_IDS);
static struct idalloc ids; /* [ids_lock] */
static uint64_t id_words[IDALLOC_WORDS(IDS_MAX)];
static struct context *by_id[IDS_MAX]; /* [ids_lock] no reference */
static uint32_t last_id;               /* [ids_lock] */

void proc_init(void) {
  idalloc_init(&ids, id_words, IDS_MAX);
  fpu_cache.size = (uint32_t)arch_fpu_size();
  futex_init();
  uint32_t zero;
  bool ok = idalloc_get(&ids, &zero); /* id 0 names nobody */
  kassert(ok && zero == 0);
}

static bool id_take(struct context *c) {
  spin_lock(&ids_lock);
  bool ok = idalloc_get_after(&ids, last_id, &c->id);
  if (ok) {
    last_id = c->id;
    by_id[c->id] = c;
  }
  spin_unlock(&ids_lock);
  return ok;
}

/* The number is free again when the last descriptor goes, so that it never names two. */
static void id_give(struct context *c) {
  spin_lock(&ids_lock);
  by_id[c->id] = NULL;
  idalloc_put(&ids, c->id);
  spin_unlock(&ids_lock);
}

struct context *context_find(uint32_t id) {
  spin_lock(&ids_lock);
  struct context *c = id < IDS_MAX ? by_id[id] : NULL;
  if (c != NULL && !refcount_get_unless_zero(&c->refs)) {
    c = NULL;
  }
  spin_unlock(&ids_lock);
  return c;
}

void context_for_each(void (*visit)(struct context *c, void *arg), void *arg) {
  for (uint32_t id = 1; id < IDS_MAX; id++) {
    if (id % 1024 == 0) {
      sched_point();
    }
    struct context *c = by_id[id] != NULL ? context_find(id) : NULL;
    if (c != NULL) {
      visit(c, arg);
      context_put(c);
    }
  }
}

/* ---- creation ----------------------------------------------------------------------------- */

static void context_entry(void *arg) {
  struct context *c = arg;
  arch_user_enter(&c->regs);
}

/* On another thread's stack, after the last switch away. */
static void context_reap(struct thread *t) {
  struct context *c = (struct context *)t;
  kstack_free(t->arch.stack_top);
  kcache_free(&fpu_cache, t->arch.fpu);
  t->arch.stack_top = 0;
  context_put(c);
}

static bool context_alloc(struct context **out) {
  struct context *c = kcache_alloc_zeroed(&context_cache);
  void *fpu = kcache_alloc(&fpu_cache);
  uint64_t stack = 0;
  if (c == NULL || fpu == NULL || !kstack_alloc(&stack)) {
    if (c != NULL) {
      kcache_free(&context_cache, c);
    }
    if (fpu != NULL) {
      kcache_free(&fpu_cache, fpu);
    }
    return false;
  }
  arch_fpu_init_area(fpu);
  thread_init(&c->thread, stack, fpu, context_entry, c);
  c->thread.reap = context_reap;
  refcount_init(&c->refs, 1);
  list_init(&c->group_node);
  list_init(&c->pi_waiters);
  c->pi_boost = RUNQ_NONE;
  *out = c;
  return true;
}

static void context_free(struct context *c) {
  if (c->thread.arch.stack_top != 0) { /* never ran */
    kstack_free(c->thread.arch.stack_top);
    kcache_free(&fpu_cache, c->thread.arch.fpu);
  }
  kcache_free(&context_cache, c);
}

enum abi_error context_create(struct context *creator, bool join, struct context **out) {
  struct context *c;
  if (!context_alloc(&c)) {
    return ABI_ENOMEM;
  }
  if (!id_take(c)) {
    context_free(c);
    return ABI_EAGAIN;
  }
  enum abi_error e = join ? group_join(creator->group, c) : group_create(creator, c);
  if (e != OK) {
    id_give(c);
    context_free(c);
    return e;
  }
  if (creator != NULL) {
    sched_inherit(&c->thread); /* creator is the caller */
  }
  c->thread.arch.id = c->id;
  trace(TRACE_THREAD, c->id, c->group->pid);
  if (!join) {
    trace_name(c->id, c->group->name, sizeof(c->group->name));
  }
  *out = c;
  return OK;
}

void context_get(struct context *c) {
  refcount_get(&c->refs);
}

/* The pointer changes under the group's lock, for context_space_get(). */
static struct space *space_exchange(struct context *c, struct space *s) {
  spin_lock(&c->group->lock);
  struct space *old = c->space;
  c->space = s;
  spin_unlock(&c->group->lock);
  return old;
}

struct space *context_space_get(struct context *c) {
  spin_lock(&c->group->lock);
  struct space *s = c->space;
  if (s != NULL) {
    space_get(s);
  }
  spin_unlock(&c->group->lock);
  return s;
}

_Atomic uint32_t context_n_releasing;
_Atomic uint64_t context_n_released;

static void context_release_objects(struct context *c) {
  if (c->files != NULL) {
    filetable_put(c->files);
  }
  if (c->actions != NULL) {
    actions_put(c->actions);
  }
  c->files = NULL;
  c->actions = NULL;
  c->thread.space = NULL;
  if (c == context_current()) {
    arch_space_rest();
  }
  atomic_fetch_add(&context_n_releasing, 1);
  struct space *s = space_exchange(c, NULL);
  if (s != NULL) {
    space_put(s);
  }
  atomic_fetch_add(&context_n_released, 1);
  atomic_fetch_sub(&context_n_releasing, 1);
}

void context_put(struct context *c) {
  if (!refcount_put(&c->refs)) {
    return;
  }
  if (c->state == PROC_STATE_NEW) {
    context_release_objects(c);
    group_leave(c);
  }
  struct group *g = c->group;
  id_give(c);
  context_free(c);
  group_put(g);
}

void context_set_space(struct context *c, struct space *s) {
  struct space *old = space_exchange(c, s);
  c->thread.space = &s->arch;
  if (c == context_current()) {
    arch_space_enter(&s->arch);
  }
  if (old != NULL) {
    space_put(old);
  }
}

enum abi_error context_claim(struct context *c) {
  if (c == context_current()) {
    return OK;
  }
  if (atomic_exchange(&c->claimed, true)) {
    return ABI_EBUSY;
  }
  if (c->state != PROC_STATE_NEW) {
    atomic_store(&c->claimed, false);
    return ABI_EBUSY;
  }
  return OK;
}

void context_unclaim(struct context *c) {
  if (c != context_current()) {
    atomic_store(&c->claimed, false);
  }
}

/* What came for it while it was NEW. With the group's lock held. */
static uint32_t work_waiting(const struct context *c) {
  const struct group *g = c->group;
  bool signals = (atomic_load(&c->sig_pending) | atomic_load(&g->sig_pending)) != 0;
  return (g->dying || g->alone != NULL ? ARCH_WORK_DIE : 0) |
         (g->state == PROC_STATE_STOPPED ? ARCH_WORK_STOP : 0) | (signals ? ARCH_WORK_SIGNAL : 0);
}

/* With the group's lock held: NEW -> RUNNING, with the references that a running context needs
 * before anybody can wake and end it. */
static void context_enlist(struct context *c) {
  struct group *g = c->group;
  context_get(c); /* its own, given back by context_reap() */
  if (g->state == PROC_STATE_NEW) {
    g->state = PROC_STATE_RUNNING;
    g->leader = c;
    context_get(c); /* the process's, given back by group_end() */
  }
  g->n_started++;
  atomic_fetch_or(&c->thread.arch.work, work_waiting(c));
  c->state = PROC_STATE_RUNNING;
}

enum abi_error context_start(struct context *c) {
  spin_lock(&c->group->lock);
  bool ready =
      c->space != NULL && c->files != NULL && c->actions != NULL && arch_user_regs_valid(&c->regs);
  bool ok = c->state == PROC_STATE_NEW && c->group->state != PROC_STATE_DEAD && ready;
  if (ok) {
    context_enlist(c);
  }
  spin_unlock(&c->group->lock);
  if (!ok) {
    return ABI_EINVAL;
  }
  sched_unpark(&c->thread);
  return OK;
}

/* ---- death -------------------------------------------------------------------------------- */

static void sharer_kill(struct context *other, void *arg) {
  const struct context *c = arg;
  struct space *s = other->group != c->group ? context_space_get(other) : NULL;
  if (s != NULL && s == c->space) {
    group_kill(other->group, SIGNAL_KILL);
  }
  if (s != NULL) {
    space_put(s);
  }
}

/* The word could not be written: true to try again. Where only memory is missing it is made, as in
 * a fault of ring 3. Who is dying waits for none: others may be waiting for what it gives back. A
 * process that lives in its space would wait for the word for ever, and ends instead. */
static bool tid_word_prepare(struct context *c) {
  struct arch_fault fault = {.addr = c->cleartid, .write = true};
  enum abi_error e = space_fault(c->space, fault.addr, true, false);
  if (e != ABI_ENOMEM) {
    return e == OK;
  }
  if (context_is_dying()) {
    context_for_each(sharer_kill, c);
    return false;
  }
  e = oom_fault(c, &fault);
  return e == OK || e == ABI_ENOMEM;
}

void context_clear_tid(struct context *c) {
  uaddr_t word = {c->cleartid};
  if (word.v == 0 || !IS_ALIGNED(word.v, 4) || !user_range_ok(word, 4)) {
    return; /* no futex */
  }
  while (!arch_store_user_u32(word.v, 0)) {
    if (!tid_word_prepare(c)) {
      return;
    }
  }
  futex_wake(c->space, word, UINT32_MAX, true);
}

_Noreturn void context_exit(void) {
  struct context *c = context_current();
  inject_off(c);
  if (c->space != NULL) {
    futex_leave_space(c);
    if (c->exit_unmap_len != 0) {
      enum abi_error e = space_unmap(c->space, c->exit_unmap, c->exit_unmap_len);
      (void)e; /* a wrong range is the caller's loss: it is gone */
    }
    context_clear_tid(c);
  }
  context_release_objects(c);
  group_leave(c);
  futex_pi_exit(c);
  sched_exit();
}
