/* Which CPU gives work and which takes it: the choice alone, pure. Who asks gathers the numbers,
 * which are old by the time they are used: a wrong choice costs a move, never correctness.
 *
 * Loads are numbers of runnable threads. A CPU that a real-time thread has is worth nothing to
 * those that wait there, for as long as that thread likes: they are better off on any other,
 * however loaded, and must not be sent back.
 *
 * O(CPUs), asked when idle and once a balance interval. */
#ifndef CATHODE_SCHED_BALANCE_H
#define CATHODE_SCHED_BALANCE_H

#include "lib/bits.h"

#define BALANCE_NONE UINT32_MAX

struct balance_view {
  uint64_t mask;        /* CPUs to look at */
  uint64_t realtime;    /* CPUs that a real-time thread has */
  uint32_t load[64];    /* by CPU: threads that wait, and one more if one runs */
  uint32_t waiting[64]; /* by CPU: threads that wait */
};

/* For an idle CPU: the one with most waiting, at least `least` (> 0); of equals the next after
 * self, so that thieves spread. BALANCE_NONE. */
uint32_t balance_victim(const struct balance_view *v, uint32_t self, uint32_t least);

/* For a CPU whose threads wait: the one with least load among those that no real-time thread has,
 * of equals the next after self, if self has at least `least` (> 0) more. Behind a real-time thread
 * it does not ask for more load there; and if all CPUs have one, they compare as usual.
 * BALANCE_NONE. */
uint32_t balance_target(const struct balance_view *v, uint32_t self, uint32_t least);

/* How many of the waiting a thief takes: at most half, rounded up, and at most batch. */
static inline uint32_t balance_share(uint32_t waiting, uint32_t batch) {
  return MIN((waiting + 1) / 2, batch);
}

#endif
