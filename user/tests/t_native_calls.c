/* The kernel's own calls, without libc: each with descriptors that are none, of the wrong kind, and
 * with wild pointers; numbers that are no call; and random arguments, in children that may die of
 * it. Whatever happens, the answer is in the range of errors and the system goes on. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include "native.h"
#include "runtime/syscall.h"
#include "tap.h"

enum { LARGEST_ERROR = 4095 };

/* Not mapped; the kernel's half; not canonical; the last page; the end of all addresses. */
static const uint64_t wild[] = {8, 0xffffffff80000000, 0x8000000000000000, 0x7ffffffff000,
                                ~0ull - 7};
enum { WILD = sizeof wild / sizeof wild[0] };

static bool is_answer(int64_t result) {
  return result >= -LARGEST_ERROR;
}

static int64_t scheme_open(const char *path, uint32_t flags) {
  return sys_openat(FD_NS, path, strlen(path), flags, 0);
}

static void test_numbers(void) {
  static const uint64_t numbers[] = {SYS_NR_COUNT, 63,   64,       100,   255,
                                     256,          4095, 1u << 31, ~0ull, 1ull << 63};
  bool all = true;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    all = rt_enter6(numbers[i], 1, 2, 3, 4, 5, 6) == -ABI_ENOSYS && all;
  }
  ok(all, "numbers that are no call answer ENOSYS");
  ok(sys_null() > 0, "null answers the context's id");
}

/* Calls whose first argument is a descriptor, with numbers that are none. */
static void test_bad_descriptors(void) {
  static const int fds[] = {-1,        -2,       -99, 4000, FD_UPPER - 1, FD_UPPER + 50000,
                            INT32_MAX, INT32_MIN};
  char byte = 0;
  bool all = true;
  for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
    const int64_t results[] = {sys_read(fds[i], &byte, 1),
                               sys_write(fds[i], &byte, 1),
                               sys_pread(fds[i], &byte, 1, 0),
                               sys_pwrite(fds[i], &byte, 1, 0),
                               sys_openat(fds[i], "x", 1, 0, 0),
                               sys_dup(fds[i], "", 0, 0),
                               sys_dup_into(fds[i], 0, 0),
                               sys_close(fds[i]),
                               sys_seek(fds[i], 0, 0),
                               sys_fdctl(fds[i], FDCTL_GET_FD, 0),
                               sys_call(fds[i], OP_STAT, &byte, 0, 1, 0),
                               sys_mmap(0, 4096, PROT_ABI_READ, MAP_ABI_PRIVATE, fds[i], 0),
                               sys_ring_enter(fds[i], 0, 0)};
    for (size_t j = 0; j < sizeof results / sizeof results[0]; j++) {
      if (results[j] != -ABI_EBADF) {
        diag("descriptor %d, call %zu of the list: %lld", fds[i], j, (long long)results[j]);
        all = false;
      }
    }
  }
  ok(all, "descriptors that are none answer EBADF");
}

/* FD_NS and FD_SELF where a file is meant. */
static void test_special_descriptors(void) {
  static const int fds[] = {FD_NS, FD_SELF};
  char byte = 0;
  bool all = true;
  for (size_t i = 0; i < 2; i++) {
    all = sys_read(fds[i], &byte, 1) < 0 && sys_write(fds[i], &byte, 1) < 0 &&
          sys_close(fds[i]) < 0 && sys_seek(fds[i], 0, 0) < 0 && sys_dup_into(fds[i], 3, 0) < 0 &&
          sys_ring_enter(fds[i], 0, 0) < 0 && all;
  }
  ok(all, "the namespace and oneself are no files");
  ok(sys_openat(FD_SELF, "x", 1, 0, 0) < 0, "nor is oneself a directory");
  ok(sys_call(FD_NS, OP_PROC_CREATE, NULL, 0, 0, 0) < 0, "the namespace makes no process");
}

/* Each pointer of each call, wild. `make` does the call with the pointer. */
struct pointer_call {
  const char *name;
  int64_t (*make)(void *pointer);
  bool exact; /* EFAULT and nothing else */
};

static int file_fd, pipe_read, pipe_write;

