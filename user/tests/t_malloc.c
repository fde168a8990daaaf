/* The heap: contents, alignment, growth, absurd sizes, threads, and use after fork. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>

#include "tap.h"

enum { SLOTS = 200, STEPS = 4000 };

struct slot {
  unsigned char *p;
  size_t n;
  unsigned char fill;
};

static bool slot_is_intact(const struct slot *slot) {
  for (size_t i = 0; i < slot->n; i += 1 + slot->n / 64) {
    if (slot->p[i] != slot->fill) {
      return false;
    }
  }
  return slot->n == 0 || slot->p[slot->n - 1] == slot->fill;
}

static size_t random_size(uint64_t *state) {
  uint64_t kind = random_next(state) % 100;
  return random_next(state) % (kind < 80 ? 200 : kind < 97 ? 5000 : 200000);
}

/* Allocates, grows and frees at random; every block must keep what was written to it. */
static bool churn(uint64_t seed) {
  struct slot slots[SLOTS] = {0};
  bool good = true;
  for (int step = 0; step < STEPS && good; step++) {
    struct slot *slot = &slots[random_next(&seed) % SLOTS];
    good = slot_is_intact(slot);
    if (random_next(&seed) % 3 == 0) {
      free(slot->p);
      *slot = (struct slot){0};
      continue;
    }
    size_t n = random_size(&seed) + 1, kept = n < slot->n ? n : slot->n;
    unsigned char *p = realloc(slot->p, n);
    good = good && p && ((uintptr_t)p & 15) == 0;
    for (size_t i = 0; good && i < kept; i += 1 + kept / 16) {
      good = p[i] == slot->fill;
    }
    *slot = (struct slot){p, n, (unsigned char)step};
    memset(p, slot->fill, n);
  }
  for (int i = 0; i < SLOTS; i++) {
    good = slot_is_intact(&slots[i]) && good;
    free(slots[i].p);
  }
  return good;
}

static void *churn_thread(void *arg) {
  return (void *)(intptr_t)churn((uintptr_t)arg);
}

static int churn_child(void *arg) {
  return churn((uintptr_t)arg) ? 0 : 1;
}

static void test_sizes(void) {
  char *p = malloc(0);
  free(p);
  free(NULL);
  ok(true, "nothing can be allocated and freed");
  volatile size_t absurd = (size_t)1 << 62;
  ok(malloc(absurd) == NULL && errno == ENOMEM, "an absurd size");
  ok(calloc(absurd, 16) == NULL && errno == ENOMEM, "a product that overflows");
  p = calloc(1000, 1000);
  bool zero = p != NULL;
  for (size_t i = 0; zero && i < 1000000; i += 97) {
    zero = p[i] == 0;
  }
  ok(zero, "calloc clears");
  char *q = realloc(p, 3000000);
  ok(q && q[999999] == 0, "realloc of a large block");
  free(q);
  void *aligned = NULL;
  bool good = true;
  for (size_t align = 16; align <= 65536; align *= 2) {
    good = posix_memalign(&aligned, align, 100) == 0 && ((uintptr_t)aligned & (align - 1)) == 0 &&
           good;
    free(aligned);
  }
  ok(good, "alignments up to 64 KiB");
  p = malloc(32 << 20);
  for (size_t i = 0; p && i < 32 << 20; i += 4096) {
    p[i] = 1;
  }
  ok(p != NULL, "32 MiB, each page touched");
  free(p);
  good = true;
  for (int i = 0; i < 300; i++) { /* would fail if memory were not given back */
    p = malloc(8 << 20);
    good = p && good;
    if (p) {
      p[0] = p[(8 << 20) - 1] = 1;
    }
    free(p);
  }
  ok(good, "8 MiB three hundred times");
}

int main(void) {
  test_sizes();
  ok(churn(1), "four thousand random steps");
  pthread_t threads[4];
  int64_t sum = 0;
  for (uintptr_t i = 0; i < 4; i++) {
    pthread_create(&threads[i], NULL, churn_thread, (void *)(i + 10));
  }
  is(child_exit(churn_child, (void *)99), 0, "in a child forked while threads allocate");
  for (int i = 0; i < 4; i++) {
    void *value;
    pthread_join(threads[i], &value);
    sum += (intptr_t)value;
  }
  is(sum, 4, "four threads at once");
  return tap_done();
}
