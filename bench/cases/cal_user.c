/* The floor of a program by itself: an empty loop, the clock, a page zeroed and copied by libc.
 * Every other result contains the first; every sample contains the second once. */
#include <string.h>

#include "../cases.h"

enum { PAGE_BYTES = 4096 };

static unsigned char source[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
static unsigned char target[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

static inline uint64_t turns_make(uint64_t n) {
  uint64_t i = 0;
  while (i < n) {
    run_barrier();
    i++;
  }
  return i;
}

static void loop_measure(struct run *run, uint64_t n) {
  run_start(run);
  run->confirmed = RUN_WORK(turns_make(n), 0);
  run_stop(run);
}

const struct bench_case case_cal_loop = {
    .name = "cal.loop",
    .op = "one turn of an empty loop",
    .measure = loop_measure,
};

static void clock_measure(struct run *run, uint64_t n) {
  uint64_t advances = 0;
  uint64_t last = 0;
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    uint64_t now = RUN_WORK(ticks_now(), 0);
    advances += now > last;
    last = now;
  }
  run_stop(run);
  run->confirmed = advances;
}

const struct bench_case case_cal_clock = {
    .name = "cal.clock",
    .op = "one reading of the time stamp counter, which each sample pays once",
    .measure = clock_measure,
};

static void zero_measure(struct run *run, uint64_t n) {
  memset(target, 0xff, sizeof(target));
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    RUN_WORK((void)memset(target, 0, sizeof(target)), 0);
    run_barrier();
  }
  run_stop(run);
  run->confirmed = n;
  for (size_t i = 0; i < sizeof(target); i++) {
    if (target[i] != 0) {
      run_fail(run, "byte %zu is not zero", i);
    }
  }
}

const struct bench_case case_cal_user_zero4k = {
    .name = "cal.user.zero4k",
    .op = "zeroing 4 KiB that are in the cache, in user mode, by libc's memset",
    .measure = zero_measure,
};

static void copy_measure(struct run *run, uint64_t n) {
  for (size_t i = 0; i < sizeof(source); i++) {
    source[i] = (unsigned char)(i * 7 + n);
    target[i] = (unsigned char)~source[i];
  }
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    RUN_WORK((void)memcpy(target, source, sizeof(target)), 0);
    run_barrier();
  }
  run_stop(run);
  run->confirmed = n;
  if (memcmp(source, target, sizeof(target)) != 0) {
    run_fail(run, "the copy differs");
  }
}

const struct bench_case case_cal_user_copy4k = {
    .name = "cal.user.copy4k",
    .op = "copying 4 KiB that are in the cache, in user mode, by libc's memcpy",
    .measure = copy_measure,
};
