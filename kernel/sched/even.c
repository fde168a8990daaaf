/* Even shares across CPUs: who is owed time, and who is moved, so that each thread has its share,
 * whatever CPU it is on. The choice is balance.c's, and so are the words: served, level, lead, due.
 *
 * A look reads what the others last noted of themselves, and goes through the threads of CPUs whose
 * note is old, this one's, and those of two candidates to swap with: the one whose threads are
 * furthest ahead, and the one most behind. What a thread is served is kept in it. Sleep counts as
 * if it had been served at the level's rate, so who sleeps is not behind for that; and who is ahead
 * and sleeps gives back by that, so it need not when it wakes up.
 *
 * Locks: one RUNQ at a time. What is read without one is old: a wrong choice costs a move.
 * [E1] A CPU's weight is that of its current thread, of its hand-off and of all that are queued.
 * Limits: at most WALK_MOST threads of a CPU are looked at, BALANCE_THREADS of them as candidates,
 * the others count as the mean of those and are owed nothing more: it will be their turn. */
#include "sched/balance.h"
#include "sched/sched_priv.h"

#define WALK_MOST 64u
/* How far a swap thinks ahead, and the most that a thread is ahead or behind: in halves of
 * balance_lag_us. */
#define HALVES_HORIZON 5u
#define HALVES_LIMIT 50u

struct survey {
  struct balance_side side;
  struct thread *threads[BALANCE_THREADS]; /* as side.threads; may be gone since */
  uint64_t cpus;                           /* where any of those may run, or one that was */
};

/* Too large for a stack; each CPU uses its own, with interrupts off. */
struct look {
  uint64_t now;
  struct balance_loads loads;
  struct balance_level level;
  struct survey self, others[2];
  uint32_t n_walked;
  struct thread *walked[WALK_MOST + 1]; /* of the CPU that is surveyed now */
};
static OF_EACH_CPU struct look looks[MAX_CPUS];

/* A part of a thread's or CPU's time by weight; what is out of all bounds may be cut off. */
static int64_t by_weight(int64_t ticks, uint64_t weight) {
  int64_t most = INT64_C(1) << 45;
  return MAX(MIN(ticks, most), -most) * SHARE_WEIGHT_ONE / (int64_t)weight;
}

/* ---- what is known of CPUs ------------------------------------------------------------------ */

static uint64_t half_lags(uint64_t n) {
  return sched_rules.lag / 2 * n;
}

static bool is_old(const struct cpu_sched *cs, uint64_t now, uint64_t age) {
  return now - MIN(cs->even.at, now) >= age;
}

/* What cs is served by now, of what was noted. */
static int64_t served_now(const struct cpu_sched *cs, uint64_t now, uint64_t weight) {
  uint64_t age = now - MIN(cs->even.at, now);
  return cs->even.served + by_weight((int64_t)age, MAX(weight, (uint64_t)1));
}

/* Older notes say nothing. */
static uint64_t age_most(void) {
  return MAX(half_lags(HALVES_LIMIT), 2 * sched_rules.balance);
}

static void load_read(struct look *l, uint32_t cpu) {
  const struct cpu_sched *cs = &cpu_scheds[cpu];
  uint64_t bit = UINT64_C(1) << cpu, weight = cs->weight;
  l->loads.weight[cpu] = weight;
  l->loads.heaviest[cpu] = cs->even.heaviest;
  l->loads.served[cpu] = served_now(cs, l->now, weight);
  bool known = weight != 0 && !is_old(cs, l->now, age_most());
  l->loads.known = known ? l->loads.known | bit : l->loads.known & ~bit;
}

/* The level, of what the CPUs have noted. */
static void level_find(struct look *l, uint32_t self) {
  struct balance_lengths lengths = {.limit = half_lags(HALVES_LIMIT),
                                    .horizon = half_lags(HALVES_HORIZON),
                                    .interval = sched_rules.balance};
  for (uint64_t rest = l->loads.mask; rest != 0; rest &= rest - 1) {
    load_read(l, bit_first(rest));
  }
  balance_level(&l->level, &l->loads, &lengths, cpu_scheds[self].even.served);
}

