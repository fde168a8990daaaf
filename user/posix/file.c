/* What is known about files, and changes of it: stat, access, modes, owners, times, lengths,
 * listings. */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "posix/posix.h"
#include "runtime/process.h"

#define BLOCK_SIZE 4096
#define NS_PER_SECOND 1000000000ll

static int64_t fd_call(int fd, enum scheme_op op, void *buf, size_t in, size_t out, uint64_t arg) {
  return fd < 0 || fd >= FD_UPPER
             ? -ABI_EBADF
             : posix_retry6(SYS_NR_call, (uint64_t)fd, op, (uint64_t)buf, in, out, arg);
}

/* ---- stat --------------------------------------------------------------------------------- */

static struct timespec time_of(int64_t ns) {
  int64_t seconds = ns / NS_PER_SECOND, rest = ns % NS_PER_SECOND;
  return rest < 0 ? (struct timespec){.tv_sec = seconds - 1, .tv_nsec = rest + NS_PER_SECOND}
                  : (struct timespec){.tv_sec = seconds, .tv_nsec = rest};
}

static long stat_put(const struct abi_stat *from, struct stat *user) {
  struct stat st = {
      .st_dev = from->dev,
      .st_ino = from->ino,
      .st_mode = from->mode,
      .st_nlink = from->nlink,
      .st_uid = from->uid,
      .st_gid = from->gid,
      .st_size = (off_t)from->size,
      .st_blksize = BLOCK_SIZE,
      .st_blocks = (blkcnt_t)from->blocks,
      .st_atim = time_of(from->atime_ns),
      .st_mtim = time_of(from->mtime_ns),
      .st_ctim = time_of(from->ctime_ns),
  };
  return user_put(user, &st, sizeof(st));
}

long call_fstat(int fd, struct stat *user) {
  struct abi_stat st;
  int64_t result = fd_call(fd, OP_STAT, &st, 0, sizeof(st), 0);
  return result < 0 ? result : stat_put(&st, user);
}

/* The path's metadata in path->stat. */
static int64_t path_stat(int dir, const char *user, uint32_t flags, struct posix_path *path) {
  int64_t result = posix_path_take(dir, user, path);
  if (result < 0) {
    return result;
  }
  bool directory = path->directory; /* follows links, and wants what they lead to */
  result = posix_path_call(path, OP_STATAT, sizeof(path->stat), directory ? 0 : flags);
  return result >= 0 && directory && (path->stat.mode & S_ABI_IFMT) != S_ABI_IFDIR ? -ABI_ENOTDIR
                                                                                   : result;
}

static bool is_empty(const char *user) {
  char first = 1;
  return user_get(&first, user, 1) == 0 && first == '\0';
}

long call_newfstatat(int dir, const char *user_path, struct stat *user, int flags) {
  struct posix_path path;
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT)) {
    return -ABI_EINVAL;
  }
  if ((flags & AT_EMPTY_PATH) && is_empty(user_path)) {
    return dir == AT_FDCWD ? call_stat(".", user) : call_fstat(dir, user);
  }
  int64_t result =
      path_stat(dir, user_path, flags & AT_SYMLINK_NOFOLLOW ? O_ABI_NOFOLLOW : 0, &path);
  return result < 0 ? result : stat_put(&path.stat, user);
}

long call_stat(const char *path, struct stat *st) {
  return call_newfstatat(AT_FDCWD, path, st, 0);
}

