/* The clock's constants: mult = 2^32 * 10^9 / hz, and its inverse for arming timers. */
#include "base/clock.h"

#include "lib/bits.h"

#define NS_PER_S 1000000000ul

READ_MOSTLY struct abi_clock clock_abi;
READ_MOSTLY uint64_t clock_ticks_per_ns; /* 2^32 * hz / 10^9 */

void clock_init(void) {
  uint64_t hz = arch_tsc_hz();
  clock_abi.tsc_hz = hz;
  clock_abi.mult = (NS_PER_S << 32) / hz; /* 2^32 * 10^9 fits 62 bits */
  clock_abi.base_tsc = 0;
  clock_abi.base_ns = 0;
  clock_ticks_per_ns = (hz / NS_PER_S << 32) + (hz % NS_PER_S << 32) / NS_PER_S;
  clock_abi.base_tsc = arch_tsc();
  clock_abi.realtime_offset_ns = arch_wall_clock() * (int64_t)NS_PER_S - (int64_t)clock_now();
}

uint64_t clock_to_tsc(uint64_t ns) {
  if (ns == UINT64_MAX) {
    return UINT64_MAX;
  }
  unsigned __int128 cycles = ((unsigned __int128)ns * clock_ticks_per_ns) >> 32;
  if (cycles > INT64_MAX) {
    return UINT64_MAX;
  }
  /* Both factors are rounded down, so this is early by a little more each second: put it right. */
  uint64_t tsc = clock_abi.base_tsc + (uint64_t)cycles;
  for (uint64_t at; (at = clock_from_tsc(tsc)) < ns;) {
    tsc += (((ns - at) * clock_ticks_per_ns) >> 32) + 1;
  }
  return tsc;
}
