/* Waking: which CPU, and how the thread gets there.
 *
 * A thread for this CPU is pushed to its runqueue, or left in its hand-off. A thread for another
 * CPU goes on that CPU's wake list, a lock-free stack that only its owner empties, and an interrupt
 * tells the owner, once for each time the list was empty, unless it polls. No CPU takes another's
 * runqueue lock to wake; only who moves threads does (move.c, policy.c). */
#include "arch/upcall.h"
#include "sched/sched_priv.h"

enum wake_policy { WAKE_LAST, WAKE_IDLE, WAKE_HERE };

OF_EACH_CPU _Atomic uint64_t sched_idle_mask __attribute__((aligned(CACHE_PAIR)));

/* The current thread of cs is to look for a better one. */
void cpu_resched(struct cpu_sched *cs) {
  atomic_fetch_or_explicit(&cs->current->arch.work, ARCH_WORK_RESCHED, memory_order_relaxed);
  if (cs != sched_self()) {
    counter_add(COUNTER_IPIS, 1);
    trace(TRACE_IPI, cs->id, ARCH_IPI_WAKE);
    arch_ipi_send(cs->id, ARCH_IPI_WAKE);
  }
}

void cpus_resched(void) {
  for (uint64_t rest = sched_online_mask(); rest != 0; rest &= rest - 1) {
    struct cpu_sched *cs = &cpu_scheds[bit_first(rest)];
    spin_lock(&cs->lock);
    cpu_resched(cs);
    spin_unlock(&cs->lock);
  }
}

/* Whether t, if it is better than who runs, takes the CPU from that: real-time threads always do.
 */
static inline bool wake_preempts(const struct thread *t) {
  return SCHED_PARAM_GET(wake_preempt) || t->prio < RUNQ_FIRST_TIMESHARE;
}

/* t waits for cs, this CPU: let it preempt, or give the current thread's slice an end. */
static void wake_tell(struct cpu_sched *cs, struct thread *t, bool preempts, uint64_t now)
    HOLDS(&cs->lock) {
  struct thread *current = cs->current;
  if (current == cs->idle) {
    return; /* looks for itself */
  }
  if (preempts && t->prio < current->prio && wake_preempts(t)) {
    atomic_fetch_or_explicit(&current->arch.work, ARCH_WORK_RESCHED, memory_order_relaxed);
  } else if (cs->slice_end == NEVER) {
    account(cs, current, now); /* it is no longer alone */
    slice_begin(cs, current);
  }
}

/* Who may be trusted to stop by itself does so within as many least slices: more than an interrupt
 * takes, also where one is emulated and takes a whole least slice. */
#define TRUST_PIECES 10u

/* Whether t need not ask for a place before who runs: it is better, or that will most likely stop
 * by itself soon, for it is new or did so lately: the timer would be set for nothing [H4]. */
static inline bool wake_waits(const struct cpu_sched *cs, const struct thread *t, uint64_t now)
    HOLDS(&cs->lock) {
  const struct thread *c = cs->current;
  const struct share_rules *rules = &sched_rules.share;
  return t->prio < c->prio || ((c->least > rules->slice_least || c->run == 0) &&
                               now - c->since < TRUST_PIECES * (uint64_t)rules->slice_least &&
                               c->quantum <= share_quantum(rules, 0));
}

/* Whom t, which is no better than the current thread, is compared with: that, or behind a real-time
 * one who runs next; NULL: nobody of this round. */
static struct thread *wake_rival(const struct cpu_sched *cs) HOLDS(&cs->lock) {
  const struct runq *rq = &cs->rq;
  uint32_t word = runq_active(rq);
  if (cs->current->prio >= RUNQ_FIRST_TIMESHARE) {
    return cs->current;
  }
  return rq->words[word] == 0 ? NULL
                              : CONTAINER_OF(runq_front(rq, word << 6 | bit_first(rq->words[word])),
                                             struct thread, rq);
}

/* What t has had of the round, and of the next one's quantum if it has begun with that. */
static struct share_part part_of(const struct cpu_sched *cs, const struct thread *t, uint64_t ran)
    HOLDS(&cs->lock) {
  uint64_t ahead = t->round == cs->rq.round + 1 ? (uint64_t)t->quantum : 0;
  return (struct share_part){t->run + ran - t->turn + ahead, t->quantum};
}

/* t goes before its rival all the same, as soon as that has had as large a part of its quantum [H5]
 * and has run for a while. Until t sleeps again, or its slice is over, it counts as just better.
 * Answers after how many ticks; NEVER: when the current thread stops. */
