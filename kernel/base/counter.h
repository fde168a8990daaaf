/* Event counters, one set a CPU, so that counting shares no cache line. */
#ifndef CATHODE_BASE_COUNTER_H
#define CATHODE_BASE_COUNTER_H

#include "arch/arch.h"
#include "lib/bits.h"

enum counter {
#define COUNTER(name, text) COUNTER_##name,
#include "base/counters.def"
#undef COUNTER
  COUNTER_COUNT
};

struct counters {
  uint64_t n[COUNTER_COUNT]; /* [o/r] */
} __attribute__((aligned(CACHE_PAIR)));

extern struct counters counters[MAX_CPUS];
extern const char *const counter_names[COUNTER_COUNT];

/* On each CPU before it counts: arch_cpu.counters points to its set. */
void counter_cpu_init(void);

static inline void counter_add(enum counter c, uint64_t n) {
  struct counters *own;
  __asm__ volatile("movq %%gs:8, %0" : "=r"(own));
  own->n[c] += n;
}

#endif
