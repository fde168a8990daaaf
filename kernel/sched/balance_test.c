// test-sources: balance.c
/* The balance choices against looking at all CPUs. */
#include "sched/balance.h"

#include "lib/rng.h"
#include "lib/tap.h"

#define N_VIEWS 200000

static struct rng rng;

static void view_random(struct balance_view *v) {
  v->mask = rng_next(&rng) & (rng_one_in(&rng, 2) ? UINT64_MAX : 0xf);
  v->realtime = rng_one_in(&rng, 4) ? UINT64_MAX : rng_next(&rng) & rng_next(&rng);
  for (unsigned cpu = 0; cpu < 64; cpu++) {
    v->waiting[cpu] = rng_below(&rng, 4);
    v->load[cpu] = v->waiting[cpu] + rng_below(&rng, 2);
  }
}

/* How far round from self a CPU is: of equals the nearest is chosen. */
static uint32_t distance(uint32_t self, uint32_t cpu) {
  return (cpu - self - 1) & 63;
}

static uint32_t model_victim(const struct balance_view *v, uint32_t self, uint32_t least) {
  uint32_t best = BALANCE_NONE;
  for (uint32_t cpu = 0; cpu < 64; cpu++) {
    if (cpu == self || !(v->mask >> cpu & 1) || v->waiting[cpu] < least) {
      continue;
    }
    if (best == BALANCE_NONE || v->waiting[cpu] > v->waiting[best] ||
        (v->waiting[cpu] == v->waiting[best] && distance(self, cpu) < distance(self, best))) {
      best = cpu;
    }
  }
  return best;
}

static bool any_without_realtime(const struct balance_view *v, uint32_t self) {
  for (uint32_t cpu = 0; cpu < 64; cpu++) {
    if (cpu != self && v->mask >> cpu & 1 && !(v->realtime >> cpu & 1)) {
      return true;
    }
  }
  return false;
}

static uint32_t model_target(const struct balance_view *v, uint32_t self) {
  uint32_t best = BALANCE_NONE;
  bool behind = v->realtime >> self & 1, escape = behind && any_without_realtime(v, self);
  for (uint32_t cpu = 0; cpu < 64; cpu++) {
    bool has = v->realtime >> cpu & 1;
    if (cpu == self || !(v->mask >> cpu & 1) || (has && (!behind || escape))) {
      continue;
    }
    if (best == BALANCE_NONE || v->load[cpu] < v->load[best] ||
        (v->load[cpu] == v->load[best] && distance(self, cpu) < distance(self, best))) {
      best = cpu;
    }
  }
  bool enough = best != BALANCE_NONE && (escape || v->load[self] > v->load[best]);
  return enough ? best : BALANCE_NONE;
}

static bool choice_matches(void) {
  struct balance_view v;
  view_random(&v);
  uint32_t self = rng_below(&rng, 64), least = 1 + rng_below(&rng, 3);
  return balance_victim(&v, self, least) == model_victim(&v, self, least) &&
         balance_target(&v, self) == model_target(&v, self);
}

RNG_FUZZ(&rng, TAP_REQUIRE(choice_matches()));

static bool choices_match(void) {
  bool ok = true;
  for (unsigned i = 0; i < N_VIEWS && ok; i++) {
    ok = choice_matches();
  }
  return ok;
}

static bool share_is_half(void) {
  return balance_share(1, 8) == 1 && balance_share(4, 8) == 2 && balance_share(5, 8) == 3 &&
         balance_share(100, 8) == 8;
}

int main(int argc, char **argv) {
  rng_seed(&rng, tap_seed(argc, argv));
  tap_plan(2);
  tap_ok(choices_match(), "victim and target are those of a full look, 200,000 views");
  tap_ok(share_is_half(), "a thief takes at most half, and at most its batch");
  return tap_done();
}
