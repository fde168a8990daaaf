/* The steps of PROC_CREATE and PROC_APPLY: what fork, exec, spawn, clone, wait and kill are made
 * of.
 *
 * Steps that change what a context holds need it to be the caller itself or NEW (nobody runs on it,
 * and only the holder of its descriptor can start it). Each step checks, then changes. */
#include "base/trace.h"
#include "lib/string.h"
#include "scheme/proc_priv.h"

static int64_t status(enum abi_error e) {
  return -(int64_t)e;
}

static uint32_t own_pid(void) {
  return context_current()->group->pid;
}

/* The context that step fd names, which the caller may control: a reference and a claim, given back
 * by source_put(). */
static enum abi_error source_get(int32_t fd, struct context **out) {
  struct context *self = context_current();
  if (fd == FD_SELF) {
    context_get(self);
    *out = self;
    return OK;
  }
  struct fd_ref ref;
  enum abi_error e = fd_get(self->files, fd, &ref);
  if (e != OK) {
    return e;
  }
  struct context *c = context_of_file(ref.file);
  e = c == NULL ? ABI_EBADF : group_may_control(self, c->group) ? context_claim(c) : ABI_EPERM;
  if (e == OK) {
    context_get(c);
    *out = c;
  }
  fd_put(&ref);
  return e;
}

static void source_put(struct context *c) {
  context_unclaim(c);
  context_put(c);
}

/* ---- address space ------------------------------------------------------------------------- */

static int64_t step_space_share(struct context *t, const struct proc_op *op) {
  struct context *from;
  enum abi_error e = source_get(op->fd, &from);
  if (e != OK) {
    return status(e);
  }
  if (from->space == NULL || t == context_current()) {
    e = ABI_EINVAL;
  } else {
    space_get(from->space);
    context_set_space(t, from->space);
  }
  source_put(from);
  return status(e);
}

static int64_t step_space_clone(struct context *t, const struct proc_op *op) {
  struct context *from;
  struct space *clone;
  enum abi_error e = source_get(op->fd, &from);
  if (e != OK) {
    return status(e);
  }
  e = from->space != NULL && t != context_current() ? space_clone(from->space, &clone) : ABI_EINVAL;
  if (e == OK) {
    context_set_space(t, clone);
  }
  source_put(from);
  return status(e);
}

/* Exec's commit: this thread alone goes on, in the new space, with a clean set of registers. */
_Noreturn static void space_enter(struct context *self, struct space *s, int32_t fd) {
  if (!context_be_alone()) {
    space_put(s);
    context_exit();
  }
  if (filetable_close(self->files, fd) < 0) {
    group_kill(self->group,
               SIGNAL_KILL); /* closed under us by a thread that is gone now: still ours to end */
  }
  futex_leave_space(self);
  inject_point("enter");
  self->group->execed = true;
  if (space_is_shared(self->space)) { /* a parent in vfork() waits for us to leave */
    context_clear_tid(self);
  }
  self->cleartid = 0;
  context_set_space(self, s);
  arch_user_enter(&self->regs);
}

static int64_t step_space_set(struct context *t, const struct proc_op *op) {
  struct fd_ref ref;
  enum abi_error e = fd_get(context_current()->files, op->fd, &ref);
  if (e != OK) {
    return status(e);
  }
  struct space *s = space_of_file(ref.file);
  struct arch_user_regs regs = {.ip = op->a, .sp = op->b, .arg = op->c};
  e = s == NULL ? ABI_EBADF : arch_user_regs_valid(&regs) ? OK : ABI_EINVAL;
  if (e == OK) {
    space_get(s);
  }
  fd_put(&ref);
  if (e != OK) {
    return status(e);
  }
  t->regs = regs;
  if (t == context_current()) {
    space_enter(t, s, op->fd);
  }
  context_set_space(t, s);
  return 0;
}

/* ---- files -------------------------------------------------------------------------------- */

