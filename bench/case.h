/* What a benchmark case is, and what the harness offers to it.
 *
 * A case is one question: a file in cases/ that defines one or more `struct bench_case`, each
 * listed in cases.def. measure() performs n operations and times them itself with run_start() and
 * run_stop(), so that the reader of a case sees exactly what the number covers; work outside the
 * pair is not timed.
 *
 * [B1] Nothing counts that was not observed: run->confirmed says how many operations measure() has
 *      seen to take effect (a status collected, a value changed), and the harness refuses a sample
 *      in which that is not n.
 * [B2] Nothing is subtracted from a measurement. What the loop itself costs is a case (cal.loop).
 * [B3] A case that claims context switches has them counted by the system itself, too: `switches`.
 * [B4] The work of a case stands in RUN_WORK(), and the control program, which leaves it out, must
 *      find every case in error: control.c.
 *
 * Cases run one after the other in one process, pinned to CPU 0 unless they say otherwise. */
#ifndef BENCH_CASE_H
#define BENCH_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ticks.h"

enum run_state { RUN_OK, RUN_ABSENT, RUN_FAILED };

struct options;

/* One case being measured with one parameter. */
struct run {
  const struct options *options;
  uint64_t param;     /* what the case declares in params, 0 when it has none */
  uint64_t confirmed; /* operations of this sample that were seen to take effect [B1] */
  uint64_t ticks;     /* time of this sample */
  uint64_t started;
  enum run_state state;
  char reason[192]; /* why it is absent or has failed */
};

struct bench_case {
  const char *name;               /* group.what, as in the output */
  const char *op;                 /* what one operation is, one sentence */
  bool (*setup)(struct run *run); /* may be null; false after run_absent() or run_fail() */
  void (*measure)(struct run *run, uint64_t n);
  void (*teardown)(struct run *run); /* may be null; called whenever setup succeeded */
  const char *param_name;            /* with its unit, such as rss_mib; null when there are none */
  const uint64_t *params;            /* ends with 0 */
  uint64_t min_n;                    /* where the calibration begins, 0 counts as 1 */
  uint64_t max_n;                    /* most operations a sample may have, 0 for no limit */
  uint32_t switches;                 /* least times that an operation switches away from us [B3] */
  uint32_t samples_factor;           /* times the usual number of samples, 0 counts as 1 */
  bool counts_itself;                /* n is ignored, confirmed is what the sample covers */
  bool is_time; /* the answer is a time also where instructions are counted: it sleeps */
};

/* Says that this system has no such thing (an honest gap, not an error); returns false. */
__attribute__((format(printf, 2, 3))) bool run_absent(struct run *run, const char *format, ...);

/* Says that something went wrong; the case ends, the program's status will be 1. Returns false. */
__attribute__((format(printf, 2, 3))) bool run_fail(struct run *run, const char *format, ...);

static inline void run_start(struct run *run) {
  run->started = ticks_now();
}

static inline void run_stop(struct run *run) {
  run->ticks += ticks_now() - run->started;
}

/* The work that is measured [B4]. The control program does not do it, and takes `pretended`, what a
 * system that skips it would answer: only what a case looks at besides can tell. Of the two only
 * one is in a program; both are compiled. */
#ifdef BENCH_CONTROL
#define RUN_WORK(work, pretended) (0 ? (work) : (__typeof__(work))(pretended))
#else
#define RUN_WORK(work, pretended) (1 ? (work) : (__typeof__(work))(pretended))
#endif

/* Keeps the compiler from dropping or merging iterations of a loop. */
static inline void run_barrier(void) {
  __asm__ volatile("" ::: "memory");
}

#endif
