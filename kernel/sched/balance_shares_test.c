// test-sources: balance.c share.c
/* Shares across CPUs: the choices against looking at everything, and what they come to, in a model
 * of some CPUs that take turns by quanta and swap threads as even.c does. */
#include <math.h>

#include "lib/rng.h"
#include "lib/tap.h"
#include "sched/balance.h"

#define MS 1000000 /* ticks: 1 GHz */
#define N_SWAPS 20000
#define LAG (40 * MS)
#define INTERVAL (20 * MS)
static const struct balance_lengths lengths = {
    .limit = 25ul * LAG, .horizon = 5ul * LAG / 2, .interval = INTERVAL};

static struct rng rng;

/* ---- one choice ------------------------------------------------------------------------------ */

static uint64_t weight_random(int32_t least, int32_t most) {
  return share_weight(least + (int32_t)rng_below(&rng, (uint32_t)(most - least + 1)));
}

/* With all its threads as candidates. */
static void side_random(const struct balance_level *l, struct balance_side *s, uint32_t cpu) {
  uint32_t n = 1 + rng_below(&rng, BALANCE_THREADS - 1); /* room for one that is added */
  *s = (struct balance_side){.cpu = cpu};
  for (uint32_t i = 0; i < n; i++) {
    struct balance_thread t = {.weight = weight_random(-5, 5),
                               .cpus = rng_one_in(&rng, 4) ? UINT64_C(1) << cpu : UINT64_MAX};
    int64_t most = rng_one_in(&rng, 4) ? 8l * LAG : LAG;
    t.lead = ((int64_t)rng_below(&rng, (uint32_t)(2 * most)) - most) >> BALANCE_UNIT;
    balance_side_add(l, s, &t, true);
  }
}

/* Of the leads that all its threads will have. */
static double square_sum(const struct balance_side *s, double mean, double horizon) {
  double due = 0, weight = 0;
  for (uint32_t i = 0; i < s->n_threads; i++) {
    double time = fmin(fmax(horizon - (double)s->threads[i].lead, 0), 4 * horizon);
    due += (double)s->threads[i].weight * time / mean;
    weight += (double)s->threads[i].weight;
  }
  double lead = (horizon - due) * fmin(mean / weight, BALANCE_RATE_MOST / 65536.0);
  return s->n_threads * lead * lead;
}

static void thread_carry(struct balance_side *to, struct balance_side *from, uint32_t i) {
  to->threads[to->n_threads++] = from->threads[i];
  from->threads[i] = from->threads[--from->n_threads];
}

/* What a swap does to the sum of squares, by the horizon and less what its moves must gain. */
static double gain_of(const struct balance_level *l, struct balance_side a, struct balance_side b,
                      uint32_t give, uint32_t take, int64_t least) {
  double h = (double)(l->lengths.horizon >> BALANCE_UNIT), mean = (double)l->weight;
  double before = square_sum(&a, mean, h) + square_sum(&b, mean, h);
  struct balance_side none = {0}, way = {0};
  if (give != BALANCE_NONE) {
    thread_carry(&way, &a, give);
  }
  if (take != BALANCE_NONE) {
    thread_carry(&none, &b, take);
    thread_carry(&a, &none, 0);
  }
  if (give != BALANCE_NONE) {
    thread_carry(&b, &way, 0);
  }
  double moves = (give != BALANCE_NONE) + (take != BALANCE_NONE);
  if (a.n_threads == 0 || b.n_threads == 0) {
    return -INFINITY;
  }
  return (before - square_sum(&a, mean, h) - square_sum(&b, mean, h)) / h - moves * (double)least;
}

static bool may_move(const struct balance_side *from, uint32_t i, const struct balance_side *to) {
  return i == BALANCE_NONE || from->threads[i].cpus >> to->cpu & 1;
}

