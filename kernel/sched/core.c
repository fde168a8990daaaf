/* The core: who runs next on this CPU, and the switch to it.
 *
 * schedule() runs under the CPU's runqueue lock, which is held across the switch and released by
 * finish_switch() on the next thread's stack: so a thief, which takes the same lock, never gets a
 * thread whose stack is still in use [S3]. */
#include "sched/sched_priv.h"
#include "base/panic.h"
#include "lib/string.h"

#define PRIO_NICE_0 96u
#define NS_PER_US 1000ul
#define STEAL_LOOK 8u /* threads that a thief considers: pinned ones must not make it O(n) */
#define SLICE_MIN_NS 50000ul

enum schedule_why { WHY_PREEMPT, WHY_YIELD, WHY_PARK, WHY_EXIT };

struct cpu_sched cpu_scheds[MAX_CPUS];
static _Atomic uint64_t online_mask;

uint64_t sched_online_mask(void) {
  return atomic_load_explicit(&online_mask, memory_order_relaxed);
}

uint32_t sched_n_runnable(uint32_t cpu) {
  return runq_count(&cpu_scheds[cpu].rq);
}

/* ---- threads ------------------------------------------------------------------------------ */

static void timer_unpark(struct timer *timer) {
  sched_unpark(CONTAINER_OF(timer, struct thread, timer));
}

static uint8_t thread_prio(const struct thread *t) {
  if (t->policy != SCHED_ABI_OTHER) {
    return (uint8_t)(RUNQ_FIRST_TIMESHARE - 1 - t->rt_priority % RUNQ_FIRST_TIMESHARE);
  }
  return (uint8_t)(PRIO_NICE_0 + (uint32_t)t->nice);
}

/* Slice by weight: nice 0 has the parameter's, nice -20 twice that, nice 19 a twentieth. */
uint64_t sched_slice_ns(const struct thread *t) {
  uint64_t slice = SCHED_PARAM_GET(slice_us) * NS_PER_US * (uint64_t)(20 - t->nice) / 20;
  return MAX(slice, SLICE_MIN_NS);
}

static void finish_switch(void);

static void thread_first(void *arg) {
  struct thread *t = arg;
  finish_switch();
  t->entry(t->arg);
  panic("a thread's first function returned");
}

static void thread_prepare(struct thread *t) {
  memset(t, 0, sizeof(*t));
  runq_node_init(&t->rq);
  timer_init(&t->timer, timer_unpark);
  t->affinity = UINT64_MAX;
}

void thread_init(struct thread *t, uint64_t stack_top, void *fpu, void (*entry)(void *),
                 void *arg) {
  thread_prepare(t);
  t->arch.fpu = fpu;
  arch_thread_init(&t->arch, stack_top, thread_first, t);
  t->entry = entry;
  t->arg = arg;
  t->prio = thread_prio(t);
  t->slice_ns = sched_slice_ns(t);
  atomic_store_explicit(&t->cpu, cpu_id(), memory_order_relaxed);
  atomic_store_explicit(&t->park, THREAD_PARKED, memory_order_relaxed);
}

uint64_t thread_run_ns(const struct thread *t) {
  uint64_t now = clock_now(), since = t->since_ns;
  return t->run_ns +
         (atomic_load_explicit(&t->on_cpu, memory_order_relaxed) && now > since ? now - since : 0);
}

/* ---- the switch --------------------------------------------------------------------------- */

/* What is left to do for the thread that was switched from; first thing on the next one's stack. */
static void finish_switch(void) NO_LOCK_CHECK {
  struct cpu_sched *cs = sched_self();
  struct thread *from = cs->from;
  bool exits = cs->from_exits, moves = cs->from_moves;
  cs->from_exits = cs->from_moves = false;
  atomic_store_explicit(&from->on_cpu, 0, memory_order_release);
  spin_unlock(&cs->lock);
  if (UNLIKELY(exits)) {
    from->reap(from);
  } else if (UNLIKELY(moves)) {
    wake_place(from);
  }
}

static void switch_to(struct cpu_sched *cs, struct thread *prev, struct thread *next) {
  counter_add(COUNTER_SWITCHES, 1);
  cs->current = next;
  cs->from = prev;
  atomic_store_explicit(&next->cpu, cpu_id(), memory_order_relaxed);
  atomic_exchange(
      &next->on_cpu,
      1); /* before it looks at its work: thread_set_work() sets that, then looks here */
  if (next->space != NULL && next->space != arch_cpu_self()->space) {
    counter_add(COUNTER_SWITCH_SPACE, 1);
    arch_space_enter(next->space);
  }
  arch_thread_switch(&prev->arch, &next->arch);
  finish_switch();
}

