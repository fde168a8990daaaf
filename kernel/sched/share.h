/* Who gets how much of a CPU, and how good its priority is: the arithmetic of the scheduler, pure.
 *
 * Weight. Each step of nice is a factor of 1.25, nice 0 weighs 1. A thread's quantum is slice x
 * weight, granted once a round, so that threads that always want the CPU share it by weight,
 * whatever their mix.
 *
 * Scale. Who has used up a quantum is counted for the next round; when that begins, all its quanta
 * are scaled by one factor [H3]: less than 1 if they would last longer than `round` together, more
 * than 1 if they would be shorter than slice_min on average. So shares are as exact after some
 * seconds among many unequal threads as among two.
 *
 * Debt. What a thread has left may be negative: kernel work and late interrupts run over the end,
 * and no slice is cut shorter than a tenth of slice_min, or `floor`. It is paid from the next
 * quanta [H1]; a thread in debt sits out a round. More debt than DEBT_QUANTA is forgiven.
 *
 * Trust. Threads that wait for each other, each with a little less left every time, would set the
 * timer for the end of their slices ever sooner, and always for nothing. So the slice of a thread
 * that last gave the CPU up by itself is a whole quantum, whatever it has left [H4]. Who abuses
 * that does so once, in debt: a slice that was ended, or a better thread, ends the trust.
 *
 * Precedence. Who wakes up goes before who runs, whatever their priorities, as soon as that has had
 * as large a part of its quantum of this round [H5]: or a nap would cost a turn of whoever runs
 * meanwhile, and most of the sleeper's share with it. It changes nothing of what a round grants.
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
#define SHARE_SCALE_ONE 65536
#define SHARE_WEIGHT_ONE 65536 /* of nice 0 */

/* Derived from the parameters whenever one changes; read without a lock, each word for itself. */
struct share_rules {
  _Atomic int64_t quantum[NICE_COUNT]; /* [a] ticks a round, by nice - NICE_LEAST */
  _Atomic uint64_t round;              /* [a] ticks: a round is to be no longer */
  _Atomic uint64_t slice_min;          /* [a] ticks: mean slice of a shortened round */
  _Atomic int64_t slice_least;         /* [a] ticks */
  _Atomic uint64_t credit_most;        /* [a] ticks of sleep that earn the whole bonus */
  _Atomic uint64_t levels_per_credit;  /* [a] times 2^32 */
  _Atomic uint64_t decay;              /* [a] credit spent a tick, times 2^8 */
};

/* A round of one CPU. */
struct share_round {
  uint64_t quanta; /* of those who have used up theirs, for the next round: ticks, not scaled */
  uint32_t n;      /* how many they are */
  uint32_t scale;  /* of this round, times SHARE_SCALE_ONE */
};

/* What a thread has had of its quantum, with what was free. */
struct share_part {
  uint64_t had;
  int64_t quantum; /* at least 1 */
};

struct share_lengths {
  uint64_t slice, slice_min, round, sleep; /* ticks, each at least 1 */
  uint64_t floor;                          /* ticks: no slice is shorter, whatever slice_min is */
};

/* By nice - NICE_LEAST: 1.25^-nice, times SHARE_WEIGHT_ONE, rounded. */
extern const uint32_t share_weights[NICE_COUNT];

static inline uint32_t share_weight(int32_t nice) {
  return share_weights[nice - NICE_LEAST];
}

/* bonus in levels, 0 to SHARE_BONUS_MOST; decay in per cent. */
void share_rules_set(struct share_rules *r, const struct share_lengths *l, uint64_t bonus,
                     uint64_t decay);

/* A round begins, of those who were counted for it [H3]. */
void share_round_begin(const struct share_rules *r, struct share_round *round);

/* Not scaled. */
static inline int64_t share_quantum(const struct share_rules *r, int32_t nice) {
  return r->quantum[nice - NICE_LEAST];
}

/* Somebody has used up a quantum. */
static inline void share_count(const struct share_rules *r, struct share_round *round,
                               int32_t nice) {
  round->quanta += (uint64_t)share_quantum(r, nice);
  round->n++;
}

/* A quantum of this round. */
static inline int64_t share_scaled(const struct share_rules *r, const struct share_round *round,
                                   int32_t nice) {
  int64_t quantum = share_quantum(r, nice) * round->scale / SHARE_SCALE_ONE;
  return MAX(quantum, (int64_t)1);
}

/* What is left with a new quantum [H1]. */
static inline int64_t share_grant(int64_t left, int64_t quantum) {
  return MAX(left, -DEBT_QUANTA * quantum) + quantum;
}

/* How long who runs goes on until the part that it has had is no smaller than the other's [H5]. */
static inline uint64_t share_patience(struct share_part runs, struct share_part woken) {
  uint64_t quantum = (uint64_t)woken.quantum;
  uint64_t part = MIN(woken.had, 2 * quantum) * SHARE_SCALE_ONE / quantum;
  uint64_t due = (uint64_t)runs.quantum * part / SHARE_SCALE_ONE;
  return due > runs.had ? due - runs.had : 0;
}

static inline uint64_t share_credit_after_run(const struct share_rules *r, uint64_t credit,
                                              uint64_t ran) {
  uint64_t spent = (ran * r->decay) >> 8;
  return credit > spent ? credit - spent : 0;
}

static inline uint64_t share_credit_after_sleep(const struct share_rules *r, uint64_t credit,
                                                uint64_t slept) {
  uint64_t most = r->credit_most, sum = credit + slept; /* slept: below 2^63 */
  return MIN(sum, most);
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