static bool swap_matches(void) {
  struct balance_side a, b;
  struct balance_level l = {.weight = weight_random(-5, 5) * (1 + rng_below(&rng, 8)),
                            .lengths = lengths};
  side_random(&l, &a, 3);
  side_random(&l, &b, 7);
  int64_t least = (int64_t)rng_below(&rng, LAG) >> BALANCE_UNIT;
  struct balance_swap s = balance_swap(&l, &a, &b, least);
  double h = (double)(lengths.horizon >> BALANCE_UNIT), best = 0, got = 0;
  for (uint32_t i = 0; i <= a.n_threads; i++) {
    for (uint32_t j = 0; j <= b.n_threads; j++) {
      uint32_t give = i < a.n_threads ? i : BALANCE_NONE, take = j < b.n_threads ? j : BALANCE_NONE;
      double gain = may_move(&a, give, &b) && may_move(&b, take, &a)
                        ? gain_of(&l, a, b, give, take, least)
                        : -INFINITY;
      best = fmax(best, gain);
      got = give == s.give && take == s.take ? gain : got;
    }
  }
  /* Sums are rounded by some units a thread, and rates to 2^-16. */
  double sums = square_sum(&a, (double)l.weight, h) + square_sum(&b, (double)l.weight, h);
  double slack = 0.003 * (sums / h + LAG / (1 << BALANCE_UNIT));
  return got >= best - slack && fabs((double)s.gain - got) <= slack;
}

RNG_FUZZ(&rng, TAP_REQUIRE(swap_matches()));

static bool swaps_match(void) {
  bool ok = true;
  for (unsigned i = 0; i < N_SWAPS && ok; i++) {
    ok = swap_matches();
  }
  return ok;
}

/* ---- within a CPU ---------------------------------------------------------------------------- */

/* Some threads of one CPU, whose leads are evened out look by look: some rounds pass between two,
 * and nothing moves the mean. Answers how far apart they are at last. */
static double spread_after(struct balance_thread *threads, uint32_t n, unsigned looks,
                           int64_t rounds) {
  struct balance_level l = {.weight = 0, .lengths = lengths};
  for (uint32_t i = 0; i < n; i++) {
    l.weight += threads[i].weight;
  }
  double least = INFINITY, most = -INFINITY;
  for (unsigned look = 0; look <= looks; look++) {
    struct balance_side side = {0};
    for (uint32_t i = 0; i < n; i++) {
      balance_side_add(&l, &side, &threads[i], true);
    }
    for (uint32_t i = 0; i < n && look < looks; i++) {
      struct balance_thread *t = &threads[i];
      int64_t had = (int64_t)((double)INTERVAL * (double)t->weight / (double)l.weight);
      int64_t quantum = had / rounds + 1;
      int64_t before = balance_owed(&l, &side, t, (struct balance_turn){0, quantum});
      int64_t owed = balance_owed(&l, &side, t, (struct balance_turn){before, quantum}) - before;
      int64_t bound = MIN(MAX(had / 2, quantum / 2), 8 * quantum) + 1;
      TAP_REQUIRE(before <= bound && before >= -bound);
      TAP_REQUIRE(before + owed <= bound && before + owed >= -bound);
      t->lead += (int64_t)((double)before * (double)l.weight / (double)t->weight) >> BALANCE_UNIT;
    }
  }
  for (uint32_t i = 0; i < n; i++) {
    least = fmin(least, (double)threads[i].lead);
    most = fmax(most, (double)threads[i].lead);
  }
  return (most - least) * (1 << BALANCE_UNIT);
}

/* Leads of up to a second end, at half the speed that threads run at, and then by halves. */
static bool leads_even_out(void) {
  bool ok = true;
  for (unsigned i = 0; i < 200 && ok; i++) {
    struct balance_thread threads[BALANCE_THREADS];
    uint32_t n = 2 + rng_below(&rng, BALANCE_THREADS - 1);
    for (uint32_t j = 0; j < n; j++) {
      int64_t lead = (int64_t)rng_below(&rng, 2000u * MS) - 1000 * MS;
      threads[j] =
          (struct balance_thread){.weight = weight_random(-20, 19), .lead = lead >> BALANCE_UNIT};
    }
    ok = spread_after(threads, n, 2 * 2000 / 20 + 20, 1 + rng_below(&rng, 8)) <= MS;
  }
  return ok;
}

/* ---- what is due ----------------------------------------------------------------------------- */

/* Of n weights on some CPUs: each its share, nobody more than a CPU, by definition. */
static void due_find(double *due, const double *weights, uint32_t n, double cpus) {
  double left = 0;
  bool full[64] = {false};
  for (uint32_t i = 0; i < n; i++) {
    left += weights[i];
  }
  for (bool again = true; again;) {
    again = false;
    for (uint32_t i = 0; i < n; i++) {
      if (!full[i] && weights[i] * cpus >= left) {
        full[i] = again = true;
        cpus -= 1;
        left -= weights[i];
      }
    }
  }
  for (uint32_t i = 0; i < n; i++) {
    due[i] = full[i] ? 1 : weights[i] * cpus / left;
  }
}

