/* Steps on an address space: what mmap and its relatives and SPACE_APPLY come to. */
#include "lib/string.h"
#include "scheme/scheme.h"

#define RESIDENT_PIECE 256u

static int64_t status(enum abi_error e) {
  return -(int64_t)e;
}

/* The object behind a descriptor, or a fresh one for shared anonymous memory; NULL for private
 * anonymous. */
static int64_t map_object(struct filetable *files, const struct space_op *op,
                          struct map_request *r) {
  if (op->fd == FD_NONE || op->flags & MAP_ABI_ANONYMOUS) {
    r->offset = 0;
    return r->flags & MAP_ABI_SHARED
               ? status(memobj_create_anon(ALIGN_UP(op->len, PAGE_SIZE), &r->obj))
               : 0;
  }
  struct fd_ref ref;
  enum abi_error e = fd_get(files, op->fd, &ref);
  if (e != OK) {
    return status(e);
  }
  bool shared = op->flags & MAP_ABI_SHARED;
  bool writes = shared && op->prot & PROT_ABI_WRITE;
  int64_t result = -ABI_EACCES;
  if (file_may_read(ref.file) && (!writes || file_may_write(ref.file))) {
    struct object_ref object = {0};
    result = ref.file->ops->map != NULL ? ref.file->ops->map(ref.file, op->off, op->len, &object)
                                        : -ABI_ENODEV;
    r->obj = object.obj;
    r->offset = object.offset;
    r->read_only = object.read_only || !file_may_write(ref.file);
  }
  fd_put(&ref);
  return result;
}

/* What was brought without a fault of the caller's counts as well. */
static int64_t populated(const struct space *s, int64_t result) {
  struct context *c = context_current();
  if (s->watched && s == c->space) {
    (void)memory_over(c);
  }
  return result;
}

static int64_t step_map(struct space *s, struct filetable *files, struct space_op *op) {
  if (op->len == 0 || op->len > ABI_USER_END || op->off % PAGE_SIZE != 0) {
    return op->len > ABI_USER_END ? -ABI_ENOMEM : -ABI_EINVAL;
  }
  struct map_request r = {.addr = op->addr, .len = op->len, .prot = op->prot, .flags = op->flags};
  int64_t result = map_object(files, op, &r);
  if (result < 0) {
    return result;
  }
  result = status(space_map(s, &r));
  if (r.obj != NULL) {
    memobj_put(r.obj); /* the grant has its own */
  }
  op->addr = r.addr;
  return UNLIKELY(s->watched) ? populated(s, result) : result;
}

/* An object that is mapped already, once more: a program's segments cost its server one question.
 */
static int64_t step_map_same(struct space *s, struct space_op *op) {
  struct object_ref object;
  uint64_t len = op->len;
  enum abi_error e = op->off % PAGE_SIZE != 0 || op->len == 0
                         ? ABI_EINVAL
                         : space_object_at(s, op->off, &len, &object);
  if (e != OK) {
    return status(e);
  }
  struct map_request r = {.addr = op->addr,
                          .len = op->len,
                          .prot = op->prot,
                          .flags = (op->flags & ~MAP_ABI_SHARED) | MAP_ABI_PRIVATE,
                          .obj = object.obj,
                          .offset = object.offset};
  e = space_map(s, &r);
  memobj_put(object.obj);
  op->addr = r.addr;
  return status(e);
}

static int64_t file_map_at(struct space_file *file, struct object_ref *object) {
  char head[SCHEME_NAME_MAX + 8];
  size_t n = MIN(file->path_len, sizeof(head)), used;
  struct file *root;
  enum abi_error e = user_copy_in(head, (uaddr_t){file->path}, n);
  e = e == OK ? scheme_find(head, n, &root, &used) : e;
  if (e != OK) {
    return status(e);
  }
  uaddr_t rest = {file->path + used};
  int64_t r = root->ops->map_at == NULL
                  ? -ABI_EOPNOTSUPP
                  : root->ops->map_at(root, rest, file->path_len - used, &file->stat, object);
  file_put(root);
  return r;
}

/* A file that is looked at, perhaps mapped again in parts, and needs no descriptor: one question to
 * its server. */
static int64_t step_map_path(struct space *s, struct space_op *op) {
  struct space_file file;
  struct object_ref object;
  enum abi_error e = user_copy_in(&file, (uaddr_t){op->off}, offsetof(struct space_file, stat));
  int64_t r = e != OK                         ? status(e)
              : file.path_len >= ABI_PATH_MAX ? -ABI_ENAMETOOLONG
                                              : file_map_at(&file, &object);
  if (r < 0) {
    return r;
  }
  struct map_request request = {.addr = op->addr,
                                .len = file.stat.size,
                                .prot = op->prot,
                                .flags = (op->flags & ~MAP_ABI_SHARED) | MAP_ABI_PRIVATE,
                                .obj = object.obj,
                                .offset = object.offset};
  e = space_map(s, &request);
  memobj_put(object.obj);
  op->addr = request.addr;
  e = e == OK ? user_copy_out((uaddr_t){op->off + offsetof(struct space_file, stat)}, &file.stat,
                              sizeof(file.stat))
              : e;
  return status(e);
}

/* What this space lends the caller, in the caller's. The loan may have ended before it is mapped:
 * then there is nothing to see. */
