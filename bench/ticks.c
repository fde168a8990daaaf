/* Conversion between the time stamp counter and nanoseconds. Doubles hold 2^53 ticks, a month. */
#include "ticks.h"

static double ns_per_tick;

void ticks_init(uint64_t hz) {
  ns_per_tick = 1e9 / (double)hz;
}

double ticks_to_ns(double ticks) {
  return ticks * ns_per_tick;
}

uint64_t ticks_from_ns(uint64_t ns) {
  return (uint64_t)((double)ns / ns_per_tick);
}
