// test-sources: gtree.c
/* The grants of a few spaces, which share their trees as clones do, against a flat map: random
 * mappings, cuts, changes of rights and clones, each with its first, second, ... allocation failing
 * until none fails. A step that fails must have changed nothing that shows. */
#define CATHODE_DEBUG 0
#include "mm/grants.c"

#include <string.h>

#include "lib/rng.h"
#include "lib/tap.h"

#define N_SPACES 3u
#define N_PAGES 48u
#define N_OBJECTS 3u
#define N_STEPS 200000u
#define BASE 0x400000ul

struct memobj {
  long refs; /* held by grants */
};

struct page {
  bool used, shared, grows;
  uint8_t prot;
  struct memobj *obj;
  uint64_t offset;
};

static struct memobj objects[N_OBJECTS];
static struct space spaces[N_SPACES];
static struct page model[N_SPACES][N_PAGES];
static struct rng rng;
static long n_live, fail_in, n_refused; /* cells, allocations until one fails, steps that failed */

/* ---- what grants.c asks for ----------------------------------------------------------------- */

void *kcache_alloc(struct kcache *c) {
  if (fail_in > 0 && --fail_in == 0) {
    return NULL;
  }
  n_live++;
  return malloc(c->size);
}

void kcache_free(struct kcache *c, void *object) {
  (void)c;
  n_live--;
  free(object);
}

void memobj_get(struct memobj *o) {
  o->refs++;
}

void memobj_put(struct memobj *o) {
  TAP_REQUIRE(o->refs-- > 0);
}

/* ---- looking ------------------------------------------------------------------------------ */

static uint64_t page_va(uint64_t page) {
  return BASE + page * PAGE_SIZE;
}

/* A grant says of each of its pages what the model does, and is not to be one with the next. */
static bool grant_is_right(const struct grant *g, const struct page *pages) {
  bool good = true;
  for (uint64_t va = g->node.start; va < g->node.end; va += PAGE_SIZE) {
    const struct page *p = &pages[(va - BASE) / PAGE_SIZE];
    good = good && p->used && p->prot == g->prot && p->obj == g->obj && p->shared == g->shared &&
           p->grows == g->node.grows && g->node.data == grant_is_data(g) &&
           (g->obj == NULL || p->offset == g->offset + (va - g->node.start));
  }
  const struct gnode *next = gtree_next(&g->node);
  return good && (next == NULL || !grants_join(g, (const struct grant *)next));
}

static bool space_is_right(unsigned i) {
  struct gtree *t = &spaces[i].grants->tree;
  uint64_t bytes = 0;
  bool good = gtree_check(t) == 0;
  for (struct gnode *n = gtree_first_from(t, 0); n != NULL; n = gtree_next(n)) {
    good = good && grant_is_right(grant_of(n), model[i]);
  }
  for (unsigned page = 0; page < N_PAGES; page++) {
    bytes += model[i][page].used ? PAGE_SIZE : 0;
  }
  return good && bytes == gtree_bytes(t);
}

/* Trees that are shared count once. */
static bool world_is_right(void) {
  long cells = 0, refs[N_OBJECTS] = {0};
  bool good = true;
  for (unsigned i = 0; i < N_SPACES; i++) {
    bool seen = false;
    for (unsigned j = 0; j < i; j++) {
      seen = seen || spaces[j].grants == spaces[i].grants;
    }
    good = good && space_is_right(i);
    struct gnode *n = seen ? NULL : gtree_first_from(&spaces[i].grants->tree, 0);
    for (cells += !seen; n != NULL; n = gtree_next(n)) {
      cells++;
      for (unsigned o = 0; o < N_OBJECTS; o++) {
        refs[o] += grant_of(n)->obj == &objects[o];
      }
    }
  }
  for (unsigned o = 0; o < N_OBJECTS; o++) {
    good = good && refs[o] == objects[o].refs;
  }
  return good && cells == n_live;
}

/* ---- steps -------------------------------------------------------------------------------- */

struct step {
  unsigned space, first, n, prot;
  struct memobj *obj; /* NULL: anonymous */
  bool shared, grows;
};

