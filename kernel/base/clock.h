/* Time since boot, from the TSC. Constant after clock_init(): user space computes the same
 * (abi_clock). */
#ifndef CATHODE_BASE_CLOCK_H
#define CATHODE_BASE_CLOCK_H

#include "arch/arch.h"

extern struct abi_clock clock_abi;  /* [c] */
extern uint64_t clock_ticks_per_ns; /* [c] times 2^32 */

void clock_init(void);

static inline uint64_t clock_from_tsc(uint64_t tsc) {
  return clock_abi.base_ns +
         (uint64_t)(((unsigned __int128)(tsc - clock_abi.base_tsc) * clock_abi.mult) >> 32);
}

/* Nanoseconds since boot; never runs backwards on one CPU, and across CPUs as far as their TSCs
 * agree. */
static inline uint64_t clock_now(void) {
  return clock_from_tsc(arch_tsc());
}

/* Lengths of time, rounded down. */
static inline uint64_t clock_ticks_to_ns(uint64_t ticks) {
  return (uint64_t)(((unsigned __int128)ticks * clock_abi.mult) >> 32);
}
static inline uint64_t clock_ns_to_ticks(uint64_t ns) {
  return (uint64_t)(((unsigned __int128)ns * clock_ticks_per_ns) >> 32);
}

/* The first TSC value at which clock_from_tsc() is at least ns; UINT64_MAX for UINT64_MAX. */
uint64_t clock_to_tsc(uint64_t ns);

#endif