static int64_t step_borrow(struct space *s, struct space_op *op) {
  const uint32_t flags = MAP_ABI_FIXED | MAP_ABI_FIXED_NOREPLACE | MAP_ABI_POPULATE;
  struct object_ref loan;
  enum abi_error e =
      op->flags & ~flags ? ABI_EINVAL : space_lend(s, op->addr, op->len, op->prot, &loan);
  if (e != OK) {
    return status(e);
  }
  struct map_request r = {.addr = op->off,
                          .len = op->len,
                          .prot = op->prot,
                          .flags = op->flags | MAP_ABI_SHARED,
                          .read_only = loan.read_only,
                          .obj = loan.obj,
                          .offset = loan.offset};
  e = space_map(context_current()->space, &r);
  memobj_put(loan.obj);
  op->off = r.addr;
  return status(e);
}

static int64_t step_resident(struct space *s, const struct space_op *op) {
  uint8_t present[RESIDENT_PIECE];
  if (!user_range_ok((uaddr_t){op->addr}, op->len)) {
    return -ABI_ENOMEM;
  }
  uint64_t n_pages = ALIGN_UP(op->len, PAGE_SIZE) / PAGE_SIZE;
  for (uint64_t done = 0; done < n_pages; done += RESIDENT_PIECE) {
    size_t n = MIN(n_pages - done, (uint64_t)RESIDENT_PIECE);
    enum abi_error e = space_resident(s, op->addr + done * PAGE_SIZE, present, n);
    if (e == OK && op->off != 0) {
      e = user_copy_out((uaddr_t){op->off + done}, present, n);
    }
    if (e != OK) {
      return status(e);
    }
    sched_point();
  }
  return 0;
}

static int64_t step_stat(struct space *s, const struct space_op *op) {
  struct space_stats st;
  space_stats_read(s, &st);
  struct space_stat out = {.n_grants = st.n_grants,
                           .mapped_bytes = st.bytes_mapped,
                           .resident_pages = st.n_resident,
                           .private_pages = st.n_private,
                           .table_pages = st.n_tables,
                           .grant_bytes = st.bytes_grants};
  memcpy(out.faults, st.n_faults, sizeof(out.faults));
  return status(user_copy_out((uaddr_t){op->off}, &out, sizeof(out)));
}

/* The new limit is set before the old one is written out: a wrong address changes it all the same.
 */
static int64_t step_limit(struct space *s, const struct space_op *op) {
  if (op->flags >= SPACE_LIMIT_KINDS) {
    return -ABI_EINVAL;
  }
  enum space_limit_kind kind = (enum space_limit_kind)op->flags;
  struct space_limit before = space_get_limit(s, kind), limit;
  enum abi_error e = OK;
  if (op->addr != 0) {
    e = user_copy_in(&limit, (uaddr_t){op->addr}, sizeof(limit));
    e = e == OK ? space_set_limit(s, kind, limit, context_current()->group->euid == 0) : e;
  }
  if (e == OK && op->off != 0) {
    e = user_copy_out((uaddr_t){op->off}, &before, sizeof(before));
  }
  return status(e);
}

int64_t space_step(struct space *s, struct filetable *files, struct space_op *op) {
  uint64_t addr = op->addr;
  switch (op->code) {
  case SPACE_MAP:
    return step_map(s, files, op);
  case SPACE_UNMAP:
    return status(space_unmap(s, addr, op->len));
  case SPACE_PROTECT:
    return status(space_protect(s, addr, op->len, op->prot));
  case SPACE_WRITE:
    if (op->off == 0) {
      return -ABI_EFAULT;
    }
    return user_range_ok((uaddr_t){addr}, op->len)
               ? status(space_write_user(s, addr, (uaddr_t){op->off}, op->len))
               : -ABI_EFAULT;
  case SPACE_ZERO:
    return user_range_ok((uaddr_t){addr}, op->len)
               ? status(space_write_user(s, addr, (uaddr_t){0}, op->len))
               : -ABI_EFAULT;
  case SPACE_TRANSFER:
    return status(space_transfer(s, addr, context_current()->space, op->off, op->len, op->prot));
  case SPACE_REMAP:
    return status(space_remap(s, &op->addr, op->len, op->off, op->flags & 1));
  case SPACE_MOVE:
    return op->len > ABI_USER_END ? -ABI_EINVAL
                                  : status(space_move(s, addr, op->len, op->off,
                                                      op->len + (uint64_t)op->flags * PAGE_SIZE));
  case SPACE_ADVISE:
    return populated(s, status(space_advise(s, addr, op->len, op->flags)));
  case SPACE_RESIDENT:
    return step_resident(s, op);
  case SPACE_STAT:
    return step_stat(s, op);
  case SPACE_LIMIT:
    return step_limit(s, op);
  case SPACE_READ:
    return user_range_ok((uaddr_t){addr}, op->len)
               ? status(space_read_user(s, addr, (uaddr_t){op->off}, op->len))
               : -ABI_EFAULT;
  case SPACE_MAP_SAME:
    return step_map_same(s, op);
  case SPACE_MAP_PATH:
    return step_map_path(s, op);
  case SPACE_BORROW:
    return step_borrow(s, op);
  case SPACE_REVOKE:
    return status(space_revoke(s, addr, op->len));
  case SPACE_CEILING:
    return status(space_set_ceiling(s, addr));
  default:
    return -ABI_EINVAL;
  }
}
