/* Object caches: fixed-size objects cut from frames. A CPU allocates from its own magazine without
 * a lock; half a magazine at a time moves to and from the shared list. Frames stay with their
 * cache, so that a leak shows as live objects, not as frames. */
#include "base/panic.h"
#include "lib/string.h"
#include "mm/mm.h"

_Atomic(struct kcache *) kcache_list;

static void cache_register(struct kcache *c) {
  struct kcache *head = atomic_load(&kcache_list);
  do {
    c->next_cache = head;
  } while (!atomic_compare_exchange_weak(&kcache_list, &head, c));
}

/* With c->lock held: one more frame's worth of objects on the shared list. */
static void cache_grow(struct kcache *c, uint8_t *page) {
  uint32_t step = ALIGN_UP(MAX(c->size, 8u), c->align);
  for (uint32_t at = 0; at + step <= PAGE_SIZE; at += step) {
    *(void **)(page + at) = c->free_list;
    c->free_list = page + at;
  }
}

static bool magazine_fill(struct kcache *c, struct kcache_cpu *cc) {
  spin_lock(&c->lock);
  if (c->free_list == NULL) {
    paddr_t pa;
    if (!frame_alloc(FRAME_KERNEL, &pa)) {
      spin_unlock(&c->lock);
      return false;
    }
    if (!c->registered) {
      c->registered = true;
      cache_register(c);
    }
    cache_grow(c, direct_map(pa));
  }
  while (cc->n < KCACHE_MAG / 2 && c->free_list != NULL) {
    cc->objects[cc->n++] = c->free_list;
    c->free_list = *(void **)c->free_list;
  }
  spin_unlock(&c->lock);
  return true;
}

void *kcache_alloc(struct kcache *c) {
  struct kcache_cpu *cc = &c->cpus[cpu_id()];
  if (fail_now() || (UNLIKELY(cc->n == 0) && !magazine_fill(c, cc))) {
    return NULL;
  }
  cc->live++;
  return cc->objects[--cc->n];
}

void *kcache_alloc_zeroed(struct kcache *c) {
  void *object = kcache_alloc(c);
  return object != NULL ? memset(object, 0, c->size) : NULL;
}

void kcache_free(struct kcache *c, void *object) {
  struct kcache_cpu *cc = &c->cpus[cpu_id()];
  if (cc->n == KCACHE_MAG) {
    spin_lock(&c->lock);
    while (cc->n > KCACHE_MAG / 2) {
      void *o = cc->objects[--cc->n];
      *(void **)o = c->free_list;
      c->free_list = o;
    }
    spin_unlock(&c->lock);
  }
  cc->live--;
  cc->objects[cc->n++] = object;
}

int64_t kcache_live(const struct kcache *c) {
  int64_t n = 0;
  for (uint32_t i = 0; i < MAX_CPUS; i++) {
    n += c->cpus[i].live;
  }
  return n;
}