static uint64_t overtake_patience(const struct cpu_sched *cs, struct thread *t, uint64_t now)
    HOLDS(&cs->lock) {
  const struct share_rules *rules = &sched_rules.share;
  const struct thread *c = wake_rival(cs);
  uint64_t ran = c == cs->current ? now - MIN(c->since, now) : 0;
  if (c == NULL || c->prio == RUNQ_FIRST_TIMESHARE || c->prio > t->prio || t->run == 0 ||
      !SCHED_PARAM_GET(wake_preempt) || t->credit < share_credit_after_run(rules, c->credit, ran)) {
    return NEVER;
  }
  t->prio = c->prio - (c->prio == c->level);
  if (c != cs->current) {
    return NEVER;
  }
  uint64_t patience = share_patience(part_of(cs, c, ran), part_of(cs, t, 0));
  uint64_t piece = (uint64_t)rules->slice_least;
  patience = MAX(patience, piece - MIN(ran, piece));
  bool trusted = c->least > rules->slice_least;
  return patience == 0 || !trusted ? patience : (uint64_t)share_quantum(rules, 0);
}

/* The current thread is no longer alone, and what it has had for free of this round counts for who
 * comes back to it: as far as its quantum goes, and no debts come of it. */
static inline void alone_end(struct cpu_sched *cs, uint64_t now) HOLDS(&cs->lock) {
  struct thread *c = cs->current;
  account(cs, c, now);
  if (c->prio >= RUNQ_FIRST_TIMESHARE) {
    int64_t left = c->quantum - (int64_t)(c->run - c->turn);
    c->left = MIN(c->left, MAX(left, (int64_t)0));
  }
}

/* The rarer ways to wake: t may go before who is as good or better, or waits for the next round,
 * and is then among the first of that. */
static __attribute__((noinline)) void wake_push_slow(struct cpu_sched *cs, struct thread *t,
                                                     bool joins, bool overtakes, uint64_t now)
    HOLDS(&cs->lock) {
  struct thread *current = cs->current;
  uint64_t patience = overtakes ? overtake_patience(cs, t, now) : NEVER;
  bool alone = cs->slice_end == NEVER && current != cs->idle;
  if (alone) {
    alone_end(cs, now);
  }
  if (joins) {
    runq_push(&cs->rq, &t->rq, t->prio);
  } else {
    push_late(cs, t, now);
    patience = NEVER;
  }
  if (current == cs->idle) {
    return; /* looks for itself */
  }
  if ((patience == 0 || t->prio < RUNQ_FIRST_TIMESHARE) && t->prio < current->prio) {
    cpu_resched(cs);
    return;
  }
  if (alone) {
    slice_begin(cs, current);
  }
  if (patience != 0 && patience < cs->slice_end - MIN(now, cs->slice_end)) {
    cs->slice_end = now + patience;
    timer_program(cs, cs->slice_end);
  }
}

/* Runnable on this CPU now; whether it may preempt another timeshare thread. */
static inline __attribute__((always_inline)) void wake_push(struct cpu_sched *cs, struct thread *t,
                                                            bool preempts, uint64_t now)
    HOLDS(&cs->lock) {
  thread_wake_credit(cs, t, now);
  bool joins = round_join(cs, t, now), overtakes = preempts && !wake_waits(cs, t, now);
  if (UNLIKELY(!joins || overtakes)) {
    wake_push_slow(cs, t, joins, overtakes, now);
    return;
  }
  runq_push(&cs->rq, &t->rq, t->prio);
  wake_tell(cs, t, preempts || t->prio < RUNQ_FIRST_TIMESHARE, now);
}

/* Sends t on if its affinity was changed on its way here; answers whether it was not. */
static bool wake_may_stay(struct cpu_sched *cs, struct thread *t) HOLDS(&cs->lock) {
  if (LIKELY(t->affinity >> cs->id & 1)) {
    return true;
  }
  wake_send(bit_first(t->affinity & sched_online_mask()), t);
  return false;
}

void wake_list_take(struct cpu_sched *cs) {
  struct thread *list = atomic_exchange_explicit(&cs->wake_list, NULL, memory_order_acquire);
  struct thread *in_order = NULL;
  while (list != NULL) {
    struct thread *next = list->wake_next;
    list->wake_next = in_order;
    in_order = list;
    list = next;
  }
  uint64_t now = arch_tsc();
  while (in_order != NULL) {
    struct thread *t = in_order;
    in_order = t->wake_next;
    if (LIKELY(wake_may_stay(cs, t))) {
      wake_push(cs, t, true, now);
    }
  }
}

