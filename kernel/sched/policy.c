/* Policy applied to threads: priorities, quanta, the end of slices, the real-time throttle, and
 * changes of policy, boost and affinity while threads are anywhere [S4]. The arithmetic is in
 * share.c. */
#include "sched/sched_priv.h"

#define NS_PER_US 1000ul
/* Interrupts that came as fast as they can be served would let no thread make a step: where they
 * are emulated one takes some 20 us. So long are slices at least, and looks for threads to move
 * that only the timer brings. */
#define SLICE_FLOOR_US 20u
#define LOOK_FLOOR_US 500u

READ_MOSTLY struct sched_rules sched_rules;

static uint64_t param_ticks(uint64_t us) {
  return MAX(clock_ns_to_ticks(us * NS_PER_US), 1ul);
}

void sched_rules_update(void) {
  struct sched_rules *r = &sched_rules;
  struct share_lengths lengths = {.slice = param_ticks(SCHED_PARAM_GET(slice_us)),
                                  .slice_min = param_ticks(SCHED_PARAM_GET(slice_min_us)),
                                  .round = param_ticks(SCHED_PARAM_GET(round_us)),
                                  .sleep = param_ticks(SCHED_PARAM_GET(bonus_sleep_us)),
                                  .floor = param_ticks(SLICE_FLOOR_US)};
  share_rules_set(&r->share, &lengths, SCHED_PARAM_GET(bonus), SCHED_PARAM_GET(bonus_decay));
  r->rr_quantum = (int64_t)param_ticks(SCHED_PARAM_GET(rr_slice_us));
  r->starve = param_ticks(SCHED_PARAM_GET(starve_us));
  r->rt_period = param_ticks(SCHED_PARAM_GET(rt_period_us));
  r->rt_budget =
      SCHED_PARAM_GET(rt_share) == 100 ? NEVER : r->rt_period / 100 * SCHED_PARAM_GET(rt_share);
  r->handoff = param_ticks(SCHED_PARAM_GET(handoff_us));
  r->look_floor = param_ticks(LOOK_FLOOR_US);
  r->balance = SCHED_PARAM_GET(balance_us) == 0
                   ? 0
                   : MAX(param_ticks(SCHED_PARAM_GET(balance_us)), (uint64_t)r->look_floor);
  r->lag = param_ticks(SCHED_PARAM_GET(balance_lag_us));
  r->idle_poll =
      SCHED_PARAM_GET(idle_poll_us) == 0 ? 0 : param_ticks(SCHED_PARAM_GET(idle_poll_us));
}

/* ---- priorities and quanta ----------------------------------------------------------------- */

void thread_prio_update(struct thread *t) {
  uint8_t prio = t->policy == SCHED_ABI_OTHER ? share_prio(&sched_rules.share, t->nice, t->credit)
                                              : (uint8_t)(SCHED_RT_MAX - t->rt_priority);
  t->prio = t->level = MIN(prio, t->boost);
}

uint64_t sched_slice_ns(const struct thread *t) {
  int64_t ticks = t->policy == SCHED_ABI_RR ? (int64_t)sched_rules.rr_quantum
                                            : share_quantum(&sched_rules.share, t->nice);
  return clock_ticks_to_ns((uint64_t)ticks);
}

/* The round of cs, whose scale is that of those who are in it [H3]. */
static struct share_round *round_of(struct cpu_sched *cs) HOLDS(&cs->lock) {
  if (cs->share_round_id != cs->rq.round) {
    cs->share_round_id = cs->rq.round;
    share_round_begin(&sched_rules.share, &cs->share_round);
  }
  return &cs->share_round;
}

static int64_t quantum_of(struct cpu_sched *cs, const struct thread *t) HOLDS(&cs->lock) {
  return t->policy == SCHED_ABI_RR ? (int64_t)sched_rules.rr_quantum
                                   : share_scaled(&sched_rules.share, round_of(cs), t->nice);
}

/* What t is owed or owes comes with its quanta, at most half of one each time: so it has a turn in
 * each round, and those of the others are no more than half as long again [H6]. */
static void owed_pay(struct thread *t) {
  int64_t most = t->quantum / 2, part = MAX(MIN(t->even.owed, most), -most);
  t->left += part;
  t->even.owed -= part;
}

static void quantum_add(struct cpu_sched *cs, struct thread *t) HOLDS(&cs->lock) {
  t->quantum = quantum_of(cs, t);
  t->left = share_grant(t->left, t->quantum);
  t->turn = t->run - (uint64_t)(t->quantum - t->left); /* a debt counts as had */
  owed_pay(t);                                         /* not part of the turn: nobody is hurried */
  if (t->least > sched_rules.share.slice_least) {
    t->least = t->quantum; /* it is trusted, with as much as it has now */
  }
}

void thread_grant(struct cpu_sched *cs, struct thread *t) {
  if (t->policy == SCHED_ABI_RR) {
    t->left = sched_rules.rr_quantum; /* it knows no rounds and no debts */
  } else if (t->round != cs->rq.round) {
    t->round = cs->rq.round;
    quantum_add(cs, t);
  }
}

