/* System calls on descriptors. */
#include "lib/string.h"
#include "syscall/syscall.h"

static struct kcache path_cache = {
    .name = "path", .size = ABI_PATH_MAX, .align = 8, .lock = SPINLOCK(KCACHE)};

static struct filetable *files(void) {
  return context_current()->files;
}

/* ---- bytes -------------------------------------------------------------------------------- */

#define IO_MOST (INT64_MAX >> 1)

/* Why not; 0 for nothing at all, wherever that is. */
static __attribute__((noinline)) int64_t io_refuse(const struct file *f, uaddr_t buf, size_t len,
                                                   bool write) {
  if (write ? f->ops->write == NULL : f->ops->read == NULL) {
    return atomic_load(&f->flags) & O_ABI_DIRECTORY && !write ? -ABI_EISDIR : -ABI_EINVAL;
  }
  if (!(write ? file_may_write(f) : file_may_read(f))) {
    return -ABI_EBADF;
  }
  return len > IO_MOST ? -ABI_EINVAL : len > 0 && !user_range_ok(buf, len) ? -ABI_EFAULT : 0;
}

static inline int64_t io_check(const struct file *f, uaddr_t buf, size_t len, bool write) {
  bool may =
      write ? f->ops->write != NULL && file_may_write(f) : f->ops->read != NULL && file_may_read(f);
  return LIKELY(may && user_range_ok(buf, len)) ? 0 : io_refuse(f, buf, len, write);
}

/* At the descriptor's position; appending writes go to the end, which the scheme finds. */
int64_t sys_read(int fd, uaddr_t buf, size_t len) {
  struct fd_ref ref;
  enum abi_error e = fd_get(files(), fd, &ref);
  if (e != OK) {
    return -(int64_t)e;
  }
  struct file *f = ref.file;
  int64_t r = io_check(f, buf, len, false);
  if (r == 0) {
    uint64_t pos = atomic_load_explicit(&f->pos, memory_order_relaxed);
    r = f->ops->read(f, buf, len, pos);
    if (r > 0 && f->ops->seekable) {
      atomic_store_explicit(&f->pos, pos + (uint64_t)r, memory_order_relaxed);
    }
  }
  fd_put(&ref);
  return r;
}

static int64_t file_size(struct file *f);

/* Where the position is after a write of n bytes at pos: appending, wherever the end is now. */
static uint64_t pos_after_write(struct file *f, uint64_t pos, uint64_t n) {
  bool append = atomic_load_explicit(&f->flags, memory_order_relaxed) & O_ABI_APPEND;
  int64_t end = append ? file_size(f) : -1;
  return end >= 0 ? (uint64_t)end : pos + n;
}

int64_t sys_write(int fd, uaddr_t buf, size_t len) {
  struct fd_ref ref;
  enum abi_error e = fd_get(files(), fd, &ref);
  if (e != OK) {
    return -(int64_t)e;
  }
  struct file *f = ref.file;
  int64_t r = io_check(f, buf, len, true);
  if (r == 0) {
    uint64_t pos = atomic_load_explicit(&f->pos, memory_order_relaxed);
    r = f->ops->write(f, buf, len, pos);
    if (r > 0 && f->ops->seekable) {
      atomic_store_explicit(&f->pos, pos_after_write(f, pos, (uint64_t)r), memory_order_relaxed);
    }
  }
  fd_put(&ref);
  return r;
}

static int64_t io_at(int fd, uaddr_t buf, size_t len, int64_t offset, bool write) {
  struct fd_ref ref;
  enum abi_error e = fd_get(files(), fd, &ref);
  if (e != OK) {
    return -(int64_t)e;
  }
  struct file *f = ref.file;
  int64_t r = offset < 0          ? -ABI_EINVAL
              : !f->ops->seekable ? -ABI_ESPIPE
                                  : io_check(f, buf, len, write);
  if (r == 0) {
    r = write ? f->ops->write(f, buf, len, (uint64_t)offset)
              : f->ops->read(f, buf, len, (uint64_t)offset);
  }
  fd_put(&ref);
  return r;
}

int64_t sys_pread(int fd, uaddr_t buf, size_t len, int64_t offset) {
  return io_at(fd, buf, len, offset, false);
}

int64_t sys_pwrite(int fd, uaddr_t buf, size_t len, int64_t offset) {
  return io_at(fd, buf, len, offset, true);
}

/* ---- names -------------------------------------------------------------------------------- */

/* A path in kernel memory; freed with path_free(). */
static enum abi_error path_copy(uaddr_t path, size_t len, char **out) {
  if (len >= ABI_PATH_MAX) {
    return ABI_ENAMETOOLONG;
  }
  char *p = kcache_alloc(&path_cache);
  if (p == NULL) {
    return ABI_ENOMEM;
  }
  enum abi_error e = user_copy_in(p, path, len);
  if (e != OK) {
    kcache_free(&path_cache, p);
    return e;
  }
  p[len] = '\0';
  *out = p;
  return OK;
}

