// test-sources: share.c runq.c
/* Shares by weight, for any mix, from a simulated CPU that runs late and in pieces; bonus and
 * credit at their limits. */
#include "sched/share.h"

#include "lib/rng.h"
#include "lib/tap.h"

#define THREADS_MOST 12
#define SLICE 3000000
#define SLICE_MIN 100000
#define SLEEP 20000000

static struct share_rules rules;
static struct rng rng;

static void rules_default(void) {
  share_rules_set(&rules, SLICE, SLICE_MIN, 10, SLEEP, 400);
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

/* Rounds of hogs: each is granted its quantum and, when it has any left, runs to the end of its
 * slice and `late` ticks over it. */
static bool shares_hold(unsigned n, uint32_t late) {
  struct {
    int nice;
    int64_t left;
    double ran;
  } hogs[THREADS_MOST];
  double total = 0, weights = 0;
  for (unsigned i = 0; i < n; i++) {
    hogs[i].nice = (int)rng_below(&rng, NICE_COUNT) + NICE_LEAST;
    hogs[i].left = 0;
    hogs[i].ran = 0;
    weights += (double)share_quantum(&rules, hogs[i].nice);
  }
  for (unsigned round = 0; round < 2000; round++) {
    for (unsigned i = 0; i < n; i++) {
      hogs[i].left = share_grant(&rules, hogs[i].left, hogs[i].nice);
      if (hogs[i].left > 0) {
        int64_t ran = share_slice(&rules, hogs[i].left) + rng_below(&rng, late + 1);
        hogs[i].left -= ran;
        hogs[i].ran += (double)ran;
        total += (double)ran;
      }
    }
  }
  bool ok = true;
  for (unsigned i = 0; i < n; i++) {
    double fair = total * (double)share_quantum(&rules, hogs[i].nice) / weights;
    ok = ok && hogs[i].ran > fair * 0.95 && hogs[i].ran < fair * 1.05;
  }
  return ok;
}

static bool shares_of_any_mix(void) {
  bool ok = true;
  rules_default();
  for (unsigned mix = 0; mix < 300 && ok; mix++) {
    ok = shares_hold(1 + rng_below(&rng, THREADS_MOST), 20000);
  }
  return ok;
}

static bool debt_is_bounded(void) {
  rules_default();
  int64_t most = DEBT_QUANTA * share_quantum(&rules, 5);
  return share_grant(&rules, -100 * most, 5) == -most + share_quantum(&rules, 5) &&
         share_grant(&rules, -5, 5) == share_quantum(&rules, 5) - 5;
}

static bool prio_within_limits(void) {
  bool ok = true;
  for (uint32_t bonus = 0; bonus <= SHARE_BONUS_MOST; bonus++) {
    share_rules_set(&rules, SLICE, SLICE_MIN, bonus, SLEEP, 400);
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
  ok = ok && share_credit_after_sleep(&rules, credit, UINT64_MAX) == SLEEP;
  ok = ok && share_credit_after_sleep(&rules, credit, SLEEP) == SLEEP;
  ok = ok && share_credit_after_run(&rules, SLEEP, SLEEP / 8) == SLEEP / 2; /* 400 % */
  return ok && share_credit_after_run(&rules, SLEEP, SLEEP) == 0;
}

/* Parameters change while threads have credit, and a reader sees some words of before [H2]. */
static bool prio_survives_change(void) {
  bool ok = true;
  for (int i = 0; i < 20000; i++) {
    uint64_t sleep = 1 + rng_below(&rng, SLEEP), credit = rng_below(&rng, SLEEP);
    share_rules_set(&rules, SLICE, SLICE_MIN, rng_below(&rng, SHARE_BONUS_MOST + 1), sleep, 400);
    rules.credit_most = rng_one_in(&rng, 2) ? SLEEP : sleep;
    int nice = NICE_LEAST + (int)rng_below(&rng, NICE_COUNT);
    uint32_t plain = share_prio(&rules, nice, 0), now = share_prio(&rules, nice, credit);
    ok = ok && now >= RUNQ_FIRST_TIMESHARE && now <= plain && plain < RUNQ_PRIOS;
  }
  return ok;
}

int main(int argc, char **argv) {
  rng_seed(&rng, tap_seed(argc, argv));
  tap_plan(6);
  tap_ok(quanta_by_weight(), "each step of nice is a factor of 1.25");
  tap_ok(shares_of_any_mix(), "300 random mixes of hogs share by weight to within a twentieth");
  tap_ok(debt_is_bounded(), "a debt is paid, and forgiven beyond its bound [H1]");
  tap_ok(prio_within_limits(), "every nice value with every bonus is a timeshare priority");
  tap_ok(credit_comes_and_goes(), "credit is earned by sleep, spent by running, bounded");
  tap_ok(prio_survives_change(), "credit of older rules gives no priority that there is not [H2]");
  return tap_done();
}
