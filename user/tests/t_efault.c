/* Wild pointers in every call: the answer is EFAULT (or another error that is found first), never a
 * death, and never a write outside the buffer. libc reads some arguments itself, so that the calls
 * are made with syscall(2); what this system does not have answers ENOSYS, which is fine. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tap.h"

/* Not mapped; the kernel's half; not canonical; the last page; one at the end of all numbers. */
static uintptr_t wild[7] = {
    8, 0xffffffff80000000,           0x8000000000000000, 0x7ffffffff000, ~0ull - 15,
    0, /* a page without rights */ 0 /* a read-only page */};
enum { WILD = 7, READ_ONLY = 6 };

static int file, pipe_fds[2];

/* Makes the call with each wild pointer as the argument in position `at`. */
static bool refuses(const char *name, long number, int at, long a, long b, long c, long d,
                    bool writes) {
  bool good = true;
  for (int i = 0; i < WILD; i++) {
    long arg[5] = {a, b, c, d, 0};
    if (i == READ_ONLY && !writes) {
      continue;
    }
    arg[at] = (long)wild[i];
    errno = 0;
    long result = syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4]);
    if (result != -1 || (errno != EFAULT && errno != ENOSYS)) {
      diag("%s with %p: %ld, %s", name, (void *)wild[i], result, strerror(errno));
      good = false;
    }
  }
  return good;
}

#define READS(name, at, ...)                                                                       \
  ok(refuses(#name, SYS_##name, at, __VA_ARGS__, false), #name " reading from wild pointers")
#define WRITES(name, at, ...)                                                                      \
  ok(refuses(#name, SYS_##name, at, __VA_ARGS__, true), #name " writing to wild pointers")

static void test_descriptors(void) {
  WRITES(read, 1, file, 0, 16, 0);
  READS(write, 1, file, 0, 16, 0);
  WRITES(pread64, 1, file, 0, 16, 0);
  READS(pwrite64, 1, file, 0, 16, 0);
  WRITES(read, 1, pipe_fds[0], 0, 16, 0);
  READS(write, 1, pipe_fds[1], 0, 16, 0);
  READS(readv, 1, file, 0, 1, 0);
  READS(writev, 1, file, 0, 1, 0);
  WRITES(fstat, 1, file, 0, 0, 0);
  WRITES(pipe2, 0, 0, 0, 0, 0);
  WRITES(poll, 0, 0, 1, 0, 0);
  WRITES(getdents64, 1, open("/", O_RDONLY | O_DIRECTORY), 0, 4096, 0);
}

static void test_paths(void) {
  READS(openat, 1, AT_FDCWD, 0, O_RDONLY, 0);
  READS(mkdirat, 1, AT_FDCWD, 0, 0700, 0);
  READS(unlinkat, 1, AT_FDCWD, 0, 0, 0);
  READS(faccessat, 1, AT_FDCWD, 0, 0, 0);
  READS(chdir, 0, 0, 0, 0, 0);
  READS(truncate, 0, 0, 0, 0, 0);
  READS(rename, 0, 0, (long)"to", 0, 0);
  READS(rename, 1, (long)"/tmp", 0, 0, 0);
  READS(symlink, 0, 0, (long)"x/y/z", 0, 0);
  READS(execve, 0, 0, 0, 0, 0);
  READS(newfstatat, 1, AT_FDCWD, 0, (long)&wild, 0);
  WRITES(newfstatat, 2, AT_FDCWD, (long)"/", 0, 0);
  WRITES(getcwd, 0, 0, 100, 0, 0);
}

static void test_others(void) {
  WRITES(clock_gettime, 1, CLOCK_REALTIME, 0, 0, 0);
  READS(nanosleep, 0, 0, 0, 0, 0);
  READS(rt_sigaction, 1, SIGUSR1, 0, 0, 8);
  WRITES(rt_sigaction, 2, SIGUSR1, 0, 0, 8);
  READS(rt_sigprocmask, 1, SIG_BLOCK, 0, 0, 8);
  WRITES(rt_sigprocmask, 2, SIG_BLOCK, 0, 0, 8);
  WRITES(uname, 0, 0, 0, 0, 0);
  READS(futex, 0, 0, 0, 5, 0);
}

/* A buffer that ends at a page without rights: what fits is transferred, or nothing and EFAULT. */
static void test_edges(void) {
  char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || mprotect(pages + 4096, 4096, PROT_NONE) != 0) {
    bail_out("mmap");
  }
  char *edge = pages + 4096 - 8;
  memcpy(edge, "12345678", 8);
  is(pwrite(file, edge, 8, 0), 8, "a buffer right before a page without rights");
  is(pread(file, edge, 8, 0), 8, "for reading as well");
  ssize_t n = pwrite(file, edge, 100, 0);
  ok((n == -1 && errno == EFAULT) || n == 8, "a write across the edge");
  n = pread(file, edge, 100, 0);
  ok((n == -1 && errno == EFAULT) || n == 8, "a read across the edge");
  struct stat *st = (struct stat *)(void *)(pages + 4096 - sizeof *st / 2);
  ok(syscall(SYS_fstat, file, st) == -1 && errno == EFAULT, "a structure across the edge");
  char *path = pages + 4096 - 4;
  memcpy(path, "none", 4);
  ok(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY) == -1 && errno == EFAULT,
     "a path whose end is missing");
  memcpy(path, "tmp", 4);
  ok(syscall(SYS_openat, AT_FDCWD, path - 0, O_RDONLY) == -1 && errno == ENOENT,
     "a path that just fits");
  munmap(pages, 8192);
}

static void test_sizes(void) {
  char byte = 'x';
  ok(pwrite(file, &byte, 0, 0) == 0, "writing nothing from a good pointer");
  ssize_t n = syscall(SYS_write, pipe_fds[1], (void *)8, 0);
  ok(n == 0 || (n == -1 && errno == EFAULT), "writing nothing from a bad one");
  ok(syscall(SYS_read, file, (void *)0x10000, (size_t)1 << 63) == -1, "an absurd length");
  ok(syscall(SYS_write, file, &byte, ~(size_t)0) == -1, "the largest length");
}

int main(void) {
  scratch_enter("t_efault");
  file = open("file", O_RDWR | O_CREAT, 0600);
  if (write(file, "0123456789012345678901234567890123456789", 40) != 40 || pipe(pipe_fds) != 0 ||
      write(pipe_fds[1], "0123456789", 10) != 10) {
    bail_out("set-up");
  }
  lseek(file, 0, SEEK_SET);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  wild[5] = (uintptr_t)mmap(NULL, 4096, PROT_NONE, flags, -1, 0);
  wild[READ_ONLY] = (uintptr_t)mmap(NULL, 4096, PROT_READ, flags, -1, 0);
  test_descriptors();
  test_paths();
  test_others();
  test_edges();
  test_sizes();
  close(file);
  unlink("file");
  scratch_leave();
  return tap_done();
}
