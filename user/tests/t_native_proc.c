/* Contexts and address spaces by hand: making them, never starting them, starting them on nonsense,
 * steps in the wrong order or with garbage, and handles of the dead. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include "native.h"
#include "runtime/syscall.h"
#include "tap.h"

enum { LARGEST_ERROR = 4095 };

static int64_t create(struct proc_op *steps, size_t n) {
  return sys_call(FD_SELF, OP_PROC_CREATE, steps, n * sizeof *steps, 0, O_ABI_CLOEXEC);
}

static int64_t apply(int64_t fd, struct proc_op step) {
  return sys_call((int)fd, OP_PROC_APPLY, &step, sizeof step, 0, 0);
}

static int64_t space_new(void) {
  return sys_dup(FD_SELF, "addrspace/empty", 15, O_ABI_CLOEXEC);
}

static int64_t space_apply(int64_t fd, struct space_op step) {
  return sys_call((int)fd, OP_SPACE_APPLY, &step, sizeof step, sizeof step, 0);
}

/* The wait status of a process by its handle. */
static int handle_wait(int64_t fd) {
  struct proc_status status = {0};
  return sys_read((int)fd, &status, sizeof status) == sizeof status ? status.wstatus : -1;
}

static void test_never_started(void) {
  int64_t fd = create(NULL, 0);
  struct proc_attr attr;
  ok(fd >= 0, "a context with nothing");
  is(sys_call((int)fd, OP_PROC_ATTR, &attr, 0, sizeof attr, 0), sizeof attr, "its attributes");
  ok(attr.state == PROC_STATE_NEW && attr.pid != 0, "say that it is new");
  struct proc_status status;
  ok(sys_fdctl((int)fd, FDCTL_SET_FILE, O_ABI_NONBLOCK) == 0 &&
         sys_read((int)fd, &status, sizeof status) == -ABI_EAGAIN,
     "it has not ended");
  is(sys_close((int)fd), 0, "closing the handle ends what never ran");
  bool all = true;
  for (int i = 0; i < 100; i++) {
    fd = create(NULL, 0);
    all = fd >= 0 && sys_close((int)fd) == 0 && all;
  }
  ok(all, "a hundred times");
  fd = create(NULL, 0);
  ok(apply(fd, (struct proc_op){.code = PROC_START}) < 0, "without a space it cannot start");
  is(apply(fd, (struct proc_op){.code = PROC_SIGNAL, .a = SIGKILL}), 1, "but be killed");
  sys_close((int)fd);
}

/* A process in an empty space, started at an address where nothing is. */
static void test_started_on_nothing(void) {
  int64_t space = space_new();
  ok(space >= 0, "an empty space");
  struct proc_op steps[] = {
      {.code = PROC_SPACE_SET, .fd = (int)space, .a = 0x400000, .b = 0x500000},
      {.code = PROC_FILES_COPY, .fd = FD_SELF},
      {.code = PROC_ACTIONS_COPY, .fd = FD_SELF},
      {.code = PROC_START}};
  int64_t fd = create(steps, 4);
  ok(fd >= 0, "a process in it");
  is(fd >= 0 ? handle_wait(fd) : 0, SIGSEGV, "dies of a fault at its first instruction");
  is(handle_wait(fd), SIGSEGV, "a handle tells the status again");
  ok(apply(fd, (struct proc_op){.code = PROC_START}) < 0, "the dead do not start");
  ok(apply(fd, (struct proc_op){.code = PROC_REGS, .a = 0x400000}) < 0, "nor get registers");
  struct proc_attr attr;
  ok(sys_call((int)fd, OP_PROC_ATTR, &attr, 0, sizeof attr, 0) == sizeof attr &&
         attr.state == PROC_STATE_DEAD,
     "their attributes say so");
  sys_close((int)fd);
  steps[0].a = 0xffffffff80000000; /* an instruction pointer in the kernel's half */
  fd = create(steps, 4);
  ok(fd < 0 || handle_wait(fd) == SIGSEGV, "started in the kernel's half: refused, or a fault");
  sys_close((int)fd);
  steps[0].a = 0x8000000000000000; /* SYSRET must never see this one */
  fd = create(steps, 4);
  ok(fd < 0 || handle_wait(fd) == SIGSEGV, "started at no canonical address: likewise");
  sys_close((int)fd);
  sys_close((int)space);
}

