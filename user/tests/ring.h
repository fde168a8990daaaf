/* A server's half of a ring, against the ABI alone. */
#ifndef TESTS_RING_H
#define TESTS_RING_H

#include "runtime/syscall.h"
#include "tap.h"

struct ring {
  int fd;
  struct ring_header *header;
  struct ring_sqe *sqes;
  struct ring_cqe *cqes;
  unsigned char *slots;
  uint32_t sq_head, cq_tail;
};

/* Makes the scheme; the process ends if that fails. */
static inline void ring_open(struct ring *ring, const char *scheme) {
  char name[64];
  int n = snprintf(name, sizeof name, ":%s", scheme);
  int64_t fd = sys_openat(FD_NS, name, (size_t)n, O_ABI_CREAT | O_ABI_RDWR | O_ABI_CLOFORK, 0);
  size_t size = 4 << 20;
  int64_t base = fd;
  if (fd >= 0) {
    base = sys_mmap(0, 4096, PROT_ABI_READ | PROT_ABI_WRITE, MAP_ABI_SHARED, (int)fd, 0);
  }
  if (base >= 0) {
    size = ((struct ring_header *)base)->total_size;
    sys_munmap((uint64_t)base, 4096);
    base = sys_mmap(0, size, PROT_ABI_READ | PROT_ABI_WRITE, MAP_ABI_SHARED, (int)fd, 0);
  }
  if (base < 0) {
    _exit(80);
  }
  unsigned char *bytes = (unsigned char *)base;
  struct ring_header *header = (struct ring_header *)base;
  *ring = (struct ring){(int)fd,
                        header,
                        (struct ring_sqe *)(bytes + header->sq_offset),
                        (struct ring_cqe *)(bytes + header->cq_offset),
                        bytes + header->slots_offset,
                        0,
                        0};
}

/* The next request, waiting for it. */
static inline bool ring_take(struct ring *ring, struct ring_sqe *sqe) {
  while (__atomic_load_n(&ring->header->sq_tail, __ATOMIC_ACQUIRE) == ring->sq_head) {
    if (sys_ring_enter(ring->fd, RING_WAIT, NO_DEADLINE) < 0) {
      return false;
    }
  }
  *sqe = ring->sqes[ring->sq_head++ & (ring->header->n_sqes - 1)];
  __atomic_store_n(&ring->header->sq_head, ring->sq_head, __ATOMIC_RELEASE);
  return true;
}

static inline void ring_answer(struct ring *ring, struct ring_cqe cqe) {
  ring->cqes[ring->cq_tail++ & (ring->header->n_cqes - 1)] = cqe;
  __atomic_store_n(&ring->header->cq_tail, ring->cq_tail, __ATOMIC_RELEASE);
}

#endif
