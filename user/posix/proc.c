/* Processes: waiting, groups, owners. A context is reached by a descriptor:
 * FD_SELF, a child's, or one that is opened by its id for the one operation. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "posix/posix.h"
#include "runtime/process.h"

#define NS_PER_SECOND 1000000000ull

/* ---- waiting ------------------------------------------------------------------------------ */

static int64_t usage_put(const struct proc_status *status, struct rusage *user) {
  struct rusage usage = {
      .ru_utime = {.tv_sec = (time_t)(status->user_ns / NS_PER_SECOND),
                   .tv_usec = (suseconds_t)(status->user_ns % NS_PER_SECOND / 1000)},
      .ru_stime = {.tv_sec = (time_t)(status->system_ns / NS_PER_SECOND),
                   .tv_usec = (suseconds_t)(status->system_ns % NS_PER_SECOND / 1000)},
  };
  return user_put(user, &usage, offsetof(struct rusage, __reserved));
}

/* Again after handlers with SA_RESTART. */
static int wait_retry(int pid, uint32_t flags, struct proc_status *status) {
  int result;
  posix_self.interrupted = 0;
  do {
    result = rt_wait(pid, flags, &posix_self.stop, status);
  } while (result == -ABI_EINTR && posix_self.stop == 0);
  return result;
}

long call_wait4(int pid, int *user_status, int options, struct rusage *usage) {
  struct proc_status status;
  if (options & ~(WNOHANG | WUNTRACED | WCONTINUED)) {
    return -ABI_EINVAL;
  }
  int found = wait_retry(
      pid, (options & WNOHANG ? RT_WAIT_NOHANG : 0) | (options & WUNTRACED ? RT_WAIT_STOPPED : 0),
      &status);
  if (found <= 0) {
    return found;
  }
  if (user_status && user_put(user_status, &status.wstatus, sizeof(int)) < 0) {
    return -ABI_EFAULT;
  }
  return usage && usage_put(&status, usage) < 0 ? -ABI_EFAULT : found;
}

static siginfo_t child_info(int pid, int wstatus) {
  siginfo_t info = {.si_signo = SIGCHLD};
  info.si_pid = pid;
  info.si_code = WIFEXITED(wstatus)    ? CLD_EXITED
                 : WIFSTOPPED(wstatus) ? CLD_STOPPED
                 : WCOREDUMP(wstatus)  ? CLD_DUMPED
                                       : CLD_KILLED;
  info.si_status = WIFEXITED(wstatus)    ? WEXITSTATUS(wstatus)
                   : WIFSTOPPED(wstatus) ? WSTOPSIG(wstatus)
                                         : WTERMSIG(wstatus);
  return info;
}

long call_waitid(int type, int id, void *user_info, int options, struct rusage *usage) {
  struct proc_status status;
  int pid = type == P_ALL ? -1 : type == P_PID ? id : -id;
  if ((type != P_ALL && type != P_PID && type != P_PGID) || (type == P_PID && id <= 0) ||
      !(options & (WEXITED | WSTOPPED | WCONTINUED)) ||
      (options & ~(WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT))) {
    return -ABI_EINVAL;
  }
  int found = wait_retry(pid,
                         (options & WNOHANG ? RT_WAIT_NOHANG : 0) |
                             (options & WSTOPPED ? RT_WAIT_STOPPED : 0) |
                             (options & WNOWAIT ? RT_WAIT_KEEP : 0),
                         &status);
  if (found < 0) {
    return found;
  }
  siginfo_t info = found == 0 ? (siginfo_t){0} : child_info(found, status.wstatus);
  if (user_info && user_put(user_info, &info, sizeof(info)) < 0) {
    return -ABI_EFAULT;
  }
  return found > 0 && usage ? usage_put(&status, usage) : 0;
}

/* ---- one context by its id ---------------------------------------------------------------- */

struct target {
  int fd;
  bool opened;
};

/* 0 is the caller. */
static int64_t target_open(int id, struct target *target) {
  *target = (struct target){FD_SELF, false};
  if (id < 0) {
    return -ABI_ESRCH;
  }
  if (id != 0 && (uint32_t)id != rt_getpid() && (uint32_t)id != posix_self.tid) {
    target->fd = rt_child_fd((uint32_t)id);
    if (target->fd == FD_NONE) {
      target->fd = rt_context_open((uint32_t)id);
      target->opened = target->fd >= 0;
    }
  }
  return target->fd < 0 && target->fd != FD_SELF ? target->fd : 0;
}

static void target_close(const struct target *target) {
  if (target->opened) {
    (void)sys_close(target->fd);
  }
}