void push_late(struct cpu_sched *cs, struct thread *t, uint64_t now) {
  if (t->left <= 0 && t->policy == SCHED_ABI_RR) {
    thread_grant(cs, t);
  } else if (t->left <= 0 && t->prio >= RUNQ_FIRST_TIMESHARE) {
    share_count(&sched_rules.share, round_of(cs), t->nice);
  }
  if (cs->rq.words[runq_expired(&cs->rq)] == 0) {
    cs->expired_since = now;
  }
  runq_push_expired(&cs->rq, &t->rq, t->prio);
}

/* Whether the current thread, beside which nobody waits, has run for its quantum, most of that for
 * free: if so it begins with the next. */
static bool turn_is_had(struct cpu_sched *cs, uint64_t now) HOLDS(&cs->lock) {
  struct thread *c = cs->current;
  if (c == cs->idle || c->prio < RUNQ_FIRST_TIMESHARE || cpu_waiting(cs) != 0) {
    return false;
  }
  uint64_t run = c->run + (now - MIN(c->since, now)), quantum = (uint64_t)c->quantum;
  uint64_t had = run - c->turn;
  if (had < quantum) {
    return false;
  }
  had = MIN(had - quantum, quantum);
  c->turn = run - had;
  c->left = (int64_t)(quantum - had);
  return true;
}

bool round_join(struct cpu_sched *cs, struct thread *t, uint64_t now) {
  bool open = !cpu_starves(cs, now);
  if (UNLIKELY(t->left <= 0) && open && t != cs->current && turn_is_had(cs, now)) {
    quantum_add(cs, t); /* both have had a turn, as if a round had passed */
  }
  if (UNLIKELY(t->left <= 0)) {
    uint32_t next = cs->rq.round + 1;
    if (!open || t->round == next || t->credit <= sched_rules.share.credit_most / 2) {
      return false;
    }
    quantum_add(cs, t);
    t->round = next;
  }
  return open && t->left > 0;
}

void thread_wake_credit(struct cpu_sched *cs, struct thread *t, uint64_t now) {
  uint64_t slept = now - MIN(t->since, now); /* another CPU's clock may be a little ahead */
  t->credit = share_credit_after_sleep(&sched_rules.share, t->credit, slept);
  t->since = now;
  t->slept += slept;
  cs->weight += t->weight; /* [E1] */
  /* It slept into another round, or comes from another CPU; not: it had the next one's already. */
  if (t->round - cs->rq.round > 1) {
    t->round = cs->rq.round;
    t->left = MIN(t->left, (int64_t)0);
    quantum_add(cs, t);
  }
  thread_prio_update(t);
}

void sched_inherit(struct thread *t) {
  struct thread *from = thread_current();
  t->affinity = from->affinity;
  t->policy = from->policy;
  t->rt_priority = from->rt_priority;
  t->nice = from->nice;
  t->weight = from->weight;
  t->left = from->left / 2;
  from->left -= t->left;
  sched_even_gift(from, t->left);
  t->quantum = from->quantum;
  t->least = sched_rules.share.slice_least;
  t->round = sched_self()->rq.round;
  thread_prio_update(t);
}

/* ---- real time ------------------------------------------------------------------------------ */

struct thread *rt_pick(struct cpu_sched *cs, uint64_t now) {
  if (now - cs->rt.start >= sched_rules.rt_period) {
    cs->rt.start = now;
    cs->rt.used = 0;
  }
  bool throttled = cs->rt.used >= sched_rules.rt_budget && runq_has_timeshare(&cs->rq);
  if (throttled) {
    return NULL;
  }
  struct thread *t = CONTAINER_OF(runq_pop(&cs->rq), struct thread, rq);
  if (t->left <= 0) { /* a timeshare one, that is boosted: here it knows no rounds */
    quantum_add(cs, t);
  }
  return t;
}

/* The end of the time that real-time threads have before timeshare ones. */
static uint64_t rt_budget_end(const struct cpu_sched *cs, const struct thread *t) {
  uint64_t budget = sched_rules.rt_budget, used = cs->rt.used;
  return budget == NEVER ? NEVER : t->since + (budget > used ? budget - used : 0);
}

/* Who waits behind real-time threads may be better off elsewhere, and only the end of a slice looks
 * for that: it comes when no other thread has run here for as long as between two looks. */
static uint64_t rt_look_end(const struct cpu_sched *cs, const struct thread *t) {
  uint64_t every = sched_rules.balance, end = MAX(cs->rt.since + every, cs->balance_at);
  return every == 0 ? NEVER : MAX(end, t->since + sched_rules.look_floor);
}

/* The end of a slice when real-time threads run or wait. */
uint64_t rt_slice_end(const struct cpu_sched *cs, const struct thread *t) {
  uint64_t end = NEVER;
  if (t->policy != SCHED_ABI_FIFO) {
    end = t->since + (uint64_t)MAX(t->left, (int64_t)sched_rules.share.slice_least);
  }
  if (t->prio >= RUNQ_FIRST_TIMESHARE) { /* it runs while they are throttled */
    return MIN(end, cs->rt.start + sched_rules.rt_period);
  }
  end = MIN(end, rt_look_end(cs, t));
  return runq_has_timeshare(&cs->rq) ? MIN(end, rt_budget_end(cs, t)) : end;
}

