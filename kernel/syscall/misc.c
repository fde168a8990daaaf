/* System calls on memory, futexes, time and the CPU. */
#include "base/clock.h"
#include "syscall/syscall.h"

int64_t sys_null(void) {
  return context_current()->id;
}

int64_t sys_yield(void) {
  return sched_yield();
}

int64_t sys_mmap(uint64_t addr, size_t len, uint32_t prot, uint32_t flags, int fd, int64_t offset) {
  struct context *c = context_current();
  if (!(flags & MAP_ABI_ANONYMOUS) && fd < 0) {
    return -ABI_EBADF;
  }
  struct space_op op = {.code = SPACE_MAP,
                        .fd = fd,
                        .prot = prot,
                        .flags = flags,
                        .addr = addr,
                        .len = len,
                        .off = (uint64_t)offset};
  int64_t r = space_step(c->space, c->files, &op);
  return r < 0 ? r : (int64_t)op.addr;
}

int64_t sys_munmap(uint64_t addr, size_t len) {
  return -(int64_t)space_unmap(context_current()->space, addr, len);
}

int64_t sys_mprotect(uint64_t addr, size_t len, uint32_t prot) {
  return -(int64_t)space_protect(context_current()->space, addr, len, prot);
}

int64_t sys_futex(uaddr_t word, uint64_t op, uint64_t value, uint64_t deadline_ns, uaddr_t word2,
                  uint64_t value2) {
  struct space *s = context_current()->space;
  bool shared = op & FUTEX_OP_SHARED;
  switch (op & ~(uint64_t)FUTEX_OP_SHARED) {
  case FUTEX_OP_WAIT:
    return futex_wait(s, word, (uint32_t)value, shared, deadline_ns);
  case FUTEX_OP_WAKE:
    return futex_wake(s, word, (uint32_t)MIN(value, (uint64_t)INT32_MAX), shared);
  case FUTEX_OP_REQUEUE:
    return futex_requeue(s, word, (uint32_t)MIN(value, (uint64_t)INT32_MAX), word2,
                         (uint32_t)MIN(value2, (uint64_t)INT32_MAX), shared);
  case FUTEX_OP_LOCK_PI:
    return futex_lock_pi(s, word, shared, deadline_ns);
  case FUTEX_OP_UNLOCK_PI:
    return futex_unlock_pi(s, word, shared);
  default:
    return -ABI_EINVAL;
  }
}

int64_t sys_sleep(uint64_t deadline_ns) {
  while (clock_now() < deadline_ns) {
    if (context_interrupted()) {
      return -ABI_EINTR;
    }
    sched_park(deadline_ns);
  }
  return 0;
}

int64_t sys_clock(uint64_t which) {
  const struct context *c = context_current();
  struct proc_status st;
  switch (which) {
  case CLOCK_ID_MONOTONIC:
    return (int64_t)clock_now();
  case CLOCK_ID_REALTIME:
    return (int64_t)clock_now() + clock_abi.realtime_offset_ns;
  case CLOCK_ID_CPU_CONTEXT:
    return (int64_t)thread_run_ns(&c->thread);
  case CLOCK_ID_CPU_GROUP:
    group_status_read(c->group, &st);
    return (int64_t)st.user_ns;
  default:
    return -ABI_EINVAL;
  }
}
