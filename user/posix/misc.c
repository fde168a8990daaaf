/* The machine, limits, random numbers, and anonymous files. */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "posix/posix.h"
#include "posix/vfork.h"
#include "runtime/lock.h"
#include "runtime/process.h"

/* ---- names and limits --------------------------------------------------------------------- */

long call_uname(struct utsname *user) {
  struct utsname name = {.sysname = "Cathode",
                         .nodename = "cathode",
                         .release = "1.0",
                         .version = "1",
                         .machine = "x86_64",
                         .domainname = "(none)"};
  return user_put(user, &name, sizeof(name));
}

/* What holds by construction; everything else is bounded by memory only. */
static struct rlimit limit_of(int which) {
  struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
  if (which == RLIMIT_CORE) {
    limit.rlim_cur = limit.rlim_max = 0;
  } else if (which == RLIMIT_NOFILE) {
    limit.rlim_cur = limit.rlim_max = 4096;
  }
  return limit;
}

/* The limits that the kernel keeps, of the space; -1: none of them. */
static int limit_kind(int which) {
  return which == RLIMIT_AS      ? SPACE_LIMIT_MAPPED
         : which == RLIMIT_STACK ? SPACE_LIMIT_STACK
         : which == RLIMIT_DATA  ? SPACE_LIMIT_DATA
         : which == RLIMIT_RSS   ? SPACE_LIMIT_RESIDENT
                                 : -1;
}

static long limit_apply(int kind, const void *value, void *old) {
  struct space_op op = {.code = SPACE_LIMIT,
                        .fd = FD_NONE,
                        .flags = (uint32_t)kind,
                        .addr = (uint64_t)value,
                        .off = (uint64_t)old};
  int64_t done = sys_call(FD_SELF, OP_SPACE_APPLY, &op, sizeof(op), 0, 0);
  return done < 0 ? done : 0;
}

/* The space of a child of vfork() is its parent's, and so are the limits of that. What the child
 * sets waits here for its next program; vfork() itself makes the parent forget it. */
static struct rt_limits next;

const struct rt_limits *limits_next(void) {
  return next.set != 0 ? &next : NULL;
}

void limits_settle(void) {
  for (int kind = 0; kind < SPACE_LIMIT_KINDS; kind++) {
    if (next.set >> kind & 1) {
      (void)limit_apply(kind, &next.limits[kind], NULL); /* not above what holds: cannot fail */
    }
  }
  next.set = 0;
}

/* The hard limit is not raised, even by root, who may be somebody else by then. */
static long limit_in_vfork(int kind, const struct rlimit *user_value, struct rlimit *user_old) {
  struct space_limit before = next.limits[kind], value;
  long result = next.set >> kind & 1 ? 0 : limit_apply(kind, NULL, &before);
  if (result == 0 && user_value) {
    result = user_get(&value, user_value, sizeof(value)) < 0 ? -ABI_EFAULT
             : value.soft > value.hard                       ? -ABI_EINVAL
             : value.hard > before.hard                      ? -ABI_EPERM
                                                             : 0;
    if (result == 0) {
      next.set |= 1u << kind;
      next.limits[kind] = value;
    }
  }
  return result == 0 && user_old ? user_put(user_old, &before, sizeof(before)) : result;
}

/* Limits that the kernel does not keep cannot be changed: only what already holds is accepted, all
 * else is EPERM. */
static long limit_constant(int which, const struct rlimit *user_value, struct rlimit *user_old) {
  struct rlimit limit = limit_of(which), value;
  if (user_value) {
    if (user_get(&value, user_value, sizeof(value)) < 0) {
      return -ABI_EFAULT;
    }
    if (value.rlim_cur > value.rlim_max) {
      return -ABI_EINVAL;
    }
    if (value.rlim_cur != limit.rlim_cur || value.rlim_max != limit.rlim_max) {
      return -ABI_EPERM;
    }
  }
  return user_old ? user_put(user_old, &limit, sizeof(limit)) : 0;
}

long call_prlimit64(int pid, int which, const struct rlimit *user_value, struct rlimit *user_old) {
  int kind = limit_kind(which);
  if (which < 0 || which >= RLIM_NLIMITS) {
    return -ABI_EINVAL;
  }
  if (pid != 0 && (uint32_t)pid != rt_getpid()) {
    return -ABI_EPERM;
  }
  return kind < 0           ? limit_constant(which, user_value, user_old)
         : posix_in_vfork() ? limit_in_vfork(kind, user_value, user_old)
                            : limit_apply(kind, user_value, user_old);
}

long call_getrlimit(int which, struct rlimit *limit) {
  return call_prlimit64(0, which, NULL, limit);
}

/* ---- memory of the machine ---------------------------------------------------------------- */

/* The number after `name ` at the start of a line of text, 0 when there is none. */
static uint64_t line_number(const char *text, const char *name) {
  size_t n = strlen(name);
  for (const char *p = text; *p;) {
    if (strncmp(p, name, n) == 0 && p[n] == ' ') {
      uint64_t value = 0;
      for (p += n + 1; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (uint64_t)(*p - '0');
      }
      return value;
    }
    while (*p && *p++ != '\n') {
    }
  }
  return 0;
}

