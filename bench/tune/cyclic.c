/* Threads that sleep until the next multiple of their period, beside two hogs for each CPU: how
 * late do they wake? The question of cyclictest under load.
 *
 * A period that is over before its thread ran counts as missed and is skipped; wake-ups and misses
 * together must be the periods that have passed. */
#include "work.h"

enum { TIMERS = 4, HOGS_PER_CPU = 2, PERIOD_NS = 2000000, PERIOD_STEP_NS = 170000 };

struct timer {
  struct sample *sample;
  uint64_t period_ns, n_wakes, n_missed;
  struct latency latency;
};

/* Sleeps through one period and answers when the next deadline is. */
static uint64_t timer_turn(struct timer *timer, uint64_t deadline_ns) {
  clock_sleep_until(deadline_ns);
  uint64_t now_ns = clock_ns();
  if (now_ns < deadline_ns) {
    sample_fail(timer->sample, "a timer woke %llu ns early",
                (unsigned long long)(deadline_ns - now_ns));
    return timer->sample->end_ns;
  }
  uint64_t n_missed = (now_ns - deadline_ns) / timer->period_ns;
  latency_add(&timer->latency, now_ns - deadline_ns);
  timer->n_wakes++;
  timer->n_missed += n_missed;
  return deadline_ns + (n_missed + 1) * timer->period_ns;
}

static void *timer_run(void *argument) {
  struct timer *timer = argument;
  uint64_t first_ns = timer->sample->start_ns;
  uint64_t deadline_ns = first_ns;
  while (deadline_ns < timer->sample->end_ns) {
    deadline_ns = timer_turn(timer, deadline_ns);
  }
  if (timer->n_wakes + timer->n_missed != (deadline_ns - first_ns) / timer->period_ns) {
    sample_fail(timer->sample, "%llu wake-ups and %llu misses do not make the periods passed",
                (unsigned long long)timer->n_wakes, (unsigned long long)timer->n_missed);
  }
  return NULL;
}

static void cyclic_run(struct sample *sample) {
  struct crew crew = {0};
  struct timer timers[TIMERS] = {0};
  struct hog hog = {.sample = sample};
  struct hog hogs[CREW_MOST];
  bool good = true;
  for (unsigned i = 0; i < TIMERS && good; i++) {
    timers[i].sample = sample;
    timers[i].period_ns = PERIOD_NS + i * PERIOD_STEP_NS;
    good = crew_add(&crew, sample, timer_run, &timers[i]);
  }
  for (unsigned i = 0; i < HOGS_PER_CPU * sample->n_cpus && good; i++) {
    hogs[i] = hog;
    good = crew_add(&crew, sample, hog_run, &hogs[i]);
  }
  crew_join(&crew);
  for (unsigned i = 0; i < TIMERS; i++) {
    latency_merge(&sample->latency, &timers[i].latency);
  }
}

const struct workload workload_cyclic = {
    .name = "cyclic",
    .text = "4 threads wake every 2 ms or so beside 2 hogs a CPU; from the deadline to running",
    .run = cyclic_run,
};
