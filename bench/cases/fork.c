/* What does it cost to make a process, and does that depend on how much memory the parent has? */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../cases.h"
#include "../process.h"

enum { PAGE_BYTES = 4096 };
static const uint64_t mib = 1u << 20;
static const uint64_t rss_params[] = {1, 4, 16, 64, 256, 1024, 0};

static unsigned char *resident;

/* The exit code differs from one child to the next: a status cannot be mistaken for another's. */
static void exit_measure(struct run *run, uint64_t n) {
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    int code = (int)(i % 100) + 1;
    pid_t pid = RUN_WORK(process_fork(run), 1);
    if (pid == 0) {
      _exit(code);
    }
    if (pid < 0 || !process_reap(run, pid, code)) {
      return;
    }
    run->confirmed++;
  }
  run_stop(run);
}

const struct bench_case case_fork_exit = {
    .name = "fork.exit",
    .op = "fork, the child's exit, and the wait for it",
    .measure = exit_measure,
};

/* An eighth is left for the tables, and for everybody else. */
static bool memory_has(uint64_t bytes) {
  long pages = sysconf(_SC_AVPHYS_PAGES);
  return pages < 0 || (uint64_t)pages * PAGE_BYTES >= bytes + bytes / 8;
}

static bool rss_setup(struct run *run) {
  size_t length = run->param * mib;
  if (!memory_has(length)) {
    return run_absent(run, "the machine has no %llu MiB free (MEM=2048)",
                      (unsigned long long)run->param);
  }
  resident = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (resident == MAP_FAILED) {
    return run_fail(run, "mapping %llu MiB: %s", (unsigned long long)run->param, strerror(errno));
  }
  /* Small pages: a kernel that knows of no others may refuse the advice, which is as good. */
  madvise(resident, length, MADV_NOHUGEPAGE);
  for (size_t i = 0; i < length; i += PAGE_BYTES) {
    resident[i] = 1;
  }
  return true;
}

static void rss_teardown(struct run *run) {
  munmap(resident, run->param * mib);
}

const struct bench_case case_fork_rss = {
    .name = "fork.rss",
    .op = "fork, the child's exit and the wait for it, with that many MiB written by the parent",
    .setup = rss_setup,
    .measure = exit_measure,
    .teardown = rss_teardown,
    .param_name = "rss_mib",
    .params = rss_params,
};
