/* The watchdog of stress.c: finds workers whose count of rounds stands still, and says what the
 * system knows about them: how they are scheduled, and what each thread that lives did last. */
#ifndef TESTS_STRESS_WATCH_H
#define TESTS_STRESS_WATCH_H

#include "abi/abi.h"
#include "stress_workers.h"

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

static void worker_print(const struct worker *w, int64_t still_ms) {
  char path[40];
  int tid = atomic_load(&w->tid);
  diag("stuck: %s (thread %d): %llu rounds, the last %lld ms ago", w->kind, tid,
       (unsigned long long)w->laps, (long long)still_ms);
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

/* Looks once a tenth of LIMIT, until every worker is done. */
static void *watchdog(void *arg) {
  static uint64_t seen[WORKERS_MOST];
  static int64_t moved[WORKERS_MOST];
  int64_t most = (int64_t)limit_s * 1000000000, begin = now_ns(CLOCK_MONOTONIC);
  for (int n_done = 0; n_done < n_workers;) {
    int n_stuck = 0;
    int64_t now = now_ns(CLOCK_MONOTONIC);
    n_done = 0;
    for (int i = 0; i < n_workers; i++) {
      uint64_t laps = atomic_load(&workers[i].laps);
      moved[i] = laps != seen[i] || moved[i] == 0 ? now : moved[i];
      seen[i] = laps;
      bool done = atomic_load(&workers[i].done);
      n_done += done;
      if (!done && now - moved[i] > most) {
        if (n_stuck++ == 0) {
          trace_mask_set("0x0");
        }
        worker_print(&workers[i], (now - moved[i]) / 1000000);
      }
    }
    if (n_stuck > 0) {
      diag("%d workers stuck, %lld ms after the start", n_stuck,
           (long long)(now_ns(CLOCK_MONOTONIC) - begin) / 1000000);
      state_print();
      ok(false, "nobody is stuck");
      _exit(STUCK_STATUS);
    }
    usleep((useconds_t)limit_s * 20000);
  }
  return arg;
}

#endif
