// test-sources: runq.c
/* The runqueue against a naive model: per node a round number, a priority and a sequence number,
 * the best found by looking at all of them. */
#include "sched/runq.h"

#include "lib/rng.h"
#include "lib/tap.h"

#define N_NODES 64
#define N_STEPS 1000000 /* of each walk */
#define CHECK_EVERY 997

/* Runs first: the lower round, then the lower prio, then the lower seq. Real-time has round 0. */
struct model_node {
  struct runq_node node;
  bool queued;
  uint32_t round, prio;
  int64_t seq;
};

static struct runq rq;
static struct model_node nodes[N_NODES];
static struct rng rng;
static uint32_t round_now, n_queued;
static int64_t seq_back, seq_front;

static void model_init(void) {
  __builtin_memset(&rq, 0xa5, sizeof(rq));
  runq_init(&rq);
  for (unsigned i = 0; i < N_NODES; i++) {
    nodes[i] = (struct model_node){.queued = false};
    runq_node_init(&nodes[i].node);
  }
  round_now = 1;
  n_queued = 0;
}

static bool model_before(const struct model_node *a, const struct model_node *b) {
  if (a->round != b->round) {
    return a->round < b->round;
  }
  return a->prio != b->prio ? a->prio < b->prio : a->seq < b->seq;
}

static struct model_node *model_best(void) {
  struct model_node *best = NULL;
  for (unsigned i = 0; i < N_NODES; i++) {
    if (nodes[i].queued && (!best || model_before(&nodes[i], best))) {
      best = &nodes[i];
    }
  }
  return best;
}

/* The last one that runs before `limit` (NULL: of all). */
static struct model_node *model_last_before(const struct model_node *limit) {
  struct model_node *last = NULL;
  for (unsigned i = 0; i < N_NODES; i++) {
    struct model_node *m = &nodes[i];
    if (m->queued && (!limit || model_before(m, limit)) && (!last || model_before(last, m))) {
      last = m;
    }
  }
  return last;
}

static void model_enter(struct model_node *m, uint32_t prio, uint32_t round, int64_t seq) {
  m->queued = true;
  m->prio = prio;
  m->round = prio < RUNQ_FIRST_TIMESHARE ? 0 : round;
  m->seq = seq;
  n_queued++;
}

static void step_push(struct model_node *m) {
  /* Few different priorities, so that queues get long; all bits of all words now and then. */
  uint32_t prio = rng_one_in(&rng, 4) ? rng_below(&rng, RUNQ_PRIOS)
                                      : RUNQ_FIRST_TIMESHARE - 4 + rng_below(&rng, 8);
  switch (rng_below(&rng, 3)) {
  case 0:
    runq_push(&rq, &m->node, prio);
    model_enter(m, prio, round_now, ++seq_back);
    break;
  case 1:
    runq_push_front(&rq, &m->node, prio);
    model_enter(m, prio, round_now, --seq_front);
    break;
  default:
    runq_push_expired(&rq, &m->node, prio);
    model_enter(m, prio, round_now + 1, ++seq_back);
    break;
  }
}

static void model_leave(struct model_node *m) {
  m->queued = false;
  n_queued--;
}

static void step_pop(void) {
  struct model_node *best = model_best();
  TAP_REQUIRE(runq_best_prio(&rq) == (best ? best->prio : RUNQ_NONE));
  if (best && best->round > round_now) {
    round_now = best->round;
  }
  if (rng_one_in(&rng, 2)) {
    TAP_REQUIRE(runq_peek(&rq) == (best ? &best->node : NULL));
  }
  TAP_REQUIRE(runq_pop(&rq) == (best ? &best->node : NULL));
  if (best) {
    model_leave(best);
  }
}

/* A yield to an equal is a push into the round that goes on, or into the next when this one is dry,
 * behind the others, and a pop. */
static void step_rotate(struct model_node *m) {
  struct model_node *best = model_best();
  uint32_t prio = RUNQ_FIRST_TIMESHARE + rng_below(&rng, 8);
  if (m->queued || runq_has_realtime(&rq)) {
    return;
  }
  struct runq_node *first = runq_rotate(&rq, &m->node, prio);
  TAP_REQUIRE((first != NULL) == (best != NULL && best->prio == prio));
  if (first != NULL) {
    TAP_REQUIRE(first == &best->node);
    round_now = best->round;
    model_enter(m, prio, round_now, ++seq_back);
    best->queued = false;
    n_queued--;
  }
}

static bool model_has_timeshare(void) {
  for (unsigned i = 0; i < N_NODES; i++) {
    if (nodes[i].queued && nodes[i].prio >= RUNQ_FIRST_TIMESHARE) {
      return true;
    }
  }
  return false;
}

/* The best one but for the real-time ones. */
static void step_pop_timeshare(void) {
  struct model_node *best = NULL;
  TAP_REQUIRE(runq_has_timeshare(&rq) == model_has_timeshare());
  for (unsigned i = 0; i < N_NODES; i++) {
    struct model_node *m = &nodes[i];
    if (m->queued && m->prio >= RUNQ_FIRST_TIMESHARE && (!best || model_before(m, best))) {
      best = m;
    }
  }
  if (best) {
    TAP_REQUIRE(runq_pop_timeshare(&rq) == &best->node);
    round_now = MAX(round_now, best->round);
    model_leave(best);
  }
}

/* The thief's walk visits every node once, in the reverse of the running order; the other walk in
 * that order. */