long call_sysinfo(struct sysinfo *user) {
  char text[512];
  int64_t fd = sys_openat(FD_NS, "sys:/mem", 8, O_ABI_RDONLY | O_ABI_CLOEXEC, 0);
  if (fd < 0) {
    return fd;
  }
  int64_t n = sys_read((int)fd, text, sizeof(text) - 1);
  (void)sys_close((int)fd);
  if (n < 0) {
    return n;
  }
  text[n] = '\0';
  struct sysinfo info = {
      .uptime = posix_now() / 1000000000,
      .totalram = line_number(text, "total_bytes"),
      .freeram = line_number(text, "free_bytes"),
      .procs = 1,
      .mem_unit = 1,
  };
  return user_put(user, &info, sizeof(info));
}

/* ---- random numbers ----------------------------------------------------------------------- */

/* ChaCha20 (RFC 8439) keyed by the seed that exec gave this process, with the time stamp counter
 * and the pid in the block's nonce: a fork, too, leaves two streams that differ. The seed goes back
 * to what the kernel gathered at boot; there is no other entropy. */
static uint32_t chacha_rotl(uint32_t x, int n) {
  return (x << n) | (x >> (32 - n));
}

static void chacha_quarter(uint32_t *s, int a, int b, int c, int d) {
  s[a] += s[b], s[d] = chacha_rotl(s[d] ^ s[a], 16);
  s[c] += s[d], s[b] = chacha_rotl(s[b] ^ s[c], 12);
  s[a] += s[b], s[d] = chacha_rotl(s[d] ^ s[a], 8);
  s[c] += s[d], s[b] = chacha_rotl(s[b] ^ s[c], 7);
}

static void chacha_block(const uint32_t *in, uint32_t *out) {
  memcpy(out, in, 64);
  for (int i = 0; i < 10; i++) {
    for (int k = 0; k < 4; k++) {
      chacha_quarter(out, k, 4 + k, 8 + k, 12 + k);
    }
    for (int k = 0; k < 4; k++) {
      chacha_quarter(out, k, 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4);
    }
  }
  for (int i = 0; i < 16; i++) {
    out[i] += in[i];
  }
}

static void random_block(uint32_t *out) {
  static uint32_t counter;
  uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  uint64_t tsc = __builtin_ia32_rdtsc();
  memcpy(in + 4, rt_start_block()->seed, 16);
  memcpy(in + 8, &tsc, sizeof(tsc));
  in[12] = __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
  in[13] = rt_getpid();
  in[14] = posix_self.tid;
  chacha_block(in, out);
}

long call_getrandom(void *buf, size_t len, unsigned flags) {
  uint32_t block[16];
  if (flags & ~(unsigned)(GRND_NONBLOCK | GRND_RANDOM)) {
    return -ABI_EINVAL;
  }
  for (size_t done = 0; done < len; done += sizeof(block)) {
    size_t n = len - done < sizeof(block) ? len - done : sizeof(block);
    random_block(block);
    if (user_put((char *)buf + done, block, n) < 0) {
      return -ABI_EFAULT;
    }
  }
  return (long)len;
}

/* ---- files without a name ----------------------------------------------------------------- */

long call_memfd_create(const char *user_name, unsigned flags) {
  char name[ABI_NAME_MAX + 1];
  int64_t n = rt_probe_string(name, user_name, sizeof(name));
  if (n < 0) {
    return n;
  }
  if (n >= ABI_NAME_MAX || (flags & ~(unsigned)MFD_CLOEXEC)) {
    return -ABI_EINVAL;
  }
  return sys_openat(FD_NS, "memory:/", 8, O_ABI_RDWR | (flags & MFD_CLOEXEC ? O_ABI_CLOEXEC : 0),
                    0);
}

/* ---- small change ------------------------------------------------------------------------- */

long call_prctl(int option, unsigned long arg) {
  char name[16] = {0};
  if (option != PR_SET_NAME) {
    return -ABI_EINVAL;
  }
  int64_t n = rt_probe_string(name, (const char *)arg, sizeof(name) - 1);
  if (n < 0) {
    return n;
  }
  struct proc_op op = {.code = PROC_NAME, .a = (uint64_t)name, .b = strlen(name)};
  int64_t result = rt_apply(FD_SELF, &op, 1);
  return result < 0 ? result : 0;
}

#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003

long call_arch_prctl(int code, unsigned long addr) {
  if (code == ARCH_SET_FS) {
    struct proc_op op = {.code = PROC_FSBASE, .a = addr};
    int64_t result = rt_apply(FD_SELF, &op, 1);
    return result < 0 ? result : 0;
  }
  uint64_t base = (uint64_t)__builtin_thread_pointer();
  return code == ARCH_GET_FS ? user_put((void *)addr, &base, sizeof(base)) : -ABI_EINVAL;
}