/* Where a thread that stays runnable goes. */
static void requeue(struct cpu_sched *cs, struct thread *t, enum schedule_why why)
    HOLDS(&cs->lock) {
  if (UNLIKELY(!(t->affinity >> cpu_id() & 1))) {
    cs->from_moves = true;
  } else if (t->slice_ns == 0 && t->policy != SCHED_ABI_FIFO) {
    t->slice_ns = sched_slice_ns(t);
    runq_push_expired(&cs->rq, &t->rq, t->prio);
  } else if (why == WHY_YIELD) {
    /* Into the next round: among the active ones it would come before those whose slice is over. */
    runq_push_expired(&cs->rq, &t->rq, t->prio);
  } else {
    runq_push_front(&cs->rq, &t->rq, t->prio);
  }
}

static void account(struct cpu_sched *cs, struct thread *t, uint64_t now) HOLDS(&cs->lock) {
  (void)cs;
  uint64_t ran = now - t->since_ns;
  t->run_ns += ran;
  t->slice_ns -= MIN(ran, t->slice_ns);
  t->since_ns = now;
}

/* The next thread begins or goes on with its slice; the timer runs only when somebody waits for its
 * end. */
static void slice_begin(struct cpu_sched *cs, struct thread *t, uint64_t now) HOLDS(&cs->lock) {
  t->since_ns = now;
  if (t == cs->idle || runq_count(&cs->rq) == 0 || t->policy == SCHED_ABI_FIFO) {
    cs->slice_end_ns = UINT64_MAX;
    return;
  }
  cs->slice_end_ns = now + t->slice_ns;
  timer_program(cs, cs->slice_end_ns);
}

