/* Children and CPUs on POSIX, and the CPU binding that Linux and Cathode have in common. */
#include "process.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE_SIZE_BYTES = 4096 };

static unsigned n_cpus;
static cpu_set_t all_cpus;

bool process_pin(struct run *run, unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) {
    return run_fail(run, "binding to CPU %u: %s", cpu, strerror(errno));
  }
  return true;
}

bool process_unpin(struct run *run) {
  if (sched_setaffinity(0, sizeof(all_cpus), &all_cpus) != 0) {
    return run_fail(run, "releasing from CPU 0: %s", strerror(errno));
  }
  return true;
}

/* musl counts the CPUs that the calling thread may use: one, once it is bound. */
void process_init(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  n_cpus = n > 0 ? (unsigned)n : 1;
  if (sched_getaffinity(0, sizeof(all_cpus), &all_cpus) != 0) {
    CPU_SET(0, &all_cpus);
  }
}

unsigned process_cpus(void) {
  return n_cpus;
}

pid_t process_fork(struct run *run) {
  pid_t pid = fork();
  if (pid < 0) {
    run_fail(run, "fork: %s", strerror(errno));
  }
  return pid;
}

bool process_reap(struct run *run, pid_t pid, int code) {
  int status;
  pid_t reaped = waitpid(pid, &status, 0);
  if (reaped != pid) {
    return run_fail(run, "waitpid: %s", reaped < 0 ? strerror(errno) : "somebody else's child");
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != code) {
    return run_fail(run, "a child ended with wait status 0x%x instead of exit(%d)",
                    (unsigned)status, code);
  }
  return true;
}

void *process_shared_page(struct run *run) {
  void *page =
      mmap(NULL, PAGE_SIZE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    run_fail(run, "mapping a shared page: %s", strerror(errno));
    return NULL;
  }
  return page;
}

void process_shared_page_free(void *page) {
  munmap(page, PAGE_SIZE_BYTES);
}
