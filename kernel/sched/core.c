/* The core: who runs next on this CPU, and the switch to it.
 *
 * schedule() runs under the CPU's runqueue lock, which is held across the switch and released by
 * finish_switch() on the next thread's stack: so a thief, which takes the same lock, never gets a
 * thread whose stack is still in use [S3]. Times here are TSC ticks. */
#include "base/panic.h"
#include "sched/sched_priv.h"

#define SKIP_MOST 32u /* threads in debt that one look passes over: the look stays O(1) */

enum schedule_why {
  WHY_PREEMPT = TRACE_WHY_PREEMPT,
  WHY_YIELD = TRACE_WHY_YIELD,
  WHY_PARK = TRACE_WHY_BLOCK,
  WHY_EXIT = TRACE_WHY_EXIT
};

OF_EACH_CPU struct cpu_sched cpu_scheds[MAX_CPUS];
READ_MOSTLY _Atomic uint64_t sched_online;

uint32_t sched_n_runnable(uint32_t cpu) {
  return cpu_waiting(&cpu_scheds[cpu]);
}

/* ---- threads ------------------------------------------------------------------------------ */

static void timer_unpark(struct timer *timer) {
  sched_unpark(CONTAINER_OF(timer, struct thread, timer));
}

static void finish_switch(void);

static void thread_first(void *arg) {
  struct thread *t = arg;
  finish_switch();
  t->entry(t->arg);
  panic("a thread's first function returned");
}

static void thread_prepare(struct thread *t) {
  runq_node_init(&t->rq);
  timer_init(&t->timer, timer_unpark);
  t->affinity = UINT64_MAX;
  t->boost = RUNQ_NONE;
  t->since = arch_tsc();
}

void thread_init(struct thread *t, uint64_t stack_top, void *fpu, void (*entry)(void *),
                 void *arg) {
  thread_prepare(t);
  t->arch.fpu = fpu;
  arch_thread_init(&t->arch, stack_top, thread_first, t);
  t->entry = entry;
  t->arg = arg;
  t->left = t->quantum = share_quantum(&sched_rules.share, 0);
  t->least = sched_rules.share.slice_least;
  t->weight = share_weight(0);
  thread_prio_update(t);
  atomic_store_explicit(&t->cpu, cpu_id(), memory_order_relaxed);
  atomic_store_explicit(&t->park, THREAD_PARKED, memory_order_relaxed);
}

uint64_t thread_run_ns(const struct thread *t) {
  uint64_t now = arch_tsc(), since = t->since;
  bool runs = atomic_load_explicit(&t->on_cpu, memory_order_relaxed) && now > since;
  return clock_ticks_to_ns(t->run + (runs ? now - since : 0));
}

/* ---- the switch --------------------------------------------------------------------------- */

static void from_leave(struct cpu_sched *cs, struct thread *from, enum from_then then) {
  cs->from_then = FROM_STAYS; /* before anything that may switch again */
  if (then == FROM_EXITS) {
    from->reap(from);
  } else {
    wake_place(from);
  }
}

/* What is left to do for the thread that was switched from; first thing on the next one's stack. */
static inline void finish_switch(void) NO_LOCK_CHECK {
  struct cpu_sched *cs = sched_self();
  struct thread *from = cs->from;
  enum from_then then = cs->from_then;
  atomic_store_explicit(&from->on_cpu, 0, memory_order_release);
  spin_unlock(&cs->lock);
  lock_debug_narrow(false);
  if (UNLIKELY(then != FROM_STAYS)) {
    from_leave(cs, from, then);
  }
}

/* Threads without a space go on in what is loaded, which then costs nothing to come back to. */
static inline void space_switch(struct arch_space *next) {
  if (next == NULL) {
    arch_space_rest();
  } else if (next == arch_cpu_self()->space) {
    arch_space_resume();
  } else {
    counter_add(COUNTER_SWITCH_SPACE, 1);
    arch_space_enter(next);
  }
}

static inline void switch_to(struct cpu_sched *cs, struct thread *prev, struct thread *next) {
  counter_add(COUNTER_SWITCHES, 1);
  cs->current = next;
  cs->from = prev;
  kassert_debug(next == cs->idle || atomic_load(&next->cpu) == cs->id); /* [S4] */
  /* Before it looks at its work: thread_set_work() sets that, then looks here. */
  atomic_exchange(&next->on_cpu, 1);
  if (next->space != prev->space) {
    space_switch(next->space);
  }
  arch_thread_switch(&prev->arch, &next->arch);
  finish_switch();
}

/* Its slice is over. */
static void requeue_spent(struct cpu_sched *cs, struct thread *t, uint64_t now) HOLDS(&cs->lock) {
  thread_prio_update(t);
  if (round_join(cs, t, now)) {
    runq_push(&cs->rq, &t->rq, t->prio);
  } else {
    push_late(cs, t, now);
  }
}

