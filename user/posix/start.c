/* The first and the last of a program: taking over from exec, threads, fork, exec, exit. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include "posix/posix.h"
#include "posix/signal.h"
#include "posix/timer.h"
#include "posix/vfork.h"
#include "runtime/process.h"

/* libc's: the environment, and the word that ends a thread's life for others. */
extern char **__environ;
extern volatile int __thread_list_lock;

/* Called from trampoline.S. */
int posix_start(void *tp, struct posix_thread *self);
int thread_clone(int (*function)(void *), void *stack, int flags, void *argument, int *parent_tid,
                 void *tp, int *clear_tid);
/* libc's, for the thread of a SIGEV_THREAD timer, which begins each call of its function with fresh
 * thread-local storage. Our block lies in it and must outlive that; meanwhile the kernel sees
 * another, with everything blocked. */
void __reset_tls(void);
void posix_tls_reset(void) __asm__("__cathode_tls_reset");
void posix_tls_reset(void) {
  struct sig_control away = {.blocked = ~0ull, .inhibit = 1};
  struct posix_thread self;
  struct proc_op leave = {.code = PROC_SIGCTL, .a = (uint64_t)&away};
  struct proc_op back[] = {{.code = PROC_SIGCTL, .a = (uint64_t)&posix_self.control},
                           {.code = PROC_RESIGNAL}};
  (void)rt_apply(FD_SELF, &leave, 1); /* of oneself: cannot fail */
  self = posix_self;
  __reset_tls();
  posix_self = self;
  (void)rt_apply(FD_SELF, back, 2);
}

void thread_unmap_exit(void *stack, size_t size);

struct rt_ids posix_ids;

/* ---- start -------------------------------------------------------------------------------- */

static const struct start_block *start_find(void) {
  char **p = __environ;
  while (*p) {
    p++;
  }
  const uint64_t *aux = (const uint64_t *)(p + 1);
  while (aux[0] != AT_CATHODE_START) {
    if (aux[0] == 0) {
      rt_exit(127 << 8); /* not started by our exec: there is no clock, nothing to go on with */
    }
    aux += 2;
  }
  return (const struct start_block *)aux[1];
}

static void start_take(const struct start_block *block, struct posix_thread *self) {
  const struct rt_start *start = (const struct rt_start *)block;
  rt_init(block);
  rt_guard = (struct rt_guard){posix_guard_enter, posix_guard_leave};
  posix_path_init((const char *)block->cwd, block->umask);
  if (block->size >= sizeof(*start)) {
    posix_ids = start->ids;
    posix_signals_init(start->ignored);
    self->control.blocked = start->signals.blocked;
    if (start->real_timer != FD_NONE) {
      timer_real_adopt(start->real_timer);
    }
  }
}

/* libc sets its thread pointer: the first call of a program, with no thread-local storage before
 * it. `self` is where posix_self will be. One entry tells the kernel everything about this thread
 * and asks who we are. */
int posix_start(void *tp, struct posix_thread *self) {
  start_take(start_find(), self);
  uint32_t pid = 0;
  self->control.entry = (uint64_t)posix_trampoline;
  self->clear_tid = (uint64_t)&__thread_list_lock;
  struct proc_op ops[6] = {
      {.code = PROC_FSBASE, .a = (uint64_t)tp},
      {.code = PROC_SIGCTL, .a = (uint64_t)&self->control},
      {.code = PROC_CLEARTID, .a = self->clear_tid},
      {.code = PROC_ACTIONS_SET, .a = posix_ignored(), .b = posix_caught_now()},
      {.code = PROC_PID, .a = (uint64_t)&pid, .b = (uint64_t)&self->tid},
  };
  size_t n = 5;
  if (self->control.blocked != 0) { /* what was held back across exec is looked at again */
    ops[n++] = (struct proc_op){.code = PROC_RESIGNAL};
  }
  if (rt_apply(FD_SELF, ops, n) < 0) {
    return -1;
  }
  rt_set_pid(pid);
  return 0;
}

/* ---- threads ------------------------------------------------------------------------------ */

#define CLONE_THREAD_FLAGS (CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS)

/* libc's pthread_create. Other uses of clone() are not offered. */
int thread_clone(int (*function)(void *), void *stack, int flags, void *argument, int *parent_tid,
                 void *tp, int *clear_tid) {
  if ((flags & CLONE_THREAD_FLAGS) != CLONE_THREAD_FLAGS) {
    return -ABI_ENOSYS;
  }
  vfork_forbid();
  ptrdiff_t distance = (char *)&posix_self - (char *)__builtin_thread_pointer();
  struct posix_thread *self = (struct posix_thread *)((char *)tp + distance);
  self->control.entry = (uint64_t)posix_trampoline;
  self->control.blocked = posix_self.control.blocked;
  self->clear_tid = (uint64_t)clear_tid;
  struct rt_context context = {(uint64_t)tp, (uint64_t)&self->control, self->clear_tid,
                               (uint64_t)&self->tid};
  void (*entry)(void *) = (void (*)(void *))(void (*)(void))function;
  return rt_thread_create(&context, entry, argument, stack, (uint32_t *)parent_tid);
}

