/* Timers: one wheel a CPU, driven by the one-shot hardware timer. A timer lives on the wheel of the
 * CPU that armed it and may be cancelled from any. */
#include "arch/upcall.h"
#include "sched/sched_priv.h"

void timer_init(struct timer *t, void (*fire)(struct timer *)) {
  wheel_timer_init(&t->wheel);
  t->fire = fire;
  t->cpu = 0;
}

void timer_program(struct cpu_sched *cs, uint64_t wanted_ns) {
  if (wanted_ns < cs->armed_ns) {
    cs->armed_ns = wanted_ns;
    arch_timer_set(clock_to_tsc(wanted_ns));
  }
}

void timer_arm(struct timer *t, uint64_t deadline_ns) {
  struct cpu_sched *cs = sched_self();
  spin_lock(&cs->wheel_lock);
  t->cpu = cpu_id();
  wheel_add(&cs->wheel, &t->wheel, deadline_ns);
  spin_unlock(&cs->wheel_lock);
  timer_program(cs, deadline_ns);
}

bool timer_cancel(struct timer *t) {
  struct cpu_sched *cs = &cpu_scheds[t->cpu];
  spin_lock(&cs->wheel_lock);
  bool pending = wheel_cancel(&cs->wheel, &t->wheel);
  spin_unlock(&cs->wheel_lock);
  return pending;
}

uint64_t timer_run(struct cpu_sched *cs, uint64_t now_ns) {
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

void upcall_timer(void) {
  struct cpu_sched *cs = sched_self();
  uint64_t now = clock_now();
  counter_add(COUNTER_TIMER_IRQS, 1);
  trace(TRACE_TIMER, 0, 0);
  cs->armed_ns = UINT64_MAX;
  uint64_t next = timer_run(cs, now);
  if (now >= cs->slice_end_ns) {
    cs->slice_end_ns = UINT64_MAX;
    atomic_fetch_or_explicit(&cs->current->arch.work, ARCH_WORK_RESCHED, memory_order_relaxed);
  }
  timer_program(cs, MIN(next, cs->slice_end_ns));
}
