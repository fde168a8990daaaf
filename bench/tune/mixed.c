/* A batch job of one hog a CPU and one more, beside threads that sleep a little and then work a
 * little, as somebody at a keyboard would make them: what does one cost the other?
 *
 * The throughput is the hogs', the latency is the response of the interactive threads: from the end
 * of the sleep to the end of the little work. */
#include "work.h"

enum { INTERACTIVE = 3, HOGS_MORE = 1, PIECES = 2 };
enum { SLEEP_LEAST_NS = 1000000, SLEEP_SPREAD_NS = 3000000 };

struct interactive {
  struct sample *sample;
  uint64_t random, n_turns;
  struct latency latency;
};

static bool interactive_turn(struct interactive *one, uint64_t wake_ns) {
  clock_sleep_until(wake_ns);
  if (clock_ns() < wake_ns) {
    sample_fail(one->sample, "a sleeper woke early");
    return false;
  }
  for (unsigned i = 0; i < PIECES; i++) {
    if (!work_piece()) {
      sample_fail(one->sample, "a piece of work came out wrong");
      return false;
    }
  }
  latency_add(&one->latency, clock_ns() - wake_ns);
  one->n_turns++;
  return true;
}

static void *interactive_run(void *argument) {
  struct interactive *one = argument;
  uint64_t wake_ns = one->sample->start_ns;
  while (wake_ns < one->sample->end_ns && interactive_turn(one, wake_ns)) {
    wake_ns = clock_ns() + SLEEP_LEAST_NS + work_random(&one->random, SLEEP_SPREAD_NS);
  }
  return NULL;
}

static void result_take(struct sample *sample, const struct interactive *all,
                        const struct hog *hogs, unsigned n_hogs) {
  uint64_t pieces = 0, turns = 0;
  for (unsigned i = 0; i < n_hogs; i++) {
    pieces += hogs[i].pieces;
  }
  for (unsigned i = 0; i < INTERACTIVE; i++) {
    turns += all[i].n_turns;
    latency_merge(&sample->latency, &all[i].latency);
  }
  if (sample->latency.n != turns || turns < INTERACTIVE) {
    sample_fail(sample, "%llu turns, %llu latencies", (unsigned long long)turns,
                (unsigned long long)sample->latency.n);
  }
  sample_count(sample, pieces);
}

static void mixed_run(struct sample *sample) {
  struct crew crew = {0};
  struct interactive all[INTERACTIVE] = {0};
  struct hog hogs[CREW_MOST] = {0};
  unsigned n_hogs = sample->n_cpus + HOGS_MORE;
  bool good = true;
  for (unsigned i = 0; i < INTERACTIVE && good; i++) {
    all[i].sample = sample;
    all[i].random = i + 1;
    good = crew_add(&crew, sample, interactive_run, &all[i]);
  }
  for (unsigned i = 0; i < n_hogs && good; i++) {
    hogs[i].sample = sample;
    good = crew_add(&crew, sample, hog_run, &hogs[i]);
  }
  crew_join(&crew);
  result_take(sample, all, hogs, n_hogs);
}

const struct workload workload_mixed = {
    .name = "mixed",
    .text =
        "1 hog more than CPUs beside 3 threads that sleep and work a little; the hogs' pieces of "
        "work, and the others' response",
    .run = mixed_run,
};