void wake_send(uint32_t cpu, struct thread *t) {
  struct cpu_sched *cs = &cpu_scheds[cpu];
  atomic_store_explicit(&t->cpu, cpu, memory_order_relaxed); /* before the exchange below [S4] */
  struct thread *head = atomic_load_explicit(&cs->wake_list, memory_order_relaxed);
  do {
    t->wake_next = head;
  } while (!atomic_compare_exchange_weak(&cs->wake_list, &head, t));
  counter_add(COUNTER_WAKE_REMOTE, 1);
  /* A CPU that stops polling says so before its last look at the list (idle.c). */
  if (head == NULL && atomic_load(&cs->idle_state) != CPU_POLLING) {
    counter_add(COUNTER_IPIS, 1);
    trace(TRACE_IPI, cpu, ARCH_IPI_WAKE);
    arch_ipi_send(cpu, ARCH_IPI_WAKE);
  }
}

/* The first CPU of the mask after `last`. */
static uint32_t mask_next(uint64_t mask, uint32_t last) {
  uint64_t above = last == 63 ? 0 : mask >> (last + 1) << (last + 1);
  return bit_first(above != 0 ? above : mask);
}

static uint32_t cpu_prio(uint32_t cpu) {
  return atomic_load_explicit(&cpu_scheds[cpu].prio, memory_order_relaxed);
}

/* For a real-time thread when no CPU is idle: home, if it gets the CPU there at once, or else
 * nowhere; failing that the CPU where the worst thread runs. */
static uint32_t realtime_choose(const struct thread *t, uint64_t allowed, uint32_t home) {
  uint32_t best = home, worst = t->prio;
  if (cpu_prio(home) > worst) {
    return home;
  }
  for (uint64_t rest = allowed; rest != 0; rest &= rest - 1) {
    uint32_t cpu = bit_first(rest), prio = cpu_prio(cpu);
    if (prio > worst) {
      worst = prio;
      best = cpu;
    }
  }
  return best;
}

static uint32_t wake_choose(const struct thread *t) {
  uint64_t allowed = t->affinity & sched_online_mask(), policy = SCHED_PARAM_GET(wake_policy);
  uint32_t last = atomic_load_explicit(&t->cpu, memory_order_relaxed);
  uint32_t home = policy == WAKE_HERE ? cpu_id() : last;
  uint64_t idle = atomic_load_explicit(&sched_idle_mask, memory_order_relaxed) & allowed;
  if (policy == WAKE_IDLE && idle != 0) {
    return idle >> home & 1 ? home : mask_next(idle, home);
  }
  if (UNLIKELY(!(allowed >> home & 1))) {
    home = mask_next(allowed, home);
  }
  bool realtime = t->prio < RUNQ_FIRST_TIMESHARE && policy == WAKE_IDLE;
  return UNLIKELY(realtime) ? realtime_choose(t, allowed, home) : home;
}

/* t runs on CPU `busy` still, which must finish the switch away from it first [S3]. */
static bool wake_is_busy(const struct thread *t, uint32_t *busy) {
  if (LIKELY(!atomic_load_explicit(&t->on_cpu, memory_order_acquire))) {
    return false;
  }
  *busy = atomic_load_explicit(&t->cpu, memory_order_relaxed);
  return *busy != cpu_id();
}

static inline void wake_here(struct thread *t, bool preempts, uint64_t now) {
  struct cpu_sched *cs = sched_self();
  counter_add(COUNTER_WAKE_LOCAL, 1);
  lock_debug_narrow(true);
  atomic_store_explicit(&t->cpu, cs->id, memory_order_relaxed);
  spin_lock(&cs->lock); /* a full barrier [S4] */
  if (LIKELY(wake_may_stay(cs, t))) {
    wake_push(cs, t, preempts, now);
  }
  spin_unlock(&cs->lock);
  lock_debug_narrow(false);
}

void wake_settle(struct thread *t) {
  wake_here(t, true, arch_tsc());
}

static inline void wake_place_as(struct thread *t, bool preempts) {
  uint32_t cpu;
  if (LIKELY(!wake_is_busy(t, &cpu))) {
    cpu = wake_choose(t);
  }
  uint64_t now = arch_tsc();
  trace_at(now, TRACE_WAKE, t->arch.id, cpu);
  if (cpu != cpu_id()) {
    wake_send(cpu, t);
  } else {
    wake_here(t, preempts, now);
  }
}

