/* The namespace: which schemes there are. Lock: registry_lock (NAMESPACE). */
#include "base/panic.h"
#include "lib/hash.h"
#include "lib/string.h"
#include "scheme/scheme.h"

#define BUCKETS 32u

struct scheme_entry {
  struct list node;
  struct file *root;
  size_t len;
  char name[SCHEME_NAME_MAX];
};

static struct kcache entry_cache = KCACHE_OF(struct scheme_entry, "scheme");
static struct spinlock registry_lock = SPINLOCK(NAMESPACE);
static struct list buckets[BUCKETS]; /* [registry_lock] */

static struct file *maker; /* [c] */

void scheme_set_maker(struct file *f) {
  maker = f;
}

static struct list *bucket_of(const char *name, size_t len) {
  return &buckets[hash_bytes(name, len) % BUCKETS];
}

static struct scheme_entry *entry_find(const char *name, size_t len) {
  const struct list *bucket = bucket_of(name, len);
  list_for_each (pos, bucket) {
    struct scheme_entry *e = CONTAINER_OF(pos, struct scheme_entry, node);
    if (e->len == len && memcmp(e->name, name, len) == 0) {
      return e;
    }
  }
  return NULL;
}

enum abi_error scheme_add(const char *name, size_t len, struct file *root) {
  if (len == 0 || len > SCHEME_NAME_MAX || memchr(name, '/', len) != NULL ||
      memchr(name, ':', len) != NULL) {
    return ABI_EINVAL;
  }
  struct scheme_entry *fresh = kcache_alloc(&entry_cache);
  if (fresh == NULL) {
    return ABI_ENOMEM;
  }
  fresh->root = root;
  fresh->len = len;
  memcpy(fresh->name, name, len);
  spin_lock(&registry_lock);
  bool exists = entry_find(name, len) != NULL;
  if (!exists) {
    list_push_back(bucket_of(name, len), &fresh->node);
  }
  spin_unlock(&registry_lock);
  if (exists) {
    kcache_free(&entry_cache, fresh);
  }
  return exists ? ABI_EEXIST : OK;
}

void scheme_remove(struct file *root) {
  struct scheme_entry *found = NULL;
  spin_lock(&registry_lock);
  for (uint32_t i = 0; i < BUCKETS && found == NULL; i++) {
    list_for_each (pos, &buckets[i]) {
      struct scheme_entry *e = CONTAINER_OF(pos, struct scheme_entry, node);
      found = e->root == root ? e : found;
    }
  }
  if (found != NULL) {
    list_remove(&found->node);
  }
  spin_unlock(&registry_lock);
  if (found != NULL) {
    kcache_free(&entry_cache, found);
  }
}

enum abi_error scheme_find(const char *path, size_t len, struct file **root, size_t *used) {
  const char *colon = memchr(path, ':', MIN(len, (size_t)SCHEME_NAME_MAX + 1));
  if (colon == NULL) {
    return ABI_ENODEV;
  }
  size_t name_len = (size_t)(colon - path);
  if (name_len == 0) {
    file_get(maker);
    *root = maker;
    *used = 1;
    return OK;
  }
  spin_lock(&registry_lock);
  struct scheme_entry *e = entry_find(path, name_len);
  if (e != NULL) {
    file_get(e->root);
    *root = e->root;
  }
  spin_unlock(&registry_lock);
  *used = name_len + 1;
  while (*used < len && path[*used] == '/') {
    (*used)++;
  }
  return e != NULL ? OK : ABI_ENODEV;
}

void scheme_add_kernel(const char *name, const struct file_ops *ops) {
  struct file *root = file_create(ops, O_ABI_RDWR | O_ABI_DIRECTORY, NULL, 0);
  if (root == NULL || scheme_add(name, strlen(name), root) != OK) {
    panic("cannot register the scheme %s", name);
  }
}

void scheme_init(const struct boot_info *boot, const char *command) {
  for (uint32_t i = 0; i < BUCKETS; i++) {
    list_init(&buckets[i]);
  }
  debug_scheme_init();
  pipe_scheme_init();
  event_scheme_init();
  memory_scheme_init();
  time_scheme_init();
  proc_scheme_init();
  sys_scheme_init(boot, command);
  user_scheme_init();
}

int64_t text_read(const char *text, size_t text_len, uaddr_t buf, size_t len, uint64_t offset) {
  if (offset >= text_len) {
    return 0;
  }
  size_t n = MIN(len, text_len - offset);
  enum abi_error e = user_copy_out(buf, text + offset, n);
  return e == OK ? (int64_t)n : -(int64_t)e;
}

int64_t stat_out(const struct file_call *c, uint32_t mode, uint64_t ino, uint64_t size) {
  struct abi_stat st = {
      .ino = ino, .mode = mode, .nlink = 1, .size = size, .blocks = (size + 511) / 512};
  if (c->out_cap < sizeof(st)) {
    return -ABI_EINVAL;
  }
  enum abi_error e = user_copy_out(c->out, &st, sizeof(st));
  return e == OK ? (int64_t)sizeof(st) : -(int64_t)e;
}
