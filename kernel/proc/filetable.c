/* File tables: numbers to open files.
 *
 * Two ranges: the lower one holds what POSIX programs see, the upper one (from FD_UPPER) what their
 * runtime keeps to itself. A range is up to 64 chunks of 64 slots; a word a chunk and two for the
 * chunks say what is there, so that the lowest free number is found in constant time, and copying
 * or closing a table costs what is open. Chunks and slots without their bit hold nothing, not even
 * zeros.
 *
 * Lock: t->lock (FILETABLE) for slots; files are closed outside it. A table with one reference is
 * changed by its only context alone and is read without the lock (fd_get). */
#include "lib/string.h"
#include "proc/proc.h"

#define RANGE_SLOTS (CHUNK_SLOTS * RANGE_CHUNKS)

static struct kcache table_cache = KCACHE_OF(struct filetable, "filetable");
static struct kcache chunk_cache = KCACHE_OF(struct fd_chunk, "fd_chunk");

enum abi_error filetable_create(struct filetable **out) {
  struct filetable *t = kcache_alloc(&table_cache);
  if (t == NULL) {
    return ABI_ENOMEM;
  }
  for (uint32_t i = 0; i < 2; i++) {
    t->ranges[i].present = t->ranges[i].full = 0;
  }
  refcount_init(&t->refs, 1);
  spin_init(&t->lock, RANK_FILETABLE);
  *out = t;
  return OK;
}

void filetable_get(struct filetable *t) {
  refcount_get(&t->refs);
}

bool filetable_is_shared(const struct filetable *t) {
  return refcount_read(&t->refs) > 1;
}

static struct fd_chunk *chunk_of(const struct fd_range *r, uint32_t n) {
  return (r->present >> n & 1) != 0 ? r->chunks[n] : NULL;
}

static struct fd_slot *slot_of(struct filetable *t, uint32_t fd) {
  struct fd_range *r = &t->ranges[fd >= FD_UPPER];
  uint32_t index = fd % FD_UPPER;
  if (fd >= 2u * FD_UPPER || index >= RANGE_SLOTS) {
    return NULL;
  }
  struct fd_chunk *c = chunk_of(r, index / CHUNK_SLOTS);
  return c != NULL && (c->used >> index % CHUNK_SLOTS & 1) != 0 ? &c->slots[index % CHUNK_SLOTS]
                                                                : NULL;
}

static struct fd_chunk *chunk_make(struct fd_range *r, uint32_t n) {
  struct fd_chunk *c = chunk_of(r, n);
  if (c == NULL && (c = kcache_alloc(&chunk_cache)) != NULL) {
    c->used = 0;
    r->chunks[n] = c;
    r->present |= 1ul << n;
  }
  return c;
}

/* The lowest free index >= from, or RANGE_SLOTS. */
static uint32_t index_find(const struct fd_range *r, uint32_t from) {
  for (uint32_t chunk = from / CHUNK_SLOTS; chunk < RANGE_CHUNKS; chunk++) {
    uint64_t free_chunks = ~r->full & (UINT64_MAX << chunk);
    if (free_chunks == 0) {
      return RANGE_SLOTS;
    }
    chunk = bit_first(free_chunks);
    const struct fd_chunk *c = chunk_of(r, chunk);
    uint64_t used = c != NULL ? c->used : 0;
    uint64_t free_slots =
        ~used & (chunk == from / CHUNK_SLOTS ? UINT64_MAX << from % CHUNK_SLOTS : UINT64_MAX);
    if (free_slots != 0) {
      return chunk * CHUNK_SLOTS + bit_first(free_slots);
    }
  }
  return RANGE_SLOTS;
}

static enum abi_error slot_fill(struct fd_range *r, uint32_t index, struct file *f,
                                uint32_t flags) {
  struct fd_chunk *c = chunk_make(r, index / CHUNK_SLOTS);
  if (c == NULL) {
    return ABI_ENOMEM;
  }
  c->slots[index % CHUNK_SLOTS] = (struct fd_slot){f, flags & (O_ABI_CLOEXEC | O_ABI_CLOFORK)};
  c->used |= 1ul << index % CHUNK_SLOTS;
  if (c->used == UINT64_MAX) {
    r->full |= 1ul << index / CHUNK_SLOTS;
  }
  return OK;
}

static struct file *slot_empty(struct fd_range *r, uint32_t index) {
  struct fd_chunk *c = r->chunks[index / CHUNK_SLOTS];
  struct file *f = c->slots[index % CHUNK_SLOTS].file;
  c->used &= ~(1ul << index % CHUNK_SLOTS);
  r->full &= ~(1ul << index / CHUNK_SLOTS);
  return f;
}

int64_t filetable_add(struct filetable *t, struct file *f, uint32_t from, uint32_t flags) {
  struct fd_range *r = &t->ranges[from >= FD_UPPER];
  spin_lock(&t->lock);
  uint32_t index = from % FD_UPPER < RANGE_SLOTS && from < 2u * FD_UPPER
                       ? index_find(r, from % FD_UPPER)
                       : RANGE_SLOTS;
  enum abi_error e = index < RANGE_SLOTS ? slot_fill(r, index, f, flags) : ABI_EMFILE;
  spin_unlock(&t->lock);
  return e == OK ? (int64_t)index + (from >= FD_UPPER ? FD_UPPER : 0) : -(int64_t)e;
}

