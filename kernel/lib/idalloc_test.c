// test-sources: idalloc.c
/* The number allocator against an array of flags, at sizes around the edges of its levels. */
#include "lib/idalloc.h"

#include "lib/rng.h"
#include "lib/tap.h"

#define N_STEPS 100000
#define CHECK_EVERY 997

static bool used[IDALLOC_MAX];
static uint32_t n_used;
static struct idalloc ids;

/* The words are allocated exactly, so that the sanitizer sees a step outside of them. */
static uint64_t *words_alloc(uint32_t n) {
  uint64_t *words = malloc(IDALLOC_WORDS(n) * sizeof(*words));
  TAP_REQUIRE(words);
  return words;
}

static bool model_find(uint32_t least, uint32_t *id) {
  for (*id = least; *id < ids.n; ++*id) {
    if (!used[*id]) {
      return true;
    }
  }
  return false;
}

/* What the allocator answered must be what the model answers; the model then takes it. */
static void model_agrees(bool found, uint32_t id, bool model_found, uint32_t model_id) {
  TAP_REQUIRE(found == model_found);
  if (found) {
    TAP_REQUIRE(id == model_id);
    used[id] = true;
    n_used++;
  }
}

static void step_get(struct rng *rng) {
  uint32_t id = 0, expected = 0, at = rng_below(rng, ids.n + 2);
  bool found, expected_found;
  switch (rng_below(rng, 4)) {
  case 0:
    found = idalloc_get(&ids, &id);
    expected_found = model_find(0, &expected);
    break;
  case 1:
    found = idalloc_get_from(&ids, at, &id);
    expected_found = model_find(at, &expected);
    break;
  case 2:
    found = idalloc_get_after(&ids, at, &id);
    expected_found = model_find(at + 1, &expected) || model_find(0, &expected);
    break;
  default:
    id = expected = at;
    found = idalloc_take(&ids, at);
    expected_found = at < ids.n && !used[at];
    break;
  }
  model_agrees(found, id, expected_found, expected);
}

static void step_put(struct rng *rng) {
  uint32_t id = rng_below(rng, ids.n);
  TAP_REQUIRE(idalloc_is_used(&ids, id) == used[id]);
  if (used[id]) {
    idalloc_put(&ids, id);
    used[id] = false;
    n_used--;
  }
}

/* idalloc_next_used() visits exactly the used ones, upwards. */
static void walk_matches(void) {
  uint32_t next = 0, id;
  while (idalloc_next_used(&ids, next, &id)) {
    for (; next < id; next++) {
      TAP_REQUIRE(!used[next]);
    }
    TAP_REQUIRE(used[id]);
    next = id + 1;
  }
  for (; next < ids.n; next++) {
    TAP_REQUIRE(!used[next]);
  }
}

static void random_walk(struct rng *rng, unsigned n_steps) {
  for (unsigned i = 0; i < n_steps; i++) {
    bool fill = rng_below(rng, 16) < (i / 1024 % 2 ? 11 : 5); /* tides: nearly full, nearly empty */
    if (fill) {
      step_get(rng);
    } else {
      step_put(rng);
    }
    TAP_REQUIRE(ids.n_used == n_used);
    if (i % CHECK_EVERY == 0) {
      TAP_REQUIRE(idalloc_check(&ids));
      walk_matches();
    }
  }
}

static uint64_t *model_init(uint32_t n) {
  uint64_t *words = words_alloc(n);
  idalloc_init(&ids, words, n);
  for (uint32_t i = 0; i < IDALLOC_MAX; i++) {
    used[i] = false;
  }
  n_used = 0;
  TAP_REQUIRE(idalloc_check(&ids));
  return words;
}

static bool walk_of_size(struct rng *rng, uint32_t n) {
  uint64_t *words = model_init(n);
  random_walk(rng, N_STEPS);
  bool ok = idalloc_check(&ids);
  free(words);
  return ok;
}

/* Every id once, then none, then all back. */
static bool fills_up(uint32_t n) {
  uint64_t *words = model_init(n);
  uint32_t id;
  bool ok = true;
  for (uint32_t i = 0; i < n; i++) {
    ok = ok && idalloc_get(&ids, &id) && id == i;
  }
  ok = ok && !idalloc_get(&ids, &id) && !idalloc_get_after(&ids, 0, &id);
  ok = ok && !idalloc_get_from(&ids, 0, &id) && ids.n_used == n && idalloc_check(&ids);
  for (uint32_t i = 0; i < n; i++) {
    idalloc_put(&ids, i);
  }
  ok = ok && ids.n_used == 0 && idalloc_check(&ids) && !idalloc_is_used(&ids, n);
  free(words);
  return ok;
}

/* A file table's life: grown while in use, through sizes of one, two and three levels. */
static bool grows(struct rng *rng) {
  const uint32_t sizes[] = {1, 64, 65, 256, 4096, 5000, 70000};
  uint64_t *words = model_init(sizes[0]);
  for (unsigned i = 1; i < ARRAY_LEN(sizes); i++) {
    random_walk(rng, 3000);
    uint64_t *longer = words_alloc(sizes[i]);
    idalloc_grow(&ids, longer, sizes[i]);
    free(words);
    words = longer;
    TAP_REQUIRE(idalloc_check(&ids) && ids.n_used == n_used);
    walk_matches();
  }
  free(words);
  return ids.n == 70000;
}

static bool check_can_fail(void) {
  uint64_t *words = model_init(100);
  uint32_t id;
  bool caught = idalloc_get(&ids, &id);
  ids.mid[0] = 0;
  caught = caught && !idalloc_check(&ids); /* [I1] */
  ids.mid[0] = 3;
  ids.n_used = 2;
  caught = caught && !idalloc_check(&ids); /* [I2] */
  ids.n_used = 1;
  ids.leaf[1] |= UINT64_C(1) << 63;
  caught = caught && !idalloc_check(&ids); /* [I3] */
  free(words);
  return caught;
}

static uint64_t two_words[IDALLOC_WORDS(64)];

static void init_empty(void) {
  idalloc_init(&ids, two_words, 0);
}

static void init_too_many(void) {
  idalloc_init(&ids, two_words, IDALLOC_MAX + 1);
}

static void put_free(void) {
  idalloc_init(&ids, two_words, 64);
  idalloc_put(&ids, 3);
}

static void put_outside(void) {
  idalloc_init(&ids, two_words, 64);
  idalloc_put(&ids, 64);
}

static void shrink(void) {
  uint64_t words[IDALLOC_WORDS(64)];
  idalloc_init(&ids, two_words, 64);
  idalloc_grow(&ids, words, 63);
}

static bool misuse_dies(void) {
  return tap_dies(init_empty) && tap_dies(init_too_many) && tap_dies(put_free) &&
         tap_dies(put_outside) && tap_dies(shrink);
}

int main(int argc, char **argv) {
  const uint32_t sizes[] = {1, 63, 64, 65, 1000, 4096, 4097};
  struct rng rng;
  tap_plan(ARRAY_LEN(sizes) + 5);
  rng_seed(&rng, tap_seed(argc, argv));
  for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
    tap_ok(walk_of_size(&rng, sizes[i]), "random walk with %u ids", sizes[i]);
  }
  tap_ok(fills_up(IDALLOC_MAX), "fills up, %u ids", IDALLOC_MAX);
  tap_ok(fills_up(IDALLOC_MAX - 1), "fills up, a level short of a bit");
  tap_ok(grows(&rng), "grows while in use");
  tap_ok(check_can_fail(), "idalloc_check() notices each broken invariant");
  tap_ok(misuse_dies(), "misuse is caught");
  return tap_done();
}
