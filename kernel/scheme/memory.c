/* memory: anonymous memory as a file: open, TRUNCATE to a size, map (shared or privately), read,
 * write. `physical/BASE/LENGTH`, both in hexadecimal digits, is a device's registers, for root: map
 * only, and shared only. */
#include "lib/string.h"
#include "scheme/scheme.h"

/* One page at a time between user memory and the object. */
static int64_t memory_copy(struct memobj *o, uaddr_t buf, size_t len, uint64_t offset, bool out) {
  size_t done = 0;
  while (done < len) {
    paddr_t pa;
    bool counted;
    enum abi_error e = memobj_page(o, offset + done, &pa, &counted);
    size_t in_page = (offset + done) % PAGE_SIZE;
    size_t n = MIN(len - done, PAGE_SIZE - in_page);
    if (e == OK) {
      uint8_t *at = (uint8_t *)direct_map(pa) + in_page;
      e = out ? user_copy_out(uaddr_add(buf, done), at, n)
              : user_copy_in(at, uaddr_add(buf, done), n);
      if (counted) {
        frame_put(pa);
      }
    }
    if (e != OK) {
      return done > 0 ? (int64_t)done : -(int64_t)e;
    }
    done += n;
    sched_point();
  }
  return (int64_t)done;
}

static int64_t memory_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  uint64_t size = memobj_size(f->object);
  return offset >= size ? 0 : memory_copy(f->object, buf, MIN(len, size - offset), offset, true);
}

/* Appending writes go to the end as it is now; two of them at once may meet there. */
static int64_t memory_write(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  if (atomic_load(&f->flags) & O_ABI_APPEND) {
    offset = memobj_size(f->object);
  }
  if (offset + len < offset) {
    return -ABI_EFBIG;
  }
  if (offset + len > memobj_size(f->object)) {
    enum abi_error e = memobj_resize(f->object, offset + len);
    if (e != OK) {
      return -(int64_t)e;
    }
  }
  return memory_copy(f->object, buf, len, offset, false);
}

static int64_t memory_map(struct file *f, uint64_t offset, uint64_t len, struct object_ref *out) {
  (void)len;
  memobj_get(f->object);
  *out = (struct object_ref){f->object, offset, false};
  return 0;
}

static int64_t memory_call(struct file *f, const struct file_call *c) {
  switch (c->op) {
  case OP_STAT:
    return stat_out(c, S_ABI_IFREG | 0600, (uint64_t)f->object >> 6, memobj_size(f->object));
  case OP_TRUNCATE:
    return -(int64_t)memobj_resize(f->object, c->arg);
  default:
    return -ABI_ENOTTY;
  }
}

static int64_t memory_size(struct file *f) {
  return (int64_t)memobj_size(f->object);
}

static void memory_close(struct file *f) {
  memobj_put(f->object);
}

static const struct file_ops memory_ops = {.read = memory_read,
                                           .write = memory_write,
                                           .map = memory_map,
                                           .call = memory_call,
                                           .size = memory_size,
                                           .close = memory_close,
                                           .seekable = true};

/* ---- registers of devices ------------------------------------------------------------------- */

static int64_t physical_call(struct file *f, const struct file_call *c) {
  return c->op == OP_STAT ? stat_out(c, S_ABI_IFCHR | 0600, (uint64_t)f->object >> 6, 0)
                          : -ABI_ENOTTY;
}

static const struct file_ops physical_ops = {
    .map = memory_map, .call = physical_call, .close = memory_close};

/* Takes hexadecimal digits off the front; false when there are none, or more than 16. */
static bool hex_take(const char **path, size_t *len, uint64_t *value) {
  size_t n = 0;
  *value = 0;
  for (; *len > 0 && n <= 16; n++, (*path)++, (*len)--) {
    char c = **path;
    uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                                            : 16;
    if (digit == 16) {
      break;
    }
    *value = *value << 4 | digit;
  }
  return n > 0 && n <= 16;
}

/* An open file of the object, which takes over the reference. */
static int64_t object_open(const struct file_ops *ops, struct memobj *o, uint32_t flags,
                           struct file **out) {
  *out = file_create(ops, flags, o, 0);
  if (*out == NULL) {
    memobj_put(o);
    return -ABI_ENOMEM;
  }
  return 0;
}

static int64_t physical_open(const char *path, size_t len, uint32_t flags, struct file **out) {
  uint64_t base, n_bytes;
  struct memobj *o;
  bool parsed = hex_take(&path, &len, &base) && len > 0 && *path == '/';
  path++;
  len--;
  if (!parsed || !hex_take(&path, &len, &n_bytes) || len != 0) {
    return -ABI_ENOENT;
  }
  enum abi_error e = context_current()->group->euid != 0
                         ? ABI_EPERM
                         : memobj_create_device((paddr_t){base}, n_bytes, &o);
  if (e != OK) {
    return -(int64_t)e;
  }
  return object_open(&physical_ops, o, flags, out);
}

static int64_t memory_open(struct file *dir, const char *path, size_t len, uint32_t flags,
                           uint32_t mode, struct file **out) {
  static const char physical[] = "physical/";
  const size_t n = sizeof(physical) - 1;
  (void)dir;
  (void)mode;
  struct memobj *o;
  if (len > n && memcmp(path, physical, n) == 0) {
    return physical_open(path + n, len - n, flags, out);
  }
  if (len != 0) {
    return -ABI_ENOENT;
  }
  enum abi_error e = memobj_create_anon(0, &o);
  if (e != OK) {
    return -(int64_t)e;
  }
  return object_open(&memory_ops, o, flags, out);
}

void memory_scheme_init(void) {
  static const struct file_ops root_ops = {.open = memory_open};
  scheme_add_kernel("memory", &root_ops);
}
