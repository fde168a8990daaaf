/* sys: the kernel described, in text files, and its switches.
 *
 * A file is made when it is opened: its text is one page, a snapshot. Files that take a write hand
 * it to their own function, and some entries open files of their own. `sys:` itself lists what
 * there is. */
#include "scheme/sys_priv.h"
#include "base/panic.h"
#include "lib/fmt.h"
#include "lib/string.h"

struct sys_text {
  const struct sys_entry *entry;
  size_t len;
  char text[]; /* to the end of the page */
};

static const struct file_ops text_ops;
static const struct file_ops root_ops;

/* ---- files -------------------------------------------------------------------------------- */

static int64_t sys_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  const struct sys_text *t = f->object;
  return text_read(t->text, t->len, buf, len, offset);
}

static int64_t sys_write(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  const struct sys_text *t = f->object;
  char text[SYS_WRITE_MAX];
  if (t->entry->write == NULL || context_current()->group->euid != 0) {
    return -ABI_EACCES;
  }
  if (len >= sizeof(text)) {
    return -ABI_EINVAL;
  }
  enum abi_error e = user_copy_in(text, buf, len);
  if (e != OK) {
    return -(int64_t)e;
  }
  size_t n = len;
  while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' ')) {
    n--;
  }
  text[n] = '\0';
  int64_t r = t->entry->write((uint32_t)f->id, text, n);
  return r < 0 ? r : (int64_t)len;
}

static int64_t sys_call(struct file *f, const struct file_call *c) {
  const struct sys_text *t = f->object;
  switch (c->op) {
  case OP_STAT:
    return stat_out(c, S_ABI_IFREG | (t->entry->write != NULL ? 0644 : 0444), f->id + 1, t->len);
  case OP_TRUNCATE:
    return 0; /* `echo 3000 > file` truncates first */
  default:
    return -ABI_ENOTTY;
  }
}

static int64_t sys_size(struct file *f) {
  return (int64_t)((struct sys_text *)f->object)->len;
}

static void sys_close(struct file *f) {
  frame_free(direct_unmap(f->object));
}

static const struct file_ops text_ops = {.read = sys_read,
                                         .write = sys_write,
                                         .call = sys_call,
                                         .size = sys_size,
                                         .close = sys_close,
                                         .seekable = true};

/* `name` or `prefix/argument`. */
static bool entry_matches(const struct sys_entry *e, const char *path, size_t len, uint32_t *arg) {
  size_t n = strlen(e->name);
  if (e->resolve == NULL) {
    return name_is(path, len, e->name);
  }
  return len > n && memcmp(path, e->name, n) == 0 && path[n] == '/' &&
         e->resolve(path + n + 1, len - n - 1, arg);
}

static int64_t sys_open(struct file *dir, const char *path, size_t len, uint32_t flags,
                        uint32_t mode, struct file **out) {
  (void)mode;
  if (len == 0) {
    file_get(dir);
    *out = dir;
    return 0;
  }
  uint32_t arg = 0;
  const struct sys_entry *e = sys_entries;
  while (e->name != NULL && !entry_matches(e, path, len, &arg)) {
    e++;
  }
  if (e->name == NULL) {
    return -ABI_ENOENT;
  }
  if (e->open != NULL) {
    return e->open(arg, flags, out);
  }
  paddr_t pa;
  if (!frame_alloc(FRAME_KERNEL, &pa)) {
    return -ABI_ENOMEM;
  }
  struct sys_text *t = direct_map(pa);
  t->entry = e;
  int64_t n = e->read != NULL ? e->read(arg, t->text, PAGE_SIZE - sizeof(*t)) : 0;
  t->len = n < 0 ? 0 : MIN((size_t)n, PAGE_SIZE - sizeof(*t));
  *out = n < 0 ? NULL : file_create(&text_ops, flags, t, arg);
  if (*out == NULL) {
    frame_free(pa);
    return n < 0 ? n : -ABI_ENOMEM;
  }
  return 0;
}

/* ---- the root ------------------------------------------------------------------------------ */

static int64_t root_getdents(const struct file_call *c) {
  size_t done = 0;
  uint64_t i = 0;
  for (const struct sys_entry *e = sys_entries; e->name != NULL; e++, i++) {
    struct {
      struct abi_dirent head;
      char more[SCHEME_NAME_MAX];
    } d = {.head = {.ino = i + 1, .next = (int64_t)i + 1, .type = e->resolve != NULL ? 4 : 8}};
    size_t name_len = strlen(e->name);
    d.head.reclen = (uint16_t)ALIGN_UP(ABI_DIRENT_HEAD + name_len + 1, 8);
    memcpy((char *)&d + ABI_DIRENT_HEAD, e->name, name_len);
    if (i < c->arg) {
      continue;
    }
    if (done + d.head.reclen > c->out_cap) {
      break;
    }
    enum abi_error err = user_copy_out(uaddr_add(c->out, done), &d, d.head.reclen);
    if (err != OK) {
      return -(int64_t)err;
    }
    done += d.head.reclen;
  }
  return (int64_t)done;
}

static int64_t root_call(struct file *f, const struct file_call *c) {
  (void)f;
  switch (c->op) {
  case OP_GETDENTS:
    return root_getdents(c);
  case OP_STAT:
    return stat_out(c, S_ABI_IFDIR | 0555, 1, 0);
  default:
    return -ABI_ENOTTY;
  }
}

static const struct file_ops root_ops = {.open = sys_open, .call = root_call, .seekable = true};

void sys_scheme_init(const struct boot_info *boot, const char *command) {
  sys_files_init(boot, command);
  scheme_add_kernel("sys", &root_ops);
}
