/* Delivery of signals: actions, the dispatcher behind the trampoline, masks.
 *
 * The kernel knows which signals a process ignores and which it catches, and diverts a thread for
 * the latter; everything else of sigaction(2) is here. The mask is a word that the kernel reads, so
 * changing it is a store; bits that became pending meanwhile are asked for again afterwards.
 *
 * SIGSEGV and SIGBUS are always caught: a fault in a probe (runtime/probe.h) is an answer, EFAULT.
 * When the program has no handler for a real one, the kernel's default is put back and the
 * instruction is run again.
 *
 *   [P1] signal_deliver() runs with inhibit set until it has copied what the kernel wrote.
 *   [P2] A thread interrupted between rt_block_begin and rt_block_end continues at rt_block_stop,
 * and the same for the window of retry.S: it does not sleep.
 */
#include <cpuid.h>
#include <signal.h>
#include <ucontext.h>

#include "posix/posix.h"
#include "posix/signal.h"
#include "posix/timer.h"
#include "posix/vfork.h"
#include "runtime/process.h"

#define N_SIGNALS 64u
#define SIGNAL_CANCEL 33u /* libc's own */
#define PROBED (signal_bit(SIGSEGV) | signal_bit(SIGBUS))
#define CPUID_OSXSAVE                                                                              \
  (1u << 27) /* leaf 1, ECX: the kernel has set CR4.OSXSAVE (SDM vol. 2A, CPUID) */
#define FXSAVE_SIZE 512u

_Static_assert(offsetof(struct posix_thread, control.signo) == 20 &&
                   offsetof(struct posix_thread, stop) == 72 &&
                   offsetof(struct posix_thread, interrupted) == 72 &&
                   offsetof(struct posix_thread, scratch_rax) == 88 &&
                   offsetof(struct posix_thread, scratch_rcx) == 96 &&
                   offsetof(struct posix_thread, alt_base) == 104 &&
                   offsetof(struct posix_thread, alt_size) == 112,
               "trampoline.S, retry.S");
_Static_assert(sizeof(siginfo_t) == sizeof(((struct posix_thread *)0)->wait_info), "wait_info");
_Static_assert(offsetof(ucontext_t, uc_mcontext.gregs) == 40 &&
                   offsetof(ucontext_t, uc_mcontext.fpregs) == 224 && sizeof(ucontext_t) <= 944,
               "trampoline.S");

__thread struct posix_thread posix_self;

/* Read by trampoline.S. */
uint64_t signal_on_alternate;
uint64_t signal_fpu_size = FXSAVE_SIZE;
uint32_t signal_fpu_xsave;

static struct rt_lock lock;                             /* taken with handlers kept away */
static struct k_sigaction actions[N_SIGNALS + 1] LARGE; /* [lock] */
static uint64_t ignored, caught;                        /* [lock] of the program's actions */
static struct k_sigaction actions_before[N_SIGNALS + 1] LARGE;
static bool actions_kept; /* in actions_before, by a child of vfork() */
static uint64_t waited;   /* [lock] also diverted for, by sigtimedwait() */

/* ---- the mask ----------------------------------------------------------------------------- */

void posix_unblocked(void) {
  struct sig_control *control = &posix_self.control;
  uint64_t ready = __atomic_load_n(&control->pending, __ATOMIC_RELAXED) & ~control->blocked;
  if (ready == 0 || control->inhibit != 0) {
    return;
  }
  ready &= __atomic_fetch_and(&control->pending, ~ready, __ATOMIC_ACQ_REL);
  struct proc_op op = {.code = PROC_RESIGNAL, .a = ready};
  (void)rt_apply(FD_SELF, &op, 1); /* of our own signals: cannot fail */
}

uint64_t posix_mask_swap(uint64_t mask) {
  uint64_t old = posix_self.control.blocked;
  *(volatile uint64_t *)&posix_self.control.blocked =
      mask & ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
  posix_unblocked();
  return old;
}

uint64_t posix_pending(void) {
  return __atomic_load_n(&posix_self.control.pending, __ATOMIC_RELAXED);
}

void posix_guard_enter(void) {
  posix_self.guards++;
  *(volatile uint32_t *)&posix_self.control.inhibit = 1;
}

void posix_guard_leave(void) {
  if (--posix_self.guards == 0) {
    *(volatile uint32_t *)&posix_self.control.inhibit = 0;
    posix_unblocked();
  }
}

/* ---- actions ------------------------------------------------------------------------------ */

uint64_t posix_ignored(void) {
  return ignored;
}

uint64_t posix_caught_now(void) {
  return caught | waited | PROBED;
}

