// test-sources: share.c runq.c
/* Shares by weight, for any mix, from a simulated CPU that runs late and in pieces; bonus and
 * credit at their limits. */
#include "sched/share.h"

#include "lib/rng.h"
#include "lib/tap.h"

#define THREADS_MOST 60
#define SLICE 3000000
#define SLICE_MIN 100000
#define ROUND 100000000
#define SLEEP 20000000

static struct share_rules rules;
static struct rng rng;

static const struct share_lengths lengths = {
    .slice = SLICE, .slice_min = SLICE_MIN, .round = ROUND, .sleep = SLEEP};

static void rules_default(void) {
  share_rules_set(&rules, &lengths, 10, 400);
}

static bool quanta_by_weight(void) {
  rules_default();
  bool ok = share_quantum(&rules, 0) == SLICE;
  for (int nice = NICE_LEAST; nice < NICE_MOST; nice++) {
    int64_t better = share_quantum(&rules, nice), worse = share_quantum(&rules, nice + 1);
    ok = ok && better * 1000 > worse * 1249 && better * 1000 < worse * 1251;
  }
  return ok;
}

struct hog {
  int nice;
  int64_t left;
  double ran;
};

static struct hog hogs[THREADS_MOST];

/* A round of n hogs: each is granted its quantum and, when it has any left, runs to the end of its
 * slice and up to `late` ticks over it; then it is counted for the next. Answers how long the round
 * lasted. */
static double round_run(struct share_round *round, unsigned n, uint32_t late) {
  double total = 0;
  share_round_begin(&rules, round);
  for (unsigned i = 0; i < n; i++) {
    struct hog *h = &hogs[i];
    h->left = share_grant(h->left, share_scaled(&rules, round, h->nice));
    if (h->left > 0) {
      int64_t least = rules.slice_least;
      int64_t ran = MAX(h->left, least) + rng_below(&rng, late + 1);
      h->left -= ran;
      h->ran += (double)ran;
      total += (double)ran;
    }
    share_count(&rules, round, h->nice);
  }
  return total;
}

/* Until `span` ticks have passed: whether each has its share of them. */
static bool shares_hold(unsigned n, double span, uint32_t late) {
  struct share_round round = {0};
  double total = 0, weights = 0;
  for (unsigned i = 0; i < n; i++) {
    weights += (double)share_quantum(&rules, hogs[i].nice);
  }
  while (total < span) {
    total += round_run(&round, n, late);
  }
  bool ok = true;
  for (unsigned i = 0; i < n; i++) {
    double fair = total * (double)share_quantum(&rules, hogs[i].nice) / weights;
    ok = ok && hogs[i].ran > fair * 0.95 && hogs[i].ran < fair * 1.05;
  }
  return ok;
}

static void hogs_make(unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    hogs[i] = (struct hog){.nice = (int)rng_below(&rng, NICE_COUNT) + NICE_LEAST};
  }
}

static bool shares_of_any_mix(void) {
  bool ok = true;
  rules_default();
  for (unsigned mix = 0; mix < 300 && ok; mix++) {
    unsigned n = 1 + rng_below(&rng, THREADS_MOST);
    hogs_make(n);
    ok = shares_hold(n, 100e9, 2000); /* 100 s if a tick is a ns */
  }
  return ok;
}

static bool shares_of_all_nices(void) {
  rules_default();
  for (unsigned i = 0; i < NICE_COUNT; i++) {
    hogs[i] = (struct hog){.nice = NICE_LEAST + (int)i};
  }
  return shares_hold(NICE_COUNT, 10e9, 2000);
}

/* After the first, no round is longer than `round` and what each runs over, or than slices of
 * slice_min need; and those of many light threads are not shorter than that. */
static bool rounds_are_bounded(void) {
  bool ok = true;
  rules_default();
  for (unsigned mix = 0; mix < 300 && ok; mix++) {
    struct share_round round = {0};
    unsigned n = 1 + rng_below(&rng, THREADS_MOST);
    hogs_make(n);
    round_run(&round, n, 0);
    for (unsigned i = 0; i < 20; i++) {
      double most = (double)MAX(ROUND, (int)n * SLICE_MIN) + n * (SLICE_MIN / 10);
      ok = ok && round_run(&round, n, 0) <= most;
    }
  }
  return ok;
}

static bool light_slices_are_stretched(void) {
  struct share_round round = {0};
  rules_default();
  for (unsigned i = 0; i < 10; i++) {
    hogs[i] = (struct hog){.nice = NICE_MOST};
  }
  round_run(&round, 10, 0);
  double length = round_run(&round, 10, 0);
  return length > 9.9 * SLICE_MIN && length < 10.1 * SLICE_MIN;
}

static bool debt_is_bounded(void) {
  rules_default();
  int64_t quantum = share_quantum(&rules, 5), most = DEBT_QUANTA * quantum;
  return share_grant(-100 * most, quantum) == -most + quantum &&
         share_grant(-5, quantum) == quantum - 5;
}

