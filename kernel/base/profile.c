/* The rings of samples, and what an NMI does about them. */
#include "base/profile.h"
#include "arch/upcall.h"
#include "base/panic.h"
#include "lib/bits.h"

struct profile_ring {
  struct profile_sample *samples;     /* [c] NULL: none */
  uint32_t n;                         /* [c] a power of two */
  _Atomic uint32_t head;              /* [a] free-running: the next that is written, by this CPU */
  _Atomic uint64_t lost;              /* [a] by this CPU */
  _Alignas(64) _Atomic uint32_t tail; /* [a] free-running: the next that is read */
};

static struct profile_ring rings[MAX_CPUS];
static _Atomic bool used, keeping;
void (*profile_who)(struct profile_sample *s);

void profile_ring_give(uint32_t cpu, struct profile_sample *samples, uint32_t n) {
  kassert(bit_is_power_of_two(n) && rings[cpu].samples == NULL);
  rings[cpu].n = n;
  rings[cpu].samples = samples;
}

bool profile_ring_exists(uint32_t cpu) {
  return rings[cpu].samples != NULL;
}

void profile_keep(bool keep) {
  kassert(profile_who != NULL);
  atomic_store(&used, true);
  atomic_store(&keeping, keep);
}

/* While a CPU panics, NMIs are its way to stop the others, and itself takes no notice of them. */
struct profile_sample *upcall_nmi_sample(bool *ours) {
  uint32_t panicking = panic_cpu();
  struct profile_ring *r = &rings[cpu_id()];
  *ours = panicking == 0 ? atomic_load(&used) : panicking == cpu_id() + 1;
  if (panicking != 0 || !atomic_load(&keeping) || r->samples == NULL) {
    return NULL;
  }
  uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
  if (head - atomic_load_explicit(&r->tail, memory_order_acquire) == r->n) {
    atomic_fetch_add_explicit(&r->lost, 1, memory_order_relaxed);
    return NULL;
  }
  struct profile_sample *s = &r->samples[head & (r->n - 1)];
  s->tsc = arch_tsc();
  s->cpu = (uint16_t)cpu_id();
  profile_who(s);
  return s;
}

void upcall_nmi_sampled(struct profile_sample *s) {
  (void)s;
  atomic_fetch_add_explicit(&rings[cpu_id()].head, 1, memory_order_release);
}

uint32_t profile_peek(uint32_t cpu, const struct profile_sample **first) {
  struct profile_ring *r = &rings[cpu];
  if (r->samples == NULL) {
    return 0;
  }
  uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
  uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
  *first = &r->samples[tail & (r->n - 1)];
  return MIN(head - tail, r->n - (tail & (r->n - 1)));
}

void profile_free(uint32_t cpu, uint32_t n) {
  atomic_fetch_add_explicit(&rings[cpu].tail, n, memory_order_release);
}

uint64_t profile_lost(void) {
  uint64_t n = 0;
  for (uint32_t cpu = 0; cpu < MAX_CPUS; cpu++) {
    n += atomic_load_explicit(&rings[cpu].lost, memory_order_relaxed);
  }
  return n;
}
