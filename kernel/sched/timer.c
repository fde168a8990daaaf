/* Timers: one wheel a CPU, driven by the one-shot hardware timer. A timer lives on the wheel of the
 * CPU that armed it and may be cancelled from any. */
#include "arch/upcall.h"
#include "sched/sched_priv.h"

void timer_init(struct timer *t, void (*fire)(struct timer *)) {
  wheel_timer_init(&t->wheel);
  t->fire = fire;
  t->cs = &cpu_scheds[0];
}

void timer_arm(struct timer *t, uint64_t deadline_ns) {
  struct cpu_sched *cs = sched_self();
  lock_debug_narrow(true);
  spin_lock(&cs->wheel_lock);
  t->cs = cs;
  wheel_add(&cs->wheel, &t->wheel, deadline_ns);
  spin_unlock(&cs->wheel_lock);
  lock_debug_narrow(false);
  /* Not later than what another timer has had it set to: spares the conversion. */
  if (deadline_ns < cs->wheel_ns) {
    cs->wheel_ns = deadline_ns;
    timer_program(cs, clock_to_tsc(deadline_ns));
  }
}

bool timer_cancel(struct timer *t) {
  struct cpu_sched *cs = t->cs;
  lock_debug_narrow(true);
  spin_lock(&cs->wheel_lock);
  bool pending = wheel_cancel(&t->wheel);
  spin_unlock(&cs->wheel_lock);
  lock_debug_narrow(false);
  return pending;
}

/* Fires what is due; answers when the wheel wants to run next. */
static uint64_t timer_run(struct cpu_sched *cs, uint64_t now_ns) {
  struct list expired;
  list_init(&expired);
  spin_lock(&cs->wheel_lock);
  wheel_advance(&cs->wheel, now_ns, &expired);
  struct list *node;
  while ((node = list_pop_front(&expired)) != NULL) {
    struct timer *t = CONTAINER_OF(node, struct timer, wheel.node);
    trace(TRACE_TIMER_FIRE, t->wheel.deadline_ns, 0);
    t->fire(t);
  }
  uint64_t next = wheel_next(&cs->wheel);
  spin_unlock(&cs->wheel_lock);
  return next;
}

/* The sender of a hand-off has gone on for too long: its thread is placed as any other, and the
 * sender's time counts. */
static void handoff_end(struct cpu_sched *cs, uint64_t now) {
  spin_lock(&cs->lock);
  struct thread *t = cs->handoff;
  if (t != NULL && cs->slice_end == NEVER) {
    cs->slice_end = now;
    account(cs, cs->current, now);
    cs->slice_end = NEVER;
  }
  cs->weight -= t != NULL ? t->weight : 0; /* [E1] */
  cs->handoff = NULL;
  cs->handoff_end = NEVER;
  spin_unlock(&cs->lock);
  if (t != NULL) {
    wake_place(t);
  }
}

static void slice_end(struct cpu_sched *cs, uint64_t now) {
  cs->slice_end = now; /* its time counts; the switch sets the next */
  atomic_fetch_or_explicit(&cs->current->arch.work, ARCH_WORK_RESCHED, memory_order_relaxed);
}

/* When this CPU next looks for a thread to move, while one waits. Behind a real-time thread that is
 * at the end of a slice, which comes for it (rt_slice_end()). */
static uint64_t look_begin(const struct cpu_sched *cs) {
  bool waits = cs->slice_end != NEVER && sched_rules.balance != 0;
  bool others = (sched_online_mask() & ~(UINT64_C(1) << cs->id)) != 0;
  return waits && others && cs->prio >= RUNQ_FIRST_TIMESHARE ? cs->balance_at : NEVER;
}

void upcall_timer(void) {
  struct cpu_sched *cs = sched_self();
  uint64_t now = arch_tsc(), now_ns = clock_from_tsc(now);
  counter_add(COUNTER_TIMER_IRQS, 1);
  trace(TRACE_TIMER, 0, 0);
  cs->armed = NEVER;
  if (now_ns >= cs->wheel_ns) {
    cs->wheel_ns = timer_run(cs, now_ns);
  }
  if (now >= cs->handoff_end) {
    handoff_end(cs, now);
  }
  uint64_t wanted = MIN(clock_to_tsc(cs->wheel_ns), cs->handoff_end);
  bool ends = now >= cs->slice_end;
  bool looks = ends && sched_rules.balance != 0 ? now >= cs->balance_at : now >= look_begin(cs);
  if (ends) {
    slice_end(cs, now);
  } else {
    wanted = MIN(wanted, cs->slice_end);
  }
  if (looks) {
    sched_push(cs, now);
  }
  timer_program(cs, MIN(wanted, look_begin(cs)));
}