/* One thread or none a CPU, and one CPU for all others: filled is who is due a CPU. */
static bool level_matches(void) {
  struct balance_loads loads = {.mask = 0xff};
  double weights[64], due[64];
  uint32_t n = 0, rest = 8;
  for (uint32_t cpu = 0; cpu < 8; cpu++) {
    uint32_t more = cpu == 7 ? rest : 1;
    for (uint32_t i = 0; i < more; i++) {
      uint64_t weight = cpu == 7 ? weight_random(0, 19) : weight_random(-20, 0);
      loads.weight[cpu] += weight;
      loads.heaviest[cpu] = MAX(loads.heaviest[cpu], weight);
      weights[n++] = (double)weight;
    }
  }
  struct balance_level l;
  balance_level(&l, &loads, &lengths, 5);
  due_find(due, weights, n, 8);
  bool ok = l.served == 5;
  for (uint32_t cpu = 0; cpu < 7; cpu++) {
    ok = ok && (l.filled >> cpu & 1) == (due[cpu] == 1);
  }
  return ok;
}

static bool levels_match(void) {
  bool ok = true;
  for (unsigned i = 0; i < N_SWAPS && ok; i++) {
    ok = level_matches();
  }
  return ok;
}

/* ---- a model of CPUs ------------------------------------------------------------------------- */

#define STEP 20000
#define THREADS_MOST 48u
#define CPUS_MOST 8u

struct sim_thread {
  int32_t nice;
  uint32_t cpu;
  bool expired;
  uint64_t weight, cpus;
  int64_t run, left, quantum, owed, due, served, moved, from, ran_at, waited;
};

struct sim_cpu {
  struct sim_thread *current;
  int64_t served, at, look_at;
  uint64_t heaviest;
  uint32_t n_looks;
};

static struct sim {
  uint32_t n_cpus, n;
  int64_t now;
  uint64_t moves;
  struct sim_cpu cpus[CPUS_MOST];
  struct sim_thread threads[THREADS_MOST];
  struct balance_loads loads;
  struct balance_level level;
} sim;

static uint32_t cpu_n(uint32_t cpu) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < sim.n; i++) {
    n += sim.threads[i].cpu == cpu;
  }
  return n;
}

static uint64_t cpu_weight(uint32_t cpu) {
  uint64_t weight = 0;
  for (uint32_t i = 0; i < sim.n; i++) {
    weight += sim.threads[i].cpu == cpu ? sim.threads[i].weight : 0;
  }
  return weight;
}

static int64_t cpu_served(uint32_t cpu) {
  const struct sim_cpu *c = &sim.cpus[cpu];
  return c->served +
         (sim.now - c->at) * SHARE_WEIGHT_ONE / (int64_t)MAX(cpu_weight(cpu), (uint64_t)1);
}

static void sim_level(uint32_t self) {
  sim.loads.mask = sim.loads.known = (1ul << sim.n_cpus) - 1;
  for (uint32_t cpu = 0; cpu < sim.n_cpus; cpu++) {
    uint64_t weight = sim.loads.weight[cpu] = cpu_weight(cpu);
    sim.loads.heaviest[cpu] = sim.cpus[cpu].heaviest;
    sim.loads.known &= weight != 0 ? UINT64_MAX : ~(1ul << cpu);
    sim.loads.served[cpu] = cpu_served(cpu);
  }
  balance_level(&sim.level, &sim.loads, &lengths, sim.cpus[self].served);
}

/* Brings up to now what t is served. */
static struct balance_thread thread_serve(struct sim_thread *t) {
  bool fills = sim.level.filled >> t->cpu & 1 && t->weight >= sim.cpus[t->cpu].heaviest;
  int64_t due = t->run + t->left + t->owed;
  t->served += (due - t->due) * SHARE_WEIGHT_ONE / (int64_t)t->weight;
  t->served = fills ? sim.level.served : balance_bound(&sim.level, t->served);
  t->due = due;
  return (struct balance_thread){
      .weight = t->weight, .cpus = t->cpus, .lead = balance_lead(&sim.level, t->served)};
}

