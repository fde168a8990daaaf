/* Stress: wider races, on purpose. Debug builds only; boot argument `stress=SEED`, 0 for none.
 *
 * After a lock is given back, chosen by the seed, the CPU [X1] dawdles for a while, so that others
 * come in between, and [X2] marks its current thread to be preempted, which happens at the next
 * legal point: sched_point(), or the way back to ring 3. In every other spell it does so after each
 * lock. Neither does what could not happen without it, so that whatever breaks is broken.
 *
 * Each CPU draws numbers of its own. How CPUs interleave is the machine's affair: the same seed
 * makes the same choices, not the same run.
 *
 * Limits: code between two points is not preempted, since the kernel never is. */
#ifndef CATHODE_BASE_STRESS_H
#define CATHODE_BASE_STRESS_H

#include <stdbool.h>
#include <stdint.h>

extern uint64_t stress_seed; /* [c] after the boot arguments are read */
extern bool stress_armed;    /* [c] after boot */

void stress_arm(void);      /* once per-CPU state is there */
void stress_unlocked(void); /* while armed, after an unlock */

#endif
