// test-sources:
/* Reference counts: one last put, also when threads race; saturation is for ever. */
#include "lib/refcount.h"

#include "lib/tap.h"
#include <pthread.h>

#define N_THREADS 4
#define N_ROUNDS 200000

static struct refcount shared;
static _Atomic unsigned n_last;

static bool counts(void) {
  struct refcount r;
  refcount_init(&r, 1);
  refcount_get(&r);
  bool ok = refcount_read(&r) == 2 && !refcount_put(&r) && refcount_put(&r);
  return ok && refcount_read(&r) == 0 && !refcount_get_unless_zero(&r);
}

static bool get_unless_zero(void) {
  struct refcount r;
  refcount_init(&r, 1);
  return refcount_get_unless_zero(&r) && refcount_read(&r) == 2;
}

/* From just below the limit, over it, and many puts later: [C1]. */
static bool saturates(void) {
  struct refcount r;
  refcount_init(&r, REFCOUNT_SATURATED - 1);
  refcount_get(&r);
  bool ok = refcount_read(&r) == REFCOUNT_SATURATED && !refcount_put(&r);
  for (unsigned i = 0; i < 1000; i++) {
    ok = ok && refcount_read(&r) == REFCOUNT_PARKED && !refcount_put(&r);
  }
  refcount_get(&r);
  return ok && refcount_get_unless_zero(&r) && refcount_read(&r) == REFCOUNT_PARKED;
}

static void get_dead(void) {
  struct refcount r;
  refcount_init(&r, 0);
  refcount_get(&r);
}

static void put_dead(void) {
  struct refcount r;
  refcount_init(&r, 0);
  bool last = refcount_put(&r);
  (void)last;
}

static void *thread_run(void *arg) {
  for (unsigned i = 0; i < N_ROUNDS; i++) {
    if (i % 2) {
      refcount_get(&shared);
    } else if (!refcount_get_unless_zero(&shared)) {
      TAP_REQUIRE(false);
    }
    if (refcount_put(&shared)) {
      n_last++;
    }
  }
  n_last += refcount_put(&shared); /* the reference that the thread was born with */
  return arg;
}

static bool threads_agree(void) {
  pthread_t threads[N_THREADS];
  refcount_init(&shared, N_THREADS);
  for (unsigned i = 0; i < N_THREADS; i++) {
    TAP_REQUIRE(pthread_create(&threads[i], NULL, thread_run, NULL) == 0);
  }
  for (unsigned i = 0; i < N_THREADS; i++) {
    TAP_REQUIRE(pthread_join(threads[i], NULL) == 0);
  }
  return n_last == 1 && refcount_read(&shared) == 0;
}

int main(void) {
  tap_plan(5);
  tap_ok(counts(), "the last put answers true");
  tap_ok(get_unless_zero(), "a reference from a table");
  tap_ok(saturates(), "saturation is for ever");
  tap_ok(tap_dies(get_dead) && tap_dies(put_dead), "a dead object is not counted");
  tap_ok(threads_agree(), "one of %d threads sees the end", N_THREADS);
  return tap_done();
}
