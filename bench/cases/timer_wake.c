/* How late does a sleeper wake? Each sample is one sleep: the distribution is the answer. */
#include <string.h>
#include <time.h>

#include "../cases.h"

enum { SLEEP_NS = 1000000, JITTER_NS = 100003, NS_PER_S = 1000000000 };

static uint64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void wake_measure(struct run *run, uint64_t n) {
  static uint64_t turn;
  for (uint64_t i = 0; i < n; i++) {
    /* Lengths differ a little, so that nothing periodic can hide. */
    uint64_t deadline = clock_ns() + SLEEP_NS + turn++ * JITTER_NS % SLEEP_NS;
    struct timespec until = {.tv_sec = (time_t)(deadline / NS_PER_S),
                             .tv_nsec = (long)(deadline % NS_PER_S)};
    int error = RUN_WORK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
    uint64_t woken = clock_ns();
    if (error != 0 || woken < deadline) {
      run_fail(run, "clock_nanosleep: %s", error != 0 ? strerror(error) : "woke too early");
      return;
    }
    run->ticks += ticks_from_ns(woken - deadline);
    run->confirmed++;
  }
}

const struct bench_case case_timer_wake = {
    .name = "timer.wake",
    .op = "how long after its deadline a sleeper runs (clock_nanosleep, 1 to 2 ms, absolute)",
    .measure = wake_measure,
    .max_n = 1,
    .samples_factor = 8,
    .is_time = true,
};
