/* Memory: the kernel's calls take Linux's flags, so what is left is which of them exist here. There
 * is no brk: libc's allocator then maps instead. */
#include <sys/mman.h>

#include "posix/posix.h"

#define MAP_KNOWN                                                                                  \
  (MAP_ABI_SHARED | MAP_ABI_PRIVATE | MAP_ABI_FIXED | MAP_ABI_ANONYMOUS | MAP_ABI_POPULATE |       \
   MAP_ABI_GROWSDOWN | MAP_ABI_FIXED_NOREPLACE)
#define PROT_KNOWN (PROT_ABI_READ | PROT_ABI_WRITE | PROT_ABI_EXEC)
#define REMAP_MAY_MOVE 1u

static bool page_aligned(unsigned long x) {
  return x % ABI_PAGE_SIZE == 0;
}

/* MAP_SHARED_VALIDATE is both type bits. Flags that are only hints are dropped. */
long call_mmap(unsigned long addr, size_t len, int prot, int flags, int fd, long offset) {
  uint32_t abi_flags = (uint32_t)flags & MAP_KNOWN;
  uint32_t type = abi_flags & (MAP_ABI_SHARED | MAP_ABI_PRIVATE);
  if (len == 0 || type == 0 || !page_aligned((unsigned long)offset) ||
      ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && !page_aligned(addr))) {
    return -ABI_EINVAL;
  }
  if (type == (MAP_ABI_SHARED | MAP_ABI_PRIVATE)) {
    abi_flags &= ~MAP_ABI_PRIVATE;
  }
  return sys_mmap(addr, len, (uint32_t)prot & PROT_KNOWN, abi_flags,
                  flags & MAP_ANONYMOUS ? FD_NONE : fd, offset);
}

long call_munmap(unsigned long addr, size_t len) {
  return len == 0 || !page_aligned(addr) ? -ABI_EINVAL : sys_munmap(addr, len);
}

long call_mprotect(unsigned long addr, size_t len, int prot) {
  return !page_aligned(addr) ? -ABI_EINVAL
         : len == 0          ? 0
                             : sys_mprotect(addr, len, (uint32_t)prot & PROT_KNOWN);
}

static int64_t space_apply(struct space_op *op, size_t out) {
  int64_t done = sys_call(FD_SELF, OP_SPACE_APPLY, op, sizeof(*op), out, 0);
  return done < 0 ? done : done == 1 ? 0 : -ABI_EINVAL;
}

static size_t pages_of(size_t len) {
  return len / ABI_PAGE_SIZE + (len % ABI_PAGE_SIZE != 0);
}

/* To a place that the caller chooses: all that fits moves, the rest of the old mapping goes. */
static long remap_fixed(unsigned long addr, size_t n_old, size_t n_new, unsigned long new_addr) {
  size_t n = n_old < n_new ? n_old : n_new;
  struct space_op op = {
      .code = SPACE_MOVE,
      .fd = FD_NONE,
      .flags = (uint32_t)(n_new - n),
      .addr = addr,
      .len = n * ABI_PAGE_SIZE,
      .off = new_addr,
  };
  if (!page_aligned(new_addr) || n_new - n > UINT32_MAX ||
      (addr < new_addr + n_new * ABI_PAGE_SIZE && new_addr < addr + n_old * ABI_PAGE_SIZE)) {
    return -ABI_EINVAL;
  }
  int64_t result = space_apply(&op, 0);
  if (result == 0 && n_old > n) {
    result = sys_munmap(addr + n * ABI_PAGE_SIZE, (n_old - n) * ABI_PAGE_SIZE);
  }
  return result < 0 ? result : (long)new_addr;
}

long call_mremap(unsigned long addr, size_t old_len, size_t new_len, int flags,
                 unsigned long new_addr) {
  if (flags == (MREMAP_MAYMOVE | MREMAP_FIXED) && page_aligned(addr) && new_len != 0 &&
      old_len != 0) {
    return remap_fixed(addr, pages_of(old_len), pages_of(new_len), new_addr);
  }
  if ((flags & ~MREMAP_MAYMOVE) || !page_aligned(addr) || new_len == 0 || old_len == 0) {
    return -ABI_EINVAL;
  }
  struct space_op op = {
      .code = SPACE_REMAP,
      .fd = FD_NONE,
      .flags = flags & MREMAP_MAYMOVE ? REMAP_MAY_MOVE : 0,
      .addr = addr,
      .len = old_len,
      .off = new_len,
  };
  int64_t result = space_apply(&op, sizeof(op));
  return result < 0 ? result : (long)op.addr;
}

/* `vec` NULL: only asks whether all is mapped. */
static long resident(unsigned long addr, size_t len, unsigned char *vec) {
  struct space_op op = {
      .code = SPACE_RESIDENT, .fd = FD_NONE, .addr = addr, .len = len, .off = (uint64_t)vec};
  return len == 0 ? 0 : space_apply(&op, 0);
}

/* Shared mappings are the file's own pages: there is nothing to write back. */
long call_msync(unsigned long addr, size_t len, int flags) {
  bool both = (flags & MS_ASYNC) && (flags & MS_SYNC);
  return !page_aligned(addr) || both || (flags & ~(MS_ASYNC | MS_SYNC | MS_INVALIDATE))
             ? -ABI_EINVAL
             : resident(addr, len, NULL);
}

long call_mincore(unsigned long addr, size_t len, unsigned char *vec) {
  return !page_aligned(addr) ? -ABI_EINVAL : vec == NULL ? -ABI_EFAULT : resident(addr, len, vec);
}

long call_madvise(unsigned long addr, size_t len, int advice) {
  if (!page_aligned(addr) || advice < 0) {
    return -ABI_EINVAL;
  }
  struct space_op op = {
      .code = SPACE_ADVISE, .fd = FD_NONE, .flags = (uint32_t)advice, .addr = addr, .len = len};
  return len == 0 ? 0 : space_apply(&op, 0);
}
