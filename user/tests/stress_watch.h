/* The watchdog of stress.c: finds workers whose count of rounds stands still, and says what the
 * system knows about them: how they are scheduled, and what each thread that lives did last.
 *
 * A guest's clock goes on while the host runs others, and a machine that got next to no time is not
 * one whose workers are stuck. The watchdog asks itself: it wakes up later than it wanted to, and
 * the same loops take more of its own processor time than at best (which a scheduler of the guest
 * that keeps it waiting would not change). Time counts as far as the host gave it; but who stands
 * still for `patience` times LIMIT is stuck, whatever the host did. */
#ifndef TESTS_STRESS_WATCH_H
#define TESTS_STRESS_WATCH_H

#include "abi/abi.h"
#include "stress_workers.h"

static int patience = 5; /* tools/stress.py waits as long */
enum { EVENTS_OF_CPU = 24, EVENTS_OF_THREAD = 10, RECORDS_MOST = 1 << 18, NAMES_BYTES = 1 << 16 };

static struct trace_record *records; /* of all CPUs, each CPU's in order */
static size_t n_records;

static const char *const event_names[32] = {
#define TRACE_EVENT(number, name, a, b, text) [number] = #name,
#include "abi/trace_events.def"
#undef TRACE_EVENT
};

static size_t file_read(const char *path, char *out, size_t cap) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  size_t n = 0;
  for (ssize_t got; fd >= 0 && n < cap && (got = read(fd, out + n, cap - n)) > 0;) {
    n += (size_t)got;
  }
  close(fd);
  return n;
}

static void lines_print(const char *path) {
  static char text[1 << 16];
  text[file_read(path, text, sizeof text - 1)] = '\0';
  diag("%s:", path);
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    diag("  %s", line);
  }
}

static void trace_mask_set(const char *mask) {
  int fd = open("sys:/trace/mask", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, mask, strlen(mask)) != (ssize_t)strlen(mask)) {
    diag("the trace's mask cannot be set");
  }
  close(fd);
}

static void record_print(const struct trace_record *r) {
  const char *name = r->event < 32 && event_names[r->event] ? event_names[r->event] : "?";
  diag("  %llu %s thread %u a %llx b %llx", (unsigned long long)r->tsc, name, r->thread,
       (unsigned long long)r->a, (unsigned long long)r->b);
}

/* Takes over the ring of a CPU, and prints its end. */
static void trace_take(int cpu) {
  char path[32];
  snprintf(path, sizeof path, "sys:/trace/cpu%d", cpu);
  size_t first = n_records;
  n_records +=
      file_read(path, (char *)(records + n_records), (RECORDS_MOST - n_records) * sizeof *records) /
      sizeof *records;
  size_t n = n_records - first;
  diag("%s: the last of %zu records", path, n);
  for (size_t i = n > EVENTS_OF_CPU ? n_records - EVENTS_OF_CPU : first; i < n_records; i++) {
    record_print(&records[i]);
  }
}

/* What a thread did last, on all CPUs. */
static void thread_print(uint32_t tid) {
  uint64_t before = UINT64_MAX;
  diag("thread %u, last event first:", tid);
  for (int shown = 0; shown < EVENTS_OF_THREAD; shown++) {
    const struct trace_record *last = NULL;
    for (size_t i = 0; i < n_records; i++) {
      const struct trace_record *r = &records[i];
      if (r->thread == tid && r->tsc < before && (!last || r->tsc > last->tsc)) {
        last = r;
      }
    }
    if (!last) {
      return;
    }
    record_print(last);
    before = last->tsc;
  }
}

static void threads_print(void) {
  static char text[NAMES_BYTES];
  text[file_read("sys:/context", text, sizeof text - 1)] = '\0';
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    thread_print((uint32_t)strtoul(line, NULL, 10));
  }
}

/* ---- what the host gives ---- */

struct host {
  uint32_t loops;                          /* of one trial */
  int64_t best_ns;                         /* of processor time, the least that a trial took */
  int64_t seen_ns;                         /* when it was looked at last */
  int64_t given_ns;                        /* a clock that stands still with the host */
  int64_t late_ns, late_most_ns, trial_ns; /* of all looks: what it stood still for */
  int n_trials;
};

static struct host host;

static int64_t trial_ns(uint32_t loops) {
  int64_t from = now_ns(CLOCK_THREAD_CPUTIME_ID);
  burn(loops);
  int64_t took = now_ns(CLOCK_THREAD_CPUTIME_ID) - from;
  return took > 0 ? took : 1;
}