static int64_t attr_of(int id, struct proc_attr *attr) {
  struct target target;
  int64_t result = target_open(id, &target);
  if (result < 0) {
    return result;
  }
  result = sys_call(target.fd, OP_PROC_ATTR, attr, 0, sizeof(*attr), 0);
  target_close(&target);
  return result < 0 ? result : 0;
}

static int64_t step_on(int id, struct proc_op op) {
  struct target target;
  int64_t result = target_open(id, &target);
  if (result < 0) {
    return result;
  }
  result = rt_apply(target.fd, &op, 1);
  target_close(&target);
  return result < 0 ? result : 0;
}

/* ---- families ----------------------------------------------------------------------------- */

long call_getpid(void) {
  return rt_getpid();
}

long call_getppid(void) {
  struct proc_attr attr;
  int64_t result = attr_of(0, &attr);
  return result < 0 ? result : attr.ppid;
}

long call_getpgid(int pid) {
  struct proc_attr attr;
  int64_t result = attr_of(pid, &attr);
  return result < 0 ? result : attr.pgid;
}

long call_getpgrp(void) {
  return call_getpgid(0);
}

long call_getsid(int pid) {
  struct proc_attr attr;
  int64_t result = attr_of(pid, &attr);
  return result < 0 ? result : attr.sid;
}

long call_setpgid(int pid, int pgid) {
  if (pgid < 0) {
    return -ABI_EINVAL;
  }
  return step_on(pid, (struct proc_op){.code = PROC_SETPGID, .a = (uint32_t)pgid});
}

long call_setsid(void) {
  int64_t result = step_on(0, (struct proc_op){.code = PROC_SETSID});
  return result < 0 ? result : rt_getpid();
}

/* ---- owners ------------------------------------------------------------------------------- */

long call_getuid(void) {
  return posix_ids.uid;
}

long call_geteuid(void) {
  return posix_ids.euid;
}

long call_getgid(void) {
  return posix_ids.gid;
}

long call_getegid(void) {
  return posix_ids.egid;
}

/* -1 keeps. There are no saved ids: they count as the effective ones. */
static int64_t ids_set(unsigned ruid, unsigned euid, unsigned rgid, unsigned egid) {
  const unsigned keep = (unsigned)-1;
  struct rt_ids next = {
      .uid = ruid == keep ? posix_ids.uid : ruid,
      .euid = euid == keep ? posix_ids.euid : euid,
      .gid = rgid == keep ? posix_ids.gid : rgid,
      .egid = egid == keep ? posix_ids.egid : egid,
  };
  struct proc_op op = {.code = PROC_SETUID,
                       .a = next.uid | (uint64_t)next.euid << 32,
                       .b = next.gid | (uint64_t)next.egid << 32};
  int64_t result = step_on(0, op);
  if (result >= 0) {
    posix_ids = next;
  }
  return result;
}

long call_setreuid(unsigned ruid, unsigned euid) {
  return ids_set(ruid, euid, (unsigned)-1, (unsigned)-1);
}

long call_setregid(unsigned rgid, unsigned egid) {
  return ids_set((unsigned)-1, (unsigned)-1, rgid, egid);
}

/* Root changes both, others the effective one. */
long call_setuid(unsigned uid) {
  return call_setreuid(posix_ids.euid == 0 ? uid : (unsigned)-1, uid);
}

long call_setgid(unsigned gid) {
  return call_setregid(posix_ids.euid == 0 ? gid : (unsigned)-1, gid);
}

long call_setresuid(unsigned ruid, unsigned euid, unsigned suid) {
  (void)suid;
  return call_setreuid(ruid, euid);
}

long call_setresgid(unsigned rgid, unsigned egid, unsigned sgid) {
  (void)sgid;
  return call_setregid(rgid, egid);
}

static long ids_put(unsigned *user[3], const unsigned *values) {
  for (int i = 0; i < 3; i++) {
    if (user_put(user[i], &values[i], sizeof(unsigned)) < 0) {
      return -ABI_EFAULT;
    }
  }
  return 0;
}

long call_getresuid(unsigned *ruid, unsigned *euid, unsigned *suid) {
  return ids_put((unsigned *[]){ruid, euid, suid},
                 (unsigned[]){posix_ids.uid, posix_ids.euid, posix_ids.euid});
}

long call_getresgid(unsigned *rgid, unsigned *egid, unsigned *sgid) {
  return ids_put((unsigned *[]){rgid, egid, sgid},
                 (unsigned[]){posix_ids.gid, posix_ids.egid, posix_ids.egid});
}

/* Nobody is in supplementary groups. */
long call_getgroups(int n, unsigned *list) {
  (void)list;
  return n < 0 ? -ABI_EINVAL : 0;
}
