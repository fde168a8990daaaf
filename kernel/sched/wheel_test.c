// test-sources: wheel.c
/* The timer wheel against a plain array of deadlines: random adds, cancels and advances of time,
 * from single nanoseconds to years, and the promises of wheel.h that a random walk would rarely
 * meet. */
#include "sched/wheel.h"

#include "lib/rng.h"
#include "lib/tap.h"

#define N_TIMERS 300
#define N_STEPS 1000000 /* of each walk */
#define CHECK_EVERY 997

struct model_timer {
  struct wheel_timer timer;
  uint64_t deadline_ns;
  bool pending;
};

static struct wheel wheel;
static struct model_timer timers[N_TIMERS];
static struct rng rng;
static uint64_t now_ns;
static uint64_t n_fired;

/* A span of time whose order of magnitude is random: all levels get their share. */
static uint64_t random_span_ns(unsigned most_bits) {
  unsigned shift = 63 - rng_below(&rng, most_bits);
  return rng_next(&rng) >> shift;
}

static void model_init(uint64_t start_ns) {
  now_ns = start_ns;
  __builtin_memset(&wheel, 0xa5, sizeof(wheel));
  wheel_init(&wheel, now_ns);
  for (unsigned i = 0; i < N_TIMERS; i++) {
    wheel_timer_init(&timers[i].timer);
    timers[i].pending = false;
  }
}

static uint64_t model_next(void) {
  uint64_t next_ns = UINT64_MAX;
  for (unsigned i = 0; i < N_TIMERS; i++) {
    if (timers[i].pending) {
      next_ns = MIN(next_ns, timers[i].deadline_ns);
    }
  }
  return next_ns;
}

static void step_add(struct model_timer *m, unsigned most_bits) {
  uint64_t span_ns = random_span_ns(most_bits);
  bool late = rng_one_in(&rng, 16);
  m->deadline_ns =
      late ? now_ns - MIN(span_ns, now_ns) : now_ns + MIN(span_ns, UINT64_MAX - now_ns);
  m->pending = true;
  wheel_add(&wheel, &m->timer, m->deadline_ns);
}

static void step_cancel(struct model_timer *m) {
  TAP_REQUIRE(wheel_cancel(&m->timer) == m->pending);
  m->pending = false;
}

/* Takes what has expired off the list: due, in the model too, and in the order of ticks. */
static void expired_drain(struct list *expired, uint64_t since_ns) {
  uint64_t last_tick = 0;
  struct list *node;
  while ((node = list_pop_front(expired)) != NULL) {
    struct model_timer *m = CONTAINER_OF(node, struct model_timer, timer.node);
    uint64_t tick = MAX(m->deadline_ns, since_ns) >> WHEEL_TICK_SHIFT;
    TAP_REQUIRE(m->pending && m->deadline_ns <= now_ns);
    TAP_REQUIRE(tick >= last_tick);
    TAP_REQUIRE(!wheel_is_pending(&m->timer));
    m->pending = false;
    last_tick = tick;
    n_fired++;
  }
}

static void step_advance(uint64_t span_ns) {
  struct list expired = LIST_INIT(expired);
  uint64_t since_ns = now_ns;
  now_ns += MIN(span_ns, UINT64_MAX - now_ns);
  wheel_advance(&wheel, now_ns, &expired);
  expired_drain(&expired, since_ns);
  TAP_REQUIRE(wheel.levels != 0 || wheel.tick == now_ns >> WHEEL_TICK_SHIFT);
  TAP_REQUIRE(model_next() > now_ns || now_ns == UINT64_MAX);
}

static void random_step(unsigned most_bits) {
  struct model_timer *m = &timers[rng_below(&rng, N_TIMERS)];
  if (rng_below(&rng, 8) == 0) {
    step_advance(random_span_ns(rng_one_in(&rng, 64) ? most_bits : most_bits / 2));
  } else if (m->pending || rng_one_in(&rng, 8)) {
    step_cancel(m);
  } else {
    step_add(m, most_bits);
  }
  TAP_REQUIRE(wheel_is_pending(&m->timer) == m->pending);
}

