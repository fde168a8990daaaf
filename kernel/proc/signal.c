/* Signals: pending bits in the kernel, everything else in the thread's own control block (abi.h,
 * struct sig_control), which the kernel reads and writes only on the thread itself, on its way to
 * ring 3.
 *
 *   post      set the bit (process or thread), set ARCH_WORK_SIGNAL, wake
 *   deliver   ignored: drop. default: do it. caught and not blocked: divert to the trampoline.
 *             blocked: the bit stays pending here and is noted in control.pending; when the thread
 * unblocks it, it sees the note and asks again (PROC_RESIGNAL).
 *
 * A fault of the thread's own (forced) is delivered first; blocked or not caught it kills. */
#include "arch/upcall.h"
#include "base/panic.h"
#include "base/trace.h"
#include "proc/proc_priv.h"

#define DEFAULT_IGNORE                                                                             \
  (SIG_BIT(SIGNAL_CHLD) | SIG_BIT(SIGNAL_CONT) | SIG_BIT(SIGNAL_URG) | SIG_BIT(SIGNAL_WINCH))
#define DEFAULT_STOP                                                                               \
  (SIG_BIT(SIGNAL_STOP) | SIG_BIT(SIGNAL_TSTP) | SIG_BIT(SIGNAL_TTIN) | SIG_BIT(SIGNAL_TTOU))
#define NEVER_BLOCKED (SIG_BIT(SIGNAL_KILL) | SIG_BIT(SIGNAL_STOP))
#define RFLAGS_DIVERT_CLEAR 0x500ul /* TF, DF */

static uint64_t pending_of(const struct context *c) {
  return atomic_load(&c->sig_pending) | atomic_load(&c->group->sig_pending);
}

bool signal_claim(struct context *c, uint32_t signo) {
  uint64_t bit = SIG_BIT(signo);
  return (atomic_fetch_and(&c->sig_pending, ~bit) & bit) ||
         (atomic_fetch_and(&c->group->sig_pending, ~bit) & bit);
}

static uint64_t ignored_by(const struct actions *a) {
  uint64_t caught = atomic_load(&a->catch);
  return (atomic_load(&a->ignore) | DEFAULT_IGNORE) & ~caught & ~NEVER_BLOCKED;
}

/* ---- posting ------------------------------------------------------------------------------ */

/* A stop and a continuation undo each other while they are pending (POSIX, signal concepts). */
static void pending_discard(struct group *g, uint64_t bits) {
  atomic_fetch_and(&g->sig_pending, ~bits);
  spin_lock(&g->lock);
  list_for_each (pos, &g->contexts) {
    atomic_fetch_and(&CONTAINER_OF(pos, struct context, group_node)->sig_pending, ~bits);
  }
  spin_unlock(&g->lock);
}

enum abi_error signal_post(struct group *g, uint32_t signo, uint32_t sender) {
  if (signo > SIGNAL_MAX) {
    return ABI_EINVAL;
  }
  if (g->state == PROC_STATE_DEAD || signo == 0) {
    return OK; /* a zombie takes any signal */
  }
  if (signo == SIGNAL_KILL) {
    group_kill(g, SIGNAL_KILL);
    return OK;
  }
  if (signo == SIGNAL_CONT) {
    group_continue(g, DEFAULT_STOP);
  } else if (SIG_BIT(signo) & DEFAULT_STOP) {
    pending_discard(g, SIG_BIT(SIGNAL_CONT));
  }
  g->sig_sender[signo - 1] = sender;
  atomic_fetch_or(&g->sig_pending, SIG_BIT(signo));
  spin_lock(&g->lock);
  list_for_each (pos, &g->contexts) {
    struct context *c = CONTAINER_OF(pos, struct context, group_node);
    if (c->state != PROC_STATE_NEW) {
      thread_set_work(&c->thread, ARCH_WORK_SIGNAL);
    }
  }
  spin_unlock(&g->lock);
  return OK;
}

enum abi_error signal_post_thread(struct context *c, uint32_t signo, uint32_t sender) {
  if (signo > SIGNAL_MAX) {
    return ABI_EINVAL;
  }
  if (signo == SIGNAL_KILL || signo == SIGNAL_CONT || signo == SIGNAL_STOP) {
    return signal_post(c->group, signo, sender);
  }
  if (signo == 0) {
    return OK;
  }
  c->group->sig_sender[signo - 1] = sender;
  atomic_fetch_or(&c->sig_pending, SIG_BIT(signo));
  spin_lock(&c->group->lock);
  if (c->state != PROC_STATE_NEW && c->state != PROC_STATE_DEAD) {
    thread_set_work(&c->thread, ARCH_WORK_SIGNAL);
  }
  spin_unlock(&c->group->lock);
  return OK;
}