long call_lstat(const char *path, struct stat *st) {
  return call_newfstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

/* ---- access ------------------------------------------------------------------------------- */

/* Root may read and write all, and execute what anybody may. */
static bool mode_allows(const struct abi_stat *st, int want, uint32_t uid, uint32_t gid) {
  uint32_t shift = st->uid == uid ? 6 : st->gid == gid ? 3 : 0;
  uint32_t have = (st->mode >> shift) & 7;
  if (uid == 0) {
    have = 6 | ((st->mode & 0111) || (st->mode & S_ABI_IFMT) == S_ABI_IFDIR ? 1 : 0);
  }
  return (have & (uint32_t)want) == (uint32_t)want;
}

long call_faccessat2(int dir, const char *user_path, int mode, int flags) {
  struct posix_path path;
  if ((mode & ~(R_OK | W_OK | X_OK)) || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW))) {
    return -ABI_EINVAL;
  }
  int64_t result =
      path_stat(dir, user_path, flags & AT_SYMLINK_NOFOLLOW ? O_ABI_NOFOLLOW : 0, &path);
  if (result < 0) {
    return result;
  }
  bool effective = flags & AT_EACCESS;
  uint32_t uid = (uint32_t)(effective ? call_geteuid() : call_getuid());
  uint32_t gid = (uint32_t)(effective ? call_getegid() : call_getgid());
  return mode_allows(&path.stat, mode, uid, gid) ? 0 : -ABI_EACCES;
}

long call_faccessat(int dir, const char *path, int mode) {
  return call_faccessat2(dir, path, mode, 0);
}

long call_access(const char *path, int mode) {
  return call_faccessat2(AT_FDCWD, path, mode, 0);
}

/* ---- mode, owner -------------------------------------------------------------------------- */

static long path_change(int dir, const char *user, enum scheme_op op, uint64_t arg) {
  struct posix_path path;
  int64_t result = posix_path_take(dir, user, &path);
  return result < 0 ? result : posix_path_call(&path, op, 0, arg);
}

long call_fchmodat(int dir, const char *path, unsigned mode) {
  return path_change(dir, path, OP_CHMODAT, mode & 07777);
}

long call_chmod(const char *path, unsigned mode) {
  return call_fchmodat(AT_FDCWD, path, mode);
}

long call_fchmod(int fd, unsigned mode) {
  return fd_call(fd, OP_CHMODAT, NULL, 0, 0, mode & 07777);
}

static uint64_t owner_arg(unsigned uid, unsigned gid) {
  return uid | (uint64_t)gid << 32;
}

/* Links are followed whatever the flags say: no server here gives a link an owner of its own. */
long call_fchownat(int dir, const char *path, unsigned uid, unsigned gid, int flags) {
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) {
    return -ABI_EINVAL;
  }
  return (flags & AT_EMPTY_PATH) && is_empty(path)
             ? call_fchown(dir, uid, gid)
             : path_change(dir, path, OP_CHOWNAT, owner_arg(uid, gid));
}

long call_chown(const char *path, unsigned uid, unsigned gid) {
  return call_fchownat(AT_FDCWD, path, uid, gid, 0);
}