static void step_walks(void) {
  struct runq_node *backwards[N_NODES];
  struct model_node *expected = model_last_before(NULL);
  unsigned visited = 0;
  for (struct runq_node *n = runq_steal_first(&rq); n; n = runq_steal_next(&rq, n)) {
    TAP_REQUIRE(expected && n == &expected->node);
    expected = model_last_before(expected);
    backwards[visited++] = n;
  }
  TAP_REQUIRE(visited == n_queued);
  for (struct runq_node *n = runq_turn_first(&rq); n; n = runq_turn_next(&rq, n)) {
    TAP_REQUIRE(visited > 0 && n == backwards[--visited]);
  }
  TAP_REQUIRE(visited == 0);
}

static void random_step(unsigned push_weight) {
  struct model_node *m = &nodes[rng_below(&rng, N_NODES)];
  uint32_t what = rng_below(&rng, 16);
  if (what >= push_weight) {
    if (rng_one_in(&rng, 4)) {
      step_rotate(m);
    } else if (rng_one_in(&rng, 4)) {
      step_pop_timeshare();
    } else {
      step_pop();
    }
  } else if (m->queued) {
    runq_remove(&rq, &m->node);
    model_leave(m);
  } else {
    step_push(m);
  }
  TAP_REQUIRE(runq_is_queued(&m->node) == m->queued);
  TAP_REQUIRE(runq_count(&rq) == n_queued);
}

static void random_walk(unsigned push_weight) {
  model_init();
  for (unsigned i = 0; i < N_STEPS && !rng_is_over(&rng); i++) {
    random_step(push_weight);
    if (i % CHECK_EVERY == 0) {
      TAP_REQUIRE(runq_check(&rq));
      step_walks();
    }
  }
  TAP_REQUIRE(runq_check(&rq));
  step_walks();
}

RNG_FUZZ(&rng, random_walk(10));

static bool drains_empty(void) {
  while (n_queued > 0) {
    step_pop();
  }
  step_pop();
  return runq_check(&rq) && !runq_steal_first(&rq) &&
         (rq.words[0] | rq.words[1] | rq.words[2] | rq.words[3]) == 0;
}

/* Every priority alone, in each of the three ways in. */
static bool every_prio(void) {
  struct runq_node *node = &nodes[0].node;
  model_init();
  for (uint32_t prio = 0; prio < RUNQ_PRIOS; prio++) {
    for (int way = 0; way < 3; way++) {
      (way == 0 ? runq_push : way == 1 ? runq_push_front : runq_push_expired)(&rq, node, prio);
      bool ok = runq_check(&rq) && runq_best_prio(&rq) == prio && node->prio == prio;
      if (!ok || runq_steal_first(&rq) != node || runq_pop(&rq) != node) {
        return false;
      }
    }
  }
  return runq_best_prio(&rq) == RUNQ_NONE && runq_pop(&rq) == NULL;
}

/* One that uses up its slices for ever cannot keep a worse one from running: a round is bounded. */
static bool nobody_starves(void) {
  model_init();
  runq_push(&rq, &nodes[0].node, 128);
  runq_push(&rq, &nodes[1].node, 191);
  runq_push_expired(&rq, runq_pop(&rq), 128);
  return runq_pop(&rq) == &nodes[1].node && runq_pop(&rq) == &nodes[0].node;
}

/* Real-time runs before any timeshare, also when a new round has begun. */
static bool real_time_first(void) {
  model_init();
  runq_push_expired(&rq, &nodes[0].node, 128);
  runq_push_expired(&rq, &nodes[1].node, 127);
  return runq_pop(&rq) == &nodes[1].node && runq_pop(&rq) == &nodes[0].node;
}

/* The walker must be able to say no: each invariant is broken by hand once. */
static bool check_can_fail(void) {
  model_init();
  runq_push(&rq, &nodes[0].node, 100);
  rq.words[1] ^= 1;
  bool caught = !runq_check(&rq); /* [R1] */
  rq.words[1] ^= 1;
  nodes[0].node.prio = 99;
  caught = caught && !runq_check(&rq); /* [R2] */
  nodes[0].node.prio = 100;
  rq.n = 2;
  caught = caught && !runq_check(&rq); /* [R3] */
  rq.n = 1;
  return caught && runq_check(&rq);
}

static void push_twice(void) {
  runq_push(&rq, &nodes[0].node, 70);
  runq_push(&rq, &nodes[0].node, 70);
}

static void push_bad_prio(void) {
  runq_push(&rq, &nodes[0].node, RUNQ_PRIOS);
}

static void remove_unqueued(void) {
  runq_remove(&rq, &nodes[0].node);
}

static bool misuse_dies(void) {
  model_init();
  return tap_dies(push_twice) && tap_dies(push_bad_prio) && tap_dies(remove_unqueued);
}

int main(int argc, char **argv) {
  tap_plan(9);
  rng_seed(&rng, tap_seed(argc, argv));
  random_walk(12);
  tap_ok(drains_empty(), "random walk, long queues");
  random_walk(8);
  tap_ok(drains_empty(), "random walk, half full");
  random_walk(5);
  tap_ok(drains_empty(), "random walk, almost empty");
  random_walk(14);
  tap_ok(drains_empty(), "random walk, nearly all queued");
  tap_ok(every_prio(), "every priority, every way in");
  tap_ok(nobody_starves(), "a round is bounded");
  tap_ok(real_time_first(), "real-time before timeshare");
  tap_ok(check_can_fail(), "runq_check() notices each broken invariant");
  tap_ok(misuse_dies(), "misuse is caught");
  return tap_done();
}
