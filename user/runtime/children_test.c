// test-sources: children.c
/* The table of children against an array indexed by pid. */
#include "runtime/children.h"

#include <string.h>

#include "lib/rng.h"
#include "lib/tap.h"

#define N_PIDS 600u

static bool refuse; /* the next allocation fails */

static void *memory_get(size_t bytes) {
  return refuse ? NULL : calloc(1, bytes);
}

static void memory_put(void *memory, size_t bytes) {
  (void)bytes;
  free(memory);
}

static const struct children_memory memory = {memory_get, memory_put};

static void compare(struct children *table, const int *model) {
  size_t cursor = 0, n = 0;
  TAP_REQUIRE(children_check(table));
  for (struct child *c; (c = children_next(table, &cursor)); n++) {
    TAP_REQUIRE(model[c->pid] == c->fd);
  }
  TAP_REQUIRE(n == table->n);
}

static void step(struct children *table, int *model, struct rng *rng, uint32_t range) {
  uint32_t pid = 1 + rng_below(rng, range);
  struct child *c = children_find(table, pid);
  TAP_REQUIRE((c != NULL) == (model[pid] >= 0));
  if (c) {
    TAP_REQUIRE(c->fd == model[pid] && children_remove(table, pid));
    model[pid] = -1;
  } else {
    model[pid] = (int)rng_below(rng, 1000);
    TAP_REQUIRE(children_add(table, pid, model[pid], &memory));
  }
}

static void random_run(uint64_t seed, uint32_t range, unsigned n_steps) {
  static struct children table;
  static int model[N_PIDS + 1];
  struct rng rng;
  rng_seed(&rng, seed);
  memset(&table, 0, sizeof(table));
  memset(model, -1, sizeof(model));
  for (unsigned i = 0; i < n_steps; i++) {
    step(&table, model, &rng, range);
    if (i % 64 == 0) {
      compare(&table, model);
    }
  }
  children_clear(&table);
  TAP_REQUIRE(table.n == 0 && children_check(&table));
  free(table.slots);
}

int main(int argc, char **argv) {
  struct children table = {0};
  tap_plan(4);
  uint64_t seed = tap_seed(argc, argv);
  tap_ok(!children_find(&table, 1) && !children_find(&table, 0) && !children_remove(&table, 0),
         "an empty table");
  random_run(seed, 20, 100000);
  tap_ok(true, "random steps inside the structure");
  random_run(seed + 1, N_PIDS, 200000);
  tap_ok(true, "random steps in a table that grows");
  refuse = true;
  uint32_t pid = 1;
  while (children_add(&table, pid, 0, &memory)) {
    pid++;
  }
  tap_ok(table.n == 24 && children_check(&table) && children_find(&table, 24), "no memory to grow");
  return tap_done();
}
