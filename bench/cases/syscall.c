/* What does it cost to enter the kernel and come back? */
#include "../cases.h"
#include "../os.h"

static void unknown_measure(struct run *run, uint64_t n) {
  uint64_t refused = 0;
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    refused += RUN_WORK(os_unknown_call(), 0) < 0;
  }
  run_stop(run);
  run->confirmed = refused;
}

const struct bench_case case_cal_syscall = {
    .name = "cal.syscall",
    .op = "a system call with a number that the kernel refuses (SYSCALL, SYSRET, the way between)",
    .measure = unknown_measure,
};

static void null_measure(struct run *run, uint64_t n) {
  long first = os_null_call();
  uint64_t same = 0;
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    same += RUN_WORK(os_null_call(), -1) == first;
  }
  run_stop(run);
  run->confirmed = first >= 0 ? same : 0;
}

const struct bench_case case_syscall_null = {
    .name = "syscall.null",
    .op = "the cheapest useful system call: ask for a number that the kernel has at hand",
    .measure = null_measure,
};