void posix_signals_init(uint64_t start_ignored) {
  ignored = start_ignored;
  for (unsigned sig = 1; start_ignored != 0 && sig <= N_SIGNALS; sig++) {
    if (start_ignored & signal_bit(sig)) {
      actions[sig].handler = SIG_IGN;
    }
  }
}

void signal_fork_begin(void) {
  posix_lock_take(&lock);
}

void signal_fork_end(void) {
  posix_lock_drop(&lock);
}

static int64_t actions_tell(uint64_t diverted) {
  struct proc_op op = {.code = PROC_ACTIONS_SET, .a = ignored & ~diverted, .b = diverted};
  return rt_apply(FD_SELF, &op, 1);
}

/* With AVX, handlers may change registers that FXSAVE does not know. Asked for once, before the
 * first handler: CPUID is slow in a virtual machine. */
static void fpu_measure(void) {
  static bool measured;
  uint32_t a, b, c, d;
  if (!measured && __get_cpuid(1, &a, &b, &c, &d) && (c & CPUID_OSXSAVE)) {
    __cpuid_count(0xd, 0, a, b, c, d); /* EBX: bytes for what XCR0 enables */
    signal_fpu_size = b;
    signal_fpu_xsave = 1;
  }
  measured = true;
}

/* A child of vfork() changes its own; its parent's are put back when it has left. */
static void actions_keep(void) {
  if (posix_in_vfork() && !actions_kept) {
    memcpy(actions_before, actions, sizeof(actions));
    actions_kept = true;
  }
}

void signal_vfork_end(void) {
  if (actions_kept) {
    memcpy(actions, actions_before, sizeof(actions));
  }
}

static void action_note(unsigned sig, const struct k_sigaction *act) {
  uint64_t bit = signal_bit(sig);
  actions_keep();
  actions[sig] = *act;
  ignored &= ~bit;
  caught &= ~bit;
  signal_on_alternate &= ~bit;
  if (act->handler == SIG_IGN) {
    ignored |= bit;
  } else if (act->handler != SIG_DFL) {
    caught |= bit;
    fpu_measure();
  }
  if (act->flags & SA_ONSTACK) {
    signal_on_alternate |= bit;
  }
}

int64_t signal_set_action(unsigned sig, const struct k_sigaction *act, struct k_sigaction *old) {
  int64_t result = 0;
  posix_lock_take(&lock);
  *old = actions[sig];
  if (act) {
    uint64_t before[2] = {ignored, posix_caught_now()};
    action_note(sig, act);
    if (before[0] != ignored || before[1] != posix_caught_now()) {
      result = actions_tell(posix_caught_now());
    }
  }
  posix_lock_drop(&lock);
  return result < 0 ? result : 0;
}

int64_t signal_wait_begin(uint64_t set) {
  posix_lock_take(&lock);
  waited |= set;
  int64_t result = actions_tell(posix_caught_now());
  posix_lock_drop(&lock);
  return result;
}

void signal_wait_end(uint64_t set) {
  posix_lock_take(&lock);
  waited &= ~set;
  (void)actions_tell(posix_caught_now()); /* it was accepted before */
  posix_lock_drop(&lock);
}

/* ---- delivery ----------------------------------------------------------------------------- */

/* What the kernel wrote, copied while nothing can change it. */
struct delivery {
  unsigned sig;
  uint32_t code, sender;
  uint64_t fault_addr;
  bool timed; /* a timer has brought it */
  struct timer_event timer;
};

static bool rip_in(greg_t rip, const char *begin, const char *end) {
  return (uint64_t)rip >= (uint64_t)begin && (uint64_t)rip < (uint64_t)end;
}

/* The kernel's default for a signal that we were diverted for without having a handler. A fault
 * happens again by itself; what was sent is sent again. Either may also stop, or do nothing. */
static void signal_default(const struct delivery *d) {
  bool fault = d->code != 0;
  (void)actions_tell(posix_caught_now() & ~signal_bit(d->sig));
  if (!fault) {
    struct proc_op op = {.code = PROC_SIGNAL_THREAD, .a = d->sig};
    (void)rt_apply(FD_SELF, &op, 1); /* to ourselves: cannot fail */
    (void)actions_tell(posix_caught_now());
  }
}

static siginfo_t delivery_info(const struct delivery *d) {
  siginfo_t info = {.si_signo = (int)d->sig, .si_code = (int)d->code};
  if (d->timed && d->timer.id == TIMER_REAL) {
    info.si_code = SI_KERNEL;
  } else if (d->timed) {
    info.si_code = SI_TIMER;
    info.si_timerid = d->timer.id;
    info.si_overrun = d->timer.overrun;
    info.si_value.sival_ptr = (void *)d->timer.value;
  } else if (PROBED & signal_bit(d->sig)) {
    info.si_addr = (void *)d->fault_addr;
  } else {
    info.si_pid = (pid_t)d->sender;
  }
  return info;
}

