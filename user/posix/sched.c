/* Scheduling: policies, priorities, nice values, affinity. As in Linux each call means one thread,
 * by its id; a process's id is its first thread's, and 0 is the caller. */
#include <sched.h>
#include <sys/resource.h>

#include "posix/posix.h"
#include "posix/timer.h"
#include "runtime/process.h"

enum { WHICH_AFFINITY = 1, WHICH_NICE = 2, WHICH_POLICY = 4 };

/* ---- one thread by its id ----------------------------------------------------------------- */

/* A descriptor, FD_SELF for the caller; given back by thread_close(). */
static int thread_open(int id) {
  if (id < 0) {
    return -ABI_ESRCH;
  }
  return id == 0 || (uint32_t)id == posix_self.tid ? FD_SELF : rt_context_open((uint32_t)id);
}

static bool is_open(int fd) {
  return fd >= 0 || fd == FD_SELF;
}

static void thread_close(int fd) {
  if (fd >= 0) {
    (void)sys_close(fd);
  }
}

static int64_t thread_attr(int id, struct proc_attr *attr) {
  int fd = thread_open(id);
  if (!is_open(fd)) {
    return fd;
  }
  int64_t result = sys_call(fd, OP_PROC_ATTR, attr, 0, sizeof(*attr), 0);
  thread_close(fd);
  return result < 0 ? result : 0;
}

static int64_t thread_set(int id, struct proc_op op) {
  int fd = thread_open(id);
  if (!is_open(fd)) {
    return fd;
  }
  op.code = PROC_SCHED;
  int64_t result = rt_apply(fd, &op, 1);
  thread_close(fd);
  return result < 0 ? result : 0;
}

/* ---- CPUs --------------------------------------------------------------------------------- */

long call_sched_yield(void) {
  return sys_yield();
}

static uint64_t cpu_mask(void) {
  uint32_t n = rt_start_block()->n_cpus;
  return n >= 64 ? ~0ull : (1ull << n) - 1;
}

long call_sched_setaffinity(int pid, size_t size, const unsigned long *user_mask) {
  uint64_t mask = 0;
  if (user_get(&mask, user_mask, size < sizeof(mask) ? size : sizeof(mask)) < 0) {
    return -ABI_EFAULT;
  }
  mask &= cpu_mask();
  return mask == 0 ? -ABI_EINVAL
                   : thread_set(pid, (struct proc_op){.a = WHICH_AFFINITY, .b = mask});
}

long call_sched_getaffinity(int pid, size_t size, unsigned long *user_mask) {
  struct proc_attr attr;
  if (size < sizeof(uint64_t) || size % sizeof(uint64_t) != 0) {
    return -ABI_EINVAL;
  }
  int64_t result = thread_attr(pid, &attr);
  if (result < 0) {
    return result;
  }
  uint64_t mask = attr.affinity & cpu_mask();
  return user_put(user_mask, &mask, sizeof(mask)) < 0 ? -ABI_EFAULT : (long)sizeof(mask);
}

long call_getcpu(unsigned *cpu, unsigned *node, void *cache) {
  (void)cache;
  struct proc_attr attr;
  unsigned zero = 0;
  int64_t result = thread_attr(0, &attr);
  if (result < 0 || (cpu && user_put(cpu, &attr.cpu, sizeof(*cpu)) < 0)) {
    return result < 0 ? result : -ABI_EFAULT;
  }
  return node ? user_put(node, &zero, sizeof(zero)) : 0;
}

/* ---- policies ----------------------------------------------------------------------------- */

_Static_assert(SCHED_OTHER == SCHED_ABI_OTHER && SCHED_FIFO == SCHED_ABI_FIFO &&
                   SCHED_RR == SCHED_ABI_RR,
               "the same numbers");

static bool policy_is_realtime(int policy) {
  return policy == SCHED_FIFO || policy == SCHED_RR;
}

long call_sched_get_priority_max(int policy) {
  return policy_is_realtime(policy) ? (long)SCHED_ABI_RT_MOST
         : policy == SCHED_OTHER    ? 0
                                    : -ABI_EINVAL;
}

long call_sched_get_priority_min(int policy) {
  return policy_is_realtime(policy) ? 1 : policy == SCHED_OTHER ? 0 : -ABI_EINVAL;
}

static int64_t policy_set(int pid, int policy, int priority) {
  long least = call_sched_get_priority_min(policy);
  if (pid < 0 || least < 0 || priority < least || priority > call_sched_get_priority_max(policy)) {
    return -ABI_EINVAL;
  }
  return thread_set(
      pid, (struct proc_op){.a = WHICH_POLICY, .d = (uint64_t)policy | (uint64_t)priority << 32});
}

/* libc may hand over the priority alone, which begins the structure. */
long call_sched_setscheduler(int pid, int policy, const struct sched_param *user) {
  int priority;
  return user_get(&priority, user, sizeof(priority)) < 0 ? -ABI_EFAULT
                                                         : policy_set(pid, policy, priority);
}

long call_sched_getscheduler(int pid) {
  struct proc_attr attr;
  int64_t result = pid < 0 ? -ABI_EINVAL : thread_attr(pid, &attr);
  return result < 0 ? result : attr.policy;
}

long call_sched_getparam(int pid, struct sched_param *user) {
  struct proc_attr attr;
  int64_t result = pid < 0 ? -ABI_EINVAL : thread_attr(pid, &attr);
  return result < 0 ? result : user_put(user, &attr.rt_priority, sizeof(attr.rt_priority));
}

long call_sched_setparam(int pid, const struct sched_param *user) {
  int64_t policy = call_sched_getscheduler(pid);
  return policy < 0 ? policy : call_sched_setscheduler(pid, (int)policy, user);
}

/* 0 for SCHED_FIFO, which knows no slices. */
long call_sched_rr_get_interval(int pid, struct timespec *user) {
  struct proc_attr attr;
  int64_t result = pid < 0 ? -ABI_EINVAL : thread_attr(pid, &attr);
  if (result < 0) {
    return result;
  }
  struct timespec slice =
      posix_timespec_of(attr.policy == SCHED_ABI_FIFO ? 0 : attr.slice_us * 1000ull);
  return user_put(user, &slice, sizeof(slice));
}

/* ---- nice values -------------------------------------------------------------------------- */

/* Of one thread only; the answer is 20 - nice, as libc expects it. */
long call_getpriority(int which, int who) {
  struct proc_attr attr;
  int64_t result = which != PRIO_PROCESS ? -ABI_EINVAL : thread_attr(who, &attr);
  return result < 0 ? result : 20 - attr.nice;
}

long call_setpriority(int which, int who, int nice) {
  nice = nice < -20 ? -20 : nice > 19 ? 19 : nice;
  return which != PRIO_PROCESS
             ? -ABI_EINVAL
             : thread_set(who, (struct proc_op){.a = WHICH_NICE, .c = (uint64_t)(int64_t)nice});
}