static void thread_owe(const struct balance_side *side, struct sim_thread *t) {
  struct balance_thread part = {.weight = t->weight, .lead = balance_lead(&sim.level, t->served)};
  struct balance_turn turn = {t->owed, t->quantum};
  t->owed = balance_owed(&sim.level, side, &part, turn);
}

static void sim_survey(uint32_t cpu, struct balance_side *side, struct sim_thread **who) {
  struct sim_cpu *c = &sim.cpus[cpu];
  *side = (struct balance_side){.cpu = cpu};
  for (struct sim_thread *t = sim.threads; t < sim.threads + sim.n; t++) {
    if (t->cpu == cpu) {
      struct balance_thread part = thread_serve(t);
      bool waits = t != c->current && t->run != t->moved;
      uint32_t at = balance_side_add(&sim.level, side, &part, waits);
      who[at == BALANCE_NONE ? BALANCE_THREADS : at] = t;
    }
  }
  for (struct sim_thread *t = sim.threads; t < sim.threads + sim.n; t++) {
    if (t->cpu == cpu) {
      thread_owe(side, t);
    }
  }
  if (side->weight != 0) {
    c->served = balance_served(&sim.level, balance_side_lead(side));
    c->at = sim.now;
    c->heaviest = side->heaviest;
  }
}

/* t, of that weight, comes to a CPU or leaves it. */
static void mean_shift(uint32_t cpu, const struct sim_thread *t, bool comes) {
  struct sim_cpu *c = &sim.cpus[cpu];
  double served = (double)balance_bound(&sim.level, cpu_served(cpu));
  double weight = (double)cpu_weight(cpu) + (comes ? 1 : -1) * (double)t->weight;
  double part = weight == 0 ? 0 : ((double)t->served - served) * (double)t->weight / weight;
  c->served = (int64_t)(comes ? served + part : served - part);
  c->at = sim.now;
}

static void sim_move(struct sim_thread *t, uint32_t to) {
  mean_shift(t->cpu, t, false);
  mean_shift(to, t, true);
  t->cpu = to;
  t->moved = t->run;
  sim.moves++;
}

static void sim_look(uint32_t self) {
  struct balance_side a, b[2];
  struct sim_thread *mine[BALANCE_THREADS + 1], *theirs[2][BALANCE_THREADS + 1];
  sim_level(self);
  for (uint32_t cpu = 0; cpu < sim.n_cpus; cpu++) {
    if (cpu != self && sim.now - sim.cpus[cpu].at >= INTERVAL) {
      sim_survey(cpu, &b[0], theirs[0]);
    }
  }
  sim_survey(self, &a, mine);
  sim_level(self);
  uint32_t cpus[2] = {balance_ahead(&sim.level, &sim.loads, self, UINT64_MAX),
                      balance_behind(&sim.level, &sim.loads, self, UINT64_MAX)};
  if (cpus[0] == BALANCE_NONE) {
    return;
  }
  if (sim.level.filled >> self & 1 || sim.loads.weight[cpus[0]] == 0) {
    uint32_t i = balance_leaver(&sim.level, &a, cpus[0]);
    if (i != BALANCE_NONE) {
      sim_move(mine[i], cpus[0]);
    }
    return;
  }
  struct balance_swap best = {BALANCE_NONE, BALANCE_NONE, 0};
  uint32_t with = 0;
  for (uint32_t i = 0; i < 2 && cpus[i] != BALANCE_NONE; i++) {
    sim_survey(cpus[i], &b[i], theirs[i]);
    struct balance_swap s = balance_swap(&sim.level, &a, &b[i], LAG >> BALANCE_UNIT);
    with = s.gain > best.gain ? i : with;
    best = s.gain > best.gain ? s : best;
  }
  if (best.give != BALANCE_NONE) {
    sim_move(mine[best.give], cpus[with]);
  }
  if (best.take != BALANCE_NONE) {
    sim_move(theirs[with][best.take], self);
  }
}

