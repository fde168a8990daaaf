/* Which CPU gives work and which takes it: the choice alone, pure. Who asks gathers the numbers,
 * which are old by the time they are used: a wrong choice costs a move, never correctness.
 *
 * Loads are numbers of runnable threads. A CPU that a real-time thread has is worth nothing to
 * those that wait there, for as long as that thread likes: they are better off on any other,
 * however loaded, and must not be sent back.
 *
 * Shares across CPUs. What a thread has had, by its weight, is what it is `served`: ticks of a
 * thread of nice 0. All are to be served alike, whatever CPU they are on. A thread's lead is how
 * far it is ahead of the level, the mean of all, in time of the machine: 10 ms behind is what it
 * would have had in 10 ms.
 *
 * A CPU evens out the leads of its own threads: who is behind the others there is `owed` time with
 * its next quanta, and who is ahead owes some. Between CPUs threads move. Each is `due` as much
 * CPU time as makes it level in one more horizon:
 *
 *      due = weight x (horizon - lead) / mean weight,   within 0 and 4 horizons
 *
 * and when all of a CPU are due more than the horizon, all of them will be behind then:
 *
 *      their lead = (horizon - sum of due) x mean weight / weight of the CPU
 *
 * So a pair of CPUs looks which thread one should give the other, which one take for it, or both,
 * that the sum of all squares of those leads may be least. Each thread counts alike, for each is to
 * have its share within the same per cent. Who is so heavy that a whole CPU is less than its share
 * fills that CPU: it is due no more, others share what remains, and none of them belongs beside it.
 *
 * All that is O(CPUs), or O(1) for a pair, asked when idle and once a balance interval. */
#ifndef CATHODE_SCHED_BALANCE_H
#define CATHODE_SCHED_BALANCE_H

#include "sched/share.h"

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
 * of equals the next after self, if self has more. Behind a real-time thread it does not ask for
 * more load there; and if all CPUs have one, they compare as usual. BALANCE_NONE. */
uint32_t balance_target(const struct balance_view *v, uint32_t self);

/* How many of the waiting a thief takes: at most half, rounded up, and at most batch. */
static inline uint32_t balance_share(uint32_t waiting, uint32_t batch) {
  return MIN((waiting + 1) / 2, batch);
}

/* ---- shares across CPUs -------------------------------------------------------------------- */

#define BALANCE_THREADS 12u /* of a CPU, those due most, that are looked at as candidates */
#define BALANCE_UNIT 10     /* leads and lengths are 2^10 ticks, so that all below fits 64 bits */
#define BALANCE_RATE_MOST (UINT64_C(64) << 16) /* times 2^-16: faster is as good as that */

struct balance_loads {
  uint64_t mask;         /* CPUs that take part */
  uint64_t known;        /* CPUs of which `served` is right */
  uint64_t weight[64];   /* by CPU: of all threads that want it */
  uint64_t heaviest[64]; /* by CPU: of one of them */
  int64_t served[64];    /* by CPU: mean of its threads by weight */
};

/* Nobody is ahead or behind by more than `limit`, and who seems to be by twice that is new here. */
struct balance_lengths {
  uint64_t limit, horizon, interval; /* ticks; the last between two looks at a CPU */
};

struct balance_level {
  uint64_t filled; /* CPUs that their heaviest thread is due whole */
  uint64_t weight; /* mean of the other CPUs, > 0; with it, a CPU serves at rate 1 */
  int64_t served;  /* mean of their threads */
  struct balance_lengths lengths;
};

/* A thread of a side of a pair. */
struct balance_thread {
  uint64_t weight;
  uint64_t cpus; /* where it may run */
  int64_t lead, due;
};

struct balance_side {
  uint32_t cpu, n_threads;
  uint64_t n, weight;            /* of all its threads */
  uint64_t heaviest, n_heaviest; /* the most that one weighs, and how many do */
  int64_t due, above;            /* sums of all: due, and lead x weight */
  struct balance_thread threads[BALANCE_THREADS];
};

/* The time from look number n to the next: about an interval, a quarter more or less, spread evenly
 * over all n by the golden ratio. */
static inline uint64_t balance_delay(uint64_t interval, uint32_t n) {
  uint64_t part = (n * UINT32_C(0x9e3779b9)) >> 16;
  return interval - interval / 4 + (interval / 2 * part >> 16);
}

/* Time that a thread is granted with its next quantum, of the last one's length. */
struct balance_turn {
  int64_t owed, quantum; /* ticks, owed may be negative */
};

/* What a pair does: indices of threads, BALANCE_NONE. */
struct balance_swap {
  uint32_t give, take; /* of the first side, of the second */
  int64_t gain;
};

/* `otherwise` is what is served when it is known of no CPU. */
void balance_level(struct balance_level *level, const struct balance_loads *loads,
                   const struct balance_lengths *lengths, int64_t otherwise);

/* What a thread or CPU is served, within bounds; the level for who is new. */
int64_t balance_bound(const struct balance_level *level, int64_t served);

/* Of what is within bounds. */
static inline int64_t balance_lead(const struct balance_level *level, int64_t served) {
  return (served - level->served) * (int64_t)level->weight >> (BALANCE_UNIT + 16);
}

/* The inverse. */
static inline int64_t balance_served(const struct balance_level *level, int64_t lead) {
  return level->served + lead * (1 << (BALANCE_UNIT + 16)) / (int64_t)level->weight;
}

/* The CPU of `among` and of the mask whose threads are due least, or most; never self, nor one that
 * is filled. An idle one's are due least of all. BALANCE_NONE. */
uint32_t balance_ahead(const struct balance_level *level, const struct balance_loads *loads,
                       uint32_t self, uint64_t among);
uint32_t balance_behind(const struct balance_level *level, const struct balance_loads *loads,
                        uint32_t self, uint64_t among);

/* The best that a and b can do, if it gains more than `least` a move. Neither is idle. */
struct balance_swap balance_swap(const struct balance_level *level, const struct balance_side *a,
                                 const struct balance_side *b, int64_t least);

/* One more of a's threads is counted, all but its `due` given. Answers where it is among the
 * candidates, if it `waits`: it may have replaced another there. BALANCE_NONE. */
uint32_t balance_side_add(const struct balance_level *level, struct balance_side *a,
                          const struct balance_thread *t, bool waits);

/* The mean lead of a's threads by weight. */
static inline int64_t balance_side_lead(const struct balance_side *a) {
  return a->weight == 0 ? 0 : a->above / (int64_t)a->weight;
}

/* So are n more of that weight in all, who are taken to be as far ahead as the others. */
void balance_side_rest(const struct balance_level *level, struct balance_side *a, uint64_t n,
                       uint64_t weight);

/* What t of a is owed after this look: half of what it is behind the others there, at most half a
 * quantum, or half of what it may have until the next look, if that is more. */
int64_t balance_owed(const struct balance_level *level, const struct balance_side *a,
                     const struct balance_thread *t, struct balance_turn turn);

/* Whom `a` gives to a CPU that suits everybody better: who is due most, but not who fills a.
 * BALANCE_NONE. */
uint32_t balance_leaver(const struct balance_level *level, const struct balance_side *a,
                        uint32_t to);

#endif
