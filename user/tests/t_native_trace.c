/* The kernel's flight recorder: what it notes of actions that are known, that the mask rules it,
 * that time runs forwards in each ring, and that what is overwritten is counted. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>

#include "runtime/syscall.h"
#include "tap.h"
#include "threads.h"

enum { YIELDS = 50, WAKES = 20, CPUS_MOST = 64, IPI_KIND_WAKE = 0 };

extern char **environ;

/* What a thread that waits in a loop, for as long as it takes, would fill its ring with. */
#define MASK_OFTEN (TRACE_BIT(SYSCALL) | TRACE_BIT(FAULT) | TRACE_BIT(TIMER))

static uint32_t mask_first;
static size_t ring_records;

/* ---- reading ---- */

static int trace_open(const char *name, int flags) {
  char path[64];
  snprintf(path, sizeof path, "sys:/trace/%s", name);
  return open(path, flags | O_CLOEXEC);
}

static int ring_open(int cpu) {
  char name[16];
  snprintf(name, sizeof name, "cpu%d", cpu);
  return trace_open(name, O_RDONLY);
}

static bool mask_set(uint32_t mask) {
  char text[16];
  int n = snprintf(text, sizeof text, "0x%x", mask), fd = trace_open("mask", O_WRONLY);
  bool good = fd >= 0 && write(fd, text, (size_t)n) == n;
  close(fd);
  return good;
}

static uint32_t mask_get(void) {
  char text[16] = "";
  int fd = trace_open("mask", O_RDONLY);
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  return n > 0 ? (uint32_t)strtoul(text, NULL, 16) : 0;
}

struct records {
  struct trace_record *r;
  size_t n;
};

/* All that is in a ring and new to this open file. */
static struct records ring_read(int fd) {
  size_t room = 3 * ring_records;
  struct records all = {malloc(room * sizeof *all.r), 0};
  for (ssize_t n = 1; n > 0; all.n += (size_t)n / sizeof *all.r) {
    n = read(fd, all.r + all.n, (room - all.n) * sizeof *all.r);
    if (n < 0) {
      bail_out("a trace ring cannot be read");
    }
  }
  return all;
}

static void ring_skip(int fd) {
  free(ring_read(fd).r);
}

/* How many records say this; UINT64_MAX stands for anything. */
static size_t count(const struct records *all, uint32_t event, uint32_t thread, uint64_t a,
                    uint64_t b) {
  size_t n = 0;
  for (size_t i = 0; i < all->n; i++) {
    const struct trace_record *r = &all->r[i];
    n += r->event == event && (thread == UINT32_MAX || r->thread == thread) &&
         (a == UINT64_MAX || r->a == a) && (b == UINT64_MAX || r->b == b);
  }
  return n;
}

/* ---- the files ---- */

static void meta_read(void) {
  char text[4096] = "";
  int fd = trace_open("meta", O_RDONLY);
  ok(fd >= 0 && read(fd, text, sizeof text - 1) > 0, "meta can be read");
  close(fd);
  const char *bytes = strstr(text, "\nring_bytes ");
  ring_records = bytes ? strtoul(bytes + 12, NULL, 10) / sizeof(struct trace_record) : 0;
  ok(strncmp(text, "version 1\nrecord_bytes 32\n", 26) == 0 && ring_records > 0,
     "it says what a record is and how many a ring holds");
  ok(strstr(text, "\nevent 0 SWITCH next why\n") && strstr(text, "\nsyscall 1 yield\n"),
     "and the names of events and system calls");
}

static void test_files(int cpus) {
  char none[16];
  snprintf(none, sizeof none, "cpu%d", cpus);
  fails_with(trace_open(none, O_RDONLY), ENOENT, "a CPU that there is not has no ring");
  int fd = ring_open(0);
  fails_with(read(fd, none, sizeof none), EINVAL, "a read with room for less than two records");
  struct trace_record two[2];
  size_t n_reads = 0;
  while (n_reads < 2 * ring_records && read(fd, two, sizeof two) > 0) {
    n_reads++;
  }
  ok(n_reads > 0 && n_reads < 2 * ring_records, "a reader comes to an end, though it is recorded");
  close(fd);
  ok(!mask_set(TRACE_MASK_ALL + 1) && mask_get() == mask_first,
     "a mask with a bit that is no event is refused");
}

/* ---- actions ---- */

static uint32_t yielder_ids[2];
static volatile int turn;

static void *yielder(void *arg) {
  int me = (int)(intptr_t)arg;
  thread_pin(0);
  yielder_ids[me] = (uint32_t)sys_null();
  for (int i = 0; i < YIELDS; i++) {
    while (turn != me) {
      sched_yield();
    }
    turn = !me;
  }
  return NULL;
}