void wake_place(struct thread *t) {
  wake_place_as(t, true);
}

static __attribute__((noinline)) void wake_place_later(struct thread *t) {
  wake_place_as(t, false);
}

/* Whether this CPU has nothing to do but the caller, so that t may have it next. */
static bool handoff_suits(const struct cpu_sched *cs, const struct thread *t) {
  return cpu_waiting(cs) == 0 && cs->current != cs->idle && t->affinity >> cs->id & 1 &&
         !atomic_load_explicit(&t->on_cpu, memory_order_acquire) && SCHED_PARAM_GET(handoff);
}

/* How long the sender may go on: not for long where the thread could run elsewhere meanwhile, else
 * for its slice, but no longer than one of nice 0. */
static uint64_t handoff_patience(const struct cpu_sched *cs, const struct thread *t)
    HOLDS(&cs->lock) {
  bool elsewhere = t->affinity & sched_online_mask() & ~(1ul << cs->id);
  int64_t slice = MAX(cs->current->left, cs->current->least);
  int64_t most = share_quantum(&sched_rules.share, 0);
  return elsewhere ? sched_rules.handoff : (uint64_t)MIN(slice, most);
}

/* Until the hand-off ends the sender counts as alone: most wait for the answer at once. */
static void handoff_put(struct cpu_sched *cs, struct thread *t, uint64_t now) HOLDS(&cs->lock) {
  thread_wake_credit(cs, t, now);
  if (UNLIKELY(!round_join(cs, t, now))) {
    push_late(cs, t, now);
    wake_tell(cs, t, t->prio < RUNQ_FIRST_TIMESHARE, now);
    return;
  }
  cs->handoff = t;
  cs->handoff_end = now + handoff_patience(cs, t);
  timer_program(cs, cs->handoff_end);
  if (t->prio < cs->current->prio && wake_preempts(t)) {
    atomic_fetch_or_explicit(&cs->current->arch.work, ARCH_WORK_RESCHED, memory_order_relaxed);
  }
}

static void wake_handoff(struct thread *t) {
  struct cpu_sched *cs = sched_self();
  if (!handoff_suits(cs, t)) {
    wake_place(t);
    return;
  }
  counter_add(COUNTER_HANDOFFS, 1);
  uint64_t now = arch_tsc();
  trace_at(now, TRACE_WAKE, t->arch.id, cs->id);
  lock_debug_narrow(true);
  atomic_store_explicit(&t->cpu, cs->id, memory_order_relaxed);
  spin_lock(&cs->lock); /* a full barrier [S4] */
  if (LIKELY(wake_may_stay(cs, t))) {
    handoff_put(cs, t, now);
  }
  spin_unlock(&cs->lock);
  lock_debug_narrow(false);
}

/* PARKED becomes RUNNING, and the caller queues the thread [S2]; else a token is left. */
static inline bool unpark(struct thread *t) {
  uint32_t park = atomic_load_explicit(&t->park, memory_order_relaxed);
  for (;;) {
    if (park == THREAD_PARKED) {
      if (atomic_compare_exchange_weak(&t->park, &park, THREAD_RUNNING)) {
        return true;
      }
    } else if (atomic_compare_exchange_weak(&t->park, &park, THREAD_TOKEN)) {
      return false;
    }
  }
}

void sched_unpark(struct thread *t) {
  if (unpark(t)) {
    wake_place(t);
  }
}

void sched_unpark_later(struct thread *t) {
  if (unpark(t)) {
    wake_place_later(t);
  }
}

void sched_unpark_handoff(struct thread *t) {
  if (unpark(t)) {
    wake_handoff(t);
  }
}

void thread_set_work(struct thread *t, uint32_t work) {
  atomic_fetch_or(&t->arch.work, work);
  if (t == thread_current()) {
    return; /* it looks before it parks, and on its way to ring 3 */
  }
  sched_unpark(t);
  uint32_t cpu = atomic_load(&t->cpu);
  if (atomic_load(&t->on_cpu) && cpu != cpu_id()) {
    trace(TRACE_IPI, cpu, ARCH_IPI_WAKE);
    arch_ipi_send(cpu, ARCH_IPI_WAKE);
  }
}

void upcall_ipi_wake(void) {
  struct cpu_sched *cs = sched_self();
  trace(TRACE_IPI_TAKEN, ARCH_IPI_WAKE, 0);
  spin_lock(&cs->lock);
  wake_list_drain(cs);
  spin_unlock(&cs->lock);
}
