/* The choice of balance.h. Both look at the CPUs in the order self + 1, self + 2, ... round. */
#include "sched/balance.h"

/* The CPUs of the mask but self, rotated so that bit 0 is self + 1. */
static uint64_t others_after(uint64_t mask, uint32_t self) {
  uint64_t others = mask & ~(UINT64_C(1) << self);
  uint32_t by = (self + 1) & 63;
  return by == 0 ? others : others >> by | others << (64 - by);
}

uint32_t balance_victim(const struct balance_view *v, uint32_t self, uint32_t least) {
  uint32_t victim = BALANCE_NONE, most = least - 1;
  for (uint64_t rest = others_after(v->mask, self); rest != 0; rest &= rest - 1) {
    uint32_t cpu = (self + 1 + bit_first(rest)) & 63;
    if (v->waiting[cpu] > most) {
      most = v->waiting[cpu];
      victim = cpu;
    }
  }
  return victim;
}

/* Of the CPUs in `others`, as others_after() has them. */
static uint32_t least_loaded(const struct balance_view *v, uint32_t self, uint64_t others) {
  uint32_t target = BALANCE_NONE, fewest = UINT32_MAX;
  for (uint64_t rest = others; rest != 0; rest &= rest - 1) {
    uint32_t cpu = (self + 1 + bit_first(rest)) & 63;
    if (v->load[cpu] < fewest) {
      fewest = v->load[cpu];
      target = cpu;
    }
  }
  return target;
}

uint32_t balance_target(const struct balance_view *v, uint32_t self) {
  bool behind = v->realtime >> self & 1;
  uint64_t others = others_after(v->mask & ~v->realtime, self);
  if (behind && others == 0) {
    others = others_after(v->mask, self);
    behind = false;
  }
  uint32_t target = least_loaded(v, self, others);
  if (target == BALANCE_NONE || behind) {
    return target;
  }
  return v->load[self] > v->load[target] ? target : BALANCE_NONE;
}

/* ---- shares across CPUs -------------------------------------------------------------------- */

/* Who weighs no less than the mean of the CPUs that are left fills one. Fills the level's mask and
 * weight. */
static void level_fill(struct balance_level *level, const struct balance_loads *loads) {
  uint64_t weight = 0, cpus = bit_count(loads->mask); /* > 0 */
  for (uint64_t rest = loads->mask; rest != 0; rest &= rest - 1) {
    weight += loads->weight[bit_first(rest)];
  }
  level->filled = 0;
  for (uint64_t before = 1; before != level->filled && cpus > 1;) {
    before = level->filled;
    for (uint64_t rest = loads->mask & ~before; rest != 0 && cpus > 1; rest &= rest - 1) {
      uint32_t cpu = bit_first(rest);
      uint64_t heaviest = MIN(loads->heaviest[cpu], loads->weight[cpu]); /* it may be gone */
      if (heaviest != 0 && heaviest * cpus >= weight) {
        level->filled |= UINT64_C(1) << cpu;
        weight -= heaviest;
        cpus--;
      }
    }
  }
  level->weight = MAX(weight / cpus, 1ul);
}

void balance_level(struct balance_level *level, const struct balance_loads *loads,
                   const struct balance_lengths *lengths, int64_t otherwise) {
  uint64_t among = loads->mask & loads->known, weight = 0;
  level->lengths = *lengths;
  level_fill(level, loads);
  among &= ~level->filled;
  for (uint64_t rest = among; rest != 0; rest &= rest - 1) {
    weight += loads->weight[bit_first(rest)];
  }
  if (weight == 0) {
    level->served = otherwise;
    return;
  }
  int64_t base = loads->served[bit_first(among)], sum = 0, most = INT64_C(1) << 40;
  for (uint64_t rest = among; rest != 0; rest &= rest - 1) {
    uint32_t cpu = bit_first(rest);
    int64_t part = (int64_t)((loads->weight[cpu] << 16) / weight);
    sum += MAX(MIN(loads->served[cpu] - base, most), -most) * part >> 16;
  }
  level->served = base + sum;
}

