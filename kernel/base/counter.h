/* Event counters, one set a CPU, so that counting shares no cache line. */
#ifndef CATHODE_BASE_COUNTER_H
#define CATHODE_BASE_COUNTER_H

#include "arch/arch.h"

enum counter {
#define COUNTER(name, text) COUNTER_##name,
#include "base/counters.def"
#undef COUNTER
  COUNTER_COUNT
};

struct counters {
  uint64_t n[COUNTER_COUNT]; /* [o/r] */
} __attribute__((aligned(64)));

extern struct counters counters[MAX_CPUS];
extern const char *const counter_names[COUNTER_COUNT];

static inline void counter_add(enum counter c, uint64_t n) {
  counters[cpu_id()].n[c] += n;
}

#endif