static inline struct thread *thread_of(struct runq_node *node) {
  return CONTAINER_OF(node, struct thread, rq);
}

/* The best one that is not in debt [H1]. Who has used up its quantum gets a new one here, in the
 * round that was meant to be its next. */
static inline struct thread *pick_timeshare(struct cpu_sched *cs, uint64_t now) HOLDS(&cs->lock) {
  for (uint32_t skipped = 0;; skipped++) {
    struct thread *t = thread_of(runq_pop_timeshare(&cs->rq));
    if (t->left <= 0) {
      thread_grant(cs, t);
    }
    if (LIKELY(t->left > 0) || skipped == SKIP_MOST) {
      return t;
    }
    push_late(cs, t, now);
  }
}

/* The hand-off, if the queue has nobody better; the best real-time thread that is not throttled;
 * the best other. */
static inline struct thread *pick(struct cpu_sched *cs, uint64_t now) HOLDS(&cs->lock) {
  struct thread *t = cs->handoff;
  if (t != NULL) {
    cs->handoff = NULL;
    cs->handoff_end = NEVER;
    if (LIKELY(t->prio <= runq_best_prio(&cs->rq))) {
      return t;
    }
    runq_push(&cs->rq, &t->rq, t->prio);
  }
  if (runq_count(&cs->rq) == 0) {
    return cs->idle;
  }
  if (UNLIKELY(runq_has_realtime(&cs->rq)) && (t = rt_pick(cs, now)) != NULL) {
    return t;
  }
  return pick_timeshare(cs, now);
}

/* Who runs next when prev goes on being runnable. */
static struct thread *pick_with(struct cpu_sched *cs, struct thread *prev, enum schedule_why why,
                                uint64_t now) HOLDS(&cs->lock) {
  if (UNLIKELY(!(prev->affinity >> cs->id & 1))) {
    cs->from_then = FROM_MOVES;
    cs->weight -= prev->weight; /* [E1] */
  } else if (prev->left <= 0 && prev->policy != SCHED_ABI_FIFO) {
    requeue_spent(cs, prev, now);
  } else if (why == WHY_YIELD) {
    /* Into the next round: in this one it would come before those whose slice is over. */
    thread_prio_update(prev);
    push_late(cs, prev, now);
  } else {
    runq_push_front(&cs->rq, &prev->rq, prev->prio);
  }
  return pick(cs, now);
}

static inline struct cpu_sched *schedule_begin(void) NO_LOCK_CHECK {
  struct cpu_sched *cs = sched_self();
  if (CATHODE_DEBUG) {
    lock_debug_none_held("schedule");
  }
  lock_debug_narrow(true);
  spin_lock(&cs->lock);
  return cs;
}

static inline void schedule_end(struct cpu_sched *cs) NO_LOCK_CHECK {
  spin_unlock(&cs->lock);
  lock_debug_narrow(false);
}

static void schedule(enum schedule_why why) NO_LOCK_CHECK {
  struct cpu_sched *cs = schedule_begin();
  struct thread *prev = cs->current;
  uint64_t now = arch_tsc();
  account(cs, prev, now); /* first: prev itself may be on the list */
  wake_list_drain(cs);
  if (atomic_load_explicit(&prev->arch.work, memory_order_relaxed) & ARCH_WORK_RESCHED) {
    atomic_fetch_and_explicit(&prev->arch.work, ~ARCH_WORK_RESCHED, memory_order_relaxed);
  }
  prev->least =
      why == WHY_PREEMPT ? (int64_t)sched_rules.share.slice_least : prev->quantum; /* [H4] */
  struct thread *next;
  if (why <= WHY_YIELD) {
    next = pick_with(cs, prev, why, now);
  } else {
    cs->weight -= prev->weight; /* [E1] */
    next = pick(cs, now);
  }
  next->since = now;
  prio_publish(cs, next, now);
  slice_begin(cs, next);
  if (next == prev) {
    if (why == WHY_PARK &&
        prev != cs->idle) { /* parked and woken at once: noted, though nobody else ran */
      trace_at(now, TRACE_SWITCH, next->arch.id, why);
    }
    schedule_end(cs);
    return;
  }
  if (UNLIKELY(why == WHY_EXIT)) {
    cs->from_then = FROM_EXITS;
  }
  trace_at(now, TRACE_SWITCH, next->arch.id, why);
  switch_to(cs, prev, next);
}

/* The commonest yield, to an equal: a thread that has nothing special about it, on a CPU where
 * nothing special waits, in a fraction of schedule()'s instructions. False, with nothing done, when
 * it is not so. */