/* mov $60..., that is: the child calls exit by the kernel's own call. */
static const unsigned char exit_code[] = {
    0xb8,
    SYS_NR_call,
    0,
    0,
    0, /* mov eax, call */
    0x48,
    0xc7,
    0xc7,
    0x9b,
    0xff,
    0xff,
    0xff, /* mov rdi, FD_SELF */
    0xbe,
    OP_PROC_APPLY,
    0,
    0,
    0, /* mov esi, OP_PROC_APPLY */
    0x48,
    0x89,
    0xe2, /* mov rdx, rsp: one step lies there */
    0x41,
    0xba,
    sizeof(struct proc_op),
    0,
    0,
    0, /* mov r10d, its size */
    0x45,
    0x31,
    0xc0,
    0x45,
    0x31,
    0xc9, /* xor r8d, r8d; xor r9d, r9d */
    0x0f,
    0x05,
    0x0f,
    0x0b, /* syscall; ud2 */
};

/* A whole program built by hand: one page of code, one of stack. */
static void test_hand_made_program(void) {
  int64_t space = space_new();
  struct proc_op exit_step = {.code = PROC_EXIT, .fd = FD_SELF, .a = 33 << 8};
  struct space_op steps[] = {
      {.code = SPACE_MAP,
       .fd = FD_NONE,
       .prot = PROT_ABI_READ | PROT_ABI_EXEC,
       .flags = MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS | MAP_ABI_FIXED,
       .addr = 0x400000,
       .len = 4096},
      {.code = SPACE_MAP,
       .fd = FD_NONE,
       .prot = PROT_ABI_READ | PROT_ABI_WRITE,
       .flags = MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS | MAP_ABI_FIXED,
       .addr = 0x500000,
       .len = 4096},
      {.code = SPACE_WRITE, .addr = 0x400000, .len = sizeof exit_code, .off = (uintptr_t)exit_code},
      {.code = SPACE_WRITE,
       .addr = 0x500800,
       .len = sizeof exit_step,
       .off = (uintptr_t)&exit_step}};
  is(sys_call((int)space, OP_SPACE_APPLY, steps, sizeof steps, sizeof steps, 0), 4,
     "a space of two pages");
  struct proc_op start[] = {
      {.code = PROC_SPACE_SET, .fd = (int)space, .a = 0x400000, .b = 0x500800},
      {.code = PROC_FILES_COPY, .fd = FD_SELF},
      {.code = PROC_ACTIONS_COPY, .fd = FD_SELF},
      {.code = PROC_START}};
  int64_t fd = create(start, 4);
  is(fd >= 0 ? handle_wait(fd) : -1, 33 << 8, "a program of 45 bytes runs and exits");
  sys_close((int)fd);
  sys_close((int)space);
}

