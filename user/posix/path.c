/* Paths: the working directory, the mask, and every operation that names a file. See posix.h and
 * runtime/path.h.
 *
 * A relative path is joined to the working directory here, or goes to the server of the directory
 * that an *at call names. A server keeps such a path below that directory and answers EXDEV when
 * ".." or a link leads out of it; POSIX allows that, so the path is then asked for again by its
 * full name. */
#include "runtime/path.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "posix/posix.h"
#include "posix/vfork.h"

/* The one not in use is filled, then takes over. */
static char cwd_buffers[2][ABI_PATH_MAX] LARGE;
static char cwd_in_vfork[2][ABI_PATH_MAX] LARGE;
static const char *cwd;
static uint32_t mask;

void posix_path_init(const char *start_cwd, uint32_t start_mask) {
  cwd = start_cwd ? start_cwd : "file:/";
  mask = start_mask;
}

const char *posix_cwd(void) {
  return __atomic_load_n(&cwd, __ATOMIC_ACQUIRE);
}

uint32_t posix_umask(void) {
  return mask;
}

/* ---- taking a path ------------------------------------------------------------------------ */

static bool path_is_absolute(const char *text) {
  const char *colon = text;
  while (*colon && *colon != ':' && *colon != '/') {
    colon++;
  }
  return text[0] == '/' || (colon != text && colon[0] == ':' && colon[1] == '/');
}

static int64_t path_resolved(struct posix_path *path, const char *base, const char *text) {
  int64_t len = path_resolve(base, text, path->text, sizeof(path->text));
  path->dir = FD_NS;
  path->len = len < 0 ? 0 : (size_t)len;
  return len < 0 ? len : 0;
}

int64_t posix_path_take(int dir, const char *user, struct posix_path *path) {
  char text[ABI_PATH_MAX];
  int64_t len = rt_probe_string(text, user, sizeof(text));
  if (len < 0) {
    return len;
  }
  if (len == (int64_t)sizeof(text)) {
    return -ABI_ENAMETOOLONG;
  }
  path->directory = path_names_directory(text, (size_t)len);
  if (dir == AT_FDCWD || path_is_absolute(text)) {
    return path_resolved(path, posix_cwd(), text);
  }
  if (dir < 0 || dir >= FD_UPPER) {
    return -ABI_EBADF;
  }
  memcpy(path->text, text, (size_t)len + 1);
  path->dir = dir;
  path->len = (size_t)len;
  return len == 0 ? -ABI_ENOENT : 0;
}

/* From a directory and a path below it to a full path. */
static int64_t path_promote(struct posix_path *path) {
  char text[ABI_PATH_MAX], base[ABI_PATH_MAX];
  memcpy(text, path->text, path->len);
  text[path->len] = '\0';
  int64_t n = sys_call(path->dir, OP_PATH, base, 0, sizeof(base) - 1, 0);
  if (n < 0) {
    return n;
  }
  base[n] = '\0';
  return path_resolved(path, base, text);
}

int64_t posix_path_call(struct posix_path *path, enum scheme_op op, size_t out_cap, uint64_t arg) {
  for (;;) {
    int64_t result = posix_retry6(SYS_NR_call, (uint64_t)path->dir, op, (uint64_t)path->text,
                                  path->len, out_cap, arg);
    if (result != -ABI_EXDEV || path->dir == FD_NS || path_promote(path) < 0) {
      return result;
    }
  }
}

int64_t posix_path_open(struct posix_path *path, uint32_t flags, uint32_t mode) {
  for (;;) {
    int64_t result = posix_retry6(SYS_NR_openat, (uint64_t)path->dir, (uint64_t)path->text,
                                  path->len, flags, mode, 0);
    if (result != -ABI_EXDEV || path->dir == FD_NS || path_promote(path) < 0) {
      return result;
    }
  }
}

/* Take and call, for operations with nothing else in their buffer. */
static int64_t path_do(int dir, const char *user, enum scheme_op op, uint64_t arg) {
  struct posix_path path;
  int64_t result = posix_path_take(dir, user, &path);
  return result < 0 ? result : posix_path_call(&path, op, 0, arg);
}

/* ---- working directory, mask -------------------------------------------------------------- */