int64_t balance_bound(const struct balance_level *level, int64_t served) {
  int64_t most = (int64_t)((level->lengths.limit << 16) / level->weight);
  int64_t off = served - level->served;
  bool is_new = off > 2 * most || off < -2 * most;
  return level->served + (is_new ? 0 : MAX(MIN(off, most), -most));
}

static int64_t horizon_of(const struct balance_level *level) {
  return (int64_t)(level->lengths.horizon >> BALANCE_UNIT);
}

/* Of one thread, or of a CPU's mean. */
static int64_t due_of(const struct balance_level *level, uint64_t weight, int64_t lead) {
  int64_t horizon = horizon_of(level), time = MIN(horizon - lead, 4 * horizon);
  return MAX(time, (int64_t)0) * (int64_t)weight / (int64_t)level->weight;
}

/* What the threads of a CPU are due; less than nothing if it is idle. */
static int64_t cpu_due(const struct balance_level *level, const struct balance_loads *loads,
                       uint32_t cpu) {
  int64_t lead = balance_lead(level, balance_bound(level, loads->served[cpu]));
  return loads->weight[cpu] == 0 ? -1 : due_of(level, loads->weight[cpu], lead);
}

/* The CPU for which sign x cpu_due() is least. */
static uint32_t furthest(const struct balance_level *level, const struct balance_loads *loads,
                         uint32_t self, uint64_t among, int64_t sign) {
  uint32_t best = BALANCE_NONE;
  int64_t least = INT64_MAX;
  uint64_t others = others_after(loads->mask & among & ~level->filled, self);
  for (uint64_t rest = others; rest != 0; rest &= rest - 1) {
    uint32_t cpu = (self + 1 + bit_first(rest)) & 63;
    int64_t due = sign * cpu_due(level, loads, cpu);
    best = due < least ? cpu : best;
    least = MIN(due, least);
  }
  return best;
}

uint32_t balance_ahead(const struct balance_level *level, const struct balance_loads *loads,
                       uint32_t self, uint64_t among) {
  return furthest(level, loads, self, among, 1);
}

uint32_t balance_behind(const struct balance_level *level, const struct balance_loads *loads,
                        uint32_t self, uint64_t among) {
  return furthest(level, loads, self, among, -1);
}

/* The sum of squares of one side, over the horizon. */
static int64_t side_cost(const struct balance_level *level, uint64_t n, uint64_t weight,
                         int64_t due) {
  int64_t rate = (int64_t)MIN((level->weight << 16) / weight, BALANCE_RATE_MOST);
  int64_t lead = (horizon_of(level) - due) * rate >> 16;
  return lead * lead / MAX(horizon_of(level), (int64_t)1) * (int64_t)n;
}

static const struct balance_thread nobody = {.cpus = UINT64_MAX};

static const struct balance_thread *thread_at(const struct balance_side *side, uint32_t i) {
  return i == BALANCE_NONE ? &nobody : &side->threads[i];
}

/* The costs of both sides when a has given one and b the other; INT64_MAX when that cannot be. */
static int64_t swap_cost(const struct balance_level *level, const struct balance_side *a,
                         const struct balance_side *b, const struct balance_swap *s) {
  const struct balance_thread *give = thread_at(a, s->give), *take = thread_at(b, s->take);
  if (!(give->cpus >> b->cpu & 1) || !(take->cpus >> a->cpu & 1)) {
    return INT64_MAX;
  }
  uint64_t n = (s->give != BALANCE_NONE) - (uint64_t)(s->take != BALANCE_NONE);
  uint64_t weight = give->weight - take->weight; /* modulo 2^64, as n */
  int64_t due = give->due - take->due;
  if (a->weight - weight == 0 || b->weight + weight == 0) {
    return INT64_MAX;
  }
  return side_cost(level, a->n - n, a->weight - weight, a->due - due) +
         side_cost(level, b->n + n, b->weight + weight, b->due + due);
}