static void test_space_errors(void) {
  int64_t space = space_new();
  const uint32_t anonymous = MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS | MAP_ABI_FIXED;
  static const uint64_t addresses[] = {
      0, 0x1000, 0x7ffffffff000, 0x800000000000, 0xffff800000000000, 0xfffffffffffff000, 0x400001};
  bool all = true;
  for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
    struct space_op map = {.code = SPACE_MAP,
                           .fd = FD_NONE,
                           .prot = PROT_ABI_READ,
                           .flags = anonymous,
                           .addr = addresses[i],
                           .len = 4096};
    all = space_apply(space, map) < 0 && all;
  }
  ok(all, "mappings outside user memory are refused");
  struct space_op map = {.code = SPACE_MAP,
                         .fd = FD_NONE,
                         .prot = PROT_ABI_READ,
                         .flags = anonymous,
                         .addr = 0x400000,
                         .len = ~0ull - 4095};
  ok(space_apply(space, map) < 0, "a length that wraps");
  map.len = 4096;
  map.fd = 4000;
  map.flags = MAP_ABI_PRIVATE | MAP_ABI_FIXED;
  is(space_apply(space, map), -ABI_EBADF, "a bad descriptor");
  struct space_op write = {
      .code = SPACE_WRITE, .addr = 0x600000, .len = 16, .off = (uintptr_t)&map};
  ok(space_apply(space, write) < 0, "writing where nothing is mapped");
  write.off = 8;
  ok(space_apply(space, write) < 0, "writing from a wild address");
  write.addr = 0xffffffff80000000;
  ok(space_apply(space, write) < 0, "writing to the kernel's half");
  struct space_op transfer = {
      .code = SPACE_TRANSFER, .addr = 0x400000, .len = 1ull << 46, .off = 0x10000};
  ok(space_apply(space, transfer) < 0, "transferring what is not there");
  ok(space_apply(space, (struct space_op){.code = 999}) < 0, "an unknown step");
  ok(sys_call((int)space, OP_SPACE_APPLY, &map, 7, 7, 0) < 0, "a piece of a step");
  ok(sys_call((int)space, OP_PROC_APPLY, &map, 0, 0, 0) < 0, "a space is no context");
  sys_close((int)space);
}

static void test_apply_errors(void) {
  struct proc_op steps[PROC_OPS_MAX + 1] = {{0}};
  int64_t fd = create(NULL, 0);
  is(sys_call((int)fd, OP_PROC_APPLY, steps, sizeof steps, 0, 0), -ABI_EINVAL, "too many steps");
  is(sys_call((int)fd, OP_PROC_APPLY, steps, 13, 0, 0), -ABI_EINVAL, "a piece of a step");
  ok(apply(fd, (struct proc_op){.code = 999}) < 0, "an unknown step");
  ok(apply(fd, (struct proc_op){.code = 0}) < 0, "step 0");
  ok(apply(fd, (struct proc_op){.code = PROC_SPACE_SHARE, .fd = 4000}) < 0, "a bad descriptor");
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) {
    bail_out("pipe");
  }
  ok(apply(fd, (struct proc_op){.code = PROC_SPACE_SET, .fd = pipe_fds[0]}) < 0,
     "a pipe as a space");
  ok(apply(fd, (struct proc_op){.code = PROC_FILES_COPY, .fd = pipe_fds[0]}) < 0,
     "a pipe as a context");
  ok(apply(fd, (struct proc_op){.code = PROC_WATCH, .fd = pipe_fds[0]}) < 0, "a pipe as a queue");
  ok(apply(fd, (struct proc_op){.code = PROC_FILES_PUT, .fd = pipe_fds[0], .a = 0}) < 0,
     "a descriptor for one without a file table");
  ok(apply(fd, (struct proc_op){.code = PROC_SIGNAL, .a = 65}) < 0, "signal 65");
  ok(apply(fd, (struct proc_op){.code = PROC_NAME, .a = 8, .b = 10}) < 0,
     "a name at a wild address");
  ok(apply(fd, (struct proc_op){.code = PROC_SCHED, .a = 1, .b = 0}) < 0, "no CPU at all");
  ok(apply(fd, (struct proc_op){.code = PROC_SCHED, .a = 2, .c = 1000}) < 0, "nice 1000");
  ok(apply(fd, (struct proc_op){.code = PROC_SCHED, .a = 4, .d = SCHED_ABI_FIFO | 100ull << 32}) <
         0,
     "real-time priority 100");
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  sys_close((int)fd);
  is(apply(fd, (struct proc_op){.code = PROC_START}), -ABI_EBADF, "a closed handle");
}

