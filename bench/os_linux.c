/* Linux: the yardstick. Numbers of calls: arch/x86/entry/syscalls/syscall_64.tbl. */
#include "os.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { NR_POLL = 7, NR_GETPPID = 110, NR_NOBODY = 4000 };
enum { CALIBRATE_MS = 100, NICEST = 19 };

static long call0(long number) {
  long result = number;
  __asm__ volatile("syscall" : "+a"(result) : : "rcx", "r11", "memory");
  return result;
}

long os_null_call(void) {
  return call0(NR_GETPPID);
}

long os_unknown_call(void) {
  return call0(NR_NOBODY);
}

long os_poll_one(void *entry) {
  long result = NR_POLL, number = 1, timeout_ms = 0;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(entry), "S"(number), "d"(timeout_ms)
                   : "rcx", "r11", "memory");
  return result;
}

/* The credit is milliseconds of weighted time, which pass the faster the nicer a thread is. Nice is
 * an attribute of the thread. */
void os_credit_forgo(void) {
  setpriority(PRIO_PROCESS, 0, NICEST);
}

static uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t os_tsc_hz(void) {
  uint64_t ns = monotonic_ns();
  uint64_t ticks = ticks_now();
  nanosleep(&(struct timespec){.tv_nsec = CALIBRATE_MS * 1000000l}, NULL);
  uint64_t elapsed_ns = monotonic_ns() - ns;
  uint64_t elapsed_ticks = ticks_now() - ticks;
  return (uint64_t)((double)elapsed_ticks * 1e9 / (double)elapsed_ns);
}

/* A yield counts among the involuntary ones. */
bool os_counts_read(struct run *run, struct os_counts *counts) {
  struct rusage usage;
  if (getrusage(RUSAGE_THREAD, &usage) != 0) {
    return run_fail(run, "getrusage: %s", strerror(errno));
  }
  counts->switches = (uint64_t)usage.ru_nvcsw + (uint64_t)usage.ru_nivcsw;
  counts->faults = (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
  return true;
}

int os_counter_open(struct run *run) {
  run_absent(run, "Linux has no schemes");
  return -1;
}

void os_counter_close(struct run *run, int fd) {
  (void)run;
  (void)fd;
}