struct balance_swap balance_swap(const struct balance_level *level, const struct balance_side *a,
                                 const struct balance_side *b, int64_t least) {
  struct balance_swap best = {BALANCE_NONE, BALANCE_NONE, 0};
  int64_t now = swap_cost(level, a, b, &best);
  for (uint32_t i = 0; i <= a->n_threads; i++) {
    for (uint32_t j = 0; j <= b->n_threads; j++) {
      struct balance_swap s = {i < a->n_threads ? i : BALANCE_NONE,
                               j < b->n_threads ? j : BALANCE_NONE, 0};
      int64_t then = swap_cost(level, a, b, &s);
      int64_t moves = (s.give != BALANCE_NONE) + (s.take != BALANCE_NONE);
      s.gain = then == INT64_MAX ? 0 : now - then - moves * least;
      best = s.gain > best.gain ? s : best;
    }
  }
  return best;
}

/* Where a thread of that due goes among the candidates. */
static uint32_t candidate_place(struct balance_side *a, int64_t due) {
  if (a->n_threads < BALANCE_THREADS) {
    return a->n_threads++;
  }
  uint32_t least = 0;
  for (uint32_t i = 1; i < BALANCE_THREADS; i++) {
    least = a->threads[i].due < a->threads[least].due ? i : least;
  }
  return a->threads[least].due < due ? least : BALANCE_NONE;
}

uint32_t balance_side_add(const struct balance_level *level, struct balance_side *a,
                          const struct balance_thread *t, bool waits) {
  int64_t due = due_of(level, t->weight, t->lead);
  a->n++;
  a->weight += t->weight;
  a->due += due;
  a->above += t->lead * (int64_t)t->weight;
  a->n_heaviest = t->weight > a->heaviest ? 1 : a->n_heaviest + (t->weight == a->heaviest);
  a->heaviest = MAX(a->heaviest, t->weight);
  uint32_t at = waits ? candidate_place(a, due) : BALANCE_NONE;
  if (at != BALANCE_NONE) {
    a->threads[at] = *t;
    a->threads[at].due = due;
  }
  return at;
}

void balance_side_rest(const struct balance_level *level, struct balance_side *a, uint64_t n,
                       uint64_t weight) {
  int64_t lead = balance_side_lead(a);
  a->n += n;
  a->weight += weight;
  a->due += due_of(level, weight, lead);
  a->above += lead * (int64_t)weight;
}

int64_t balance_owed(const struct balance_level *level, const struct balance_side *a,
                     const struct balance_thread *t, struct balance_turn turn) {
  int64_t behind = balance_side_lead(a) - t->lead, weight = (int64_t)t->weight;
  int64_t half = behind * (1 << (BALANCE_UNIT - 1)) * weight / (int64_t)level->weight;
  int64_t had = (int64_t)level->lengths.interval / 2 * weight / (int64_t)a->weight;
  int64_t most = MIN(MAX(turn.quantum / 2, had), DEBT_QUANTA / 2 * turn.quantum);
  return MAX(MIN(turn.owed + half, most), -most);
}

uint32_t balance_leaver(const struct balance_level *level, const struct balance_side *a,
                        uint32_t to) {
  uint32_t best = BALANCE_NONE;
  bool one_fills = level->filled >> a->cpu & 1 && a->n_heaviest == 1;
  for (uint32_t i = 0; i < a->n_threads; i++) {
    const struct balance_thread *t = &a->threads[i];
    bool stays = (one_fills && t->weight == a->heaviest) || !(t->cpus >> to & 1);
    if (!stays && (best == BALANCE_NONE || t->due > a->threads[best].due)) {
      best = i;
    }
  }
  return best;
}