void thread_unmap_exit(void *stack, size_t size) {
  rt_thread_exit((uint64_t)stack, size);
}

long call_exit(int code) {
  (void)code;
  rt_thread_exit(0, 0);
}

long call_gettid(void) {
  return posix_self.tid;
}

long call_set_tid_address(int *word) {
  if ((uint64_t)word != posix_self.clear_tid) {
    struct proc_op op = {.code = PROC_CLEARTID, .a = (uint64_t)word};
    int64_t result = rt_apply(FD_SELF, &op, 1);
    if (result < 0) {
      return result;
    }
    posix_self.clear_tid = (uint64_t)word;
  }
  return posix_self.tid;
}

/* The kernel walks the list of a thread that is killed or execs; one that exits in an orderly way
 * has emptied it before. libc asks for it only to learn whether there is such a thing. */
long call_set_robust_list(void *head, size_t len) {
  struct proc_op op = {.code = PROC_ROBUST, .a = (uint64_t)head};
  if (len != sizeof(struct robust_list)) {
    return -ABI_EINVAL;
  }
  int64_t result = rt_apply(FD_SELF, &op, 1);
  return result < 0 ? result : 0;
}

long call_get_robust_list(int pid, void **head, size_t *len) {
  void *none = NULL;
  size_t size = sizeof(struct robust_list);
  if (pid != 0 && (uint32_t)pid != posix_self.tid) {
    return -ABI_EPERM;
  }
  return user_put(head, &none, sizeof(none)) < 0 || user_put(len, &size, sizeof(size)) < 0
             ? -ABI_EFAULT
             : 0;
}

/* ---- fork, exec --------------------------------------------------------------------------- */

long call_fork(void) {
  struct posix_thread *self = &posix_self;
  struct rt_context context = {(uint64_t)__builtin_thread_pointer(), (uint64_t)&self->control,
                               self->clear_tid, 0};
  struct rt_ids_new born;
  signal_fork_begin();
  int pid = rt_fork_as(&context, &born);
  if (pid == 0) {
    self->tid = born.tid;
    if (__atomic_exchange_n(&self->control.pending, 0, __ATOMIC_ACQ_REL) != 0) {
      struct proc_op op = {.code =
                               PROC_RESIGNAL}; /* the notes were the parent's, or already ours */
      (void)rt_apply(FD_SELF, &op, 1);         /* of our own signals: cannot fail */
    }
    timer_forget();
    limits_settle();
    vfork_over();
  }
  signal_fork_end();
  return pid;
}

/* Of syscall(SYS_vfork): vfork() itself is vfork_enter.S. */
long call_vfork(void) {
  return call_fork();
}

/* EFAULT for what is no array of strings, before anybody copies them. */
static int64_t strings_check(char *const *strings) {
  for (size_t i = 0; strings; i++) {
    char *string;
    if (user_get(&string, &strings[i], sizeof(string)) < 0) {
      return -ABI_EFAULT;
    }
    if (!string) {
      break;
    }
    if (rt_probe_length(string) < 0) {
      return -ABI_EFAULT;
    }
  }
  return 0;
}

void posix_start_fill(struct rt_start *start, const char *const *envp) {
  rt_start_copy(start, envp);
  start->block.umask = posix_umask();
  start->ids = posix_ids;
  start->ignored = posix_ignored();
  start->signals.blocked = posix_self.control.blocked;
  start->signals.pending = posix_pending();
  start->signals.inhibit = 1;
}

/* Takes the path like any call and runs the program with it. */
static long exec_path(int dir, int fd, const char *user_path, char *const *argv,
                      char *const *envp) {
  struct posix_path path;
  struct rt_start start;
  int64_t result = fd != FD_NONE ? 0 : posix_path_take(dir, user_path, &path);
  result = result < 0 ? result : strings_check(argv);
  result = result < 0 ? result : strings_check(envp);
  if (result < 0) {
    return result;
  }
  if (fd == FD_NONE && path.dir != FD_NS) {
    fd = (int)posix_path_open(&path, O_ABI_RDONLY | O_ABI_CLOEXEC, 0);
    if (fd < 0) {
      return fd;
    }
  }
  posix_start_fill(&start, (const char *const *)envp);
  start.real_timer = timer_real_fd();
  struct rt_program program = {
      .path = path.text,
      .fd = fd,
      .name = user_path,
      .argv = (const char *const *)argv,
      .envp = (const char *const *)envp,
      .cwd = posix_cwd(),
      .start = &start,
      .limits = limits_next(),
  };
  return rt_exec(&program);
}

long call_execve(const char *path, char *const *argv, char *const *envp) {
  return exec_path(AT_FDCWD, FD_NONE, path, argv, envp);
}

long call_execveat(int dir, const char *path, char *const *argv, char *const *envp, int flags) {
  char first;
  if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) {
    return -ABI_EINVAL;
  }
  if (user_get(&first, path, 1) < 0) {
    return -ABI_EFAULT;
  }
  return first == '\0' && (flags & AT_EMPTY_PATH) ? exec_path(dir, dir, path, argv, envp)
                                                  : exec_path(dir, FD_NONE, path, argv, envp);
}

long call_exit_group(int code) {
  rt_exit((code & 0xff) << 8);
}
