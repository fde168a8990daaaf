/* The kernel's own tests: sys:ktest runs them when it is opened, and is their TAP. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/syscall.h"

int main(void) {
  static char text[8192];
  size_t len = 0;
  int64_t fd = sys_openat(FD_NS, "sys:ktest", 9, O_ABI_RDONLY, 0), n = 0;
  if (fd < 0) {
    printf("not ok 1 - sys:ktest cannot be opened: %lld\n1..1\n", (long long)fd);
    return 1;
  }
  while (len < sizeof(text) - 1 &&
         (n = sys_read((int)fd, text + len, sizeof(text) - 1 - len)) > 0) {
    len += (size_t)n;
  }
  sys_close((int)fd);
  fputs(text, stdout);
  return n < 0 || strncmp(text, "not ok", 6) == 0 || strstr(text, "\nnot ok") != NULL;
}