static void schedule(enum schedule_why why) NO_LOCK_CHECK {
  struct cpu_sched *cs = sched_self();
  if (CATHODE_DEBUG) {
    lock_debug_none_held("schedule");
  }
  spin_lock(&cs->lock);
  struct thread *prev = cs->current;
  atomic_fetch_and_explicit(&prev->arch.work, ~ARCH_WORK_RESCHED, memory_order_relaxed);
  wake_list_drain(cs);
  uint64_t now = clock_now();
  account(cs, prev, now);
  if (prev != cs->idle && why <= WHY_YIELD) {
    requeue(cs, prev, why);
  }
  struct runq_node *node = runq_pop(&cs->rq);
  struct thread *next = node ? CONTAINER_OF(node, struct thread, rq) : cs->idle;
  slice_begin(cs, next, now);
  if (next == prev) {
    spin_unlock(&cs->lock);
    return;
  }
  cs->from_exits = why == WHY_EXIT;
  switch_to(cs, prev, next);
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

void sched_yield(void) {
  struct cpu_sched *cs = sched_self();
  if (runq_count(&cs->rq) > 0 || !wake_list_is_empty(cs)) {
    schedule(WHY_YIELD);
  }
}

void sched_preempt(void) {
  counter_add(COUNTER_PREEMPTS, 1);
  schedule(WHY_PREEMPT);
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

/* Called on the thread itself or on one that is not running; a queued thread keeps its place until
 * it next runs, when requeue() or the wake-up sees the new values. */
void sched_set_affinity(struct thread *t, uint64_t mask) {
  t->affinity = mask;
  if (t == thread_current() && !(mask >> cpu_id() & 1)) {
    schedule(WHY_YIELD);
  } else if (t != thread_current() && atomic_load(&t->on_cpu) &&
             !(mask >> atomic_load(&t->cpu) & 1)) {
    atomic_fetch_or(&t->arch.work,
                    ARCH_WORK_RESCHED); /* requeue() sends it on; it must not be woken */
    arch_ipi_send(atomic_load(&t->cpu), ARCH_IPI_WAKE);
  }
}

void sched_set_policy(struct thread *t, uint8_t policy, uint8_t rt_priority, int8_t nice) {
  t->policy = policy;
  t->rt_priority = rt_priority;
  t->nice = nice;
  t->prio = thread_prio(t);
  t->slice_ns = MIN(t->slice_ns, sched_slice_ns(t));
}

/* ---- idle --------------------------------------------------------------------------------- */

/* Take one thread from the CPU with most waiting, if it may run here. */
bool sched_steal(struct cpu_sched *cs) {
  uint32_t self = cpu_id(), victim = self, most = 0;
  for (uint64_t rest = sched_online_mask() & ~(1ul << self); rest != 0; rest &= rest - 1) {
    uint32_t cpu = bit_first(rest);
    uint32_t n = sched_n_runnable(cpu);
    victim = n > most ? cpu : victim;
    most = MAX(n, most);
  }
  if (most == 0) {
    return false;
  }
  struct cpu_sched *vs = &cpu_scheds[victim];
  spin_lock(&vs->lock);
  struct runq_node *node = runq_steal_first(&vs->rq);
  for (uint32_t looked = 1;
       node != NULL && !(CONTAINER_OF(node, struct thread, rq)->affinity >> self & 1); looked++) {
    node = looked < STEAL_LOOK ? runq_steal_next(&vs->rq, node) : NULL;
  }
  if (node != NULL) {
    runq_remove(&vs->rq, node);
  }
  spin_unlock(&vs->lock);
  if (node == NULL) {
    return false;
  }
  counter_add(COUNTER_STEALS, 1);
  spin_lock(&cs->lock);
  atomic_store_explicit(&CONTAINER_OF(node, struct thread, rq)->cpu, self, memory_order_relaxed);
  runq_push(&cs->rq, node, node->prio);
  spin_unlock(&cs->lock);
  return true;
}

static bool idle_has_work(struct cpu_sched *cs) {
  return runq_count(&cs->rq) > 0 || !wake_list_is_empty(cs);
}

static void idle_poll(struct cpu_sched *cs) {
  uint64_t poll_ns = SCHED_PARAM_GET(idle_poll_us) * NS_PER_US;
  if (poll_ns == 0) {
    return;
  }
  for (uint64_t end = clock_now() + poll_ns; clock_now() < end && !idle_has_work(cs);) {
    arch_relax();
    arch_irq_window();
  }
}

static bool (*_Atomic idle_work)(void);

void sched_set_idle_work(bool (*piece)(void)) {
  atomic_store_explicit(&idle_work, piece, memory_order_release);
}

static void idle_work_do(struct cpu_sched *cs) {
  bool (*piece)(void) = atomic_load_explicit(&idle_work, memory_order_acquire);
  while (piece != NULL && !idle_has_work(cs) && piece()) {
    arch_irq_window();
  }
}

/* The mask's bit is set by a locked instruction before the last look for work, and a waker pushes
 * before it looks at the mask; in any case a push to an empty list is followed by an interrupt,
 * which HLT sees. */
_Noreturn static void idle_loop(struct cpu_sched *cs) {
  uint64_t bit = 1ul << cpu_id();
  for (;;) {
    if (!idle_has_work(cs) && SCHED_PARAM_GET(steal)) {
      sched_steal(cs);
    }
    atomic_fetch_or(&sched_idle_mask, bit);
    idle_work_do(cs);
    idle_poll(cs);
    if (!idle_has_work(cs)) {
      arch_idle();
    }
    atomic_fetch_and(&sched_idle_mask, ~bit);
    if (idle_has_work(cs)) {
      schedule(WHY_PREEMPT);
    }
  }
}

void sched_init(void) {
  for (uint32_t i = 0; i < MAX_CPUS; i++) {
    struct cpu_sched *cs = &cpu_scheds[i];
    spin_init(&cs->lock, RANK_RUNQ);
    spin_init(&cs->wheel_lock, RANK_WHEEL);
    runq_init(&cs->rq);
    wheel_init(&cs->wheel, 0);
    cs->armed_ns = cs->slice_end_ns = UINT64_MAX;
    cs->idle = &cs->idle_thread;
  }
}

void sched_cpu_init(void) {
  struct cpu_sched *cs = sched_self();
  struct thread *idle = cs->idle; /* it has a stack already: this one; ring 0 alone needs no more */
  thread_prepare(idle);
  idle->prio = RUNQ_PRIOS - 1;
  idle->affinity = 1ul << cpu_id();
  atomic_store(&idle->on_cpu, 1);
  atomic_store(&idle->park, THREAD_RUNNING);
  cs->current = idle;
  arch_cpu_self()->current = &idle->arch;
  atomic_fetch_or(&online_mask, 1ul << cpu_id());
}

_Noreturn void sched_cpu_run(void) {
  idle_loop(sched_self());
}
