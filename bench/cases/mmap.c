/* What does it cost to get address space and give it back? */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../cases.h"
#include "../region.h"

static int probe_fds[2];

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
    if (base == MAP_FAILED || !region_unmap(base)) {
      run_fail(run, "mmap, munmap: %s", strerror(errno));
      return;
    }
    run->confirmed++;
  }
  run_stop(run);
  const char *wrong = region_refute(probe_fds);
  if (wrong != NULL) {
    run_fail(run, "%s", wrong);
  }
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
