/* Processes: their contexts, their end, who is told. */
#include "base/clock.h"
#include "base/panic.h"
#include "lib/string.h"
#include "proc/proc_priv.h"

static struct kcache group_cache = KCACHE_OF(struct group, "group");
static struct kcache actions_cache = KCACHE_OF(struct actions, "actions");

/* ---- signal actions ----------------------------------------------------------------------- */

enum abi_error actions_create(const struct actions *from, struct actions **out) {
  struct actions *a = kcache_alloc(&actions_cache);
  if (a == NULL) {
    return ABI_ENOMEM;
  }
  refcount_init(&a->refs, 1);
  atomic_init(&a->ignore, from != NULL ? atomic_load(&from->ignore) : 0);
  atomic_init(&a->catch, from != NULL ? atomic_load(&from->catch) : 0);
  *out = a;
  return OK;
}

void actions_put(struct actions *a) {
  if (refcount_put(&a->refs)) {
    kcache_free(&actions_cache, a);
  }
}

/* ---- life --------------------------------------------------------------------------------- */

static void group_inherit(struct group *g, struct group *from) {
  spin_lock(&from->lock);
  g->pgid = from->pgid;
  g->sid = from->sid;
  g->uid = from->uid;
  g->gid = from->gid;
  g->euid = from->euid;
  g->egid = from->egid;
  memcpy(g->name, from->name, sizeof(g->name));
  spin_unlock(&from->lock);
  group_get(from);
  g->parent = from;
}

enum abi_error group_create(struct context *creator, struct context *c) {
  struct group *g = kcache_alloc_zeroed(&group_cache);
  if (g == NULL) {
    return ABI_ENOMEM;
  }
  refcount_init(&g->refs, 1);
  spin_init(&g->lock, RANK_GROUP);
  list_init(&g->contexts);
  waitq_init(&g->status);
  g->pid = c->id;
  futex_pi_group_init(g);
  g->state = PROC_STATE_NEW;
  g->start_ns = clock_now();
  g->pgid = g->sid = c->id;
  if (creator != NULL) {
    group_inherit(g, creator->group);
  }
  list_push_back(&g->contexts, &c->group_node);
  c->group = g;
  return OK;
}

enum abi_error group_join(struct group *g, struct context *c) {
  spin_lock(&g->lock);
  bool ending = g->dying || g->alone != NULL;
  if (!ending) {
    list_push_back(&g->contexts, &c->group_node);
  }
  spin_unlock(&g->lock);
  if (ending) {
    return ABI_EAGAIN;
  }
  group_get(g);
  c->group = g;
  return OK;
}

void group_get(struct group *g) {
  refcount_get(&g->refs);
}

/* Ancestors are let go one after the other, not by recursion: a chain of dead parents may be long.
 */
void group_put(struct group *g) {
  while (g != NULL && refcount_put(&g->refs)) {
    struct group *parent = g->parent;
    kcache_free(&group_cache, g);
    g = parent;
  }
}

/* The process has ended: tell who waits, who watches and, if it ever ran, the parent. */
static void group_end(struct group *g, bool ran) {
  spin_lock(&g->lock);
  struct group *parent = g->parent;
  g->parent = NULL;
  spin_unlock(&g->lock);
  waitq_wake(&g->status);
  if (g->leader != NULL) {
    context_put(g->leader);
  }
  if (parent != NULL && ran) {
    enum abi_error e = signal_post(parent, SIGNAL_CHLD, g->pid);
    (void)e; /* a dead parent does not mind */
  }
  group_put(parent);
}

/* There is nobody to go on: the machine ends, with the status that it had. */
static _Noreturn void first_ended(int32_t wstatus) {
  if ((wstatus & 0x7f) != 0) {
    panic("the first process was ended by signal %d", wstatus & 0x7f);
  }
  log_printf("the first process has ended, status %d\n", wstatus >> 8);
  log_record("exit %d", wstatus >> 8);
  arch_power_off(false);
}

void group_leave(struct context *c) {
  struct group *g = c->group;
  spin_lock(&g->lock);
  list_remove(&c->group_node);
  g->run_ns += thread_run_ns(&c->thread);
  bool ran = c->state != PROC_STATE_NEW;
  c->state = PROC_STATE_DEAD;
  g->n_started -= ran;
  bool last = ran ? g->n_started == 0 : g->state == PROC_STATE_NEW;
  if (last) {
    g->state = PROC_STATE_DEAD;
  } else {
    waitq_wake(&g->status); /* context_be_alone() */
  }
  spin_unlock(&g->lock);
  if (last && g->pid == 1) {
    first_ended(g->wstatus);
  }
  if (last) {
    group_end(g, ran);
  }
}

void group_kill(struct group *g, int32_t wstatus) {
  spin_lock(&g->lock);
  if (!g->dying) {
    g->dying = true;
    g->wstatus = wstatus;
  }
  list_for_each (pos, &g->contexts) {
    struct context *c = CONTAINER_OF(pos, struct context, group_node);
    if (c->state != PROC_STATE_NEW) {
      thread_set_work(&c->thread, ARCH_WORK_DIE);
    }
  }
  spin_unlock(&g->lock);
}

void group_status_read(struct group *g, struct proc_status *st) {
  spin_lock(&g->lock);
  uint64_t ns = g->run_ns;
  list_for_each (pos, &g->contexts) {
    ns += thread_run_ns(&CONTAINER_OF(pos, struct context, group_node)->thread);
  }
  *st =
      (struct proc_status){.pid = g->pid, .state = g->state, .wstatus = g->wstatus, .user_ns = ns};
  spin_unlock(&g->lock);
}