static bool says(int fd, const char *line) {
  char text[300] = "\n";
  int64_t n = sys_pread(fd, text + 1, sizeof text - 2, 0);
  return n > 0 && strstr(text, line) != NULL;
}

static int64_t tell(int fd, const char *text) {
  return sys_write(fd, text, strlen(text));
}

/* How a context is scheduled, as text. */
static void test_sched_file(void) {
  int64_t context = create(NULL, 0);
  int fd = (int)sys_dup((int)context, "sched", 5, O_ABI_CLOEXEC);
  ok(fd >= 0, "a context's scheduling as a file");
  ok(says(fd, "\npolicy other\n") && says(fd, "\npriority 0\n") && says(fd, "\nnice 0\n") &&
         says(fd, "\nslice_us "),
     "says what holds");
  is(tell(fd, "policy rr priority 12\nnice -3"), 29, "and takes what shall hold");
  ok(says(fd, "\npolicy rr\n") && says(fd, "\npriority 12\n") && says(fd, "\nnice -3\n"),
     "which then holds");
  is(tell(fd, "priority 13"), 11, "some of it");
  ok(says(fd, "\npolicy rr\n") && says(fd, "\npriority 13\n"), "leaves the rest");
  is(tell(fd, "policy fifo"), 11, "another policy");
  ok(says(fd, "\npolicy fifo\n") && says(fd, "\npriority 13\n"), "keeps the priority");
  is(tell(fd, "affinity 0x1"), 12, "CPU 0 alone");
  ok(says(fd, "\naffinity 0x1\n"), "is said, too");
  static const char *const bad[] = {"",           "policy",      "policy best", "priority 100",
                                    "priority 0", "nice 20",     "nice -21",    "affinity 0",
                                    "nice x",     "slice_us 10", "nice 1 x",    "priority -1"};
  bool all = true;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    all = tell(fd, bad[i]) == -ABI_EINVAL && all;
  }
  ok(all && says(fd, "\nnice -3\n") && says(fd, "\npriority 13\n"), "nonsense changes nothing");
  ok(apply(context, (struct proc_op){.code = PROC_FILES_COPY, .fd = FD_SELF}) == 1 &&
         apply(context, (struct proc_op){.code = PROC_FILES_PUT, .fd = fd, .a = 3}) == -ABI_EBUSY,
     "a new context cannot hold itself by it");
  sys_close((int)context);
  is(sys_close(fd), 0, "and it outlives the handle");
  char path[40];
  int n = snprintf(path, sizeof path, "proc:/%d/sched", (int)getpid());
  fd = (int)sys_openat(FD_NS, path, (size_t)n, O_ABI_RDWR, 0);
  ok(fd >= 0 && says(fd, "\npolicy other\n"), "proc:PID/sched");
  sys_close(fd);
  n = snprintf(path, sizeof path, "proc:/%d/else", (int)getpid());
  is(sys_openat(FD_NS, path, (size_t)n, 0, 0), -ABI_ENOENT, "and no other");
}