long call_lchown(const char *path, unsigned uid, unsigned gid) {
  return call_fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

long call_fchown(int fd, unsigned uid, unsigned gid) {
  return fd_call(fd, OP_CHOWNAT, NULL, 0, 0, owner_arg(uid, gid));
}

/* ---- times -------------------------------------------------------------------------------- */

static int64_t time_take(const struct timespec *time, int64_t now, int64_t old, int64_t *ns) {
  if (time->tv_nsec == UTIME_NOW) {
    *ns = now;
  } else if (time->tv_nsec == UTIME_OMIT) {
    *ns = old;
  } else if (time->tv_nsec < 0 || time->tv_nsec >= NS_PER_SECOND ||
             __builtin_mul_overflow(time->tv_sec, NS_PER_SECOND, ns) ||
             __builtin_add_overflow(*ns, time->tv_nsec, ns)) {
    return -ABI_EINVAL;
  }
  return 0;
}

/* The two times to set, where `old` is only asked for when one of them is to stay. */
static int64_t times_take(const struct timespec *user, const struct abi_stat *old, int64_t *ns) {
  struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
  int64_t now = (int64_t)posix_now() + rt_start_block()->clock.realtime_offset_ns;
  if (user && user_get(times, user, sizeof(times)) < 0) {
    return -ABI_EFAULT;
  }
  int64_t result = time_take(&times[0], now, old->atime_ns, &ns[0]);
  return result < 0 ? result : time_take(&times[1], now, old->mtime_ns, &ns[1]);
}

static long times_set(int fd, const struct timespec *user) {
  struct abi_stat old;
  int64_t ns[2], result = fd_call(fd, OP_STAT, &old, 0, sizeof(old), 0);
  result = result < 0 ? result : times_take(user, &old, ns);
  return result < 0 ? result : fd_call(fd, OP_UTIMENSAT, ns, sizeof(ns), 0, 0);
}

/* In the call's buffer the times come before the path, so the file is opened and changed itself. */
long call_utimensat(int dir, const char *user_path, const struct timespec *times, int flags) {
  struct posix_path path;
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) {
    return -ABI_EINVAL;
  }
  if (!user_path || ((flags & AT_EMPTY_PATH) && is_empty(user_path))) {
    return times_set(dir, times);
  }
  int64_t fd = posix_path_take(dir, user_path, &path);
  fd = fd < 0 ? fd
              : posix_path_open(&path,
                                O_ABI_PATH | O_ABI_CLOEXEC |
                                    (flags & AT_SYMLINK_NOFOLLOW ? O_ABI_NOFOLLOW : 0),
                                0);
  if (fd < 0) {
    return fd;
  }
  long result = times_set((int)fd, times);
  (void)sys_close((int)fd);
  return result;
}

/* ---- length, write-back ------------------------------------------------------------------- */

long call_ftruncate(int fd, long len) {
  return len < 0 ? -ABI_EINVAL : fd_call(fd, OP_TRUNCATE, NULL, 0, 0, (uint64_t)len);
}

long call_truncate(const char *user_path, long len) {
  struct posix_path path;
  int64_t fd = posix_path_take(AT_FDCWD, user_path, &path);
  fd = fd < 0 ? fd : posix_path_open(&path, O_ABI_WRONLY | O_ABI_CLOEXEC, 0);
  if (fd < 0) {
    return fd;
  }
  long result = call_ftruncate((int)fd, len);
  (void)sys_close((int)fd);
  return result;
}

long call_fsync(int fd) {
  return fd_call(fd, OP_SYNC, NULL, 0, 0, 0);
}

long call_fdatasync(int fd) {
  return call_fsync(fd);
}

long call_syncfs(int fd) {
  return call_fsync(fd);
}

/* There is nothing behind the file systems here that could be late: they are memory. */
long call_sync(void) {
  return 0;
}

/* ---- listings, file systems --------------------------------------------------------------- */

/* The kernel's records are those of Linux. */
long call_getdents64(int fd, void *buf, size_t size) {
  return fd_call(fd, OP_GETDENTS, buf, 0, size < INT_MAX ? size : INT_MAX, 0);
}

long call_fstatfs(int fd, struct statfs *user) {
  uint64_t got[4] = {0};
  int64_t result = fd_call(fd, OP_STATFS, got, 0, sizeof(got), 0);
  struct statfs st = {
      .f_bsize = BLOCK_SIZE,
      .f_frsize = BLOCK_SIZE,
      .f_blocks = got[0] / BLOCK_SIZE,
      .f_bfree = got[1] / BLOCK_SIZE,
      .f_bavail = got[1] / BLOCK_SIZE,
      .f_files = got[2],
      .f_ffree = got[3],
      .f_namelen = ABI_NAME_MAX,
  };
  return result < 0 ? result : user_put(user, &st, sizeof(st));
}

long call_statfs(const char *user_path, struct statfs *user) {
  struct posix_path path;
  int64_t fd = posix_path_take(AT_FDCWD, user_path, &path);
  fd = fd < 0 ? fd : posix_path_open(&path, O_ABI_PATH | O_ABI_CLOEXEC, 0);
  if (fd < 0) {
    return fd;
  }
  long result = call_fstatfs((int)fd, user);
  (void)sys_close((int)fd);
  return result;
}