static bool yield_to_equal(void) NO_LOCK_CHECK {
  struct cpu_sched *cs = schedule_begin();
  struct thread *prev = cs->current;
  uint64_t now = arch_tsc(), ran = now - prev->since;
  uint64_t special = (uint64_t)atomic_load_explicit(&cs->wake_list, memory_order_relaxed) |
                     (uint64_t)cs->handoff | cs->rq.words[0] | cs->rq.words[1] | prev->credit |
                     atomic_load_explicit(&prev->arch.work, memory_order_relaxed);
  struct runq_node *node = NULL;
  if (special == 0 && prev->prio >= RUNQ_FIRST_TIMESHARE && prev->left > (int64_t)ran) {
    node = runq_rotate(&cs->rq, &prev->rq, prev->prio);
  }
  struct thread *next = thread_of(node);
  if (UNLIKELY(node == NULL)) {
    schedule_end(cs);
    return false;
  }
  prev->left -= (int64_t)ran; /* somebody waited: the time counts */
  prev->least = prev->quantum;
  prev->run += ran;
  prev->since = next->since = now;
  if (UNLIKELY(next->left <= 0)) {
    thread_grant(cs, next);
  }
  cs->slice_end = now + (uint64_t)MAX(next->left, next->least);
  timer_program(cs, cs->slice_end);
  trace_at(now, TRACE_SWITCH, next->arch.id, WHY_YIELD);
  switch_to(cs, prev, next);
  return true;
}

/* ---- what threads call -------------------------------------------------------------------- */

void sched_park(uint64_t deadline_ns) {
  struct thread *t = thread_current();
  if (deadline_ns != NO_DEADLINE) {
    if (deadline_ns <= clock_now()) {
      atomic_exchange(&t->park, THREAD_RUNNING);
      return;
    }
    timer_arm(&t->timer, deadline_ns);
  }
  uint32_t running = THREAD_RUNNING;
  if (atomic_compare_exchange_strong(&t->park, &running, THREAD_PARKED)) {
    schedule(WHY_PARK);
  } else {
    /* The token is spent. A full barrier: the caller's next look at its condition must not pass it,
     * or a waker that still saw the token would be missed (store buffering, SDM vol. 3A 8.2.3.4).
     */
    atomic_exchange(&t->park, THREAD_RUNNING);
  }
  if (deadline_ns != NO_DEADLINE) {
    timer_cancel(&t->timer);
  }
}

int64_t sched_yield(void) {
  struct cpu_sched *cs = sched_self();
  if ((cpu_waiting(cs) > 0 || !wake_list_is_empty(cs)) && !yield_to_equal()) {
    schedule(WHY_YIELD);
  }
  return 0;
}

void sched_preempt(void) {
  counter_add(COUNTER_PREEMPTS, 1);
  trace(TRACE_PREEMPT, thread_current()->arch.id, 0);
  schedule(WHY_PREEMPT);
}

void schedule_idle(void) {
  schedule(WHY_PARK); /* it is on no queue, and not to be */
}

void sched_point(void) {
  arch_irq_window();
  if (atomic_load_explicit(&thread_current()->arch.work, memory_order_relaxed) &
      ARCH_WORK_RESCHED) {
    sched_preempt();
  }
}

_Noreturn void sched_exit(void) {
  schedule(WHY_EXIT);
  panic("a dead thread was switched to");
}

/* ---- the CPUs ----------------------------------------------------------------------------- */

void sched_init(void) {
  sched_rules_update();
  for (uint32_t i = 0; i < MAX_CPUS; i++) {
    struct cpu_sched *cs = &cpu_scheds[i];
    spin_init(&cs->lock, RANK_RUNQ);
    spin_init(&cs->wheel_lock, RANK_WHEEL);
    runq_init(&cs->rq);
    wheel_init(&cs->wheel, 0);
    cs->armed = cs->wheel_ns = cs->slice_end = cs->handoff_end = NEVER;
    cs->share_round.scale = SHARE_SCALE_ONE;
    cs->id = i;
    cs->idle = &cs->idle_thread;
    cs->prio = RUNQ_NONE;
  }
}

void sched_cpu_init(void) {
  struct cpu_sched *cs = &cpu_scheds[cpu_id()];
  struct thread *idle = cs->idle;
  thread_prepare(idle);
  arch_thread_init_idle(&idle->arch);
  idle->prio = RUNQ_NONE;
  idle->affinity = 1ul << cs->id;
  atomic_store(&idle->cpu, cs->id);
  atomic_store(&idle->on_cpu, 1);
  atomic_store(&idle->park, THREAD_RUNNING);
  cs->current = idle;
  arch_cpu_self()->current = &idle->arch;
  arch_cpu_self()->sched = cs;
  atomic_fetch_or(&sched_online, 1ul << cs->id);
}

_Noreturn void sched_cpu_run(void) {
  idle_loop(sched_self());
}