static int64_t call_read(void *p) {
  return sys_read(file_fd, p, 64);
}
static int64_t call_write(void *p) {
  return sys_write(file_fd, p, 64);
}
static int64_t call_pipe_read(void *p) {
  return sys_read(pipe_read, p, 64);
}
static int64_t call_pipe_write(void *p) {
  return sys_write(pipe_write, p, 64);
}
static int64_t call_openat(void *p) {
  return sys_openat(FD_NS, p, 16, 0, 0);
}
static int64_t call_dup(void *p) {
  return sys_dup(FD_SELF, p, 9, 0);
}
static int64_t call_stat(void *p) {
  return sys_call(file_fd, OP_STAT, p, 0, sizeof(struct abi_stat), 0);
}
static int64_t call_statat(void *p) {
  return sys_call(file_fd, OP_STATAT, p, 8, sizeof(struct abi_stat), 0);
}
static int64_t call_create(void *p) {
  return sys_call(FD_SELF, OP_PROC_CREATE, p, sizeof(struct proc_op), 0, O_ABI_CLOEXEC);
}
static int64_t call_apply(void *p) {
  return sys_call(FD_SELF, OP_PROC_APPLY, p, sizeof(struct proc_op), 0, 0);
}
static int64_t call_attr(void *p) {
  return sys_call(FD_SELF, OP_PROC_ATTR, p, 0, sizeof(struct proc_attr), 0);
}
static int64_t call_space(void *p) {
  return sys_call(FD_SELF, OP_SPACE_APPLY, p, sizeof(struct space_op), sizeof(struct space_op), 0);
}
static int64_t call_futex(void *p) {
  return sys_futex(p, FUTEX_OP_WAIT, 0, 0, NULL, 0);
}
static int64_t call_poll(void *p) {
  return sys_poll(p, 3, 0);
}

static const struct pointer_call pointer_calls[] = {
    {"read", call_read, true},
    {"write", call_write, true},
    {"read of a pipe", call_pipe_read, true},
    {"write of a pipe", call_pipe_write, true},
    {"openat", call_openat, true},
    {"dup", call_dup, true},
    {"call STAT", call_stat, true},
    {"call STATAT", call_statat, true},
    {"call PROC_CREATE", call_create, true},
    {"call PROC_APPLY", call_apply, true},
    {"call PROC_ATTR", call_attr, true},
    {"call SPACE_APPLY", call_space, true},
    {"futex", call_futex, false},
    {"poll", call_poll, true},
};

static void test_wild_pointers(void) {
  for (size_t i = 0; i < sizeof pointer_calls / sizeof pointer_calls[0]; i++) {
    const struct pointer_call *call = &pointer_calls[i];
    bool good = true;
    for (size_t j = 0; j < WILD; j++) {
      int64_t result = call->make((void *)(uintptr_t)wild[j]);
      if (call->exact ? result != -ABI_EFAULT : result >= 0 || !is_answer(result)) {
        diag("%s with %#llx: %lld", call->name, (unsigned long long)wild[j], (long long)result);
        good = false;
      }
    }
    ok(good, call->name);
  }
}

static void test_values(void) {
  char byte = 0;
  ok(sys_openat(FD_NS, "sys:/leaks", ABI_PATH_MAX * 4, 0, 0) < 0, "a path of 16384 bytes");
  is(sys_openat(FD_NS, "no-such-scheme:/x", 17, 0, 0), -ABI_ENODEV, "a scheme that does not exist");
  is(sys_openat(FD_NS, "no colon", 8, 0, 0), -ABI_ENODEV, "a path without a scheme");
  ok(sys_openat(FD_NS, "", 0, 0, 0) < 0, "an empty path");
  ok(sys_openat(FD_NS, ":", 1, O_ABI_CREAT, 0) < 0, "a scheme without a name");
  ok(sys_openat(FD_NS, ":a/b", 4, O_ABI_CREAT, 0) < 0, "a scheme with a slash in its name");
  is(sys_openat(FD_NS, ":sys", 4, O_ABI_CREAT, 0), -ABI_EEXIST, "a scheme that exists");
  is(sys_seek(pipe_read, 0, 0), -ABI_ESPIPE, "seek of a pipe");
  is(sys_seek(file_fd, 0, 77), -ABI_EINVAL, "seek from nowhere");
  ok(sys_fdctl(file_fd, 1000, 0) < 0, "an unknown operation of fdctl");
  ok(sys_call(file_fd, 0xffffffff, &byte, 1, 1, 0) < 0, "an unknown operation of call");
  ok(sys_call(file_fd, OP_READ, &byte, 0, 1, 0) < 0, "an operation of the ring alone");
  is(sys_call(pipe_read, OP_PROC_APPLY, &byte, 0, 0, 0), -ABI_ENOTTY, "a process step on a pipe");
  is(sys_ring_enter(pipe_read, 0, 0), -ABI_ENOTTY, "a pipe is no ring");
  is(sys_mmap(0, 0, PROT_ABI_READ, MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS, FD_NONE, 0), -ABI_EINVAL,
     "a mapping of no bytes");
  ok(sys_mmap(0x800000000000, 4096, PROT_ABI_READ,
              MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS | MAP_ABI_FIXED, FD_NONE, 0) < 0,
     "a mapping outside user memory");
  ok(sys_mmap(0, 4096, PROT_ABI_READ, MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS | MAP_ABI_FIXED, FD_NONE,
              0) < 0,
     "a mapping at address 0");
  uint32_t word = 5;
  is(sys_futex(&word, FUTEX_OP_WAIT, 4, 0, NULL, 0), -ABI_EAGAIN, "a futex with another value");
  is(sys_futex(&word, FUTEX_OP_WAIT, 5, 1, NULL, 0), -ABI_ETIMEDOUT, "a deadline in the past");
  is(sys_futex(&word, FUTEX_OP_WAKE, 10, 0, NULL, 0), 0, "nobody to wake");
  ok(sys_futex((void *)((uintptr_t)&word + 1), FUTEX_OP_WAIT, 5, 1, NULL, 0) < 0,
     "a futex off its alignment");
  ok(sys_futex(&word, 77, 0, 0, NULL, 0) < 0, "an unknown operation of futex");
  is(sys_poll(NULL, 0, 0), 0, "poll of nothing");
  ok(sys_poll((void *)8, ~0ull, 0) < 0, "poll of too many");
}