/* Who runs goes on until the parts are equal, to within the rounding, and no longer. */
static bool patience_makes_equal(void) {
  bool ok = true;
  for (int i = 0; i < 20000 && ok; i++) {
    int64_t quantum = 1 + (int64_t)(rng_below(&rng, UINT32_MAX) << rng_below(&rng, 10));
    struct share_part runs = {.quantum = quantum},
                      woken = {.quantum = 1 + (int64_t)rng_below(&rng, ROUND)};
    runs.had = (uint64_t)((double)quantum * rng_below(&rng, 1000) / 1000);
    woken.had = (uint64_t)((double)woken.quantum * rng_below(&rng, 1000) / 1000);
    double part = (double)woken.had / (double)woken.quantum, slack = 2.0 / SHARE_SCALE_ONE;
    uint64_t patience = share_patience(runs, woken);
    double then = (double)(runs.had + patience) / (double)quantum;
    ok = then > part - slack - 1 / (double)quantum && (patience == 0 || then < part + slack);
  }
  return ok;
}

/* Who has had less, or nothing, need not wait; nor is the wait for one far ahead without bounds. */
static bool patience_is_bounded(void) {
  struct share_part none = {0, SLICE}, half = {SLICE / 2, SLICE}, far = {UINT64_MAX / 2, SLICE};
  return share_patience(none, none) == 0 && share_patience(half, none) == 0 &&
         share_patience(far, half) == 0 && share_patience(none, half) == SLICE / 2 &&
         share_patience(none, far) == 2 * SLICE;
}

/* A thread naps after each 100 us of work, beside one that does not: by the time it has had its
 * quantum, the other has had its own, and neither a nap or a piece of work more. */
static bool naps_cost_no_turn(void) {
  bool ok = true;
  rules_default();
  for (int nice = NICE_LEAST; nice <= NICE_MOST; nice++) {
    struct share_part hog = {0, share_quantum(&rules, nice)}, napper = {0, SLICE};
    const uint64_t work = 100000, nap = 20000;
    while (napper.had < SLICE) {
      napper.had += work;
      hog.had += nap;
      hog.had += share_patience(hog, napper);
    }
    double over = (double)hog.had - (double)hog.quantum;
    ok = ok && over >= -(double)hog.quantum / 1000 && over <= (double)(nap * SLICE / work);
  }
  return ok;
}

static bool prio_within_limits(void) {
  bool ok = true;
  for (uint32_t bonus = 0; bonus <= SHARE_BONUS_MOST; bonus++) {
    share_rules_set(&rules, &lengths, bonus, 400);
    for (int nice = NICE_LEAST; nice <= NICE_MOST; nice++) {
      uint32_t plain = share_prio(&rules, nice, 0), full = share_prio(&rules, nice, SLEEP);
      ok = ok && full >= RUNQ_FIRST_TIMESHARE && plain < RUNQ_PRIOS && plain - full <= bonus;
      ok = ok && plain - full + 1 >= bonus; /* rounded down */
    }
  }
  return ok;
}

static bool credit_comes_and_goes(void) {
  rules_default();
  uint64_t credit = share_credit_after_sleep(&rules, 0, SLEEP / 2);
  bool ok = credit == SLEEP / 2;
  ok = ok && share_credit_after_sleep(&rules, credit, UINT64_MAX >> 1) == SLEEP;
  ok = ok && share_credit_after_sleep(&rules, credit, SLEEP) == SLEEP;
  ok = ok && share_credit_after_run(&rules, SLEEP, SLEEP / 8) == SLEEP / 2; /* 400 % */
  return ok && share_credit_after_run(&rules, SLEEP, SLEEP) == 0;
}

/* Parameters change while threads have credit, and a reader sees some words of before [H2]. */
static bool prio_survives_change(void) {
  bool ok = true;
  for (int i = 0; i < 20000; i++) {
    struct share_lengths other = lengths;
    uint64_t credit = rng_below(&rng, SLEEP);
    other.sleep = 1 + rng_below(&rng, SLEEP);
    share_rules_set(&rules, &other, rng_below(&rng, SHARE_BONUS_MOST + 1), 400);
    rules.credit_most = rng_one_in(&rng, 2) ? SLEEP : other.sleep;
    int nice = NICE_LEAST + (int)rng_below(&rng, NICE_COUNT);
    uint32_t plain = share_prio(&rules, nice, 0), now = share_prio(&rules, nice, credit);
    ok = ok && now >= RUNQ_FIRST_TIMESHARE && now <= plain && plain < RUNQ_PRIOS;
  }
  return ok;
}

int main(int argc, char **argv) {
  rng_seed(&rng, tap_seed(argc, argv));
  tap_plan(12);
  tap_ok(quanta_by_weight(), "each step of nice is a factor of 1.25");
  tap_ok(shares_of_any_mix(), "300 random mixes of hogs share by weight to within a twentieth");
  tap_ok(shares_of_all_nices(), "all forty nice values, within a twentieth after 10 s");
  tap_ok(rounds_are_bounded(), "a round is no longer than its threads need [H3]");
  tap_ok(light_slices_are_stretched(), "slices of light threads are slice_min on average");
  tap_ok(debt_is_bounded(), "a debt is paid, and forgiven beyond its bound [H1]");
  tap_ok(patience_makes_equal(), "who wakes goes first when the parts are equal [H5]");
  tap_ok(patience_is_bounded(), "at once if it has had less, and a wait has bounds [H5]");
  tap_ok(naps_cost_no_turn(), "naps cost nobody a turn [H5]");
  tap_ok(prio_within_limits(), "every nice value with every bonus is a timeshare priority");
  tap_ok(credit_comes_and_goes(), "credit is earned by sleep, spent by running, bounded");
  tap_ok(prio_survives_change(), "credit of older rules gives no priority that there is not [H2]");
  return tap_done();
}
