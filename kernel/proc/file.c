/* Open files: counted, with a table of operations that the scheme supplies. */
#include "proc/proc.h"

void (*file_unwatch)(struct file *f);

static struct kcache file_cache = KCACHE_OF(struct file, "file");

struct file *file_create(const struct file_ops *ops, uint32_t flags, void *object, uint64_t id) {
  struct file *f = kcache_alloc(&file_cache);
  if (f == NULL) {
    return NULL;
  }
  refcount_init(&f->refs, 1);
  f->ops = ops;
  f->object = object;
  f->id = id;
  atomic_init(&f->flags, flags & (O_ABI_ACCMODE | O_ABI_APPEND | O_ABI_NONBLOCK | O_ABI_PATH |
                                  O_ABI_DIRECTORY));
  atomic_init(&f->pos, 0);
  list_init(&f->watches);
  f->watched = false;
  return f;
}

void file_get(struct file *f) {
  refcount_get(&f->refs);
}

void file_put(struct file *f) {
  if (refcount_put(&f->refs)) {
    if (f->watched) {
      file_unwatch(f);
    }
    if (f->ops->close != NULL) {
      f->ops->close(f);
    }
    kcache_free(&file_cache, f);
  }
}