/* wheel_next() is never late, and what it names is due or has been cancelled. */
static void next_is_sound(void) {
  uint64_t next_ns = wheel_next(&wheel);
  TAP_REQUIRE(next_ns <= model_next());
}

/* Answers how many timers have fired. */
static uint64_t random_walk(uint64_t start_ns, unsigned most_bits) {
  uint64_t fired_before = n_fired;
  model_init(start_ns);
  for (unsigned i = 0; i < N_STEPS && !rng_is_over(&rng); i++) {
    random_step(most_bits);
    if (i % CHECK_EVERY == 0) {
      next_is_sound();
      TAP_REQUIRE(wheel_check(&wheel));
    }
  }
  TAP_REQUIRE(wheel_check(&wheel));
  return n_fired - fired_before;
}

RNG_FUZZ(&rng, random_walk(rng_next(&rng), 2 + rng_below(&rng, 60)));

/* An idle CPU sleeps until wheel_next() and advances then. Every wake-up must fire something. */
static bool no_idle_wakeups(void) {
  model_init(rng_next(&rng) >> 20);
  for (unsigned i = 0; i < N_TIMERS; i++) {
    step_add(&timers[i], 45);
  }
  while (wheel_next(&wheel) != UINT64_MAX) {
    uint64_t fired_before = n_fired, next_ns = wheel_next(&wheel);
    if (next_ns > now_ns && next_ns != model_next()) {
      return false;
    }
    step_advance(next_ns > now_ns ? next_ns - now_ns : 0);
    if (n_fired == fired_before) {
      return false;
    }
  }
  return true;
}

/* Timers that were cancelled wake nobody, and leave nothing behind. */
static bool cancelled_are_forgotten(void) {
  model_init(rng_next(&rng) >> 20);
  for (unsigned i = 0; i < N_TIMERS; i++) {
    step_add(&timers[i], 45);
  }
  for (unsigned i = 0; i < N_TIMERS; i++) {
    step_cancel(&timers[i]);
  }
  wheel_add(&wheel, &timers[0].timer, UINT64_MAX - 1);
  bool only = wheel_next(&wheel) == UINT64_MAX - 1;
  return wheel_cancel(&timers[0].timer) && only && wheel_next(&wheel) == UINT64_MAX &&
         wheel.levels == 0;
}

/* Deadlines a nanosecond apart in one tick fire one by one, at exactly their time. */
static bool exact_within_tick(void) {
  model_init(1000 << WHEEL_TICK_SHIFT);
  for (unsigned i = 0; i < 100; i++) {
    timers[i].deadline_ns = now_ns + 10 + i;
    timers[i].pending = true;
    wheel_add(&wheel, &timers[i].timer, timers[i].deadline_ns);
  }
  for (unsigned i = 0; i < 100; i++) {
    uint64_t fired_before = n_fired;
    step_advance(i == 0 ? 10 : 1);
    if (n_fired != fired_before + 1) {
      return false;
    }
  }
  return wheel_next(&wheel) == UINT64_MAX;
}

/* A timer on the list of wheel_advance can still be cancelled, and is then not on it. */
static bool cancel_after_expiry(void) {
  struct list expired = LIST_INIT(expired);
  model_init(0);
  wheel_add(&wheel, &timers[0].timer, 5);
  wheel_add(&wheel, &timers[1].timer, 5);
  wheel_advance(&wheel, 5, &expired);
  bool was_pending = wheel_is_pending(&timers[0].timer) && wheel_cancel(&timers[0].timer);
  bool alone = list_pop_front(&expired) == &timers[1].timer.node && list_is_empty(&expired);
  return was_pending && alone && !wheel_cancel(&timers[1].timer) && wheel_check(&wheel);
}