static struct step step_draw(void) {
  struct step s = {.space = rng_below(&rng, N_SPACES), .first = rng_below(&rng, N_PAGES)};
  s.n = 1 + rng_below(&rng, MIN(12u, N_PAGES - s.first));
  s.prot = rng_below(&rng, 3);
  s.obj = rng_below(&rng, 3) == 0 ? &objects[rng_below(&rng, N_OBJECTS)] : NULL;
  s.shared = s.obj != NULL && rng_below(&rng, 2) == 0;
  s.grows = s.obj == NULL && rng_below(&rng, 4) == 0;
  return s;
}

static enum abi_error step_add(const struct step *s) {
  uint64_t start = page_va(s->first), end = page_va(s->first + s->n);
  struct grant like = {.node = {.start = start, .end = end},
                       .prot = (uint8_t)s->prot,
                       .shared = s->shared,
                       .obj = s->obj,
                       .offset = s->obj != NULL ? start : 0};
  like.node.grows = s->grows;
  like.node.data = grant_is_data(&like);
  if (!gtree_is_free(&spaces[s->space].grants->tree, start, end)) {
    return OK;
  }
  enum abi_error e = grants_add(&spaces[s->space], &like);
  for (unsigned i = s->first; e == OK && i < s->first + s->n; i++) {
    model[s->space][i] = (struct page){true,      s->shared, s->grows,
                                       like.prot, s->obj,    s->obj != NULL ? page_va(i) : 0};
  }
  return e;
}

static enum abi_error step_cut(const struct step *s) {
  struct grants_cut cut;
  struct space *space = &spaces[s->space];
  enum abi_error e = grants_cut_prepare(space, page_va(s->first), page_va(s->first + s->n), &cut);
  if (e == OK && rng_below(&rng, 8) == 0) {
    grants_cut_cancel(&cut);
  } else if (e == OK) {
    grants_cut(space, &cut);
    memset(&model[s->space][s->first], 0, s->n * sizeof(struct page));
  }
  return e;
}

/* As space_protect() does. */
static enum abi_error step_protect(const struct step *s) {
  struct space *space = &spaces[s->space];
  uint64_t start = page_va(s->first), end = page_va(s->first + s->n);
  enum abi_error e = grants_split(space, start, end);
  struct gnode *n = gtree_first_from(&space->grants->tree, start);
  for (; e == OK && n != NULL && n->start < end; n = gtree_next(n)) {
    grants_set_prot(space, grant_of(n), s->prot);
  }
  for (unsigned i = s->first; e == OK && i < s->first + s->n; i++) {
    model[s->space][i].prot = (uint8_t)s->prot;
  }
  if (e == OK) {
    grants_merge(space, start, end);
  }
  return e;
}

static enum abi_error step_clone(const struct step *s) {
  unsigned from = (s->space + 1) % N_SPACES;
  struct grants *shared = grants_share(spaces[from].grants);
  grants_put(spaces[s->space].grants);
  spaces[s->space].grants = shared;
  memcpy(model[s->space], model[from], sizeof(model[from]));
  return OK;
}

static void step_run(void) {
  static enum abi_error (*const kinds[])(const struct step *) = {
      step_add, step_add, step_add, step_cut, step_cut, step_protect, step_protect, step_clone};
  unsigned kind = rng_below(&rng, ARRAY_LEN(kinds));
  struct step s = step_draw();
  enum abi_error e = ABI_ENOMEM;
  for (long fail = 1; e == ABI_ENOMEM; fail++) {
    fail_in = fail;
    e = kinds[kind](&s);
    fail_in = 0;
    n_refused += e == ABI_ENOMEM;
    TAP_REQUIRE(e == OK || e == ABI_ENOMEM);
    TAP_REQUIRE(world_is_right());
  }
}

int main(int argc, char **argv) {
  rng_seed(&rng, tap_seed(argc, argv));
  tap_plan(3);
  for (unsigned i = 0; i < N_SPACES; i++) {
    TAP_REQUIRE(grants_create(&spaces[i].grants) == OK);
  }
  for (unsigned step = 0; step < N_STEPS; step++) {
    step_run();
  }
  tap_ok(true, "%u steps of %u spaces agree with a flat map", N_STEPS, N_SPACES);
  tap_ok(n_refused > 10000, "also those that found no memory, at each place");
  for (unsigned i = 0; i < N_SPACES; i++) {
    grants_put(spaces[i].grants);
  }
  tap_ok(n_live == 0 && objects[0].refs + objects[1].refs + objects[2].refs == 0, "nothing leaked");
  return tap_done();
}