/* ---- the threads of one --------------------------------------------------------------------- */

/* What t has had, and will have in this round: so it does not matter for whom a round is over. */
static uint64_t thread_due(const struct cpu_sched *cs, const struct thread *t, uint64_t now)
    HOLDS(&cs->lock) {
  uint64_t due = t->run + (uint64_t)(t->left + t->even.owed);
  if (t == cs->current) {
    return due + (cs->slice_end == NEVER ? now - MIN(t->since, now) : 0);
  }
  bool comes = t->left <= 0 && t->round != cs->rq.round && runq_is_queued(&t->rq) &&
               t->rq.queue >> 6 == runq_active(&cs->rq);
  return due + (comes ? (uint64_t)share_scaled(&sched_rules.share, &cs->share_round, t->nice) : 0);
}

/* Whether t is due a whole CPU, or nobody has looked for so long that all is forgotten. */
static bool is_level(const struct look *l, const struct cpu_sched *cs, const struct thread *t)
    HOLDS(&cs->lock) {
  bool fills = l->level.filled >> cs->id & 1 && t->weight >= cs->even.heaviest;
  bool is_new = t->even.due == 0 || is_old(cs, l->now, age_most());
  return fills || is_new;
}

/* Brings up to now what t is served. */
static void thread_serve(const struct look *l, struct cpu_sched *cs, struct thread *t)
    HOLDS(&cs->lock) {
  uint64_t due = thread_due(cs, t, l->now);
  int64_t slept = by_weight((int64_t)(t->slept - t->even.slept), l->level.weight);
  int64_t had = by_weight((int64_t)(due - t->even.due), t->weight);
  int64_t served = t->even.served + had + slept, ahead = served - l->level.served;
  served -= ahead > 0 ? MIN(ahead, slept) : 0;
  t->even.served = is_level(l, cs, t) ? l->level.served : balance_bound(&l->level, served);
  t->even.due = due;
  t->even.slept = t->slept;
}

static bool takes_part(const struct thread *t) {
  return t->weight != 0 && t->prio >= RUNQ_FIRST_TIMESHARE;
}

static struct balance_thread part_of(const struct look *l, const struct thread *t) {
  return (struct balance_thread){
      .weight = t->weight, .cpus = t->affinity, .lead = balance_lead(&l->level, t->even.served)};
}

/* One more of the threads of cs. */
static void survey_add(const struct look *l, struct survey *s, struct cpu_sched *cs,
                       struct thread *t) HOLDS(&cs->lock) {
  thread_serve(l, cs, t);
  struct balance_thread part = part_of(l, t);
  uint64_t others = t->affinity & l->loads.mask & ~(UINT64_C(1) << cs->id);
  bool waits = t != cs->current && t->run != t->even.moved && others != 0;
  uint32_t at = balance_side_add(&l->level, &s->side, &part, waits);
  if (at != BALANCE_NONE) {
    s->threads[at] = t;
    s->cpus |= t->affinity;
  }
}

/* Who takes part of those that run or wait on cs, of the first. */
static void walk(struct look *l, const struct cpu_sched *cs) HOLDS(&cs->lock) {
  uint64_t weight = cs->current->weight + (cs->handoff != NULL ? cs->handoff->weight : 0);
  struct runq_node *node = runq_turn_first(&cs->rq);
  l->n_walked = 0;
  if (takes_part(cs->current)) {
    l->walked[l->n_walked++] = cs->current;
  }
  for (uint32_t i = 0; node != NULL && i < WALK_MOST; i++) {
    struct thread *t = CONTAINER_OF(node, struct thread, rq);
    weight += t->weight;
    if (takes_part(t)) {
      l->walked[l->n_walked++] = t;
    }
    node = runq_turn_next(&cs->rq, node);
  }
  kassert_debug(node != NULL || weight == cs->weight); /* [E1] */
}

/* What t is owed by the others on its CPU, or owes them. */
static void thread_owe(const struct look *l, const struct survey *s, struct thread *t) {
  struct balance_thread part = part_of(l, t);
  struct balance_turn turn = {.owed = t->even.owed, .quantum = t->quantum};
  t->even.owed = balance_owed(&l->level, &s->side, &part, turn);
}