static void path_free(char *p) {
  kcache_free(&path_cache, p);
}

static int64_t file_install(struct file *f, uint32_t flags) {
  int64_t fd = filetable_add(files(), f, flags & O_ABI_UPPER ? FD_UPPER : 0, flags);
  if (fd < 0) {
    file_put(f);
  }
  return fd;
}

static int64_t open_path(int dir, const char *path, size_t len, uint32_t flags, uint32_t mode,
                         struct file **out) {
  struct fd_ref ref = {.counted = true};
  size_t used = 0;
  enum abi_error e =
      dir == FD_NS ? scheme_find(path, len, &ref.file, &used) : fd_get(files(), dir, &ref);
  if (e != OK) {
    return -(int64_t)e;
  }
  const struct file_ops *ops = ref.file->ops;
  int64_t r = ops->open == NULL ? -ABI_ENOTDIR
                                : ops->open(ref.file, path + used, len - used, flags, mode, out);
  fd_put(&ref);
  return r;
}

int64_t sys_openat(int dir, uaddr_t path, size_t len, uint32_t flags, uint32_t mode) {
  char *p;
  struct file *f;
  enum abi_error e = path_copy(path, len, &p);
  if (e != OK) {
    return -(int64_t)e;
  }
  int64_t r = open_path(dir, p, len, flags, mode, &f);
  path_free(p);
  return r < 0 ? r : file_install(f, flags);
}

static int64_t dup_named(int fd, const char *name, size_t len, struct file **out) {
  if (fd == FD_SELF) {
    return proc_dup(context_current(), name, len, out);
  }
  struct fd_ref ref;
  enum abi_error e = fd_get(files(), fd, &ref);
  if (e != OK) {
    return -(int64_t)e;
  }
  int64_t r = 0;
  if (len == 0) {
    file_get(ref.file);
    *out = ref.file;
  } else {
    r = ref.file->ops->dup != NULL ? ref.file->ops->dup(ref.file, name, len, out) : -ABI_EINVAL;
  }
  fd_put(&ref);
  return r;
}

int64_t sys_dup(int fd, uaddr_t name, size_t len, uint32_t flags) {
  char *p;
  struct file *f;
  enum abi_error e = path_copy(name, len, &p);
  if (e != OK) {
    return -(int64_t)e;
  }
  int64_t r = dup_named(fd, p, len, &f);
  path_free(p);
  if (r >= 0 && len > 0) {
    atomic_fetch_or(&f->flags,
                    flags & O_ABI_NONBLOCK); /* a new open file; a shared one keeps its own */
  }
  return r < 0 ? r : file_install(f, flags);
}

/* ---- numbers ------------------------------------------------------------------------------ */

int64_t sys_dup_into(int fd, uint64_t target, uint32_t flags) {
  struct fd_ref ref;
  enum abi_error e = fd_get(files(), fd, &ref);
  if (e != OK) {
    return -(int64_t)e;
  }
  file_get(ref.file);
  int64_t r = target > UINT32_MAX    ? -ABI_EBADF
              : !(flags & DUP_EXACT) ? filetable_add(files(), ref.file, (uint32_t)target, flags)
              : target == (uint64_t)fd
                  ? -ABI_EINVAL
                  : filetable_put_at(files(), ref.file, (uint32_t)target, flags);
  if (r < 0) {
    file_put(ref.file);
  }
  fd_put(&ref);
  return r;
}

int64_t sys_close(int fd) {
  return filetable_close(files(), fd);
}

int64_t sys_fdctl(int fd, uint64_t op, uint64_t value) {
  if (op == FDCTL_GET_FD || op == FDCTL_SET_FD) {
    return filetable_flags(files(), fd, op == FDCTL_SET_FD, (uint32_t)value);
  }
  struct fd_ref ref;
  enum abi_error e = fd_get(files(), fd, &ref);
  if (e != OK) {
    return -(int64_t)e;
  }
  uint32_t changeable = O_ABI_APPEND | O_ABI_NONBLOCK;
  int64_t r = -ABI_EINVAL;
  if (op == FDCTL_GET_FILE) {
    r = atomic_load(&ref.file->flags);
  } else if (op == FDCTL_SET_FILE) {
    uint32_t keep = atomic_load(&ref.file->flags) & ~changeable;
    atomic_store(&ref.file->flags, keep | ((uint32_t)value & changeable));
    r = 0;
  }
  fd_put(&ref);
  return r;
}

/* ---- position ------------------------------------------------------------------------------ */

static int64_t file_size(struct file *f) {
  return f->ops->size != NULL ? f->ops->size(f) : -ABI_ESPIPE;
}

static int64_t seek_base(struct file *f, uint64_t whence) {
  if (!f->ops->seekable) {
    return -ABI_ESPIPE;
  }
  switch (whence) {
  case SEEK_ABI_SET:
    return 0;
  case SEEK_ABI_CUR:
    return (int64_t)atomic_load(&f->pos);
  case SEEK_ABI_END:
    return file_size(f);
  default:
    return -ABI_EINVAL;
  }
}

