/* Descriptors: reading, writing, duplicating, flags. A descriptor is the kernel's own number. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/uio.h>

#include "lib/bits.h"
#include "posix/posix.h"
#include "runtime/process.h"

#define BOUNCE 4096u /* scattered input up to this size comes in one read */

/* The flags that open files have here. O_LARGEFILE, O_NOCTTY and the like mean nothing. */
#define OPEN_FLAGS                                                                                 \
  (O_ABI_ACCMODE | O_ABI_CREAT | O_ABI_EXCL | O_ABI_TRUNC | O_ABI_APPEND | O_ABI_NONBLOCK |        \
   O_ABI_DIRECTORY | O_ABI_NOFOLLOW | O_ABI_CLOEXEC | O_ABI_PATH)

/* ---- open, close -------------------------------------------------------------------------- */

long call_openat(int dir, const char *user_path, int flags, unsigned mode) {
  struct posix_path path;
  int64_t result = posix_path_take(dir, user_path, &path);
  if (result < 0) {
    return result;
  }
  uint32_t abi_flags = (uint32_t)flags & OPEN_FLAGS;
  if (path.directory) {
    if (flags & O_CREAT) {
      return -ABI_EISDIR;
    }
    abi_flags |= O_ABI_DIRECTORY;
  }
  return posix_path_open(&path, abi_flags, mode & 07777 & ~posix_umask());
}

long call_open(const char *path, int flags, unsigned mode) {
  return call_openat(AT_FDCWD, path, flags, mode);
}