/* Stopped or running again: tell who waits for it, and the parent. */
static void group_state_tell(struct group *g) {
  waitq_wake(&g->status);
  spin_lock(&g->lock);
  struct group *parent = g->parent;
  if (parent != NULL) {
    group_get(parent);
  }
  spin_unlock(&g->lock);
  if (parent != NULL) {
    enum abi_error e = signal_post(parent, SIGNAL_CHLD, g->pid);
    (void)e; /* a dead parent does not mind */
    group_put(parent);
  }
}

/* Between RUNNING and STOPPED; false when it is not in `from`. */
static bool group_state_change(struct group *g, enum proc_state from, enum proc_state to)
    HOLDS(&g->lock) {
  if (g->state != from || g->dying) {
    return false;
  }
  g->state = to;
  list_for_each (pos, &g->contexts) {
    struct context *c = CONTAINER_OF(pos, struct context, group_node);
    if (c->state == PROC_STATE_NEW) { /* it must not be woken before it is started */
      continue;
    }
    if (to == PROC_STATE_STOPPED) {
      thread_set_work(&c->thread, ARCH_WORK_STOP);
    } else {
      atomic_fetch_and(&c->thread.arch.work, ~ARCH_WORK_STOP);
      sched_unpark(&c->thread);
    }
  }
  return true;
}

void group_stop(struct group *g) {
  spin_lock(&g->lock);
  bool changed = group_state_change(g, PROC_STATE_RUNNING, PROC_STATE_STOPPED);
  spin_unlock(&g->lock);
  if (changed) {
    group_state_tell(g);
  }
}

bool group_stop_by_signal(struct context *c, uint32_t signo) {
  struct group *g = c->group;
  spin_lock(&g->lock);
  bool claimed = signal_claim(c, signo);
  bool changed = claimed && group_state_change(g, PROC_STATE_RUNNING, PROC_STATE_STOPPED);
  spin_unlock(&g->lock);
  if (changed) {
    group_state_tell(g);
  }
  return claimed;
}

void group_continue(struct group *g, uint64_t discard) {
  spin_lock(&g->lock);
  atomic_fetch_and(&g->sig_pending, ~discard);
  list_for_each (pos, &g->contexts) {
    atomic_fetch_and(&CONTAINER_OF(pos, struct context, group_node)->sig_pending, ~discard);
  }
  bool changed = group_state_change(g, PROC_STATE_STOPPED, PROC_STATE_RUNNING);
  spin_unlock(&g->lock);
  if (changed) {
    group_state_tell(g);
  }
}

bool group_may_signal(const struct context *c, const struct group *g) {
  const struct group *own = c->group;
  return own->euid == 0 || own == g || own->uid == g->uid || own->euid == g->uid;
}

bool group_has_uid(const struct group *own, uint32_t id) {
  return own->euid == 0 || id == own->uid || id == own->euid;
}

bool group_has_gid(const struct group *own, uint32_t id) {
  return own->euid == 0 || id == own->gid || id == own->egid;
}

bool group_may_control(const struct context *c, const struct group *g) {
  const struct group *own = c->group;
  return own == g || (group_has_uid(own, g->uid) && group_has_uid(own, g->euid) &&
                      group_has_gid(own, g->gid) && group_has_gid(own, g->egid));
}

/* ---- sessions ------------------------------------------------------------------------------ */

struct session_search {
  uint32_t sid, pgid;
  bool found;
};

static void session_visit(struct context *c, void *arg) {
  struct session_search *s = arg;
  const struct group *g = c->group;
  s->found = s->found || (g->state != PROC_STATE_NEW && g->sid == s->sid && g->pgid == s->pgid);
}

/* The group's first process is there most of the time; only without it are all looked at. */
bool group_session_has(const struct group *g, uint32_t pgid) {
  struct session_search s = {.sid = g->sid, .pgid = pgid};
  struct context *first = context_find(pgid);
  if (first != NULL) {
    session_visit(first, &s);
    context_put(first);
  }
  if (!s.found) {
    context_for_each(session_visit, &s);
  }
  return s.found;
}

/* ---- exec ---------------------------------------------------------------------------------- */

/* One context of a process at a time may end the others; false: another is doing it, or this one is
 * to die. */
static bool alone_claim(struct group *g, struct context *self) {
  spin_lock(&g->lock);
  bool ok = g->alone == NULL && !(atomic_load(&self->thread.arch.work) & ARCH_WORK_DIE);
  if (ok) {
    g->alone = self;
    list_for_each (pos, &g->contexts) {
      struct context *c = CONTAINER_OF(pos, struct context, group_node);
      if (c != self && c->state != PROC_STATE_NEW) {
        thread_set_work(&c->thread, ARCH_WORK_DIE);
      }
    }
  }
  spin_unlock(&g->lock);
  return ok;
}

/* No signal ends this wait, only death: the others are going already. */
bool context_be_alone(void) {
  struct context *self = context_current();
  struct group *g = self->group;
  if (!alone_claim(g, self)) {
    return false;
  }
  inject_point("alone");
  struct waiter w;
  waitq_add(&g->status, &w);
  while (__atomic_load_n(&g->n_started, __ATOMIC_ACQUIRE) > 1 &&
         !(atomic_load(&self->thread.arch.work) & ARCH_WORK_DIE)) {
    sched_park(NO_DEADLINE);
  }
  waitq_remove(&g->status, &w);
  spin_lock(&g->lock);
  g->alone = NULL;
  bool alone = g->n_started == 1;
  spin_unlock(&g->lock);
  return alone;
}