struct pgid_post {
  const struct context *sender;
  uint32_t pgid, signo;
  uint32_t n_found, n_sent;
};

static void pgid_visit(struct context *c, void *arg) {
  struct pgid_post *p = arg;
  if (c->id != c->group->pid || c->group->state == PROC_STATE_DEAD ||
      (p->pgid != 0 && c->group->pgid != p->pgid) ||
      (p->pgid == 0 && (c->group == p->sender->group || c->id == 1))) {
    return;
  }
  p->n_found++;
  if (group_may_signal(p->sender, c->group) &&
      signal_post(c->group, p->signo, p->sender->group->pid) == OK) {
    p->n_sent++;
  }
}

/* pgid 0: every process but the first and the sender's (kill(-1)). */
int64_t signal_post_pgid(const struct context *sender, uint32_t pgid, uint32_t signo) {
  struct pgid_post p = {.sender = sender, .pgid = pgid, .signo = signo};
  if (signo > SIGNAL_MAX) {
    return -ABI_EINVAL;
  }
  context_for_each(pgid_visit, &p);
  return p.n_sent > 0 ? 0 : p.n_found > 0 ? -ABI_EPERM : -ABI_ESRCH;
}

/* ---- delivery ----------------------------------------------------------------------------- */

static bool control_read(const struct context *c, struct sig_control *control) {
  return c->sigctl != 0 && user_copy_in(control, (uaddr_t){c->sigctl}, sizeof(*control)) == OK;
}

/* Of what is pending, what would now be acted on. Drops what is ignored. */
static uint64_t due(struct context *c, const struct sig_control *control) {
  uint64_t pending = pending_of(c);
  uint64_t drop = pending & ignored_by(c->actions) & ~(control != NULL ? control->blocked : 0);
  if (drop != 0) {
    atomic_fetch_and(&c->sig_pending, ~drop);
    atomic_fetch_and(&c->group->sig_pending, ~drop);
  }
  pending &= ~drop;
  if (control == NULL) {
    return pending;
  }
  return control->inhibit != 0 ? pending & NEVER_BLOCKED
                               : pending & ~(control->blocked & ~NEVER_BLOCKED);
}

/* What cannot be delivered is noted where the thread looks when it unblocks. */
static void note_blocked(const struct context *c, const struct sig_control *control,
                         uint64_t bits) {
  uint64_t noted = control->pending | bits;
  if (noted != control->pending) {
    enum abi_error e = user_copy_out((uaddr_t){c->sigctl + offsetof(struct sig_control, pending)},
                                     &noted, sizeof(noted));
    (void)e; /* a control block that is gone: the thread hurts itself alone */
  }
}

static bool stops_by_default(struct context *c, uint32_t signo) {
  return SIG_BIT(signo) & DEFAULT_STOP && !(atomic_load(&c->actions->catch) & SIG_BIT(signo));
}

bool signal_is_due(struct context *c) {
  struct sig_control control;
  bool has = control_read(c, &control);
  atomic_fetch_and(&c->thread.arch.work, ~ARCH_WORK_SIGNAL);
  uint64_t bits = due(c, has ? &control : NULL);
  for (; bits != 0; bits &= bits - 1) {
    uint32_t signo = bit_first(bits) + 1;
    if (stops_by_default(c, signo)) {
      (void)group_stop_by_signal(c, signo); /* inside the wait, which goes on afterwards */
    } else if (signal_claim(c, signo)) { /* ours from now on: no other thread's call ends for it */
      atomic_fetch_or(&c->sig_pending, SIG_BIT(signo));
      atomic_fetch_or(&c->thread.arch.work, ARCH_WORK_SIGNAL);
      return true;
    }
  }
  if (has) {
    note_blocked(c, &control, pending_of(c));
  }
  return false;
}

static void default_action(struct context *c, uint32_t signo) {
  if (SIG_BIT(signo) & DEFAULT_STOP) { /* claimed when it was caught */
    group_stop(c->group);
  } else if (!(SIG_BIT(signo) & DEFAULT_IGNORE)) {
    group_kill(c->group, (int32_t)signo);
  }
}

static void divert(struct context *c, struct sig_control *control, uint32_t signo,
                   struct arch_user_frame *frame) {
  control->signo = signo;
  control->inhibit = 1;
  control->saved_rip = frame->rip;
  control->saved_rsp = frame->rsp;
  control->saved_rflags = frame->rflags;
  control->fault_addr = c->forced.signo == signo ? c->forced.addr : 0;
  control->code = c->forced.signo == signo ? c->forced.code : 0;
  control->sender_pid = c->forced.signo == signo ? 0 : c->group->sig_sender[signo - 1];
  control->pending |= pending_of(c);
  c->forced.signo = 0;
  if (control->entry >= ABI_USER_END ||
      user_copy_out((uaddr_t){c->sigctl}, control, sizeof(*control)) != OK) {
    group_kill(c->group, SIGNAL_SEGV);
    return;
  }
  frame->rip = control->entry;
  frame->rflags &= ~RFLAGS_DIVERT_CLEAR;
}