/* Looks at the threads of a CPU, evens them out, and notes for it how they are served. */
static void survey(struct look *l, struct survey *s, uint32_t cpu) {
  struct cpu_sched *cs = &cpu_scheds[cpu];
  *s = (struct survey){.side.cpu = cpu};
  spin_lock(&cs->lock);
  walk(l, cs);
  for (uint32_t i = 0; i < l->n_walked; i++) {
    survey_add(l, s, cs, l->walked[i]);
  }
  if (cs->weight != s->side.weight) {
    balance_side_rest(&l->level, &s->side, cpu_waiting(cs) + 1ul - s->side.n,
                      cs->weight - s->side.weight);
  }
  for (uint32_t i = 0; i < l->n_walked; i++) {
    thread_owe(l, s, l->walked[i]);
  }
  if (cs->weight != 0) {
    cs->even.served = balance_served(&l->level, balance_side_lead(&s->side));
    cs->even.at = l->now;
    cs->even.heaviest = s->side.heaviest;
  }
  spin_unlock(&cs->lock);
}

void sched_even_gift(struct thread *t, int64_t ticks) {
  t->even.due -= t->even.due != 0 ? (uint64_t)ticks : 0;
}

void sched_even_change(struct thread *t, int64_t left, bool realtime) {
  t->even.due =
      realtime || t->even.due == 0 ? 0 : t->even.due + (uint64_t)(t->left - left - t->even.owed);
  t->even.owed = 0;
}

/* ---- moves ---------------------------------------------------------------------------------- */

/* t comes to cs, or has left it: what that does to the mean there. */
static void mean_shift(const struct look *l, struct cpu_sched *cs, const struct thread *t,
                       bool comes) HOLDS(&cs->lock) {
  int64_t served = balance_bound(&l->level, served_now(cs, l->now, cs->weight));
  int64_t off = (t->even.served - served) / (1 << BALANCE_UNIT);
  int64_t weight = (int64_t)cs->weight + (comes ? t->weight : 0);
  cs->even.at = l->now;
  cs->even.served = served;
  if (weight != 0) {
    int64_t part = off * t->weight / weight * (1 << BALANCE_UNIT);
    cs->even.served += comes ? part : -part;
  }
}

/* t, which waits, leaves cs. Whose turn is over waits for the next round there too, and what is
 * left of a quantum it keeps; who has had none of it gets one there. */
static void thread_leave(struct cpu_sched *cs, struct thread *t, uint32_t to) HOLDS(&cs->lock) {
  uint32_t round = cpu_scheds[to].rq.round;
  bool had = t->left > 0 || t->rq.queue >> 6 == runq_expired(&cs->rq);
  runq_remove(&cs->rq, &t->rq);
  cs->weight -= t->weight; /* [E1] */
  t->round = had ? round : round - 2;
  t->since = NEVER; /* neither to wait is to sleep, nor to be on the way */
  t->even.moved = t->run;
}

/* Off cs, if it is still there: `wanted` is only compared. */
static struct thread *thread_find(struct cpu_sched *cs, const struct thread *wanted)
    HOLDS(&cs->lock) {
  struct runq_node *node = runq_turn_first(&cs->rq);
  for (uint32_t walked = 0; node != NULL && walked < WALK_MOST; walked++) {
    struct thread *t = CONTAINER_OF(node, struct thread, rq);
    if (t == wanted) {
      return t;
    }
    node = runq_turn_next(&cs->rq, node);
  }
  return NULL;
}

static struct thread *thread_move(const struct look *l, const struct thread *wanted, uint32_t from,
                                  uint32_t to) {
  struct cpu_sched *cs = &cpu_scheds[from], *there = &cpu_scheds[to];
  spin_lock(&cs->lock);
  struct thread *t = thread_find(cs, wanted);
  bool goes = t != NULL && takes_part(t) && t->affinity >> to & 1;
  if (goes) {
    thread_leave(cs, t, to);
    mean_shift(l, cs, t, false);
  }
  spin_unlock(&cs->lock);
  if (!goes) {
    return NULL;
  }
  trace(TRACE_MIGRATE, t->arch.id, from | (uint64_t)to << 32);
  spin_lock(&there->lock);
  mean_shift(l, there, t, true);
  spin_unlock(&there->lock);
  return t;
}

