/* The floor of a program by itself: an empty loop, the clock, a page zeroed and copied by libc.
 * Every other result contains the first; every sample contains the second once. */
#include <string.h>

#include "../cases.h"

enum { PAGE_BYTES = 4096 };

static unsigned char source[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
static unsigned char target[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

static void loop_measure(struct run *run, uint64_t n) {
  uint64_t i = 0;
  run_start(run);
  while (i < n) {
    run_barrier();
    i++;
  }
  run_stop(run);
  run->confirmed = i;
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
    uint64_t now = ticks_now();
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
    memset(target, 0, sizeof(target));
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
    memcpy(target, source, sizeof(target));
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