static void files_set(struct context *t, struct filetable *files) {
  struct filetable *old = t->files;
  t->files = files;
  if (old != NULL) {
    filetable_put(old);
  }
}

static int64_t step_files_share(struct context *t, const struct proc_op *op) {
  struct context *from;
  enum abi_error e = source_get(op->fd, &from);
  if (e != OK) {
    return status(e);
  }
  if (from->files == NULL || t->group != from->group || t == from) {
    e = ABI_EINVAL; /* threads share; another process copies */
  } else {
    filetable_get(from->files);
    files_set(t, from->files);
  }
  source_put(from);
  return status(e);
}

static int64_t step_files_copy(struct context *t, const struct proc_op *op) {
  struct context *from;
  struct filetable *copy;
  enum abi_error e = source_get(op->fd, &from);
  if (e != OK) {
    return status(e);
  }
  e = from->files != NULL ? filetable_copy(from->files, &copy) : ABI_EINVAL;
  if (e == OK) {
    files_set(t, copy);
  }
  source_put(from);
  return status(e);
}

static int64_t step_files_sweep(struct context *t, const struct proc_op *op) {
  (void)op;
  if (filetable_is_shared(t->files) && t == context_current() && !context_be_alone()) {
    return -ABI_EINTR;
  }
  if (filetable_is_shared(t->files)) {
    return -ABI_EBUSY; /* another process holds it too */
  }
  filetable_sweep(t->files);
  return 0;
}

static int64_t step_files_put(struct context *t, const struct proc_op *op) {
  struct fd_ref ref;
  enum abi_error e = fd_get(context_current()->files, op->fd, &ref);
  if (e != OK) {
    return status(e);
  }
  int64_t r = -ABI_EBUSY; /* a table that a new context holds must not hold a new context: no
                             cycles, no chains */
  if (ref.file->ops->stays == NULL || !ref.file->ops->stays(ref.file)) {
    file_get(ref.file);
    r = filetable_put_at(t->files, ref.file, (uint32_t)op->a, (uint32_t)op->b);
    if (r < 0) {
      file_put(ref.file);
    }
  }
  fd_put(&ref);
  return r < 0 ? r : 0;
}

static int64_t step_files_dup(struct context *t, const struct proc_op *op) {
  struct fd_ref ref;
  enum abi_error e = fd_get(t->files, (int)op->b, &ref);
  if (e != OK) {
    return status(e);
  }
  if (op->a == op->b) {
    int64_t same = filetable_flags(t->files, (int)op->a, true, 0);
    fd_put(&ref);
    return same;
  }
  file_get(ref.file);
  int64_t r = filetable_put_at(t->files, ref.file, (uint32_t)op->a, 0);
  if (r < 0) {
    file_put(ref.file);
  }
  fd_put(&ref);
  return r < 0 ? r : 0;
}

static int64_t step_files_close(struct context *t, const struct proc_op *op) {
  return filetable_close(t->files, (int)op->a);
}

/* ---- signals ------------------------------------------------------------------------------- */

static int64_t step_actions_share(struct context *t, const struct proc_op *op) {
  struct context *from;
  enum abi_error e = source_get(op->fd, &from);
  if (e != OK) {
    return status(e);
  }
  if (from->actions == NULL || t->actions != NULL) {
    e = ABI_EINVAL;
  } else {
    refcount_get(&from->actions->refs);
    t->actions = from->actions;
  }
  source_put(from);
  return status(e);
}

static int64_t step_actions_copy(struct context *t, const struct proc_op *op) {
  struct context *from;
  enum abi_error e = source_get(op->fd, &from);
  if (e != OK) {
    return status(e);
  }
  e = from->actions != NULL && t->actions == NULL ? actions_create(from->actions, &t->actions)
                                                  : ABI_EINVAL;
  source_put(from);
  return status(e);
}

