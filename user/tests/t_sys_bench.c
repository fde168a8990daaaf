/* sys:/bench: what keeps nothing can be measured on several CPUs at once, whole each time; of the
 * rest one at a time. */
#define _GNU_SOURCE
#include <fcntl.h>

#include "threads.h"

enum { READERS = 2, READS = 200, SAMPLES = 31 };

struct reader {
  int cpu;
  const char *path;
  unsigned whole, busy, other;
};

/* Lines of one reading, or a negated error. */
static int lines_of(const char *path) {
  char text[4096];
  int fd = open(path, O_RDONLY | O_CLOEXEC), lines = 0;
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text);
  int error = errno;
  if (fd >= 0) {
    close(fd);
  }
  for (ssize_t i = 0; i < length; i++) {
    lines += text[i] == '\n';
  }
  return length < 0 ? -error : lines;
}

static void *reader_run(void *argument) {
  struct reader *r = argument;
  thread_pin(r->cpu);
  for (int i = 0; i < READS; i++) {
    int lines = lines_of(r->path);
    r->whole += lines == SAMPLES;
    r->busy += lines == -EBUSY;
    r->other += lines != SAMPLES && lines != -EBUSY;
  }
  return NULL;
}

/* The sum of what all have seen. */
static struct reader all_read(const char *path) {
  struct reader readers[READERS], sum = {.path = path};
  pthread_t threads[READERS];
  int n_cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
  for (int i = 0; i < READERS; i++) {
    readers[i] = (struct reader){.cpu = i % n_cpus, .path = path};
    threads[i] = thread_start(0, reader_run, &readers[i]);
  }
  for (int i = 0; i < READERS; i++) {
    pthread_join(threads[i], NULL);
    sum.whole += readers[i].whole;
    sum.busy += readers[i].busy;
    sum.other += readers[i].other;
  }
  return sum;
}

static void tests(void) {
  struct reader together = all_read("sys:/bench/int"), alone = all_read("sys:/bench/zero4k");
  is(together.whole, READERS * READS, "interrupts are measured by all at once");
  ok(alone.whole > 0 && alone.other == 0, "zeroing: measured, or somebody else does");
}

int main(void) {
  if (open("sys:/bench/int", O_RDONLY) < 0) {
    skip("sys:/bench on several CPUs", "this kernel does not measure itself");
  } else {
    tests();
  }
  return tap_done();
}