/* ---- changes --------------------------------------------------------------------------------- */

struct change {
  bool set_policy, set_boost, set_affinity;
  uint8_t policy, rt_priority, boost;
  int8_t nice;
  uint64_t affinity;
};

static void change_fields(struct cpu_sched *cs, struct thread *t, const struct change *c)
    HOLDS(&cs->lock) {
  if (c->set_policy) {
    int64_t left = t->left;
    bool realtime = t->weight == 0;
    t->policy = c->policy;
    t->rt_priority = c->rt_priority;
    t->nice = c->nice;
    t->weight = c->policy == SCHED_ABI_OTHER ? share_weight(c->nice) : 0;
    t->quantum = quantum_of(cs, t);
    t->left = MIN(t->left, t->quantum);
    t->least = sched_rules.share.slice_least;
    sched_even_change(t, left, realtime);
  }
  t->boost = c->set_boost ? c->boost : t->boost;
  t->affinity = c->set_affinity ? c->affinity : t->affinity;
  thread_prio_update(t);
}

/* Off the hand-off or the queue of cs, if it is there. */
static bool thread_unqueue(struct cpu_sched *cs, struct thread *t) HOLDS(&cs->lock) {
  if (cs->handoff == t) {
    cs->handoff = NULL;
    cs->handoff_end = NEVER;
    return true;
  }
  if (runq_is_queued(&t->rq)) {
    runq_remove(&cs->rq, &t->rq);
    return true;
  }
  return false;
}

/* Back into the round in which it waited: a change must not bring it another turn. The current
 * thread's slice may have had no end, for t was in the hand-off, or of another class. */
static void change_requeue(struct cpu_sched *cs, struct thread *t, bool late) HOLDS(&cs->lock) {
  if (late && t->prio >= RUNQ_FIRST_TIMESHARE) {
    runq_push_expired(&cs->rq, &t->rq, t->prio);
  } else {
    runq_push(&cs->rq, &t->rq, t->prio);
  }
  if (t->prio < cs->current->prio || cs->slice_end == NEVER) {
    cpu_resched(cs);
  }
}

/* Answers whether t must be placed on another CPU by the caller. */
static bool change_apply(struct cpu_sched *cs, struct thread *t, const struct change *c)
    HOLDS(&cs->lock) {
  bool late = runq_is_queued(&t->rq) && t->rq.queue >> 6 == runq_expired(&cs->rq);
  bool queued = thread_unqueue(cs, t);
  uint64_t weight = t->weight;
  change_fields(cs, t, c);
  if (cs->current == t) {
    prio_publish(cs, t, arch_tsc());
  }
  bool allowed = t->affinity >> cs->id & 1;
  if (queued || cs->current == t) { /* [E1] */
    cs->weight += (queued && !allowed ? 0 : t->weight) - weight;
  }
  if (queued && allowed) {
    change_requeue(cs, t, late);
  } else if (queued) {
    t->since = arch_tsc(); /* to wait was not to sleep */
  } else if (cs->current == t && (c->set_policy || !allowed || runq_best_prio(&cs->rq) < t->prio)) {
    /* schedule() sends it on, lets the better one run, or gives its slice the end that it has under
     * the new policy: FIFO's is the end of the real-time budget. */
    cpu_resched(cs);
  }
  return queued && !allowed;
}

static void thread_change(struct thread *t, const struct change *c) {
  for (bool settled = false; !settled;) {
    uint32_t cpu = atomic_load(&t->cpu);
    struct cpu_sched *cs = &cpu_scheds[cpu];
    bool away = false;
    spin_lock(&cs->lock);
    settled = atomic_load(&t->cpu) == cpu;
    if (settled) {
      away = change_apply(cs, t, c);
    }
    spin_unlock(&cs->lock);
    if (away) {
      wake_place(t); /* on no queue: nobody else moves it */
      return;
    }
    atomic_thread_fence(memory_order_seq_cst); /* [S4] */
    settled = settled && atomic_load(&t->cpu) == cpu;
  }
}

void sched_set_policy(struct thread *t, uint8_t policy, uint8_t rt_priority, int8_t nice) {
  thread_change(t, &(struct change){
                       .set_policy = true,
                       .policy = policy,
                       .rt_priority = rt_priority,
                       .nice = nice,
                   });
}

void sched_boost(struct thread *t, uint8_t prio) {
  thread_change(t, &(struct change){.set_boost = true, .boost = prio});
}

void sched_set_affinity(struct thread *t, uint64_t mask) {
  thread_change(t, &(struct change){.set_affinity = true, .affinity = mask});
  if (t == thread_current() && !(mask >> cpu_id() & 1)) {
    sched_preempt();
  }
}