static int64_t step_actions_set(struct context *t, const struct proc_op *op) {
  if (t->actions == NULL) {
    return -ABI_EINVAL;
  }
  atomic_store(&t->actions->ignore, op->a);
  atomic_store(&t->actions->catch, op->b);
  return 0;
}

static int64_t step_actions_reset(struct context *t, const struct proc_op *op) {
  (void)op;
  if (t->actions == NULL) {
    return -ABI_EINVAL;
  }
  atomic_store(&t->actions->catch, 0);
  return 0;
}

static int64_t step_sigctl(struct context *t, const struct proc_op *op) {
  t->sigctl = op->a;
  return 0;
}

static int64_t step_resignal(struct context *t, const struct proc_op *op) {
  (void)op;
  thread_set_work(&t->thread, ARCH_WORK_SIGNAL);
  return 0;
}

static int64_t step_signal(struct context *t, const struct proc_op *op) {
  return op->a > SIGNAL_MAX ? -ABI_EINVAL
                            : status(signal_post(t->group, (uint32_t)op->a, own_pid()));
}

static int64_t step_signal_thread(struct context *t, const struct proc_op *op) {
  return op->a > SIGNAL_MAX ? -ABI_EINVAL
                            : status(signal_post_thread(t, (uint32_t)op->a, own_pid()));
}

static int64_t step_signal_group(struct context *t, const struct proc_op *op) {
  return op->a > SIGNAL_MAX ? -ABI_EINVAL : signal_post_pgid(t, (uint32_t)op->b, (uint32_t)op->a);
}

/* ---- registers, life and death ----------------------------------------------------------------
 */

static int64_t step_regs(struct context *t, const struct proc_op *op) {
  struct arch_user_regs regs = {
      .ip = op->a, .sp = op->b, .arg = op->c, .fs_base = op->d, .gs_base = op->e};
  if (t == context_current() || !arch_user_regs_valid(&regs)) {
    return -ABI_EINVAL;
  }
  t->regs = regs;
  return 0;
}

static int64_t step_fsbase(struct context *t, const struct proc_op *op) {
  if (op->a >= ABI_USER_END) {
    return -ABI_EPERM;
  }
  t->regs.fs_base = op->a;
  if (t == context_current()) {
    arch_user_set_fs(&t->thread.arch, op->a);
  }
  return 0;
}

static int64_t step_cleartid(struct context *t, const struct proc_op *op) {
  t->cleartid = op->a;
  return 0;
}

static int64_t step_robust(struct context *t, const struct proc_op *op) {
  t->robust = op->a;
  return 0;
}

static int64_t step_name(struct context *t, const struct proc_op *op) {
  char name[sizeof(t->group->name)] = {0};
  enum abi_error e = user_copy_in(name, (uaddr_t){op->a}, MIN(op->b, sizeof(name) - 1));
  if (e != OK) {
    return status(e);
  }
  spin_lock(&t->group->lock);
  memcpy(t->group->name, name, sizeof(name));
  spin_unlock(&t->group->lock);
  trace_name(t->group->pid, name, sizeof(name));
  return 0;
}

static int64_t step_start(struct context *t, const struct proc_op *op) {
  (void)op;
  if (t->state == PROC_STATE_NEW) {
    enum abi_error e = context_claim(t);
    if (e == OK) {
      e = context_start(t);
      context_unclaim(t);
    }
    return status(e);
  }
  if (t->state == PROC_STATE_DEAD) {
    return -ABI_ESRCH;
  }
  return status(signal_post(t->group, SIGNAL_CONT, own_pid()));
}

static int64_t step_stop(struct context *t, const struct proc_op *op) {
  (void)op;
  group_stop(t->group);
  return 0;
}

static int64_t step_exit(struct context *t, const struct proc_op *op) {
  group_kill(t->group, (int32_t)op->a & 0xffff);
  context_exit();
}