int64_t filetable_put_at(struct filetable *t, struct file *f, uint32_t fd, uint32_t flags) {
  if (fd >= 2u * FD_UPPER || fd % FD_UPPER >= RANGE_SLOTS) {
    return -ABI_EBADF;
  }
  struct fd_range *r = &t->ranges[fd >= FD_UPPER];
  spin_lock(&t->lock);
  struct file *old = slot_of(t, fd) != NULL ? slot_empty(r, fd % FD_UPPER) : NULL;
  enum abi_error e = slot_fill(r, fd % FD_UPPER, f, flags);
  spin_unlock(&t->lock);
  if (old != NULL) {
    file_put(old);
  }
  return e == OK ? (int64_t)fd : -(int64_t)e;
}

int64_t filetable_close(struct filetable *t, int fd) {
  spin_lock(&t->lock);
  struct file *f = slot_of(t, (uint32_t)fd) != NULL
                       ? slot_empty(&t->ranges[fd >= FD_UPPER], (uint32_t)fd % FD_UPPER)
                       : NULL;
  spin_unlock(&t->lock);
  if (f == NULL) {
    return -ABI_EBADF;
  }
  file_put(f);
  return 0;
}

void filetable_remove(struct filetable *t, int fd, const struct file *f) {
  spin_lock(&t->lock);
  struct fd_slot *slot = slot_of(t, (uint32_t)fd);
  struct file *found = slot != NULL && slot->file == f
                           ? slot_empty(&t->ranges[fd >= FD_UPPER], (uint32_t)fd % FD_UPPER)
                           : NULL;
  spin_unlock(&t->lock);
  if (found != NULL) {
    file_put(found);
  }
}

int64_t filetable_flags(struct filetable *t, int fd, bool set, uint32_t flags) {
  int64_t r = -ABI_EBADF;
  spin_lock(&t->lock);
  struct fd_slot *slot = slot_of(t, (uint32_t)fd);
  if (slot != NULL) {
    slot->flags = set ? flags & (O_ABI_CLOEXEC | O_ABI_CLOFORK) : slot->flags;
    r = set ? 0 : (int64_t)slot->flags;
  }
  spin_unlock(&t->lock);
  return r;
}

static enum abi_error fd_get_shared(struct filetable *t, int fd, struct fd_ref *out) {
  spin_lock(&t->lock);
  struct fd_slot *slot = slot_of(t, (uint32_t)fd);
  *out = (struct fd_ref){slot != NULL ? slot->file : NULL, true};
  if (slot != NULL) {
    file_get(slot->file);
  }
  spin_unlock(&t->lock);
  return slot != NULL ? OK : ABI_EBADF;
}

enum abi_error fd_get_slow(struct filetable *t, int fd, struct fd_ref *out) {
  if (filetable_is_shared(t)) {
    return fd_get_shared(t, fd, out);
  }
  struct fd_slot *slot = slot_of(t, (uint32_t)fd);
  *out = (struct fd_ref){slot != NULL ? slot->file : NULL, false};
  return slot != NULL ? OK : ABI_EBADF;
}

/* ---- whole tables: nobody else uses them ---------------------------------------------------- */

static void chunk_close(struct fd_range *r, uint32_t n, uint32_t with_flags) {
  struct fd_chunk *c = r->chunks[n];
  for (uint64_t rest = c->used; rest != 0; rest &= rest - 1) {
    uint32_t i = bit_first(rest);
    if (with_flags == 0 || c->slots[i].flags & with_flags) {
      file_put(slot_empty(r, n * CHUNK_SLOTS + i));
    }
  }
}

static void table_close(struct filetable *t, uint32_t with_flags) {
  for (uint32_t range = 0; range < 2; range++) {
    for (uint64_t rest = t->ranges[range].present; rest != 0; rest &= rest - 1) {
      chunk_close(&t->ranges[range], bit_first(rest), with_flags);
    }
  }
}

void filetable_sweep(struct filetable *t) {
  table_close(t, O_ABI_CLOEXEC);
}

void filetable_put(struct filetable *t) {
  if (!refcount_put(&t->refs)) {
    return;
  }
  table_close(t, 0);
  for (uint32_t range = 0; range < 2; range++) {
    for (uint64_t rest = t->ranges[range].present; rest != 0; rest &= rest - 1) {
      kcache_free(&chunk_cache, t->ranges[range].chunks[bit_first(rest)]);
    }
  }
  kcache_free(&table_cache, t);
}

static enum abi_error chunk_copy(struct fd_range *to, const struct fd_chunk *from, uint32_t n) {
  for (uint64_t rest = from->used; rest != 0; rest &= rest - 1) {
    const struct fd_slot *slot = &from->slots[bit_first(rest)];
    if (slot->flags & O_ABI_CLOFORK ||
        (slot->file->ops->stays != NULL && slot->file->ops->stays(slot->file))) {
      continue;
    }
    enum abi_error e = slot_fill(to, n * CHUNK_SLOTS + bit_first(rest), slot->file, slot->flags);
    if (e != OK) {
      return e;
    }
    file_get(slot->file);
  }
  return OK;
}

enum abi_error filetable_copy(struct filetable *src, struct filetable **out) {
  struct filetable *t;
  enum abi_error e = filetable_create(&t);
  if (e != OK) {
    return e;
  }
  spin_lock(&src->lock);
  for (uint32_t range = 0; range < 2; range++) {
    const struct fd_range *from = &src->ranges[range];
    for (uint64_t rest = from->present; e == OK && rest != 0; rest &= rest - 1) {
      uint32_t n = bit_first(rest);
      e = chunk_copy(&t->ranges[range], from->chunks[n], n);
    }
  }
  spin_unlock(&src->lock);
  if (e != OK) {
    filetable_put(t);
    return e;
  }
  *out = t;
  return OK;
}