static void deliver_one(struct context *c, struct sig_control *control, uint32_t signo,
                        struct arch_user_frame *frame) {
  if (control != NULL && atomic_load(&c->actions->catch) & SIG_BIT(signo)) {
    divert(c, control, signo, frame);
  } else {
    default_action(c, signo);
  }
}

static void deliver_forced(struct context *c, struct sig_control *control,
                           struct arch_user_frame *frame) {
  uint32_t signo = c->forced.signo;
  bool caught = control != NULL && control->inhibit == 0 && !(control->blocked & SIG_BIT(signo)) &&
                atomic_load(&c->actions->catch) & SIG_BIT(signo);
  if (caught) {
    divert(c, control, signo, frame);
    return;
  }
  log_printf("process %u (%s): signal %u at rip 0x%lx, address 0x%lx\n", c->group->pid,
             c->group->name, signo, frame->rip, c->forced.addr);
  c->forced.signo = 0;
  group_kill(c->group, (int32_t)signo);
}

void signal_deliver(struct context *c, struct arch_user_frame *frame) {
  struct sig_control block;
  struct sig_control *control = control_read(c, &block) ? &block : NULL;
  atomic_fetch_and(&c->thread.arch.work, ~ARCH_WORK_SIGNAL);
  if (c->forced.signo != 0) {
    deliver_forced(c, control, frame);
    return;
  }
  uint64_t bits = due(c, control);
  if (bits == 0) {
    if (control != NULL) {
      note_blocked(c, control, pending_of(c));
    }
    return;
  }
  uint32_t signo = bit_first(bits) + 1;
  bool stops = stops_by_default(c, signo);
  bool claimed = stops ? group_stop_by_signal(c, signo) : signal_claim(c, signo);
  if (!claimed || (bits & (bits - 1)) != 0) {
    atomic_fetch_or(&c->thread.arch.work, ARCH_WORK_SIGNAL); /* look again */
  }
  if (claimed && !stops) {
    deliver_one(c, control, signo, frame);
  }
}

/* ---- faults ------------------------------------------------------------------------------- */

static void force(uint32_t signo, uint32_t code, uint64_t addr) {
  struct context *c = context_current();
  c->forced.signo = signo;
  c->forced.code = code;
  c->forced.addr = addr;
  atomic_fetch_or(&c->thread.arch.work, ARCH_WORK_SIGNAL);
}

bool upcall_page_fault(const struct arch_fault *f) {
  struct context *c = context_current();
  if (c->space == NULL) {
    return false;
  }
  trace(TRACE_FAULT, f->addr,
        f->write | (uint64_t)f->exec << 1 | (uint64_t)f->present << 2 | (uint64_t)f->user << 3);
  enum abi_error e = ABI_EFAULT;
  struct object_ref missing;
  if (f->addr < ABI_USER_END) {
    e = space_fault_now(c->space, f->addr, f->write, f->exec, &missing);
  }
  if (LIKELY(e == OK)) { /* a copy that has brought too much ends there */
    return LIKELY(!c->space->watched) || !memory_over(c) || f->user;
  }
  if (e == ABI_EAGAIN) { /* a copy inside a call has nobody to tell of a signal */
    e = memobj_fetch(&missing, !f->user);
  }
  if (e == OK || (f->user && e == ABI_EINTR)) {
    return true; /* and the instruction faults again, after the signal */
  }
  if (f->user && e == ABI_ENOMEM) {
    inject_note("page fault");
    e = oom_fault(c, f);
  }
  if (f->user && e == ABI_EIO) {
    force(SIGNAL_BUS, 2, f->addr);
  } else if (f->user && e != ABI_ENOMEM && e != OK) {
    force(SIGNAL_SEGV, f->present ? 2 : 1, f->addr);
  }
  return f->user;
}

/* Vector to signal, as POSIX programs expect (SDM vol. 3A 6.15). */
void upcall_user_exception(uint32_t vector, uint64_t error, uint64_t rip) {
  (void)error;
  switch (vector) {
  case 0:
  case 16:
  case 19:
    force(SIGNAL_FPE, 1, rip);
    break;
  case 1:
  case 3:
    force(SIGNAL_TRAP, 1, rip);
    break;
  case 6:
    force(SIGNAL_ILL, 1, rip);
    break;
  case 17:
    force(SIGNAL_BUS, 1, rip);
    break;
  default:
    force(SIGNAL_SEGV, 128, 0);
    break;
  }
}