/* Adds what is new to what was read before. */
static void ring_read_on(int fd, struct records *all) {
  struct records more = ring_read(fd);
  all->r = realloc(all->r, (all->n + more.n) * sizeof *all->r);
  memcpy(all->r + all->n, more.r, more.n * sizeof *all->r);
  all->n += more.n;
  free(more.r);
}

/* A joined thread leaves its CPU a little later: pthread_join() is told before the last switch. */
static size_t exits_wait(int fd, struct records *all, uint32_t thread) {
  size_t n = 0;
  for (int tries = 0; tries < 1000 && n == 0; tries++) {
    n = count(all, TRACE_SWITCH, thread, UINT64_MAX, TRACE_WHY_EXIT);
    if (n == 0) {
      sleep_ms(5);
      ring_read_on(fd, all);
    }
  }
  return n;
}

/* Two threads take turns on one CPU: each turn but the first needs a switch between them, perhaps
 * with others in between. */
static void test_switches(void) {
  pthread_t threads[2];
  int fd = ring_open(0);
  ring_skip(fd);
  for (intptr_t i = 0; i < 2; i++) {
    pthread_create(&threads[i], NULL, yielder, (void *)i);
  }
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
  struct records all = ring_read(fd);
  for (int i = 0; i < 2; i++) {
    uint32_t me = yielder_ids[i], other = yielder_ids[!i];
    ok(count(&all, TRACE_SWITCH, UINT32_MAX, me, UINT64_MAX) >= YIELDS - 1,
       "each turn of a thread has a switch to it");
    ok(count(&all, TRACE_SWITCH, me, other, TRACE_WHY_YIELD) > 0,
       "and it goes straight to the other when it yields");
    is(exits_wait(fd, &all, me), 1, "it exits once");
  }
  free(all.r);
  close(fd);
}

static int wake_pipe[2], wake_done[2];
static volatile uint32_t sleeper_id;

static void *sleeper(void *arg) {
  (void)arg;
  char byte;
  thread_pin(1);
  sleeper_id = (uint32_t)sys_null();
  for (int i = 0; i < WAKES; i++) {
    if (read(wake_pipe[0], &byte, 1) != 1 || write(wake_done[1], &byte, 1) != 1) {
      return (void *)1;
    }
  }
  return NULL;
}

/* A wake-up of the sleeper in the waker's ring, and an interrupt to its CPU right after it. */
static bool has_wake_and_ipi(const struct records *all, uint32_t sleeper_thread, uint64_t *tsc) {
  for (size_t i = 0; i < all->n; i++) {
    const struct trace_record *r = &all->r[i];
    if (r->event == TRACE_WAKE && r->a == sleeper_thread && r->b == 1) {
      *tsc = r->tsc;
      return i + 1 < all->n && r[1].event == TRACE_IPI && r[1].a == 1 && r[1].b == IPI_KIND_WAKE;
    }
  }
  return false;
}

static bool switched_after(const struct records *all, uint32_t thread, uint64_t tsc) {
  for (size_t i = 0; i < all->n; i++) {
    if (all->r[i].event == TRACE_SWITCH && all->r[i].a == thread && all->r[i].tsc > tsc) {
      return true;
    }
  }
  return false;
}

/* One of many must find the other CPU halted, which needs the interrupt. */
static void test_remote_wake(int cpus) {
  if (cpus < 2) {
    skip("a wake-up across CPUs", "there is one CPU");
    return;
  }
  pthread_t thread;
  int here = ring_open(0), there = ring_open(1), n_woken = 0, n_ran = 0;
  char byte = 0;
  if (pipe(wake_pipe) != 0 || pipe(wake_done) != 0) {
    bail_out("pipe");
  }
  thread_pin(0);
  pthread_create(&thread, NULL, sleeper, NULL);
  for (int i = 0; i < WAKES; i++) {
    sleep_ms(3);
    ring_skip(here);
    ring_skip(there);
    bool good = write(wake_pipe[1], &byte, 1) == 1 && read(wake_done[0], &byte, 1) == 1;
    uint64_t tsc = 0;
    struct records mine = ring_read(here), its = ring_read(there);
    n_woken += good && has_wake_and_ipi(&mine, sleeper_id, &tsc);
    n_ran += good && tsc != 0 && switched_after(&its, sleeper_id, tsc);
    free(mine.r);
    free(its.r);
  }
  void *failed;
  pthread_join(thread, &failed);
  ok(!failed && n_woken > 0, "a wake-up across CPUs is noted, with its interrupt");
  ok(n_ran > 0, "and after it, on the other CPU, the switch to who was woken");
  diag("%d of %d with interrupt, %d seen to run", n_woken, WAKES, n_ran);
  close(here);
  close(there);
  for (int i = 0; i < 2; i++) {
    close(wake_pipe[i]);
    close(wake_done[i]);
  }
}