/* The last nanosecond of 64 bits is a deadline like any other. */
static bool end_of_time(void) {
  struct list expired = LIST_INIT(expired);
  model_init(0);
  wheel_add(&wheel, &timers[0].timer, UINT64_MAX);
  wheel_add(&wheel, &timers[1].timer, UINT64_MAX - 1);
  wheel_advance(&wheel, UINT64_MAX - 2, &expired);
  bool none = list_is_empty(&expired) && wheel_next(&wheel) == UINT64_MAX - 1;
  wheel_advance(&wheel, UINT64_MAX - 1, &expired);
  bool first = list_pop_front(&expired) == &timers[1].timer.node && list_is_empty(&expired);
  wheel_advance(&wheel, UINT64_MAX, &expired);
  return none && first && list_pop_front(&expired) == &timers[0].timer.node && wheel.levels == 0;
}

/* A clock that steps back fires nothing early and breaks nothing. */
static bool time_backwards(void) {
  struct list expired = LIST_INIT(expired);
  model_init(UINT64_C(1) << 40);
  wheel_advance(&wheel, (UINT64_C(1) << 40) + 5000, &expired);
  wheel_add(&wheel, &timers[0].timer, (UINT64_C(1) << 40) + 3000);
  wheel_advance(&wheel, (UINT64_C(1) << 40) + 2999, &expired);
  bool none = list_is_empty(&expired) && wheel_check(&wheel);
  TAP_REQUIRE(wheel.tick == ((UINT64_C(1) << 40) + 5000) >> WHEEL_TICK_SHIFT);
  wheel_advance(&wheel, (UINT64_C(1) << 40) + 3000, &expired);
  return none && list_pop_front(&expired) == &timers[0].timer.node && list_is_empty(&expired);
}

/* The walker must be able to say no: each invariant is broken by hand once. */
static bool check_can_fail(void) {
  model_init(0);
  wheel_add(&wheel, &timers[0].timer, 5000);
  wheel.slots[3] = 1;
  bool caught = !wheel_check(&wheel); /* [W1] */
  wheel.slots[3] = 0;
  wheel.slots[0] = 1;                      /* its timer is in slot 4 */
  caught = caught && !wheel_check(&wheel); /* [W1] */
  wheel.slots[0] = WHEEL_BIT(4);
  wheel.levels = 3;
  caught = caught && !wheel_check(&wheel); /* [W1] */
  wheel.levels = 1;
  timers[0].timer.place = 5;
  caught = caught && !wheel_check(&wheel); /* [W2] */
  timers[0].timer.place = 4;
  timers[0].timer.deadline_ns += 1000000;
  caught = caught && !wheel_check(&wheel); /* [W2] */
  timers[0].timer.deadline_ns = 5000;
  wheel.at[4].min_ns = 5001;
  caught = caught && !wheel_check(&wheel); /* [W3] */
  wheel.at[4].min_ns = 5000;
  return caught && wheel_check(&wheel);
}

static void add_twice(void) {
  wheel_add(&wheel, &timers[0].timer, 1);
  wheel_add(&wheel, &timers[0].timer, 2);
}

static bool misuse_dies(void) {
  model_init(0);
  return tap_dies(add_twice);
}

int main(int argc, char **argv) {
  const uint64_t edge_ns = UINT64_C(1) << 58;
  tap_plan(12);
  rng_seed(&rng, tap_seed(argc, argv));
  tap_ok(random_walk(0, 24) > N_STEPS / 16, "random walk, spans up to 16 ms");
  tap_ok(random_walk(123456789, 40) > N_STEPS / 16, "random walk, spans up to 18 min");
  random_walk(edge_ns - (edge_ns >> 8), 52);
  tap_ok(now_ns > edge_ns, "random walk over the edge of level 8");
  random_walk(UINT64_C(1) << 63, 56);
  tap_ok(now_ns < UINT64_MAX, "random walk, spans of years");
  tap_ok(no_idle_wakeups(), "an idle CPU is woken only for a timer");
  tap_ok(cancelled_are_forgotten(), "cancelled timers leave nothing behind");
  tap_ok(exact_within_tick(), "deadlines within a tick fire at their own time");
  tap_ok(cancel_after_expiry(), "an expired timer can be cancelled before it is taken");
  tap_ok(end_of_time(), "the end of 64 bits");
  tap_ok(time_backwards(), "a clock that steps back");
  tap_ok(check_can_fail(), "wheel_check() notices each broken invariant");
  tap_ok(misuse_dies(), "misuse is caught");
  return tap_done();
}
