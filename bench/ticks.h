/* The clock of all measurements: the time stamp counter.
 *
 * It is constant-rate and synchronous between CPUs on every machine that the benchmarks support
 * (SDM vol. 3, 17.17.1). Under instruction counting the emulator advances it by one for each guest
 * instruction, which makes a tick the unit by itself. */
#ifndef BENCH_TICKS_H
#define BENCH_TICKS_H

#include <stdint.h>

/* Reads the counter after all earlier instructions and before all later ones (SDM vol. 2, RDTSC).
 * */
static inline uint64_t ticks_now(void) {
  __builtin_ia32_lfence();
  uint64_t ticks = __builtin_ia32_rdtsc();
  __builtin_ia32_lfence();
  return ticks;
}

/* Once, before the two below: the rate in ticks a second (not 0). */
void ticks_init(uint64_t hz);

double ticks_to_ns(double ticks);
uint64_t ticks_from_ns(uint64_t ns);

#endif