/* As many loops as take at least this long now. */
static void host_begin(int64_t least_ns) {
  host = (struct host){.loops = 1000};
  while ((host.best_ns = trial_ns(host.loops)) < least_ns) {
    host.loops *= 2;
  }
  host.seen_ns = now_ns(CLOCK_MONOTONIC);
}

/* After a sleep that was to be this long. Late is all that was neither this nor the trial. */
static void host_look(int64_t asked_ns) {
  int64_t took = trial_ns(host.loops), passed = now_ns(CLOCK_MONOTONIC) - host.seen_ns;
  int64_t late = passed > asked_ns + took ? passed - asked_ns - took : 0;
  host.best_ns = took < host.best_ns ? took : host.best_ns;
  host.late_ns += late;
  host.late_most_ns = late > host.late_most_ns ? late : host.late_most_ns;
  host.trial_ns += took;
  host.n_trials++;
  host.given_ns += (int64_t)((double)(passed - late) * (double)host.best_ns / (double)took);
  host.seen_ns += passed;
}

static void host_print(void) {
  double best = (double)host.best_ns * host.n_trials;
  diag("the host: the watchdog woke up to %lld ms late, %lld ms in all, and ran at %.0f %% of its "
       "best speed",
       (long long)host.late_most_ns / 1000000, (long long)host.late_ns / 1000000,
       host.n_trials ? 100 * best / (double)host.trial_ns : 100);
}

/* ---- who is stuck ---- */

struct sight {
  uint64_t laps;
  int64_t moved_ns, given_ns; /* when they changed, by both clocks */
};

static void worker_print(const struct worker *w, const struct sight *seen) {
  char path[40];
  int tid = atomic_load(&w->tid);
  diag("stuck: %s (thread %d): %llu rounds, the last %lld ms ago, of which the host gave %lld ms",
       w->kind, tid, (unsigned long long)w->laps,
       (long long)(host.seen_ns - seen->moved_ns) / 1000000,
       (long long)(host.given_ns - seen->given_ns) / 1000000);
  if (tid != 0) {
    snprintf(path, sizeof path, "proc:/%d/sched", tid);
    lines_print(path);
  }
}

static void state_print(void) {
  char path[32];
  records = malloc(RECORDS_MOST * sizeof *records);
  for (int cpu = 0; cpu < n_cpus && records; cpu++) {
    trace_take(cpu);
  }
  lines_print("sys:/context");
  threads_print();
  lines_print("sys:/sched");
  for (int cpu = 0; cpu < n_cpus; cpu++) {
    snprintf(path, sizeof path, "sys:/cpu/%d/stat", cpu);
    lines_print(path);
  }
}

static bool worker_stuck(const struct worker *w, struct sight *seen) {
  int64_t limit_ns = (int64_t)limit_s * 1000000000;
  uint64_t laps = atomic_load(&w->laps);
  if (laps != seen->laps || seen->moved_ns == 0) {
    *seen = (struct sight){laps, host.seen_ns, host.given_ns};
  }
  return !atomic_load(&w->done) && (host.given_ns - seen->given_ns > limit_ns ||
                                    host.seen_ns - seen->moved_ns > patience * limit_ns);
}

/* Looks fifty times in LIMIT, and spends a twentieth of the time on its trials, until every worker
 * is done. */
static void *watchdog(void *arg) {
  static struct sight seen[WORKERS_MOST];
  int64_t asked_ns = (int64_t)limit_s * 20000000, begin = now_ns(CLOCK_MONOTONIC);
  host_begin(asked_ns / 20);
  for (int n_done = 0; n_done < n_workers;) {
    int n_stuck = 0;
    n_done = 0;
    for (int i = 0; i < n_workers; i++) {
      n_done += atomic_load(&workers[i].done);
      if (worker_stuck(&workers[i], &seen[i])) {
        if (n_stuck++ == 0) {
          trace_mask_set("0x0");
        }
        worker_print(&workers[i], &seen[i]);
      }
    }
    if (n_stuck > 0) {
      diag("%d workers stuck, %lld ms after the start", n_stuck,
           (long long)(now_ns(CLOCK_MONOTONIC) - begin) / 1000000);
      host_print();
      state_print();
      ok(false, "nobody is stuck");
      _exit(STUCK_STATUS);
    }
    usleep((useconds_t)(asked_ns / 1000));
    host_look(asked_ns);
  }
  return arg;
}

#endif