/* The directory's own name is asked for, so that no link stays in ours. Takes the descriptor. */
static long cwd_set(int fd, const char *fallback) {
  char(*buffers)[ABI_PATH_MAX] = posix_in_vfork() ? cwd_in_vfork : cwd_buffers;
  char *next = cwd == buffers[0] ? buffers[1] : buffers[0];
  struct abi_stat st;
  int64_t result = sys_call(fd, OP_STAT, &st, 0, sizeof(st), 0);
  if (result >= 0 && (st.mode & S_ABI_IFMT) != S_ABI_IFDIR) {
    result = -ABI_ENOTDIR;
  }
  if (result >= 0) {
    int64_t n = sys_call(fd, OP_PATH, next, 0, ABI_PATH_MAX - 1, 0);
    if (n >= 0) {
      next[n] = '\0';
    } else if (fallback) {
      (void)strlcpy(next, fallback, ABI_PATH_MAX); /* it came from a buffer of this size */
    } else {
      result = n;
    }
  }
  if (result >= 0) {
    __atomic_store_n(&cwd, next, __ATOMIC_RELEASE);
  }
  return result < 0 ? result : 0;
}

long call_chdir(const char *user) {
  struct posix_path path;
  int64_t result = posix_path_take(AT_FDCWD, user, &path);
  if (result < 0) {
    return result;
  }
  path.text[path.len] = '\0';
  int64_t fd = posix_path_open(&path, O_ABI_DIRECTORY | O_ABI_CLOEXEC, 0);
  if (fd < 0) {
    return fd;
  }
  result = cwd_set((int)fd, path.text);
  (void)sys_close((int)fd);
  return result;
}

long call_fchdir(int fd) {
  return fd < 0 || fd >= FD_UPPER ? -ABI_EBADF : cwd_set(fd, NULL);
}

long call_getcwd(char *user, size_t size) {
  char text[ABI_PATH_MAX];
  int64_t n = path_show(posix_cwd(), text, sizeof(text));
  if (n < 0 || (size_t)n >= size) {
    return -ABI_ERANGE;
  }
  return user_put(user, text, (size_t)n + 1) < 0 ? -ABI_EFAULT : n + 1;
}

long call_umask(unsigned new_mask) {
  return __atomic_exchange_n(&mask, new_mask & 0777, __ATOMIC_RELAXED);
}

/* ---- directories, links ------------------------------------------------------------------- */

long call_mkdirat(int dir, const char *path, unsigned mode) {
  return path_do(dir, path, OP_MKDIRAT, mode & 01777 & ~mask);
}

long call_mkdir(const char *path, unsigned mode) {
  return call_mkdirat(AT_FDCWD, path, mode);
}

/* The last component of what the user wrote, which decides some errors. */
static bool ends_in_dot(const char *user, size_t dots) {
  char text[ABI_PATH_MAX];
  int64_t n = rt_probe_string(text, user, sizeof(text));
  while (n > 0 && n < (int64_t)sizeof(text) && text[n - 1] == '/') {
    n--;
  }
  size_t found = 0;
  while (n > 0 && text[n - 1] == '.') {
    n--;
    found++;
  }
  return found == dots && (n == 0 || text[n - 1] == '/');
}

long call_unlinkat(int dir, const char *user, int flags) {
  struct posix_path path;
  if (flags & ~AT_REMOVEDIR) {
    return -ABI_EINVAL;
  }
  int64_t result = posix_path_take(dir, user, &path);
  if (result < 0) {
    return result;
  }
  if ((flags & AT_REMOVEDIR) && path.directory) {
    if (ends_in_dot(user, 1)) {
      return -ABI_EINVAL;
    }
    if (ends_in_dot(user, 2)) {
      return -ABI_ENOTEMPTY;
    }
  }
  bool wrong = path.directory && !(flags & AT_REMOVEDIR);
  if (wrong) { /* "file/" */
    result = posix_path_call(&path, OP_STATAT, sizeof(path.stat), O_ABI_NOFOLLOW);
    return result < 0                                     ? result
           : (path.stat.mode & S_ABI_IFMT) == S_ABI_IFDIR ? -ABI_EISDIR
                                                          : -ABI_ENOTDIR;
  }
  return posix_path_call(&path, OP_UNLINKAT, 0, flags & AT_REMOVEDIR ? O_ABI_DIRECTORY : 0);
}

