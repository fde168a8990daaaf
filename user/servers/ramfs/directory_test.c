// test-sources: directory.c
/* Directory tables against a plain array of names, and the promise made to readers: what is there
 * all the time is seen exactly once, whatever comes and goes. */
#include "servers/ramfs/directory.h"

#include <string.h>

#include "lib/rng.h"
#include "lib/tap.h"

#define NAMES 600u
#define STEPS 60000u

static struct directory directory;
static bool present[NAMES];

static struct text name_of(uint32_t i, char *buffer) {
  return (struct text){buffer, (size_t)sprintf(buffer, "name-%u", i)};
}

static void toggle(uint32_t i) {
  char buffer[32];
  struct text name = name_of(i, buffer);
  struct entry *entry = directory_find(&directory, name);
  TAP_REQUIRE((entry != NULL) == present[i]);
  if (entry) {
    directory_remove(&directory, entry);
  } else {
    TAP_REQUIRE(directory_add(&directory, name, NULL, (struct node *)&present[i]) != NULL);
  }
  present[i] = !present[i];
}

static void test_random(struct rng *rng) {
  for (uint32_t step = 0; step < STEPS; step++) {
    toggle(rng_below(rng, step < STEPS / 2 ? NAMES : 20));
    TAP_REQUIRE(step % 512 != 0 || directory_check(&directory));
  }
  uint32_t n = 0;
  for (uint32_t i = 0; i < NAMES; i++) {
    n += present[i];
  }
  tap_ok(n == directory.n_entries && directory_check(&directory), "%u steps as the model has it",
         STEPS);
  tap_ok(directory.n_slots <= 2 * NAMES, "slots are used again");
}

/* Names below 100 stay; all others come and go between the steps of a reader. */
static void test_reader(struct rng *rng) {
  unsigned seen[NAMES] = {0};
  for (uint32_t i = 0; i < 100; i++) {
    if (!present[i]) {
      toggle(i);
    }
  }
  const struct entry *entry = directory_next(&directory, 0);
  while (entry) {
    uint64_t next = entry->slot + 1ull;
    seen[(const bool *)entry->node - present]++;
    for (uint32_t k = 0; k < 10; k++) {
      toggle(100 + rng_below(rng, NAMES - 100));
    }
    entry = directory_next(&directory, next);
  }
  bool once = true;
  for (uint32_t i = 0; i < 100; i++) {
    once = once && seen[i] == 1;
  }
  tap_ok(once, "a reader sees what stays exactly once");
}

int main(int argc, char **argv) {
  struct rng rng;
  rng_seed(&rng, tap_seed(argc, argv));
  tap_plan(4);
  directory_init(&directory);
  test_random(&rng);
  test_reader(&rng);
  for (uint32_t i = 0; i < NAMES; i++) {
    if (present[i]) {
      toggle(i);
    }
  }
  tap_ok(directory.n_entries == 0 && directory_next(&directory, 0) == NULL &&
             directory_check(&directory),
         "empty again");
  directory_fini(&directory);
  return tap_done();
}
