/* Faults in system calls, and the kernel's own interrupts. */
#include "trap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os.h"

enum { PAGE_BYTES = 4096, ANSWER_SIZE = 4096 };
static const char int_path[] = "sys:/bench/int";

/* Holds one entry of poll(), which asks for nothing: the kernel answers 0 once it can read that. */
static void *page;

bool trap_prepare(struct run *run) {
  if (page == NULL) {
    void *base = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
      return run_fail(run, "mmap: %s", strerror(errno));
    }
    memset(base, -1, PAGE_BYTES);
    page = base;
  }
  return mprotect(page, PAGE_BYTES, PROT_NONE) == 0 ||
         run_fail(run, "mprotect: %s", strerror(errno));
}

static long page_poll(void) {
  return RUN_WORK(os_poll_one(page), -EFAULT);
}

uint64_t trap_work(uint64_t n) {
  uint64_t refused = 0;
  for (uint64_t i = 0; i < n; i++) {
    refused += page_poll() < 0;
  }
  return refused;
}

const char *trap_refute(void) {
  bool good = mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE) == 0 && page_poll() == 0 &&
              mprotect(page, PAGE_BYTES, PROT_NONE) == 0 && page_poll() < 0;
  return good ? NULL : "the answer does not depend on whether the page can be read";
}

bool trap_int_prepare(struct run *run) {
  int fd = open(int_path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return run_absent(run, "this kernel has no %s", int_path);
  }
  close(fd);
  return true;
}

/* Lines of `iterations ticks`; as much as a line has come before the first, to warm up. */
static uint64_t lines_add(const char *text) {
  uint64_t sum = 0, iterations = 0;
  for (; sscanf(text, "%" SCNu64 " %*u", &iterations) == 1; text = strchr(text, '\n') + 1) {
    sum += iterations;
    if (strchr(text, '\n') == NULL) {
      return 0;
    }
  }
  return sum > 0 ? sum + iterations : 0;
}

static uint64_t int_once(void) {
  char answer[ANSWER_SIZE];
  int fd = open(int_path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return 0;
  }
  ssize_t length = RUN_WORK(read(fd, answer, sizeof(answer) - 1), 1);
  close(fd);
  answer[length > 0 ? length : 0] = '\0';
  return length > 1 ? lines_add(answer) : 0;
}

uint64_t trap_int_work(uint64_t n) {
  uint64_t done = 0, more = 1;
  for (; done < n && more > 0; done += more) {
    more = int_once();
  }
  return more > 0 ? done : 0;
}
