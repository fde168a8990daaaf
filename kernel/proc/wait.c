/* The one shape of an interruptible wait, and the safe point. */
#include "arch/upcall.h"
#include "base/clock.h"
#include "proc/proc_priv.h"

static void context_stopped(struct context *c) {
  while ((atomic_load(&c->thread.arch.work) & (ARCH_WORK_STOP | ARCH_WORK_DIE)) == ARCH_WORK_STOP) {
    sched_park(NO_DEADLINE);
  }
}

bool context_has_work(void) {
  return context_work_pending(context_current()) != 0;
}

bool context_interrupted_by(uint32_t work) {
  struct context *c = context_current();
  if ((work & ARCH_WORK_SIGNAL) && !(work & ARCH_WORK_DIE) && signal_is_due(c)) {
    return true;
  }
  context_stopped(c);
  return atomic_load(&c->thread.arch.work) & ARCH_WORK_DIE;
}

bool context_is_dying(void) {
  return atomic_load(&context_current()->thread.arch.work) & ARCH_WORK_DIE;
}

enum abi_error wait_until(struct waitq *q, bool (*cond)(void *), void *arg, uint64_t deadline_ns) {
  struct waiter w;
  enum abi_error e = OK;
  inject_point("wait");
  waitq_add(q, &w);
  while (!cond(arg)) {
    e = wait_over(deadline_ns);
    if (e != OK) {
      break;
    }
    sched_park(deadline_ns);
  }
  waitq_remove(q, &w);
  return e;
}

void context_work(struct arch_user_frame *frame) {
  struct context *c = context_current();
  uint32_t work;
  while ((work = atomic_load_explicit(&c->thread.arch.work, memory_order_acquire) &
                 ~ARCH_WORK_INJECT) != 0) {
    if (work & ARCH_WORK_DIE) {
      context_exit();
    } else if (work & ARCH_WORK_STOP) {
      context_stopped(c);
    } else if (work & ARCH_WORK_SIGNAL) {
      signal_deliver(c, frame);
    } else {
      sched_preempt();
    }
  }
}

void upcall_return_to_user(struct arch_user_frame *frame, bool called) {
  if (called) {
    inject_point("return");
  }
  context_work(frame);
}
