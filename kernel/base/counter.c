/* Storage and names of the counters. */
#include "base/counter.h"

OF_EACH_CPU struct counters counters[MAX_CPUS];
const char *const counter_names[COUNTER_COUNT] = {
#define COUNTER(name, text) #name,
#include "base/counters.def"
#undef COUNTER
};

void counter_cpu_init(void) {
  arch_cpu_self()->counters = &counters[cpu_id()];
}
