/* The floor of the kernel: what the processor charges for the steps of which everything else is
 * made, and two steps of the scheduler that no program can take by themselves.
 *
 * Only the kernel can execute them by themselves. A read of sys:/bench/NAME makes it measure, and
 * answers lines of `iterations ticks`; each line is a sample. A kernel without such a file has no
 * reading. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"

enum { ANSWER_SIZE = 4096 };

static struct {
  char path[64];
  char answer[ANSWER_SIZE];
  char *next; /* first line of the answer not used yet */
} reading;

static bool reading_refill(struct run *run) {
  int fd = open(reading.path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ENODEV)) {
    return run_absent(run, "this kernel has no %s", reading.path);
  }
  ssize_t length = fd < 0 ? -1 : RUN_WORK(read(fd, reading.answer, ANSWER_SIZE - 1), 1);
  if (length <= 0) {
    run_fail(run, "%s: %s", reading.path, length < 0 ? strerror(errno) : "nothing to read");
  }
  if (fd >= 0) {
    close(fd);
  }
  if (length <= 0) {
    return false;
  }
  reading.answer[length] = '\0';
  reading.next = reading.answer;
  return true;
}

static bool reading_setup(struct run *run, const char *name) {
  snprintf(reading.path, sizeof(reading.path), "sys:/bench/%s", name);
  return reading_refill(run);
}

static void reading_measure(struct run *run, uint64_t n) {
  (void)n;
  if (*reading.next == '\0' && !reading_refill(run)) {
    return;
  }
  char *end = strchr(reading.next, '\n');
  if (end == NULL ||
      sscanf(reading.next, "%" SCNu64 " %" SCNu64, &run->confirmed, &run->ticks) != 2) {
    run_fail(run, "%s: '%.40s' is not a line of two numbers", reading.path, reading.next);
    return;
  }
  reading.next = end + 1;
}

#define KERNEL_CASE(id, text)                                                                      \
  static bool id##_setup(struct run *run) {                                                        \
    return reading_setup(run, #id);                                                                \
  }                                                                                                \
  const struct bench_case case_cal_##id = {                                                        \
      .name = "cal." #id,                                                                          \
      .op = text,                                                                                  \
      .setup = id##_setup,                                                                         \
      .measure = reading_measure,                                                                  \
      .counts_itself = true,                                                                       \
  };

KERNEL_CASE(int, "a software interrupt in ring 0 and the return from it (INT n, IRETQ)")
KERNEL_CASE(pagefault, "a page fault in ring 0, its entry mapped, and the return from it")
KERNEL_CASE(cr3, "a write of CR3 with the value that it has")
KERNEL_CASE(invlpg, "dropping one page from the TLB (INVLPG)")
KERNEL_CASE(ipi, "an interrupt sent to another processor and its acknowledgement seen here")
KERNEL_CASE(zero4k, "zeroing 4 KiB by the routine that the kernel has chosen")
KERNEL_CASE(copy4k, "copying 4 KiB by the routine that the kernel has chosen")

static bool wake_setup(struct run *run) {
  return reading_setup(run, "wake");
}

const struct bench_case case_sched_wake = {
    .name = "sched.wake",
    .op = "waking a thread that sleeps, on this CPU, by the kernel, without the switch to it",
    .setup = wake_setup,
    .measure = reading_measure,
    .counts_itself = true,
};

static bool timer_setup(struct run *run) {
  return reading_setup(run, "timer");
}

const struct bench_case case_timer_arm_cancel = {
    .name = "timer.arm_cancel",
    .op = "arming a timer and cancelling it, by the kernel, no other armed but the system's",
    .setup = timer_setup,
    .measure = reading_measure,
    .counts_itself = true,
};

static bool timer_crowd_setup(struct run *run) {
  char name[32];
  snprintf(name, sizeof(name), "timer-%" PRIu64, run->param);
  return reading_setup(run, name);
}

static const uint64_t crowds[] = {10, 100, 1000, 10000, 100000, 0};

const struct bench_case case_timer_arm_crowd = {
    .name = "timer.arm_crowd",
    .op = "arming a timer and cancelling it, by the kernel, beside so many that are armed",
    .setup = timer_crowd_setup,
    .measure = reading_measure,
    .param_name = "armed",
    .params = crowds,
    .counts_itself = true,
};