static void handler_run(const struct delivery *d, const struct k_sigaction *action,
                        ucontext_t *uc) {
  if (action->flags & SA_SIGINFO) {
    siginfo_t info = delivery_info(d);
    void (*handler)(int, siginfo_t *, void *) =
        (void (*)(int, siginfo_t *, void *))(void (*)(void))action->handler;
    handler((int)d->sig, &info, uc);
  } else {
    action->handler((int)d->sig);
  }
}

/* What a blocked call of this thread is to do when the handler has returned. */
static void thread_note(struct posix_thread *self, unsigned sig, const struct k_sigaction *action) {
  self->handled = 1;
  if (!(action->flags & SA_RESTART)) {
    self->interrupted = 1;
  }
  if (sig == SIGNAL_CANCEL && posix_in_point) {
    self->cancelled = 1;
  }
}

static void signal_handle(struct posix_thread *self, const struct delivery *d, ucontext_t *uc) {
  struct k_sigaction action = actions[d->sig]; /* a torn copy needs two threads that disagree */
  if (action.handler == SIG_IGN || action.handler == SIG_DFL) {
    self->control.inhibit = 0;
    if (action.handler == SIG_DFL || (PROBED & signal_bit(d->sig))) {
      signal_default(d);
    }
    return;
  }
  if (action.flags & SA_RESETHAND) {
    struct k_sigaction reset = {.handler = SIG_DFL}, old;
    if (signal_set_action(d->sig, &reset, &old) < 0) {
      rt_exit((int)d->sig); /* the kernel took these masks before */
    }
  }
  thread_note(self, d->sig, &action);
  self->control.blocked |= action.mask | (action.flags & SA_NODEFER ? 0 : signal_bit(d->sig));
  *(volatile uint32_t *)&self->control.inhibit = 0;
  posix_unblocked();
  int in_point = posix_in_point; /* the handler passes points of its own */
  handler_run(d, &action, uc);
  posix_in_point = in_point;
}

/* sigtimedwait() is in progress for this signal: it is the handler. The next of the set is to stay
 * pending, also when we have interrupted a handler, whose end will bring back the mask of the wait:
 * see the end of signal_deliver(). */
static bool signal_waited(struct posix_thread *self, const struct delivery *d) {
  if (!(self->wait_set & signal_bit(d->sig))) {
    return false;
  }
  self->wait_over = self->wait_set & self->wait_mask;
  self->wait_set = 0;
  self->wait_signal = d->sig;
  siginfo_t info = delivery_info(d);
  memcpy(self->wait_info, &info, sizeof(info));
  self->handled = 1;
  return true;
}

/* Called by trampoline.S. */
void signal_deliver(ucontext_t *uc);
void signal_deliver(ucontext_t *uc) {
  struct posix_thread *self = &posix_self;
  struct sig_control *control = &self->control;
  struct delivery d;
  d.sig = control->signo;
  d.code = control->code;
  d.sender = control->sender_pid;
  d.fault_addr = control->fault_addr;
  d.timed = timer_take(d.sig, self->tid, &d.timer);
  greg_t *regs = uc->uc_mcontext.gregs;
  regs[REG_RIP] = (greg_t)control->saved_rip;
  regs[REG_RSP] = (greg_t)control->saved_rsp;
  regs[REG_EFL] = (greg_t)control->saved_rflags;
  uc->uc_flags = 0;
  uc->uc_link = NULL;
  uc->uc_sigmask.__bits[0] = control->blocked;
  uc->uc_stack = (stack_t){.ss_sp = (void *)self->alt_base, .ss_size = self->alt_size};
  if (rip_in(regs[REG_RIP], rt_block_begin, rt_block_end)) { /* [P2] */
    regs[REG_RIP] = (greg_t)(uint64_t)rt_block_stop;
  } else if (rip_in(regs[REG_RIP], posix_retry_begin, posix_retry_end)) {
    regs[REG_RIP] = (greg_t)(uint64_t)posix_retry_stop;
  }
  if ((PROBED & signal_bit(d.sig)) && rip_in(regs[REG_RIP], rt_probe_begin, rt_probe_end)) {
    regs[REG_RIP] = (greg_t)(uint64_t)rt_probe_fault;
  } else if (!signal_waited(self, &d)) {
    signal_handle(self, &d, uc);
  }
  control->blocked = uc->uc_sigmask.__bits[0] | self->wait_over;
  *(volatile uint32_t *)&control->inhibit = self->guards != 0;
  posix_unblocked();
}