static int64_t step_exit_thread(struct context *t, const struct proc_op *op) {
  t->exit_unmap = op->a;
  t->exit_unmap_len = op->b;
  context_exit();
}

static int64_t step_pid(struct context *t, const struct proc_op *op) {
  enum abi_error e = op->a != 0 ? user_copy_out((uaddr_t){op->a}, &t->group->pid, 4) : OK;
  e = e == OK && op->b != 0 ? user_copy_out((uaddr_t){op->b}, &t->id, 4) : e;
  return status(e);
}

/* ---- process groups, users ---------------------------------------------------------
 */

/* Why this process may not be moved to another group, as setpgid(2) says. */
static enum abi_error setpgid_check(const struct group *g, uint32_t pgid) {
  const struct group *own = context_current()->group;
  if (g != own && g->parent != own) {
    return ABI_ESRCH;
  }
  if (g != own && g->execed) {
    return ABI_EACCES;
  }
  if (g->sid == g->pid || g->sid != own->sid) {
    return ABI_EPERM; /* a session leader stays in its group */
  }
  return pgid == g->pid || group_session_has(own, pgid) ? OK : ABI_EPERM;
}

static int64_t step_setpgid(struct context *t, const struct proc_op *op) {
  struct group *g = t->group;
  uint32_t pgid = op->a == 0 ? g->pid : (uint32_t)op->a;
  enum abi_error e = op->a > UINT32_MAX ? ABI_EPERM : setpgid_check(g, pgid);
  if (e == OK) {
    spin_lock(&g->lock);
    g->pgid = pgid;
    spin_unlock(&g->lock);
  }
  return status(e);
}

static int64_t step_setsid(struct context *t, const struct proc_op *op) {
  (void)op;
  struct group *g = t->group;
  spin_lock(&g->lock);
  bool leader = g->pgid == g->pid;
  if (!leader) {
    g->sid = g->pgid = g->pid;
  }
  spin_unlock(&g->lock);
  return leader ? -ABI_EPERM : (int64_t)g->pid;
}

static int64_t step_setuid(struct context *t, const struct proc_op *op) {
  const struct group *own = context_current()->group;
  uint32_t ids[4] = {(uint32_t)op->a, (uint32_t)(op->a >> 32), (uint32_t)op->b,
                     (uint32_t)(op->b >> 32)};
  if (!group_has_uid(own, ids[0]) || !group_has_uid(own, ids[1]) || !group_has_gid(own, ids[2]) ||
      !group_has_gid(own, ids[3])) {
    return -ABI_EPERM;
  }
  spin_lock(&t->group->lock);
  t->group->uid = ids[0];
  t->group->euid = ids[1];
  t->group->gid = ids[2];
  t->group->egid = ids[3];
  spin_unlock(&t->group->lock);
  return 0;
}

/* ---- the table ------------------------------------------------------------------------------ */

/* What a step asks of its target, when that is not the caller itself. */
enum step_need {
  NEED_SIGNAL,  /* signals may be sent to it */
  NEED_CONTROL, /* it may be controlled */
  NEED_OPEN,    /* it may be controlled, and has not started */
  NEED_CHILD,   /* the step looks for itself */
  NEED_SELF,    /* there is no other */
};

struct step {
  int64_t (*run)(struct context *t, const struct proc_op *op);
  enum step_need need;
  bool files; /* the target must have a file table */
};