long call_unlink(const char *path) {
  return call_unlinkat(AT_FDCWD, path, 0);
}

long call_rmdir(const char *path) {
  return call_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* The path behind `scheme:/` when its scheme is that of `like`, else NULL. */
static const char *path_beside(const char *text, const char *like) {
  size_t n = 0;
  while (text[n] == like[n] && text[n] != ':') {
    n++;
  }
  return text[n] == ':' && like[n] == ':' ? text + n + 2 : NULL;
}

/* Two paths in one buffer: old, NUL, new without its scheme, which must be the same. */
static int64_t pair_call(enum scheme_op op, int from_dir, const char *from, int to_dir,
                         const char *to) {
  struct {
    struct posix_path from, to;
    char both[2 * ABI_PATH_MAX];
  } p;
  int64_t result = posix_path_take(from_dir, from, &p.from);
  result = result < 0 ? result : posix_path_take(to_dir, to, &p.to);
  if (result >= 0 && p.from.dir != FD_NS) {
    result = path_promote(&p.from);
  }
  if (result >= 0 && p.to.dir != FD_NS) {
    result = path_promote(&p.to);
  }
  const char *beside = result < 0 ? NULL : path_beside(p.to.text, p.from.text);
  if (!beside) {
    return result < 0 ? result : -ABI_EXDEV;
  }
  size_t n = strlen(beside);
  memcpy(p.both, p.from.text, p.from.len);
  p.both[p.from.len] = '\0';
  memcpy(p.both + p.from.len + 1, beside, n);
  return sys_call(FD_NS, op, p.both, p.from.len + 1 + n, 0, p.from.len);
}

long call_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  return flags ? -ABI_EINVAL : pair_call(OP_RENAMEAT, from_dir, from, to_dir, to);
}

long call_renameat(int from_dir, const char *from, int to_dir, const char *to) {
  return pair_call(OP_RENAMEAT, from_dir, from, to_dir, to);
}

long call_rename(const char *from, const char *to) {
  return pair_call(OP_RENAMEAT, AT_FDCWD, from, AT_FDCWD, to);
}

long call_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  return flags & ~AT_SYMLINK_FOLLOW ? -ABI_EINVAL
                                    : pair_call(OP_LINKAT, from_dir, from, to_dir, to);
}

long call_link(const char *from, const char *to) {
  return pair_call(OP_LINKAT, AT_FDCWD, from, AT_FDCWD, to);
}

/* The link's path, NUL, then the target as it is. */
long call_symlinkat(const char *user_target, int dir, const char *user_path) {
  struct posix_path path;
  char target[ABI_PATH_MAX], both[2 * ABI_PATH_MAX];
  int64_t n = rt_probe_string(target, user_target, sizeof(target));
  if (n <= 0) {
    return n < 0 ? n : -ABI_ENOENT;
  }
  if (n == (int64_t)sizeof(target)) {
    return -ABI_ENAMETOOLONG;
  }
  int64_t result = posix_path_take(dir, user_path, &path);
  if (result < 0) {
    return result;
  }
  memcpy(both, path.text, path.len);
  both[path.len] = '\0';
  memcpy(both + path.len + 1, target, (size_t)n);
  return sys_call(path.dir, OP_SYMLINKAT, both, path.len + 1 + (size_t)n, 0, path.len);
}

long call_symlink(const char *target, const char *path) {
  return call_symlinkat(target, AT_FDCWD, path);
}

long call_readlinkat(int dir, const char *user_path, char *buf, size_t size) {
  struct posix_path path;
  if (size == 0) {
    return -ABI_EINVAL;
  }
  int64_t result = posix_path_take(dir, user_path, &path);
  result = result < 0 ? result : posix_path_call(&path, OP_READLINKAT, sizeof(path.text), 0);
  if (result < 0) {
    return result;
  }
  size_t n = (size_t)result < size ? (size_t)result : size;
  return user_put(buf, path.text, n) < 0 ? -ABI_EFAULT : (long)n;
}

long call_readlink(const char *path, char *buf, size_t size) {
  return call_readlinkat(AT_FDCWD, path, buf, size);
}