/* Thread i of this CPU's survey goes to another. */
static void give(const struct look *l, uint32_t i, uint32_t to) {
  struct thread *t = thread_move(l, l->self.threads[i], l->self.side.cpu, to);
  if (t != NULL) {
    counter_add(COUNTER_PUSHES, 1);
    wake_send(to, t);
  }
}

/* Thread i of another's comes here. */
static void take(const struct look *l, const struct survey *from, uint32_t i) {
  struct thread *t = thread_move(l, from->threads[i], from->side.cpu, l->self.side.cpu);
  if (t != NULL) {
    counter_add(COUNTER_STEALS, 1);
    wake_settle(t);
  }
}

/* ---- a look --------------------------------------------------------------------------------- */

/* CPUs that no real-time thread has, and self. */
static uint64_t mask_timeshare(uint32_t self) {
  uint64_t mask = sched_online_mask();
  for (uint64_t rest = mask & ~(UINT64_C(1) << self); rest != 0; rest &= rest - 1) {
    uint32_t cpu = bit_first(rest);
    uint32_t prio = atomic_load_explicit(&cpu_scheds[cpu].prio, memory_order_relaxed);
    mask &= prio < RUNQ_FIRST_TIMESHARE ? ~(UINT64_C(1) << cpu) : UINT64_MAX;
  }
  return mask;
}

/* Notes of all CPUs that are not older than a balance interval, and one of this. */
static void look_round(struct look *l, uint32_t self) {
  level_find(l, self);
  for (uint64_t rest = l->loads.mask & ~(UINT64_C(1) << self); rest != 0; rest &= rest - 1) {
    uint32_t cpu = bit_first(rest);
    if (l->loads.weight[cpu] != 0 && is_old(&cpu_scheds[cpu], l->now, sched_rules.balance)) {
      survey(l, &l->others[0], cpu);
    }
  }
  survey(l, &l->self, self);
  level_find(l, self);
}

/* The better of the swaps with the two CPUs. */
static void swap(struct look *l, const uint32_t cpus[2]) {
  struct balance_swap best = {BALANCE_NONE, BALANCE_NONE, 0};
  const struct survey *with = NULL;
  for (uint32_t i = 0; i < 2; i++) {
    if (cpus[i] == BALANCE_NONE || (i == 1 && cpus[1] == cpus[0])) {
      continue;
    }
    survey(l, &l->others[i], cpus[i]);
    struct balance_swap s = balance_swap(&l->level, &l->self.side, &l->others[i].side,
                                         (int64_t)(sched_rules.lag >> BALANCE_UNIT));
    if (s.gain > best.gain) {
      best = s;
      with = &l->others[i];
    }
  }
  if (best.give != BALANCE_NONE) {
    give(l, best.give, with->side.cpu);
  }
  if (best.take != BALANCE_NONE) {
    take(l, with, best.take);
  }
}

void sched_even(struct cpu_sched *cs, uint64_t now) {
  struct look *l = &looks[cs->id];
  l->now = now;
  l->loads.mask = mask_timeshare(cs->id);
  if (bit_count(l->loads.mask) == 1) {
    return;
  }
  look_round(l, cs->id);
  uint32_t ahead = balance_ahead(&l->level, &l->loads, cs->id, l->self.cpus);
  if (ahead == BALANCE_NONE) {
    return;
  }
  if (l->level.filled >> cs->id & 1 || l->loads.weight[ahead] == 0) {
    uint32_t leaver = balance_leaver(&l->level, &l->self.side, ahead);
    if (leaver != BALANCE_NONE) {
      give(l, leaver, ahead);
    }
    return;
  }
  uint32_t cpus[2] = {ahead, balance_behind(&l->level, &l->loads, cs->id, l->self.cpus)};
  swap(l, cpus);
}