/* ---- random calls ---- */

static uint64_t random_argument(uint64_t *state) {
  static char block[256];
  uint64_t r = random_next(state);
  switch (random_next(state) % 8) {
  case 0:
  case 1:
  case 2:
    return r % 14; /* descriptors and operations */
  case 3:
    return wild[r % WILD];
  case 4:
    return (uint64_t)(int64_t)(r % 2 ? FD_SELF : FD_NS);
  case 5:
    return (uint64_t)(uintptr_t)block + r % 200;
  case 6:
    return r % 200000;
  default:
    return r >> (r & 63);
  }
}

/* One descriptor of each kind, from 3 on. */
static void open_all_kinds(unsigned n) {
  char name[32];
  struct proc_op none = {0};
  snprintf(name, sizeof name, ":fuzz%u.%u", (unsigned)getpid(), n);
  const int64_t fds[] = {scheme_open("file:/tmp", 0),
                         scheme_open("sys:/leaks", 0),
                         scheme_open("pipe:", O_ABI_NONBLOCK),
                         scheme_open("event:", O_ABI_NONBLOCK),
                         scheme_open("memory:", O_ABI_RDWR),
                         scheme_open(name, O_ABI_CREAT | O_ABI_RDWR),
                         sys_dup(FD_SELF, "addrspace/empty", 15, 0),
                         sys_call(FD_SELF, OP_PROC_CREATE, &none, 0, 0, 0)};
  (void)fds; /* what a system does not have is simply not there */
}

static void random_calls(uint64_t seed, unsigned n) {
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) {
    dup2(null, fd);
  }
  for (int fd = 3; fd < 64; fd++) {
    close(fd);
  }
  setsid();
  open_all_kinds(n);
  for (int i = 0; i < 120; i++) {
    uint64_t a[6];
    for (int j = 0; j < 6; j++) {
      a[j] = random_argument(&seed);
    }
    int64_t result =
        rt_enter6(random_next(&seed) % SYS_NR_COUNT, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (!is_answer(result)) {
      _exit(66);
    }
  }
  _exit(0);
}

static void test_memory_append(void) {
  char text[16] = {0};
  int64_t fd = scheme_open("memory:", O_ABI_RDWR | O_ABI_APPEND);
  ok(sys_write((int)fd, "abc", 3) == 3 && sys_seek((int)fd, 0, SEEK_SET) == 0 &&
         sys_write((int)fd, "def", 3) == 3,
     "memory: opened for appending, written from the start again");
  ok(sys_pread((int)fd, text, sizeof text, 0) == 6 && strcmp(text, "abcdef") == 0,
     "has both writes, one after the other");
  is(sys_seek((int)fd, 0, SEEK_CUR), 6, "and is at its end");
  sys_close((int)fd);
}

static void test_random_calls(void) {
  enum { CHILDREN = 60 };
  int wrong = 0, well = 0, died = 0;
  for (unsigned i = 0; i < CHILDREN; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      random_calls(0x9e3779b97f4a7c15u * (i + 1), i);
    }
    int status = end_child(pid);
    wrong += WIFEXITED(status) && WEXITSTATUS(status) == 66;
    well += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    died += WIFSIGNALED(status);
  }
  diag("%d came through, %d died or slept", well, died);
  is(wrong, 0, "sixty children make random calls, and each answer is a result or an error");
}

int main(void) {
  int fds[2];
  scratch_enter("t_native_calls");
  file_fd = open("file", O_RDWR | O_CREAT, 0600);
  if (write(file_fd, "0123456789", 10) != 10 || pipe2(fds, O_NONBLOCK) != 0 ||
      write(fds[1], "0123456789", 10) != 10) {
    bail_out("set-up");
  }
  lseek(file_fd, 0, SEEK_SET);
  pipe_read = fds[0];
  pipe_write = fds[1];
  test_numbers();
  test_bad_descriptors();
  test_special_descriptors();
  test_wild_pointers();
  test_values();
  test_memory_append();
  test_random_calls();
  close(file_fd);
  unlink("file");
  scratch_leave();
  return tap_done();
}