static void sim_round(uint32_t cpu) {
  int64_t quanta = 0, slice = 3 * MS, n = (int64_t)cpu_n(cpu), longest = 100 * MS;
  for (uint32_t i = 0; i < sim.n; i++) {
    quanta += sim.threads[i].cpu == cpu ? slice * (int64_t)sim.threads[i].weight >> 16 : 0;
  }
  double scale = (double)MAX(MIN(quanta, longest), MS / 10 * n) / (double)quanta;
  for (uint32_t i = 0; i < sim.n; i++) {
    struct sim_thread *t = &sim.threads[i];
    if (t->cpu == cpu) {
      t->quantum = (int64_t)(scale * (double)(slice * (int64_t)t->weight >> 16));
      int64_t part = MAX(MIN(t->owed, t->quantum / 2), -t->quantum / 2); /* [H6] */
      t->left += t->quantum + part;
      t->owed -= part;
      t->expired = t->left <= 0;
    }
  }
}

static struct sim_thread *sim_pick(uint32_t cpu) {
  struct sim_thread *best = NULL;
  while (cpu_n(cpu) != 0) {
    for (uint32_t i = 0; i < sim.n; i++) {
      struct sim_thread *t = &sim.threads[i];
      best = t->cpu == cpu && !t->expired && (best == NULL || t->nice < best->nice) ? t : best;
    }
    if (best != NULL) {
      return best;
    }
    sim_round(cpu);
  }
  return NULL;
}

static void sim_step(uint32_t cpu) {
  struct sim_cpu *c = &sim.cpus[cpu];
  struct sim_thread *t = c->current;
  bool ends = t != NULL && t->left <= 0 && cpu_n(cpu) > 1;
  if (ends) {
    t->expired = true;
  }
  if (t != NULL && cpu_n(cpu) > 1 && sim.now >= c->look_at) {
    c->look_at = sim.now + (int64_t)balance_delay(INTERVAL, c->n_looks++);
    sim_look(cpu);
  }
  t = c->current = ends || t == NULL ? sim_pick(cpu) : t;
  if (t != NULL) {
    t->waited = MAX(t->waited, sim.now - t->ran_at);
    t->ran_at = sim.now;
    t->run += STEP;
    t->left -= cpu_n(cpu) == 1 ? 0 : STEP;
  }
}

static void sim_start(uint32_t n_cpus, const int32_t *nices, uint32_t n) {
  sim = (struct sim){.n_cpus = n_cpus, .n = n};
  for (uint32_t cpu = 0; cpu < n_cpus; cpu++) {
    sim.cpus[cpu].look_at = INTERVAL * (int64_t)cpu / n_cpus; /* not all at once */
  }
  for (uint32_t i = 0; i < n; i++) {
    sim.threads[i] = (struct sim_thread){.nice = nices[i],
                                         .cpu = rng_below(&rng, n_cpus),
                                         .cpus = UINT64_MAX,
                                         .expired = true,
                                         .weight = share_weight(nices[i]),
                                         .moved = -1};
  }
}

static void sim_run(int64_t ticks) {
  for (int64_t end = sim.now + ticks; sim.now < end; sim.now += STEP) {
    for (uint32_t cpu = 0; cpu < sim.n_cpus; cpu++) {
      sim_step(cpu);
    }
  }
}

/* The worst share of 10 s, after two to settle: by how much of what was due it is off. */
static double sim_worst(void) {
  double weights[64], due[64], worst = 0;
  sim_run(2000l * MS);
  sim.moves = 0;
  for (uint32_t i = 0; i < sim.n; i++) {
    weights[i] = (double)sim.threads[i].weight;
    sim.threads[i].from = sim.threads[i].run;
  }
  sim_run(10000l * MS);
  due_find(due, weights, sim.n, sim.n_cpus);
  for (uint32_t i = 0; i < sim.n; i++) {
    double got = (double)(sim.threads[i].run - sim.threads[i].from) / (10000.0 * MS);
    worst = fmax(worst, fabs(got / due[i] - 1));
  }
  return worst;
}

static bool mixes_share(uint32_t n_mixes, int32_t range, double most) {
  double worst = 0;
  for (uint32_t m = 0; m < n_mixes; m++) {
    int32_t nices[THREADS_MOST];
    uint32_t cpus = 2 + rng_below(&rng, 7), n = cpus + 1 + rng_below(&rng, m % 4 == 0 ? 39 : 9);
    for (uint32_t i = 0; i < n; i++) {
      nices[i] = (int32_t)rng_below(&rng, (uint32_t)(2 * range)) - range;
    }
    sim_start(cpus, nices, n);
    double off = sim_worst();
    worst = fmax(worst, off);
    if (off > most) {
      printf("# %u threads on %u CPUs: off by %.1f %%\n", n, cpus, 100 * off);
    }
  }
  printf("# the worst share is off by %.2f %%\n", 100 * worst);
  return worst <= most;
}

