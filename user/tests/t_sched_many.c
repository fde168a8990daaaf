/* Many threads: 10,000 at once in one process, asleep, what each of them costs the kernel, and that
 * all of them wake and end. On several CPUs 1,000: emulated ones contend for long. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

#include "tap.h"

enum { THREADS_MOST = 10000, THREADS_SMP = 1000, STACK_BYTES = 16384, KERNEL_BYTES_MOST = 10240 };

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_t threads[THREADS_MOST];
static int wanted;
static _Atomic int arrived, passed;

static void *wait_at_gate(void *arg) {
  arrived++;
  pthread_mutex_lock(&gate);
  pthread_mutex_unlock(&gate);
  passed++;
  return arg;
}

static uint64_t memory_read(const char *name) {
  char text[512] = "";
  int fd = open("sys:/mem", O_RDONLY);
  ssize_t n = read(fd, text, sizeof text - 1);
  const char *at = n > 0 ? strstr(text, name) : NULL;
  close(fd);
  if (!at) {
    bail_out(name);
  }
  return strtoull(at + strlen(name), NULL, 10);
}

/* As many as there can be; answers how many. */
static int threads_start(void) {
  pthread_attr_t attr;
  int n = 0, error = 0;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, STACK_BYTES);
  for (; n < wanted && error == 0; n += error == 0) {
    error = pthread_create(&threads[n], &attr, wait_at_gate, (void *)(intptr_t)n);
  }
  pthread_attr_destroy(&attr);
  if (error != 0) {
    diag("thread %d: %s", n, strerror(error));
  }
  while (arrived < n) {
    sched_yield();
  }
  return n;
}

int main(void) {
  int fd = open("sys:/mem", O_RDONLY);
  if (fd < 0) {
    skip("many threads", "this kernel does not say what memory is for");
    return tap_done();
  }
  close(fd);
  wanted = sysconf(_SC_NPROCESSORS_ONLN) == 1 ? THREADS_MOST : THREADS_SMP;
  pthread_mutex_lock(&gate);
  uint64_t kernel = memory_read("kernel_bytes "), table = memory_read("table_bytes ");
  uint64_t anon = memory_read("anon_bytes ");
  int n = threads_start();
  is(n, wanted, "as many threads as wanted");
  kernel = (memory_read("kernel_bytes ") - kernel) / (uint64_t)n;
  table = (memory_read("table_bytes ") - table) / (uint64_t)n;
  anon = (memory_read("anon_bytes ") - anon) / (uint64_t)n;
  diag("a thread: %llu bytes of the kernel's, %llu of page tables, %llu of its own",
       (unsigned long long)kernel, (unsigned long long)table, (unsigned long long)anon);
  ok(kernel <= KERNEL_BYTES_MOST, "an idle thread costs the kernel at most 10 KiB");
  pthread_mutex_unlock(&gate);
  int right = 0;
  for (int i = 0; i < n; i++) {
    void *value = NULL;
    right += pthread_join(threads[i], &value) == 0 && value == (void *)(intptr_t)i;
  }
  is(right, n, "all of them end");
  is(passed, n, "and had passed the gate");
  return tap_done();
}