/* Timers by their own calls. */
static void test_timer_file(void) {
  struct time_setting setting = {1000000, 0};
  int fd = (int)sys_openat(FD_NS, "time:", 5, O_ABI_NONBLOCK, 0);
  uint64_t n;
  is(sys_call(fd, OP_TIME_SIGNAL, NULL, 0, 0, 0), -ABI_EINVAL, "a timer without a signal");
  is(sys_call(fd, OP_TIME_SIGNAL, NULL, 0, 0, SIGURG | 60000ull << 32), -ABI_ESRCH,
     "for a thread that is none");
  is(sys_call(fd, OP_TIME_SIGNAL, NULL, 0, 0, SIGURG), 0, "for us");
  is(sys_call(fd, OP_TIME_SIGNAL, NULL, 0, 0, SIGURG), -ABI_EBUSY, "once");
  is(sys_call(fd, OP_TIME_SET, &setting, 7, 0, 0), -ABI_EINVAL, "half a setting");
  is(sys_call(fd, OP_TIME_SET, &setting, sizeof setting, 0, 8), -ABI_EINVAL, "an unknown flag");
  is(sys_call(fd, OP_TIME_SET, (void *)8, sizeof setting, 0, 0), -ABI_EFAULT, "a wild setting");
  is(sys_call(fd, OP_TIME_GET, &setting, 0, 7, 0), -ABI_EINVAL, "room for half an answer");
  setting = (struct time_setting){UINT64_MAX, UINT64_MAX};
  is(sys_call(fd, OP_TIME_SET, &setting, sizeof setting, 0, 0), 0, "the end of time");
  is(sys_read(fd, &n, sizeof n), -ABI_EAGAIN, "has not come");
  setting = (struct time_setting){1, UINT64_MAX};
  is(sys_call(fd, OP_TIME_SET, &setting, sizeof setting, 0, TIME_ABSOLUTE), 0, "the beginning");
  sleep_ms(2);
  ok(sys_read(fd, &n, sizeof n) == sizeof n && n == 1, "was once");
  sys_close(fd);
  is(sys_openat(FD_NS, "time:/never", 11, 0, 0), -ABI_ENOENT, "a clock that is none");
}

/* A batch that fails in the middle leaves nothing of the new process. */
static void test_failing_batch(void) {
  struct proc_op steps[] = {{.code = PROC_SPACE_CLONE, .fd = FD_SELF},
                            {.code = PROC_FILES_COPY, .fd = FD_SELF},
                            {.code = PROC_ACTIONS_COPY, .fd = FD_SELF},
                            {.code = 999},
                            {.code = PROC_START}};
  bool all = true;
  for (int i = 0; i < 50; i++) {
    all = create(steps, 5) < 0 && all;
  }
  ok(all, "fifty processes whose fourth step fails");
  steps[3] = (struct proc_op){.code = PROC_FILES_PUT, .fd = 4000, .a = 1};
  is(create(steps, 5), -ABI_EBADF, "the first error is the answer");
}

/* ---- rights ---- */

enum { USER = 1000 };

static struct proc_op ids(uint32_t real, uint32_t effective) {
  return (struct proc_op){.code = PROC_SETUID, .a = real | (uint64_t)effective << 32};
}

/* Each a bit of the exit status: what the real user of a new context with root's rights got. */
static int take_over_new(void *arg) {
  (void)arg;
  struct proc_op root_steps[] = {{.code = PROC_FILES_COPY, .fd = FD_SELF},
                                 {.code = PROC_SPACE_CLONE, .fd = FD_SELF},
                                 ids(USER, 0)};
  int64_t fd = create(root_steps, 3);
  if (fd < 0 || apply(FD_SELF, ids(USER, USER)) < 0) {
    return 64;
  }
  struct proc_op copy = {.code = PROC_SPACE_CLONE, .fd = (int)fd};
  int got = apply(fd, (struct proc_op){.code = PROC_REGS, .a = 0x400000}) != -ABI_EPERM;
  got |= 2 * (apply(fd, (struct proc_op){.code = PROC_START}) != -ABI_EPERM);
  got |= 4 * (apply(fd, ids(USER, USER)) != -ABI_EPERM);
  got |= 8 * (sys_dup((int)fd, "addrspace", 9, 0) != -ABI_EPERM);
  got |= 16 * (create(&copy, 1) != -ABI_EPERM);
  return got | 32 * (create(NULL, 0) < 0); /* one of its own it can make */
}

