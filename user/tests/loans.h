/* What the tests of loans share: borrowing from a space, taking back, and seeing that it is gone.
 */
#ifndef TESTS_LOANS_H
#define TESTS_LOANS_H

#include <signal.h>
#include <sys/mman.h>

#include "leaks.h"
#include "runtime/syscall.h"

enum { PAGE = 4096, N = 8, RW = PROT_READ | PROT_WRITE };

static int own; /* this process's space; in a child, its parent's */

static inline int64_t apply(int fd, struct space_op *step) {
  int64_t done = sys_call(fd, OP_SPACE_APPLY, step, sizeof *step, sizeof *step, 0);
  return done == 1 ? 0 : done;
}

/* The address in the caller's space, or an error. */
static inline int64_t borrow_as(int fd, const void *at, size_t len, uint32_t prot, uint64_t to,
                                uint32_t flags) {
  struct space_op op = {.code = SPACE_BORROW,
                        .fd = FD_NONE,
                        .prot = prot,
                        .flags = flags,
                        .addr = (uint64_t)at,
                        .len = len,
                        .off = to};
  int64_t e = apply(fd, &op);
  return e < 0 ? e : (int64_t)op.off;
}

static inline int64_t borrow(const void *at, size_t n_pages, uint32_t prot) {
  return borrow_as(own, at, n_pages * PAGE, prot, 0, 0);
}

static inline int64_t revoke(const void *at, size_t n_pages) {
  struct space_op op = {
      .code = SPACE_REVOKE, .fd = FD_NONE, .addr = (uint64_t)at, .len = n_pages * PAGE};
  return apply(own, &op);
}

static inline int own_space(void) {
  int64_t fd = sys_dup(FD_SELF, "addrspace", 9, 0);
  if (fd < 0) {
    bail_out("no handle on the own space");
  }
  return (int)fd;
}

static inline char *memory(size_t n_pages, int prot, int flags) {
  char *p = mmap(NULL, n_pages * PAGE, prot, flags | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    bail_out("no memory");
  }
  return p;
}

static inline size_t n_resident(char *p, size_t n_pages) {
  unsigned char present[N] = {0};
  size_t n = 0;
  for (size_t i = 0; i < n_pages && mincore(p, n_pages * PAGE, present) == 0; i++) {
    n += present[i] & 1;
  }
  return n;
}

static inline int child_reads(void *p) {
  return *(volatile char *)p;
}

static inline int child_writes(void *p) {
  *(volatile char *)p = 1;
  return 0;
}

static inline bool is_gone(const void *q) {
  return child_exit(child_reads, (void *)q) == -SIGBUS;
}

static inline void inject(int fd, const char *kind, int n) {
  char order[40];
  int len = snprintf(order, sizeof order, n > 0 ? "%s %d" : "%s", kind, n);
  if (write(fd, order, (size_t)len) != len) {
    bail_out("sys:inject");
  }
}

#endif
