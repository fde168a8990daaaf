/* The kernel's own tests: sys:ktest runs them when it is opened, and is their TAP. */
#include <stdio.h>
#include <unistd.h>

#include "runtime/syscall.h"

int main(void) {
  char text[4096];
  int64_t fd = sys_openat(FD_NS, "sys:ktest", 9, O_ABI_RDONLY, 0), n;
  if (fd < 0) {
    printf("not ok 1 - sys:ktest cannot be opened: %lld\n1..1\n", (long long)fd);
    return 1;
  }
  while ((n = sys_read((int)fd, text, sizeof(text))) > 0) {
    if (write(STDOUT_FILENO, text, (size_t)n) != n) {
      return 1;
    }
  }
  sys_close((int)fd);
  return n < 0;
}
