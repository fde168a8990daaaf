/* What does it cost to get address space and give it back? */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../cases.h"

enum { LENGTH = 64 << 10 };

static int probe_fds[2];

static void *region_map(void) {
  return mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Whether the kernel can read a byte there: how a program asks without dying. */
static bool probe_readable(const void *address) {
  char byte;
  return write(probe_fds[1], address, 1) == 1 && read(probe_fds[0], &byte, 1) == 1;
}

/* That map makes memory and unmap takes it away, both ends of it. */
static bool region_proves(struct run *run) {
  char *base = region_map();
  bool there = base != MAP_FAILED && probe_readable(base) && probe_readable(base + LENGTH - 1);
  if (!there || munmap(base, LENGTH) != 0) {
    return run_fail(run, "mapping 64 KiB gave no memory");
  }
  if (probe_readable(base) || probe_readable(base + LENGTH - 1)) {
    return run_fail(run, "memory is still there after munmap");
  }
  return true;
}

static bool mmap_setup(struct run *run) {
  if (pipe(probe_fds) != 0) {
    return run_fail(run, "pipe: %s", strerror(errno));
  }
  return true;
}

static void mmap_measure(struct run *run, uint64_t n) {
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    void *base = region_map();
    if (base == MAP_FAILED || munmap(base, LENGTH) != 0) {
      run_fail(run, "mmap, munmap: %s", strerror(errno));
      return;
    }
    run->confirmed++;
  }
  run_stop(run);
  region_proves(run);
}

static void mmap_teardown(struct run *run) {
  (void)run;
  close(probe_fds[0]);
  close(probe_fds[1]);
}

const struct bench_case case_mmap_munmap = {
    .name = "mmap.munmap",
    .op = "mmap of 64 KiB of anonymous memory and munmap of it, untouched",
    .setup = mmap_setup,
    .measure = mmap_measure,
    .teardown = mmap_teardown,
};