long call_creat(const char *path, unsigned mode) {
  return call_openat(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* Programs may not reach the runtime's descriptors, nor the namespace by its number. */
static bool fd_valid(int fd) {
  return fd >= 0 && fd < FD_UPPER;
}

long call_close(int fd) {
  return fd_valid(fd) ? sys_close(fd) : -ABI_EBADF;
}

/* ---- read, write -------------------------------------------------------------------------- */

long call_read(int fd, void *buf, size_t len) {
  return fd_valid(fd) ? posix_retry3(SYS_NR_read, (uint64_t)fd, (uint64_t)buf, len) : -ABI_EBADF;
}

long call_write(int fd, const void *buf, size_t len) {
  return fd_valid(fd) ? posix_retry3(SYS_NR_write, (uint64_t)fd, (uint64_t)buf, len) : -ABI_EBADF;
}

long call_pread64(int fd, void *buf, size_t len, long offset) {
  if (offset < 0) {
    return -ABI_EINVAL;
  }
  return fd_valid(fd)
             ? posix_retry6(SYS_NR_pread, (uint64_t)fd, (uint64_t)buf, len, (uint64_t)offset, 0, 0)
             : -ABI_EBADF;
}

long call_pwrite64(int fd, const void *buf, size_t len, long offset) {
  if (offset < 0) {
    return -ABI_EINVAL;
  }
  return fd_valid(fd)
             ? posix_retry6(SYS_NR_pwrite, (uint64_t)fd, (uint64_t)buf, len, (uint64_t)offset, 0, 0)
             : -ABI_EBADF;
}

/* ---- scattered and gathered --------------------------------------------------------------- */

/* Parts stay where the caller has them, and are fetched when it is their turn: a program may call
 * this on a stack that holds little more than its own words. */
struct vector {
  const struct iovec *iov;
  int n, n_full; /* parts, and those that are not empty */
  size_t total;
};

/* A part, of at most `most` bytes, whatever another thread has made of it since it was counted. */
static int64_t part_get(const struct vector *v, int i, size_t most, struct iovec *part) {
  if (user_get(part, &v->iov[i], sizeof(*part)) < 0) {
    return -ABI_EFAULT;
  }
  part->iov_len = MIN(part->iov_len, most);
  return 0;
}

static int64_t vector_take(struct vector *v, const struct iovec *iov, int n) {
  *v = (struct vector){.iov = iov, .n = n};
  if (n < 0 || n > IOV_MAX) {
    return -ABI_EINVAL;
  }
  for (int i = 0; i < n; i++) {
    struct iovec part;
    if (part_get(v, i, SIZE_MAX, &part) < 0) {
      return -ABI_EFAULT;
    }
    if (part.iov_len > SSIZE_MAX - v->total) {
      return -ABI_EINVAL;
    }
    v->total += part.iov_len;
    v->n_full += part.iov_len != 0;
  }
  return 0;
}

/* One transfer of one part; offset < 0: at the file's position. */
static long part_move(int fd, const struct iovec *part, long offset, bool out) {
  if (out) {
    return offset < 0 ? call_write(fd, part->iov_base, part->iov_len)
                      : call_pwrite64(fd, part->iov_base, part->iov_len, offset);
  }
  return offset < 0 ? call_read(fd, part->iov_base, part->iov_len)
                    : call_pread64(fd, part->iov_base, part->iov_len, offset);
}

/* Between the parts and their bytes in one piece: `len` of them, or as many as have room. */
static int64_t parts_copy(const struct vector *v, char *whole, size_t len, bool out) {
  for (int i = 0; i < v->n && len != 0; i++) {
    struct iovec part;
    if (part_get(v, i, len, &part) < 0 ||
        (out ? user_get(whole, part.iov_base, part.iov_len)
             : user_put(part.iov_base, whole, part.iov_len)) < 0) {
      return -ABI_EFAULT;
    }
    whole += part.iov_len;
    len -= part.iov_len;
  }
  return 0;
}

/* Small vectors in one transfer: what comes from a pipe at once is read at once, and what goes out
 * is not torn apart. They take as much of the stack as they have bytes: it may be a small one. */
static long vector_bounce(int fd, const struct vector *v, long offset, bool out) {
  struct iovec whole = {__builtin_alloca(v->total), v->total};
  if (out && parts_copy(v, whole.iov_base, v->total, true) < 0) {
    return -ABI_EFAULT;
  }
  long moved = part_move(fd, &whole, offset, out);
  bool lost = moved > 0 && !out && parts_copy(v, whole.iov_base, (size_t)moved, false) < 0;
  return lost ? -ABI_EFAULT : moved;
}

static bool readable_now(int fd) {
  struct poll_fd poll = {fd, POLL_ABI_IN, 0};
  return sys_poll(&poll, 1, 0) > 0;
}

/* Part by part until one is short. After the first, no read waits for more. */
static long vector_parts(int fd, const struct vector *v, long offset, bool out) {
  size_t done = 0;
  for (int i = 0; i < v->n; i++) {
    struct iovec part;
    long at = offset < 0 ? offset : offset + (long)done;
    long moved = part_get(v, i, v->total - done, &part);
    if (moved == 0 && part.iov_len == 0) {
      continue;
    }
    if (done != 0 && !out && !readable_now(fd)) {
      break;
    }
    moved = moved < 0 ? moved : part_move(fd, &part, at, out);
    if (moved < 0) {
      return done != 0 ? (long)done : moved;
    }
    done += (size_t)moved;
    if ((size_t)moved < part.iov_len) {
      break;
    }
  }
  return (long)done;
}

static long vector_move(int fd, const struct iovec *iov, int n, long offset, bool out) {
  struct vector v;
  int64_t result = vector_take(&v, iov, n);
  if (result < 0) {
    return result;
  }
  if (v.n_full == 0) {
    return part_move(fd, &(struct iovec){NULL, 0}, offset, out);
  }
  return v.n_full > 1 && v.total <= BOUNCE ? vector_bounce(fd, &v, offset, out)
                                           : vector_parts(fd, &v, offset, out);
}

long call_readv(int fd, const struct iovec *iov, int n) {
  return vector_move(fd, iov, n, -1, false);
}

long call_writev(int fd, const struct iovec *iov, int n) {
  return vector_move(fd, iov, n, -1, true);
}

long call_preadv(int fd, const struct iovec *iov, int n, long offset, long high) {
  (void)high; /* the upper half where long is 32 bits */
  return offset < 0 ? -ABI_EINVAL : vector_move(fd, iov, n, offset, false);
}

long call_pwritev(int fd, const struct iovec *iov, int n, long offset, long high) {
  (void)high;
  return offset < 0 ? -ABI_EINVAL : vector_move(fd, iov, n, offset, true);
}

/* ---- position, duplicates, flags ---------------------------------------------------------- */

long call_lseek(int fd, long offset, int whence) {
  if (whence < 0 || whence > SEEK_ABI_END) {
    return -ABI_EINVAL;
  }
  return fd_valid(fd) ? sys_seek(fd, offset, (uint64_t)whence) : -ABI_EBADF;
}

long call_dup(int fd) {
  return fd_valid(fd) ? sys_dup_into(fd, 0, 0) : -ABI_EBADF;
}

long call_dup3(int fd, int target, int flags) {
  if (fd == target || (flags & ~O_CLOEXEC)) {
    return -ABI_EINVAL;
  }
  return fd_valid(fd) && fd_valid(target)
             ? sys_dup_into(fd, (uint64_t)target, DUP_EXACT | ((uint32_t)flags & O_ABI_CLOEXEC))
             : -ABI_EBADF;
}

long call_dup2(int fd, int target) {
  if (fd == target) {
    int64_t flags = fd_valid(fd) ? sys_fdctl(fd, FDCTL_GET_FD, 0) : -ABI_EBADF;
    return flags < 0 ? flags : fd;
  }
  return call_dup3(fd, target, 0);
}

static long fcntl_dup(int fd, unsigned long least, uint32_t flags) {
  return least >= FD_UPPER ? -ABI_EINVAL : sys_dup_into(fd, least, flags);
}

long call_fcntl(int fd, int op, unsigned long arg) {
  if (!fd_valid(fd)) {
    return -ABI_EBADF;
  }
  int64_t flags;
  switch (op) {
  case F_DUPFD:
    return fcntl_dup(fd, arg, 0);
  case F_DUPFD_CLOEXEC:
    return fcntl_dup(fd, arg, O_ABI_CLOEXEC);
  case F_GETFD:
    flags = sys_fdctl(fd, FDCTL_GET_FD, 0);
    return flags < 0 ? flags : (flags & O_ABI_CLOEXEC) ? FD_CLOEXEC : 0;
  case F_SETFD:
    return sys_fdctl(fd, FDCTL_SET_FD, arg & FD_CLOEXEC ? O_ABI_CLOEXEC : 0);
  case F_GETFL:
    return sys_fdctl(fd, FDCTL_GET_FILE, 0);
  case F_SETFL:
    return sys_fdctl(fd, FDCTL_SET_FILE, arg & (O_ABI_APPEND | O_ABI_NONBLOCK));
  default:
    return -ABI_EINVAL;
  }
}

/* ---- pipes -------------------------------------------------------------------------------- */

/* Opening pipe: makes one and answers its read end; the write end is derived from it. */
long call_pipe2(int *user_fds, int flags) {
  uint32_t abi_flags = (uint32_t)flags & (O_ABI_CLOEXEC | O_ABI_NONBLOCK);
  if (flags & ~(O_CLOEXEC | O_NONBLOCK)) {
    return -ABI_EINVAL;
  }
  int64_t in = sys_openat(FD_NS, "pipe:/", 6, abi_flags | O_ABI_RDONLY, 0);
  if (in < 0) {
    return in;
  }
  int64_t out = sys_dup((int)in, "write", 5, abi_flags | O_ABI_WRONLY);
  int fds[2] = {(int)in, (int)out};
  int64_t result = out < 0 ? out : user_put(user_fds, fds, sizeof(fds));
  if (result < 0) {
    (void)sys_close((int)in);
    if (out >= 0) {
      (void)sys_close((int)out);
    }
  }
  return result;
}

long call_pipe(int *user_fds) {
  return call_pipe2(user_fds, 0);
}
