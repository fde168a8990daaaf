/* mmap and munmap of anonymous memory, and the kernel as the witness. */
#include "region.h"

#include <sys/mman.h>
#include <unistd.h>

void *region_map(void) {
  static char pretended[REGION_BYTES];
  return RUN_WORK(
      mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      (void *)pretended);
}

bool region_unmap(void *base) {
  return RUN_WORK(munmap(base, REGION_BYTES), 0) == 0;
}

/* Whether the kernel can read a byte there: how a program asks without dying. */
static bool probe_readable(const int fds[2], const void *address) {
  char byte;
  return write(fds[1], address, 1) == 1 && read(fds[0], &byte, 1) == 1;
}

const char *region_refute(const int pipe_fds[2]) {
  char *base = region_map();
  bool there = base != MAP_FAILED && probe_readable(pipe_fds, base) &&
               probe_readable(pipe_fds, base + REGION_BYTES - 1);
  if (!there || !region_unmap(base)) {
    return "mapping 64 KiB gave no memory";
  }
  bool gone = !probe_readable(pipe_fds, base) && !probe_readable(pipe_fds, base + REGION_BYTES - 1);
  return gone ? NULL : "memory is still there after munmap";
}