static void test_names(void) {
  char *argv[] = {"true", NULL};
  pid_t pid;
  int fd = ring_open(0), status;
  uint64_t name = 0;
  memcpy(&name, "true", 4);
  thread_pin(0);
  ring_skip(fd);
  ok(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0 &&
         waitpid(pid, &status, 0) == pid && status == 0,
     "a program runs");
  struct records all = ring_read(fd);
  is(count(&all, TRACE_THREAD, UINT32_MAX, (uint64_t)pid, (uint64_t)pid), 1,
     "its thread is noted when it is created");
  ok(count(&all, TRACE_NAME, UINT32_MAX, (uint64_t)pid, name) > 0, "and its name");
  free(all.r);
  close(fd);
}

/* ---- calls and the mask ---- */

static void test_calls(void) {
  int fd = ring_open(0);
  thread_pin(0);
  uint32_t me = (uint32_t)sys_null();
  ring_skip(fd);
  for (int i = 0; i < 10; i++) {
    sys_null();
  }
  struct records all = ring_read(fd);
  is(count(&all, TRACE_SYSCALL, me, SYS_NR_null, UINT64_MAX), 10, "ten calls begin");
  is(count(&all, TRACE_SYSCALL_EXIT, UINT32_MAX, UINT64_MAX, UINT64_MAX), 0,
     "ends are not noted unless asked for");
  free(all.r);
  ok(mask_set(TRACE_MASK_ALL) && mask_get() == TRACE_MASK_ALL, "the mask can ask for all");
  ring_skip(fd);
  for (int i = 0; i < 10; i++) {
    sys_null();
  }
  all = ring_read(fd);
  is(count(&all, TRACE_SYSCALL, me, SYS_NR_null, UINT64_MAX), 10, "ten calls begin");
  is(count(&all, TRACE_SYSCALL_EXIT, me, SYS_NR_null, me), 10, "and end, with their result");
  free(all.r);
  ok(mask_set(mask_first), "and back");
  close(fd);
}

static void test_mask_off(int cpus) {
  int fds[CPUS_MOST];
  size_t n = 0;
  ok(mask_set(0), "the mask can be empty");
  sleep_ms(5); /* what is under way on other CPUs ends */
  for (int cpu = 0; cpu < cpus; cpu++) {
    fds[cpu] = ring_open(cpu);
    ring_skip(fds[cpu]);
  }
  for (int i = 0; i < 100; i++) {
    sched_yield();
  }
  sleep_ms(5);
  for (int cpu = 0; cpu < cpus; cpu++) {
    struct records all = ring_read(fds[cpu]);
    n += all.n;
    free(all.r);
    close(fds[cpu]);
  }
  is(n, 0, "then nothing is noted");
  ok(mask_set(mask_first), "and back");
}

/* ---- the rings ---- */

static void test_order(int cpus) {
  bool forwards = true, known = true;
  for (int cpu = 0; cpu < cpus; cpu++) {
    int fd = ring_open(cpu);
    struct records all = ring_read(fd);
    uint64_t last = 0;
    for (const struct trace_record *r = all.r; r < all.r + all.n; r++) {
      bool lost = r->event == TRACE_LOST;
      forwards = forwards && (lost || r->tsc >= last);
      known = known && (lost || r->event <= TRACE_NAME);
      last = lost ? last : r->tsc;
    }
    free(all.r);
    close(fd);
  }
  ok(forwards, "time runs forwards in each ring");
  ok(known, "every record is of a known event");
}

static void test_overflow(void) {
  enum { EXTRA = 1000 };
  int fd = ring_open(0);
  thread_pin(0);
  ring_skip(fd);
  size_t n_calls = ring_records + EXTRA;
  for (size_t i = 0; i < n_calls; i++) {
    sys_null();
  }
  struct records all = ring_read(fd);
  bool first = all.n > 0 && all.r[0].event == TRACE_LOST;
  ok(first, "a reader that comes too late is told first");
  size_t lost = first ? all.r[0].a : 0;
  size_t seen = count(&all, TRACE_SYSCALL, UINT32_MAX, SYS_NR_null, UINT64_MAX);
  ok(lost >= EXTRA, "at least as many are lost as do not fit");
  ok(seen > ring_records / 2 && lost + seen >= n_calls, "lost and kept are all that there were");
  free(all.r);
  close(fd);
}

