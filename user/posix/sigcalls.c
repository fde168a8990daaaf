/* libc's signal calls: actions, masks, waiting, alternate stacks, sending. */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "posix/posix.h"
#include "posix/signal.h"
#include "posix/timer.h"
#include "runtime/process.h"

#define SET_SIZE 8u

static bool signal_valid(int sig) {
  return sig >= 1 && sig <= 64;
}

/* ---- actions and masks -------------------------------------------------------------------- */

long call_rt_sigaction(int sig, const struct k_sigaction *user_act, struct k_sigaction *user_old,
                       size_t size) {
  struct k_sigaction act, old;
  if (size != SET_SIZE || !signal_valid(sig) || (user_act && (sig == SIGKILL || sig == SIGSTOP))) {
    return -ABI_EINVAL;
  }
  if (user_act && user_get(&act, user_act, sizeof(act)) < 0) {
    return -ABI_EFAULT;
  }
  int64_t result = signal_set_action((unsigned)sig, user_act ? &act : NULL, &old);
  if (result == 0 && user_act && act.handler != SIG_IGN) {
    timer_resume((unsigned)sig);
  }
  return result < 0 ? result : user_old ? user_put(user_old, &old, sizeof(old)) : 0;
}

long call_rt_sigprocmask(int how, const unsigned long *user_set, unsigned long *user_old,
                         size_t size) {
  uint64_t set = 0, old = posix_self.control.blocked;
  if (size != SET_SIZE) {
    return -ABI_EINVAL;
  }
  if (user_set) {
    if (user_get(&set, user_set, sizeof(set)) < 0) {
      return -ABI_EFAULT;
    }
    if (how != SIG_BLOCK && how != SIG_UNBLOCK && how != SIG_SETMASK) {
      return -ABI_EINVAL;
    }
    (void)posix_mask_swap(how == SIG_BLOCK ? old | set : how == SIG_UNBLOCK ? old & ~set : set);
  }
  return user_old ? user_put(user_old, &old, sizeof(old)) : 0;
}

long call_rt_sigpending(unsigned long *user_set, size_t size) {
  uint64_t pending = posix_pending() & posix_self.control.blocked;
  return size != SET_SIZE ? -ABI_EINVAL : user_put(user_set, &pending, sizeof(pending));
}

long call_sigaltstack(const struct sigaltstack *user_new, struct sigaltstack *user_old) {
  struct posix_thread *self = &posix_self;
  struct sigaltstack wanted, old = {.ss_sp = (void *)self->alt_base, .ss_size = self->alt_size};
  bool on_it = (uint64_t)__builtin_frame_address(0) - self->alt_base < self->alt_size;
  old.ss_flags = on_it ? SS_ONSTACK : self->alt_size == 0 ? SS_DISABLE : 0;
  if (user_new) {
    if (user_get(&wanted, user_new, sizeof(wanted)) < 0) {
      return -ABI_EFAULT;
    }
    if (on_it) {
      return -ABI_EPERM;
    }
    if (wanted.ss_flags & ~SS_DISABLE) {
      return -ABI_EINVAL;
    }
    if (!(wanted.ss_flags & SS_DISABLE) && wanted.ss_size < MINSIGSTKSZ) {
      return -ABI_ENOMEM;
    }
    posix_guard_enter();
    self->alt_base = (uint64_t)wanted.ss_sp;
    self->alt_size = wanted.ss_flags & SS_DISABLE ? 0 : wanted.ss_size;
    posix_guard_leave();
  }
  return user_old ? user_put(user_old, &old, sizeof(old)) : 0;
}

/* ---- waiting ------------------------------------------------------------------------------ */

/* Sleep under `mask` until a handler has run. */
static long suspend(uint64_t mask) {
  posix_self.handled = 0;
  uint64_t old = posix_mask_swap(mask);
  int64_t result;
  do {
    result = rt_block(&posix_self.handled, SYS_NR_sleep, NO_DEADLINE, 0, 0, 0, 0, 0);
  } while (result != -ABI_EINTR || posix_self.handled == 0);
  (void)posix_mask_swap(old);
  return -ABI_EINTR;
}