int64_t sys_seek(int fd, int64_t offset, uint64_t whence) {
  struct fd_ref ref;
  enum abi_error e = fd_get(files(), fd, &ref);
  if (e != OK) {
    return -(int64_t)e;
  }
  int64_t r = seek_base(ref.file, whence), pos;
  if (r >= 0) {
    r = __builtin_add_overflow(r, offset, &pos) ? -ABI_EOVERFLOW : pos < 0 ? -ABI_EINVAL : pos;
  }
  if (r >= 0) {
    atomic_store(&ref.file->pos, (uint64_t)r);
  }
  fd_put(&ref);
  return r;
}

/* ---- operations ---------------------------------------------------------------------------- */

static bool op_takes_path(uint64_t op) {
  switch (op) {
  case OP_STATAT:
  case OP_UNLINKAT:
  case OP_MKDIRAT:
  case OP_RENAMEAT:
  case OP_LINKAT:
  case OP_SYMLINKAT:
  case OP_READLINKAT:
  case OP_CHMODAT:
  case OP_CHOWNAT:
    return true;
  default:
    return false;
  }
}

static int64_t file_op(struct file *f, const struct file_call *c) {
  return f->ops->call != NULL ? f->ops->call(f, c) : -ABI_ENOTTY;
}

/* `scheme:/path` at the start of the buffer (after the two times of UTIMENSAT): the scheme's root
 * gets the operation with what follows. Lengths inside the buffer (arg of RENAMEAT...) count
 * without the prefix. */
static int64_t call_by_name(struct file_call c) {
  char head[SCHEME_NAME_MAX + 8];
  if (!op_takes_path(c.op)) {
    return -ABI_EBADF;
  }
  size_t n = MIN(c.in_len, sizeof(head));
  enum abi_error e = user_copy_in(head, c.in, n);
  struct file *root;
  size_t used;
  e = e == OK ? scheme_find(head, n, &root, &used) : e;
  if (e != OK) {
    return -(int64_t)e;
  }
  c.in = uaddr_add(c.in, used);
  c.in_len -= used;
  if (c.op == OP_RENAMEAT || c.op == OP_LINKAT || c.op == OP_SYMLINKAT) {
    c.arg -= MIN(used, c.arg);
  }
  int64_t r = file_op(root, &c);
  file_put(root);
  return r;
}

/* The position of a directory is the last record's `next`; it is the description's, as a file's is.
 */
static int64_t call_getdents(struct file *f, struct file_call *c) {
  c->arg = atomic_load(&f->pos);
  int64_t r = MIN(file_op(f, c), (int64_t)c->out_cap);
  struct abi_dirent head;
  for (int64_t at = 0; at + (int64_t)ABI_DIRENT_HEAD <= r; at += head.reclen) {
    enum abi_error e = user_copy_in(&head, uaddr_add(c->out, (uint64_t)at), ABI_DIRENT_HEAD);
    if (e != OK) {
      return -(int64_t)e;
    }
    if (head.reclen < ABI_DIRENT_HEAD) {
      break;
    }
    atomic_store(&f->pos, (uint64_t)head.next);
  }
  return r;
}

int64_t sys_call(int fd, uint64_t op, uaddr_t buf, size_t in_len, size_t out_cap, uint64_t arg) {
  struct file_call c = {
      .op = (uint32_t)op, .in = buf, .out = buf, .in_len = in_len, .out_cap = out_cap, .arg = arg};
  size_t most = MAX(in_len, out_cap);
  if (op > UINT32_MAX || (most > 0 && !user_range_ok(buf, most))) {
    return op > UINT32_MAX ? -ABI_ENOTTY : -ABI_EFAULT;
  }
  if (fd == FD_SELF) {
    return proc_call(context_current(), &c);
  }
  if (fd == FD_NS) {
    return call_by_name(c);
  }
  struct fd_ref ref;
  enum abi_error e = fd_get(files(), fd, &ref);
  if (e != OK) {
    return -(int64_t)e;
  }
  int64_t r = op == OP_GETDENTS ? call_getdents(ref.file, &c) : file_op(ref.file, &c);
  fd_put(&ref);
  return r;
}

/* ---- waiting ------------------------------------------------------------------------------- */

int64_t sys_poll(uaddr_t fds, uint64_t n, uint64_t deadline_ns) {
  return poll_wait(files(), fds, n, deadline_ns);
}

int64_t sys_ring_enter(int fd, uint32_t flags, uint64_t deadline_ns) {
  struct fd_ref ref;
  enum abi_error e = fd_get(files(), fd, &ref);
  if (e != OK) {
    return -(int64_t)e;
  }
  int64_t r = ring_enter(ref.file, flags, deadline_ns);
  fd_put(&ref);
  return r;
}