static const struct step steps[] = {
    [PROC_SPACE_SHARE] = {step_space_share, NEED_OPEN, false},
    [PROC_SPACE_CLONE] = {step_space_clone, NEED_OPEN, false},
    [PROC_SPACE_SET] = {step_space_set, NEED_OPEN, false},
    [PROC_FILES_SHARE] = {step_files_share, NEED_OPEN, false},
    [PROC_FILES_COPY] = {step_files_copy, NEED_OPEN, false},
    [PROC_FILES_SWEEP] = {step_files_sweep, NEED_OPEN, true},
    [PROC_FILES_PUT] = {step_files_put, NEED_OPEN, true},
    [PROC_FILES_DUP] = {step_files_dup, NEED_OPEN, true},
    [PROC_FILES_CLOSE] = {step_files_close, NEED_OPEN, true},
    [PROC_ACTIONS_SHARE] = {step_actions_share, NEED_OPEN, false},
    [PROC_ACTIONS_COPY] = {step_actions_copy, NEED_OPEN, false},
    [PROC_ACTIONS_SET] = {step_actions_set, NEED_OPEN, false},
    [PROC_ACTIONS_RESET] = {step_actions_reset, NEED_OPEN, false},
    [PROC_REGS] = {step_regs, NEED_OPEN, false},
    [PROC_FSBASE] = {step_fsbase, NEED_OPEN, false},
    [PROC_SIGCTL] = {step_sigctl, NEED_OPEN, false},
    [PROC_CLEARTID] = {step_cleartid, NEED_OPEN, false},
    [PROC_ROBUST] = {step_robust, NEED_OPEN, false},
    [PROC_NAME] = {step_name, NEED_CONTROL, false},
    [PROC_SCHED] = {sched_step, NEED_CONTROL, false},
    [PROC_START] = {step_start, NEED_SIGNAL, false},
    [PROC_STOP] = {step_stop, NEED_SIGNAL, false},
    [PROC_SIGNAL] = {step_signal, NEED_SIGNAL, false},
    [PROC_SIGNAL_THREAD] = {step_signal_thread, NEED_SIGNAL, false},
    [PROC_RESIGNAL] = {step_resignal, NEED_SELF, false},
    [PROC_EXIT] = {step_exit, NEED_SELF, false},
    [PROC_EXIT_THREAD] = {step_exit_thread, NEED_SELF, false},
    [PROC_PID] = {step_pid, NEED_SIGNAL, false},
    [PROC_SETPGID] = {step_setpgid, NEED_CHILD, false},
    [PROC_SETSID] = {step_setsid, NEED_SELF, false},
    [PROC_SIGNAL_GROUP] = {step_signal_group, NEED_SELF, false},
    [PROC_SETUID] = {step_setuid, NEED_OPEN, false},
};

bool proc_step_may_not_return(const struct context *target, const struct proc_op *op) {
  return target == context_current() &&
         (op->code == PROC_EXIT || op->code == PROC_EXIT_THREAD || op->code == PROC_SPACE_SET);
}

/* Of another context. To start one that is new is control, to continue one is a signal. */
static enum abi_error step_check(const struct context *t, enum step_need need) {
  const struct context *self = context_current();
  if (need == NEED_SELF) {
    return ABI_EBUSY;
  }
  bool signal = need == NEED_SIGNAL && t->state != PROC_STATE_NEW;
  bool allowed = need == NEED_CHILD ||
                 (signal ? group_may_signal(self, t->group) : group_may_control(self, t->group));
  return allowed ? OK : ABI_EPERM;
}

static __attribute__((noinline)) int64_t step_other(struct context *t, const struct step *s,
                                                    const struct proc_op *op) {
  enum abi_error e = step_check(t, s->need);
  if (e != OK) {
    return status(e);
  }
  if (s->need != NEED_OPEN) {
    return s->run(t, op);
  }
  e = context_claim(t);
  if (e != OK) {
    return status(e);
  }
  int64_t r = s->files && t->files == NULL ? -ABI_EINVAL : s->run(t, op);
  context_unclaim(t);
  return r;
}

/* The caller itself needs no leave and no claim, and has files. */
int64_t proc_step(struct context *t, const struct proc_op *op) {
  if (op->code >= ARRAY_LEN(steps) || steps[op->code].run == NULL) {
    return -ABI_EINVAL;
  }
  const struct step *s = &steps[op->code];
  return t == context_current() ? s->run(t, op) : step_other(t, s, op);
}