long call_rt_sigsuspend(const unsigned long *user_mask, size_t size) {
  uint64_t mask;
  if (size != SET_SIZE) {
    return -ABI_EINVAL;
  }
  return user_get(&mask, user_mask, sizeof(mask)) < 0 ? -ABI_EFAULT : suspend(mask);
}

long call_pause(void) {
  return suspend(posix_self.control.blocked);
}

/* Sleep with `set` unblocked and meant for us; the dispatcher notes the one that comes. */
static int64_t wait_signal(uint64_t set, uint64_t deadline) {
  struct posix_thread *self = &posix_self;
  self->wait_signal = 0;
  self->wait_mask = self->control.blocked;
  self->handled = 0;
  self->wait_set = set;
  uint64_t old = posix_mask_swap(self->control.blocked & ~set);
  int64_t result = rt_block(&self->handled, SYS_NR_sleep, deadline, 0, 0, 0, 0, 0);
  (void)posix_mask_swap(old);
  self->wait_set = self->wait_over = 0;
  if (self->wait_signal != 0) {
    return self->wait_signal;
  }
  return result == -ABI_EINTR ? -ABI_EINTR : -ABI_EAGAIN;
}

long call_rt_sigtimedwait(const unsigned long *user_set, void *user_info,
                          const struct timespec *timeout, size_t size) {
  uint64_t set, deadline;
  if (size != SET_SIZE) {
    return -ABI_EINVAL;
  }
  if (user_get(&set, user_set, sizeof(set)) < 0) {
    return -ABI_EFAULT;
  }
  int64_t result = posix_deadline(timeout, &deadline);
  set &= ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
  result = result < 0 ? result : signal_wait_begin(set);
  if (result < 0) {
    return result;
  }
  result = wait_signal(set, deadline);
  signal_wait_end(set);
  if (result > 0 && user_info &&
      user_put(user_info, posix_self.wait_info, sizeof(posix_self.wait_info)) < 0) {
    return -ABI_EFAULT;
  }
  return result;
}

/* ---- sending ------------------------------------------------------------------------------ */

static int64_t self_signal(uint32_t code, int sig, uint32_t group) {
  struct proc_op op = {.code = code, .a = (uint32_t)sig, .b = group};
  int64_t result = rt_apply(FD_SELF, &op, 1);
  return result < 0 ? result : 0;
}

/* For the kernel group 0 is everybody but the first process and the sender. */
long call_kill(int pid, int sig) {
  if (sig != 0 && !signal_valid(sig)) {
    return -ABI_EINVAL;
  }
  if (pid > 0) {
    return rt_kill((uint32_t)pid, sig);
  }
  int64_t group = pid == 0 ? call_getpgrp() : pid == -1 ? 0 : -(int64_t)pid;
  return group < 0 ? group : self_signal(PROC_SIGNAL_GROUP, sig, (uint32_t)group);
}

long call_tkill(int tid, int sig) {
  if (tid <= 0 || (sig != 0 && !signal_valid(sig))) {
    return -ABI_EINVAL;
  }
  if ((uint32_t)tid == posix_self.tid) {
    return self_signal(PROC_SIGNAL_THREAD, sig, 0);
  }
  int fd = rt_context_open((uint32_t)tid);
  if (fd < 0) {
    return fd;
  }
  struct proc_op op = {.code = PROC_SIGNAL_THREAD, .a = (uint32_t)sig};
  int64_t result = rt_apply(fd, &op, 1);
  (void)sys_close(fd);
  return result < 0 ? result : 0;
}

long call_tgkill(int pid, int tid, int sig) {
  return pid <= 0 ? -ABI_EINVAL : call_tkill(tid, sig);
}
