/* What the scheduler's parameters do, seen in its counters: each pair of settings differs by more
 * than a busy host can blur. That they can be read and written is t_sched_params.c's. */
#define _GNU_SOURCE
#include "sched_says.h"
#include "threads.h"

enum { TRIPS = 300, WAKES = 2 * TRIPS, PATIENCE_MS = 20000, WINDOW_MS = 500 };
enum { RT = 10 };

static volatile bool stop;
static int there[2], back[2]; /* pipes */

static void set(const char *name, uint64_t value) {
  if (!param_set(name, value)) {
    bail_out(name);
  }
}

/* Of both CPUs. */
static long counted(const char *name) {
  return (long)(number_read("sys:/cpu/0/stat", name) + number_read("sys:/cpu/1/stat", name));
}

/* ---- messages there and back ---- */

static void *answer(void *arg) {
  char byte;
  while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {
  }
  return arg;
}

/* How much a counter grows while messages go to another thread and back, each on a CPU of its own
 * or wherever they like. */
static long messages(bool apart, const char *counter) {
  char byte = 0;
  if (pipe(there) != 0 || pipe(back) != 0) {
    bail_out("two pipes");
  }
  pthread_t thread = thread_start(0, answer, NULL);
  cpus_set(pthread_self(), 0, apart ? 0 : 1);
  cpus_set(thread, apart ? 1 : 0, 1);
  sleep_ms(5);
  long before = counted(counter);
  for (int i = 0; i < TRIPS; i++) {
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) {
      bail_out("a message");
    }
  }
  long grown = counted(counter) - before;
  close(there[1]);
  pthread_join(thread, NULL);
  close(there[0]);
  close(back[0]);
  close(back[1]);
  cpus_set(pthread_self(), 0, 0);
  diag("%sgrew by %ld in %d round trips", counter + 1, grown, TRIPS);
  return grown;
}

static void test_polling(void) {
  long halting = messages(true, "\nIPIS ");
  set("idle_poll_us", 10000);
  long polling = messages(true, "\nIPIS ");
  set("idle_poll_us", 0);
  ok(halting > WAKES * 3 / 4, "a halted CPU is sent an interrupt for each wake-up");
  ok(polling < halting / 2, "one that polls is not");
}

static void test_placement(void) {
  ok(messages(false, "\nWAKE_REMOTE ") < WAKES / 2, "hand-offs keep both ends on one CPU");
  ok(messages(false, "\nHANDOFFS ") > WAKES / 2, "and are what wakes them");
  set("handoff", 0);
  is(messages(false, "\nHANDOFFS "), 0, "without hand-offs there are none");
  ok(messages(false, "\nWAKE_REMOTE ") > WAKES / 2, "who is woken goes to the idle CPU");
  set("wake_policy", 2);
  ok(messages(false, "\nWAKE_REMOTE ") < WAKES / 2, "or to the waker's, if that is the policy");
  set("wake_policy", 1);
  set("handoff", 1);
}

/* ---- hogs ---- */

static void *hog(void *arg) {
  while (!stop) {
  }
  return arg;
}

static void hogs_start(pthread_t *threads, int n, int rt_priority, int policy) {
  stop = false;
  for (int i = 0; i < n; i++) {
    struct sched_param param = {.sched_priority = rt_priority};
    threads[i] = thread_start(0, hog, NULL);
    cpus_set(threads[i], 1, 1);
    pthread_setschedparam(threads[i], policy, &param);
  }
}

static void hogs_stop(pthread_t *threads, int n) {
  stop = true;
  for (int i = 0; i < n; i++) {
    pthread_join(threads[i], NULL);
  }
}

static long switches_of_hogs(int policy, uint64_t slice_us) {
  pthread_t threads[2];
  set("rr_slice_us", slice_us);
  hogs_start(threads, 2, RT, policy);
  sleep_ms(10);
  long before = counted("\nSWITCHES ");
  sleep_ms(WINDOW_MS);
  long grown = counted("\nSWITCHES ") - before;
  hogs_stop(threads, 2);
  diag("%ld switches with slices of %lu us", grown, slice_us);
  return grown;
}

static void test_round_robin(void) {
  set("balance_us", 0);
  long few = switches_of_hogs(SCHED_RR, 100000), many = switches_of_hogs(SCHED_RR, 1000);
  long none = switches_of_hogs(SCHED_FIFO, 1000);
  set("rr_slice_us", 100000);
  set("balance_us", 20000);
  ok(many > 3 * few, "equal round-robin threads take turns, the shorter the slices the more");
  ok(none <= few + 10, "first-in-first-out ones do not");
}

static void test_stealing(void) {
  pthread_t threads[3];
  set("balance_us", 0);
  set("steal_min", 0);
  hogs_start(threads, 3, 0, SCHED_OTHER);
  for (int i = 0; i < 3; i++) {
    cpus_set(threads[i], 0, 1);
  }
  sleep_ms(10);
  long before = counted("\nSTEALS ");
  for (int i = 0; i < 20; i++) {
    sleep_ms(2); /* each time this CPU becomes idle */
  }
  is(counted("\nSTEALS ") - before, 0, "an idle CPU that is not to steal does not");
  set("steal_min", 1);
  for (int ms = 0; ms < PATIENCE_MS && counted("\nSTEALS ") == before; ms++) {
    sleep_ms(1);
  }
  ok(counted("\nSTEALS ") > before, "one that is to steal does");
  hogs_stop(threads, 3);
  set("balance_us", 20000);
}

int main(void) {
  if (sysconf(_SC_NPROCESSORS_ONLN) != 2 || open("sys:/sched/handoff", O_RDONLY) < 0) {
    skip("effects of parameters", "two CPUs of this kernel are needed");
    return tap_done();
  }
  struct sched_param best = {.sched_priority = RT + 1};
  test_polling();
  test_placement();
  pthread_setschedparam(pthread_self(), SCHED_FIFO, &best);
  test_round_robin();
  test_stealing();
  return tap_done();
}