enum { STREAM_CALLS = 100000 };

static volatile uint32_t streamer_id;
static volatile bool streamed;

/* Numbered calls: the argument, which is no clock's, goes into the record. */
static void *streamer(void *arg) {
  (void)arg;
  thread_pin(0);
  streamer_id = (uint32_t)sys_null();
  for (uint64_t i = 0; i < STREAM_CALLS; i++) {
    sys_clock(STREAM_CALLS + i);
  }
  streamed = true;
  return NULL;
}

struct stream_seen {
  uint64_t n, lost, gaps, next, last_tsc;
  bool whole;
};

static void stream_check(struct stream_seen *s, const struct trace_record *r, size_t n) {
  for (const struct trace_record *end = r + n; r < end; r++) {
    s->lost += r->event == TRACE_LOST ? r->a : 0;
    s->gaps += r->event == TRACE_LOST;
    s->whole = s->whole && (r->event == TRACE_LOST || r->tsc >= s->last_tsc);
    s->last_tsc = r->event == TRACE_LOST ? s->last_tsc : r->tsc;
    if (r->event == TRACE_SYSCALL && r->a == SYS_NR_clock && r->b >= STREAM_CALLS) {
      s->whole = s->whole && r->thread == streamer_id && r->b - STREAM_CALLS >= s->next;
      s->next = r->b - STREAM_CALLS + 1;
      s->n++;
    }
  }
}

/* A reader on another CPU, at times slower than the writer: what it gets is whole and in order. */
static void test_reader_races(int cpus) {
  if (cpus < 2) {
    skip("reading what another CPU writes", "there is one CPU");
    return;
  }
  int fd = ring_open(0);
  struct stream_seen s = {.whole = true};
  pthread_t thread;
  thread_pin(1);
  ring_skip(fd);
  pthread_create(&thread, NULL, streamer, NULL);
  for (bool last = false; !last;) {
    struct trace_record few[24]; /* so that the writer comes round while they are fetched */
    last = streamed;
    for (ssize_t n; (n = read(fd, few, sizeof few)) > 0;) {
      stream_check(&s, few, (size_t)n / sizeof few[0]);
    }
  }
  pthread_join(thread, NULL);
  ok(s.whole, "a reader on another CPU gets whole records, in order");
  ok(s.n > 0 && s.n + s.lost >= STREAM_CALLS && s.next == STREAM_CALLS,
     "and with those that it lost, all");
  diag("%llu read, %llu lost, in %llu gaps", (unsigned long long)s.n, (unsigned long long)s.lost,
       (unsigned long long)s.gaps);
  close(fd);
}

/* ---- the program ---- */

static int trace_run(const char *path, char *command) {
  char file[96];
  snprintf(file, sizeof file, "-o%s", path);
  char *argv[] = {"trace", file, command, NULL};
  pid_t pid;
  int status = -1;
  if (posix_spawn(&pid, "/bin/trace", NULL, NULL, argv, environ) != 0 ||
      waitpid(pid, &status, 0) != pid) {
    return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_program(void) {
  static const char head[] = "cathode-trace 1\nsection meta ", tail[] = "section end 0\n";
  static char bytes[1 << 20];
  scratch_enter("trace");
  is(trace_run("out", "/bin/false"), 1, "trace answers the command's status");
  is(trace_run("out", "/bin/nonsense"), 127, "and 127 when there is none");
  is(trace_run("out", "/bin/true"), 0, "a command is traced");
  int fd = open("out", O_RDONLY);
  ssize_t n = read(fd, bytes, sizeof bytes), end = (ssize_t)sizeof tail - 1;
  ok(n > end && memcmp(bytes, head, sizeof head - 1) == 0 &&
         memcmp(bytes + n - end, tail, (size_t)end) == 0,
     "its stream is whole");
  close(fd);
  is(mask_get(), mask_first, "the mask is as it was");
  unlink("out");
  scratch_leave();
}

int main(void) {
  cpu_set_t all;
  sched_getaffinity(0, sizeof all, &all);
  int cpus = CPU_COUNT(&all);
  mask_first = mask_get();
  meta_read();
  test_files(cpus);
  ok(mask_set(mask_first & ~MASK_OFTEN), "events that come often can be left out");
  test_switches();
  test_remote_wake(cpus);
  test_names();
  ok(mask_set(mask_first), "and come back");
  test_calls();
  test_mask_off(cpus);
  test_order(cpus);
  test_overflow();
  test_reader_races(cpus);
  test_program();
  return tap_done();
}
