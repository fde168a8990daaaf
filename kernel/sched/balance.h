/* Which CPU gives work and which takes it: the choice alone, pure. Who asks gathers the numbers,
 * which are old by the time they are used: a wrong choice costs a move, never correctness.
 *
 * Loads are numbers of runnable threads. A CPU that a real-time thread has is worth nothing to
 * those that wait there, for as long as that thread likes: they are better off on any other,
 * however loaded, and must not be sent back.
 *
 * Shares across CPUs. Each CPU shares its time by weight, so all its threads are served at one
 * rate: what a thread gets, by its weight. What it has had, by its weight, is what it is `served`:
 * ticks of a thread of nice 0. All are to be served alike, whatever CPU they are on. So a pair of
 * CPUs looks which thread one should give the other, which one take for it, or both, that all may
 * be as near as can be to the level, the mean of all, after one more `horizon`:
 *
 *      sum over threads of (lead + horizon x (rate - 1))^2,  rate = mean weight / this CPU's
 *
 * The lead is how much CPU time a thread is ahead of the level, in time of the machine: 10 ms
 * behind is what it would have had in 10 ms. The sum counts each thread alike, for each is to have
 * its share within the same per cent. Who is so heavy that a whole CPU is less than its share fills
 * that CPU: it is due no more, others share what remains, and none of them belongs beside it.
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
 * of equals the next after self, if self has at least `least` (> 0) more. Behind a real-time thread
 * it does not ask for more load there; and if all CPUs have one, they compare as usual.
 * BALANCE_NONE. */
uint32_t balance_target(const struct balance_view *v, uint32_t self, uint32_t least);

/* How many of the waiting a thief takes: at most half, rounded up, and at most batch. */
static inline uint32_t balance_share(uint32_t waiting, uint32_t batch) {
  return MIN((waiting + 1) / 2, batch);
}

/* ---- shares across CPUs -------------------------------------------------------------------- */

#define BALANCE_THREADS 12u /* of a CPU, that are looked at as candidates */
#define BALANCE_UNIT 10     /* leads and lengths are 2^10 ticks, so that all below fits 64 bits */
#define BALANCE_RATE_ONE 65536
#define BALANCE_RATE_MOST (64u * BALANCE_RATE_ONE) /* faster is as good as that */

struct balance_loads {
  uint64_t mask;         /* CPUs that take part */
  uint64_t known;        /* CPUs of which `served` is right */
  uint64_t weight[64];   /* by CPU: of all threads that want it */
  uint64_t heaviest[64]; /* by CPU: of one of them */
  int64_t served[64];    /* by CPU: mean of its threads by weight */
};

/* Beyond `limit` nobody is ahead or behind: that is forgotten, as of who is new here. */
struct balance_lengths {
  uint64_t limit, horizon; /* ticks */
};

struct balance_level {
  uint64_t filled; /* CPUs that their heaviest thread is due whole */
  uint64_t weight; /* mean of the other CPUs, > 0; with it, a CPU serves at rate 1 */
  int64_t served;  /* mean of their threads */
  struct balance_lengths lengths;
};

/* A thread that may move, a side of a pair. */
struct balance_thread {
  uint64_t weight;
  uint64_t cpus; /* where it may run */
  int64_t lead;
};

struct balance_side {
  uint32_t cpu, n_threads;
  uint64_t n, weight;            /* of all its threads */
  uint64_t heaviest, n_heaviest; /* the most that one weighs, and how many do */
  int64_t lead;                  /* sum of all */
  struct balance_thread threads[BALANCE_THREADS];
};

/* What a pair does: indices of threads, BALANCE_NONE. */
struct balance_swap {
  uint32_t give, take; /* of the first side, of the second */
  int64_t gain;
};

/* `otherwise` is what is served when it is known of no CPU. */
void balance_level(struct balance_level *level, const struct balance_loads *loads,
                   const struct balance_lengths *lengths, int64_t otherwise);

/* What a thread is served, or the level if that is out of all bounds. */
int64_t balance_bound(const struct balance_level *level, int64_t served);

/* Of what is within bounds. */
static inline int64_t balance_lead(const struct balance_level *level, int64_t served) {
  return (served - level->served) * (int64_t)level->weight >> (BALANCE_UNIT + 16);
}

/* The CPU of `among` and of the mask that is ahead of all others after the horizon, or most behind;
 * never self, nor one that is filled. An idle one is ahead of all. BALANCE_NONE. */
uint32_t balance_ahead(const struct balance_level *level, const struct balance_loads *loads,
                       uint32_t self, uint64_t among);
uint32_t balance_behind(const struct balance_level *level, const struct balance_loads *loads,
                        uint32_t self, uint64_t among);

/* The best that a and b can do, if it gains more than `least` a move. Neither is idle. */
struct balance_swap balance_swap(const struct balance_level *level, const struct balance_side *a,
                                 const struct balance_side *b, int64_t least);

/* One more of a's threads is counted; `lead` too, and as a candidate if it `waits`. */
void balance_side_add(struct balance_side *a, const struct balance_thread *t, bool waits);

/* Whom `a` gives to a CPU that suits everybody better: who is most behind, but not who fills a.
 * BALANCE_NONE. */
uint32_t balance_leaver(const struct balance_level *level, const struct balance_side *a,
                        uint32_t to);

#endif
