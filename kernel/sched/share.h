/* Who gets how much of a CPU, and how good its priority is: the arithmetic of the scheduler, pure.
 *
 * Weight. Each step of nice is a factor of 1.25, nice 0 weighs 1. A thread's quantum is slice x
 * weight, granted once a round, so that threads that always want the CPU share it by weight,
 * whatever their mix. What a thread has left may be negative: kernel work and late interrupts run
 * over the end, and a slice is never cut shorter than slice_min. That debt is paid from the next
 * quanta [H1]; a thread in debt sits out a round. More debt than DEBT_QUANTA is forgiven.
 *
 * Credit. Sleeping earns credit, running spends it `decay` times as fast; full credit lifts a
 * thread by `bonus` priority levels, less by the proportion. It changes who goes first, never how
 * much anybody gets.
 *
 * All times are ticks of any clock. Locks: none. */
#ifndef CATHODE_SCHED_SHARE_H
#define CATHODE_SCHED_SHARE_H

#include "lib/bits.h"
#include "sched/runq.h"

#define NICE_LEAST (-20)
#define NICE_MOST 19
#define NICE_COUNT 40
#define SCHED_RT_MAX 99u
#define SHARE_BONUS_MOST 20u
#define DEBT_QUANTA 16

/* Derived from the parameters whenever one changes; read without a lock, each word for itself. */
struct share_rules {
  _Atomic int64_t quantum[NICE_COUNT]; /* [a] ticks a round, by nice - NICE_LEAST */
  _Atomic int64_t slice_min;           /* [a] ticks */
  _Atomic uint64_t credit_most;        /* [a] ticks of sleep that earn the whole bonus */
  _Atomic uint64_t levels_per_credit;  /* [a] times 2^32 */
  _Atomic uint64_t decay;              /* [a] credit spent a tick, times 2^8 */
};

/* slice, slice_min, sleep in ticks; bonus in levels, 0 to SHARE_BONUS_MOST; decay in per cent. */
void share_rules_set(struct share_rules *r, uint64_t slice, uint64_t slice_min, uint64_t bonus,
                     uint64_t sleep, uint64_t decay);

static inline int64_t share_quantum(const struct share_rules *r, int32_t nice) {
  return r->quantum[nice - NICE_LEAST];
}

/* What is left when a new round's quantum is granted [H1]. */
static inline int64_t share_grant(const struct share_rules *r, int64_t left, int32_t nice) {
  int64_t quantum = share_quantum(r, nice);
  return MAX(left, -DEBT_QUANTA * quantum) + quantum;
}

/* How long a thread with this much left runs before its slice is over. */
static inline int64_t share_slice(const struct share_rules *r, int64_t left) {
  int64_t least = r->slice_min;
  return MAX(left, least);
}

static inline uint64_t share_credit_after_run(const struct share_rules *r, uint64_t credit,
                                              uint64_t ran) {
  uint64_t spent = (ran * r->decay) >> 8;
  return credit > spent ? credit - spent : 0;
}

static inline uint64_t share_credit_after_sleep(const struct share_rules *r, uint64_t credit,
                                                uint64_t slept) {
  uint64_t most = r->credit_most;
  return slept >= most || credit + slept >= most ? most : credit + slept;
}

/* The timeshare priority: nice 0 without credit is 40 below the best timeshare one. Credit may be
 * from before a change of the rules, more than they now allow, and of the rules one word may be new
 * and the next old: the bonus is bounded here, whatever they say [H2]. */
static inline uint8_t share_prio(const struct share_rules *r, int32_t nice, uint64_t credit) {
  uint64_t most = r->credit_most;
  uint64_t bonus = (MIN(credit, most) * r->levels_per_credit) >> 32;
  return (uint8_t)(RUNQ_FIRST_TIMESHARE + SHARE_BONUS_MOST + (uint32_t)(nice - NICE_LEAST) -
                   (uint32_t)MIN(bonus, (uint64_t)SHARE_BONUS_MOST));
}

_Static_assert(RUNQ_FIRST_TIMESHARE + SHARE_BONUS_MOST + NICE_COUNT <= RUNQ_PRIOS,
               "every nice value has its level, with and without bonus");
_Static_assert(SCHED_RT_MAX < RUNQ_FIRST_TIMESHARE, "real-time is above timeshare");

#endif
