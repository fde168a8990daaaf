/* Identity, fork, threads, kill and exit: see process.h. */
#include "runtime/process.h"

#include "lib/fmt.h"
#include "lib/string.h"
#include "runtime/process_priv.h"
#include "runtime/syscall.h"

_Static_assert(SYS_NR_call == 12 && OP_PROC_CREATE == 40 && FD_SELF == -101, "entry.asm");
_Static_assert(offsetof(struct proc_op, a) == 8 && offsetof(struct proc_op, b) == 16, "entry.asm");
_Static_assert(ABI_EINTR == 4 && ABI_EFAULT == 14, "entry.asm");

static struct {
  const struct start_block *start;
  uint32_t pid;
} process;

static void guard_nothing(void) {
}

struct rt_guard rt_guard = {guard_nothing, guard_nothing};

/* ---- this process ------------------------------------------------------------------------- */

void rt_init(const struct start_block *start) {
  process.start = start;
  process.pid = 0;
}

const struct start_block *rt_start_block(void) {
  return process.start;
}

void rt_set_pid(uint32_t pid) {
  process.pid = pid;
}

uint32_t rt_getpid(void) {
  if (process.pid == 0) {
    struct proc_op op = {.code = PROC_PID, .a = (uint64_t)&process.pid};
    (void)rt_apply(FD_SELF, &op, 1); /* of ourselves: cannot fail */
  }
  return process.pid;
}

int64_t rt_apply(int fd, struct proc_op *ops, size_t n) {
  int64_t done = sys_call(fd, OP_PROC_APPLY, ops, n * sizeof(*ops), 0, 0);
  return done < 0 || (size_t)done == n ? done : -ABI_EINVAL;
}

int rt_context_open(uint32_t id) {
  char path[24];
  int n = fmt_snprintf(path, sizeof(path), "proc:/%u", id);
  int64_t fd = sys_openat(FD_NS, path, (size_t)n, RT_PRIVATE, 0);
  return fd == -ABI_ENOENT ? -ABI_ESRCH : (int)fd;
}

void rt_exit(int wstatus) {
  struct proc_op op = {.code = PROC_EXIT, .fd = FD_SELF, .a = (uint32_t)wstatus};
  for (;;) {
    (void)rt_apply(FD_SELF, &op, 1); /* never returns */
  }
}

int rt_kill(uint32_t pid, int signal) {
  struct proc_op op = {.code = PROC_SIGNAL, .a = (uint32_t)signal};
  int64_t result;
  if (pid == rt_getpid()) {
    result = rt_apply(FD_SELF, &op, 1);
    return result < 0 ? (int)result : 0;
  }
  int fd = rt_child_fd(pid);
  bool opened = fd == FD_NONE;
  if (opened && (fd = rt_context_open(pid)) < 0) {
    return fd;
  }
  result = rt_apply(fd, &op, 1);
  if (opened) {
    (void)sys_close(fd);
  }
  return result < 0 ? (int)result : 0;
}

/* ---- fork --------------------------------------------------------------------------------- */

static size_t context_steps(struct proc_op *ops, const struct rt_context *context) {
  size_t n = 0;
  if (context->control != 0) {
    ops[n++] = (struct proc_op){.code = PROC_SIGCTL, .a = context->control};
  }
  if (context->clear_tid != 0) {
    ops[n++] = (struct proc_op){.code = PROC_CLEARTID, .a = context->clear_tid};
  }
  if (context->tid != 0) {
    ops[n++] = (struct proc_op){.code = PROC_PID, .b = context->tid};
  }
  return n;
}

static int fork_finish(int64_t fd, const struct rt_ids_new *ids) {
  if (fd == 0) { /* the child: descriptors of children are never 0, they are upper ones */
    rt_set_pid(ids->pid);
    children_reset();
    return 0;
  }
  int adopted = fd < 0 ? (int)fd : children_adopt(ids->pid, (int)fd);
  children_unlock();
  return adopted < 0 ? adopted : (int)ids->pid;
}

int rt_fork_as(const struct rt_context *self, struct rt_ids_new *ids) {
  /* The ids are written before the space is cloned, so the child finds its own in its copy. */
  struct proc_op ops[9] = {
      {.code = PROC_PID, .a = (uint64_t)&ids->pid, .b = (uint64_t)&ids->tid},
      {.code = PROC_SPACE_CLONE, .fd = FD_SELF},
      {.code = PROC_FILES_COPY, .fd = FD_SELF},
      {.code = PROC_ACTIONS_COPY, .fd = FD_SELF},
      {.code = PROC_REGS, .d = self->fs_base},
  };
  size_t n = 5 + context_steps(ops + 5, self);
  ops[n++] = (struct proc_op){.code = PROC_START};
  children_lock();
  return fork_finish(rt_fork_enter(ops, n * sizeof(ops[0]), &ops[4], RT_PRIVATE), ids);
}

int rt_fork(void) {
  struct rt_ids_new ids;
  return rt_fork_as(&(struct rt_context){0}, &ids);
}

/* ---- threads ------------------------------------------------------------------------------ */

/* What rt_thread_enter takes from the stack, which is then aligned. */
struct thread_start {
  uint32_t mxcsr, fcw;
  uint64_t function;
};
_Static_assert(sizeof(struct thread_start) == 16, "rt_thread_enter");

/* A thread inherits the floating-point environment (POSIX, pthread_create). */
static uint64_t thread_stack(void *stack, void (*function)(void *)) {
  struct thread_start *start = (struct thread_start *)((uint64_t)stack & ~15ull) - 1;
  *start = (struct thread_start){.function = (uint64_t)function};
  __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(start->mxcsr), "+m"(start->fcw));
  return (uint64_t)start;
}

int rt_thread_create(const struct rt_context *context, void (*function)(void *), void *argument,
                     void *stack, uint32_t *tid) {
  struct proc_op ops[9] = {
      {.code = PROC_SPACE_SHARE, .fd = FD_SELF},
      {.code = PROC_FILES_SHARE, .fd = FD_SELF},
      {.code = PROC_ACTIONS_SHARE, .fd = FD_SELF},
      {.code = PROC_REGS,
       .a = (uint64_t)rt_thread_enter,
       .b = thread_stack(stack, function),
       .c = (uint64_t)argument,
       .d = context->fs_base},
      {.code = PROC_PID, .b = (uint64_t)tid},
  };
  size_t n = 5 + context_steps(ops + 5, context);
  ops[n++] = (struct proc_op){.code = PROC_START};
  return (int)sys_call(FD_SELF, OP_PROC_CREATE, ops, n * sizeof(ops[0]), 0, PROC_THREAD);
}

void rt_thread_exit(uint64_t addr, size_t len) {
  struct proc_op op = {.code = PROC_EXIT_THREAD, .fd = FD_SELF, .a = addr, .b = len};
  for (;;) {
    (void)rt_apply(FD_SELF, &op, 1); /* never returns: afterwards there may be no stack */
  }
}