/* The same of one that runs: signals it may send, as POSIX says, and no more. */
static int take_over_running(void *arg) {
  (void)arg;
  pid_t pid = fork();
  if (pid == 0) {
    (void)apply(FD_SELF, ids(USER, 0));
    pause();
    _exit(0);
  }
  char path[24];
  struct proc_attr attr = {0};
  snprintf(path, sizeof path, "proc:/%d", (int)pid);
  int64_t fd = sys_openat(FD_NS, path, strlen(path), O_ABI_RDWR, 0);
  while (attr.uid != USER) {
    if (sys_call((int)fd, OP_PROC_ATTR, &attr, 0, sizeof attr, 0) < 0) {
      return 64;
    }
    sched_yield();
  }
  if (apply(FD_SELF, ids(USER, USER)) < 0) {
    return 64;
  }
  int got =
      apply(fd, (struct proc_op){.code = PROC_NAME, .a = (uintptr_t) "x", .b = 1}) != -ABI_EPERM;
  got |= 2 * (apply(fd, (struct proc_op){.code = PROC_SCHED, .a = 2, .c = 19}) != -ABI_EPERM);
  got |= 4 * (apply(fd, ids(USER, USER)) >= 0);
  got |= 8 * (apply(fd, (struct proc_op){.code = PROC_SIGNAL, .a = SIGKILL}) < 0);
  return got;
}

static void test_rights(void) {
  is(child_exit(take_over_new, NULL), 0, "a new context's real user does not get its rights");
  is(child_exit(take_over_running, NULL), 0, "nor those of a running one, but sends it signals");
}

/* ---- garbage ---- */

static struct proc_op random_step(uint64_t *state) {
  struct proc_op step = {.code = (uint32_t)(random_next(state) % 34),
                         .fd = (int)(random_next(state) % 12)};
  if (random_next(state) % 3 == 0) {
    step.fd = FD_SELF;
  }
  uint64_t *fields[] = {&step.a, &step.b, &step.c, &step.d, &step.e};
  for (int i = 0; i < 5; i++) {
    uint64_t r = random_next(state);
    *fields[i] = r % 4 == 0 ? r >> 8 : r % 4 == 1 ? r % 64 : r % 4 == 2 ? 0x400000 + r % 8192 : 0;
  }
  if (step.code == PROC_SIGNAL_GROUP || step.code == PROC_SETPGID || step.code == PROC_SETSID) {
    step.code = PROC_START; /* nobody outside must suffer, nobody inside get away */
  }
  return step;
}

static void make_garbage(uint64_t seed) {
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) {
    dup2(null, fd);
  }
  close(null);
  setsid();
  (void)space_new();
  (void)create(NULL, 0);
  (void)sys_openat(FD_NS, "event:", 6, O_ABI_NONBLOCK, 0);
  for (int i = 0; i < 40; i++) {
    struct proc_op steps[4];
    for (int j = 0; j < 4; j++) {
      steps[j] = random_step(&seed);
    }
    int64_t fd = random_next(&seed) % 2 ? create(steps, 4)
                                        : sys_call((int)(random_next(&seed) % 12), OP_PROC_APPLY,
                                                   steps, sizeof steps, 0, 0);
    if (fd < -LARGEST_ERROR) {
      _exit(66);
    }
    struct space_op map = {.code = (uint32_t)(random_next(&seed) % 10),
                           .fd = FD_NONE,
                           .prot = 3,
                           .flags = (uint32_t)random_next(&seed) % 64,
                           .addr = (random_next(&seed) % 64) << 12 | 0x400000,
                           .len = random_next(&seed) % 100000,
                           .off = random_next(&seed) % 8192};
    if (space_apply((int64_t)(random_next(&seed) % 12), map) < -LARGEST_ERROR) {
      _exit(66);
    }
  }
  _exit(0);
}

static void test_garbage(void) {
  int wrong = 0;
  for (uint64_t i = 0; i < 50; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      make_garbage(0x2545f4914f6cdd1du * (i + 3));
    }
    int status = end_child(pid);
    wrong += WIFEXITED(status) && WEXITSTATUS(status) == 66;
  }
  is(wrong, 0, "fifty children apply random steps to random things");
}

int main(void) {
  test_never_started();
  test_started_on_nothing();
  test_hand_made_program();
  test_space_errors();
  test_apply_errors();
  test_sched_file();
  test_timer_file();
  test_failing_batch();
  test_rights();
  test_garbage();
  return tap_done();
}