static bool mix_share(uint32_t cpus, const int32_t *nices, uint32_t n, uint64_t moves_most) {
  sim_start(cpus, nices, n);
  double off = sim_worst();
  printf("# off by %.2f %%, %lu moves\n", 100 * off, (unsigned long)sim.moves);
  return off <= 0.05 && sim.moves <= moves_most;
}

#define MIX(cpus, moves, ...)                                                                      \
  mix_share(cpus, (const int32_t[]){__VA_ARGS__},                                                  \
            sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t), moves)

/* Four of nice 0 on 3 CPUs, each of two kept on one CPU: 3/4 for each all the same. */
static bool pinned_share(void) {
  static const int32_t nices[4] = {0};
  sim_start(3, nices, 4);
  for (uint32_t i = 0; i < 2; i++) {
    sim.threads[i].cpu = i;
    sim.threads[i].cpus = UINT64_C(1) << i;
  }
  return sim_worst() <= 0.05;
}

/* Two that are behind for good, kept on CPU 0, and on three others nine that are not: whoever comes
 * to CPU 0 is far ahead there, and must have its turn in each round all the same [H6]. */
static bool ahead_waits(void) {
  static const int32_t nices[12] = {0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4, 4};
  sim_start(4, nices, 12);
  for (uint32_t i = 0; i < 12; i++) {
    struct sim_thread *t = &sim.threads[i];
    t->cpu = i < 3 ? 0 : 1 + i % 3;
    t->cpus = i < 3 ? 1 : UINT64_MAX;
  }
  struct sim_thread *comes = &sim.threads[2];
  comes->cpu = CPUS_MOST; /* nowhere */
  sim_run(5000l * MS);
  sim_survey(0, &(struct balance_side){0}, (struct sim_thread * [BALANCE_THREADS + 1]){NULL});
  double behind = (double)balance_lead(&sim.level, sim.threads[0].served) * (1 << BALANCE_UNIT);
  comes->served = sim.level.served;
  comes->cpu = 0;
  comes->ran_at = sim.now;
  sim_run(3000l * MS);
  printf("# %.0f ms ahead of the others, it waited for %.1f ms at most\n", -behind / MS,
         (double)comes->waited / MS);
  return behind < -500.0 * MS && comes->waited <= 20 * MS;
}

static bool all_share(uint32_t cpus) {
  int32_t nices[NICE_COUNT];
  for (int32_t i = 0; i < NICE_COUNT; i++) {
    nices[i] = i + NICE_LEAST;
  }
  return mix_share(cpus, nices, NICE_COUNT, UINT64_MAX);
}

int main(int argc, char **argv) {
  rng_seed(&rng, tap_seed(argc, argv));
  tap_plan(12);
  tap_ok(swaps_match(), "a swap is the best of all pairs, 20,000 pairs of CPUs");
  tap_ok(leads_even_out(), "threads of a CPU that are apart come together");
  tap_ok(levels_match(), "who fills a CPU is who is due one");
  tap_ok(MIX(2, 0, 0, 0, 5, 5), "0 0 5 5 on 2 CPUs, and nobody moves any more");
  tap_ok(MIX(2, 0, -5, 0, 0, 5, 19), "-5 0 0 5 19 on 2: one fills a CPU, and nobody moves");
  tap_ok(MIX(2, 250, 0, 0, 0), "0 0 0 on 2 takes turns, not more often than every 40 ms");
  tap_ok(MIX(4, 300, -3, -5, -5, -4, -4), "five that nearly fill a CPU each, on 4");
  tap_ok(pinned_share(), "four on 3 CPUs, two of them pinned");
  tap_ok(ahead_waits(), "who is far ahead has a turn in each round");
  tap_ok(all_share(2) && all_share(4), "all nice levels on 2 and on 4");
  tap_ok(mixes_share(24, 6, 0.05), "mixes of nice -6 to 5 on 2 to 8 CPUs, to 5 in 100");
  tap_ok(mixes_share(24, 20, 0.05), "mixes of all nice levels on as many, to 5 in 100");
  return tap_done();
}
