/* The initfs: server's operations: see initfs.h. */
#include "servers/initfs/initfs.h"

#include "abi/abi.h"
#include "lib/string.h"
#include "runtime/server.h"
#include "runtime/server_dirent.h"

/* ---- files and paths ---------------------------------------------------------------------- */

static struct image *server_image(const struct server *server) {
  return &((struct initfs *)server->context)->image;
}

/* The inode that a client's file id names; the scheme's root for 0. */
static bool file_inode(const struct image *image, uint64_t file, uint32_t *inode) {
  *inode = file == 0 ? 0 : (uint32_t)(file - 1);
  return file <= image->n_inodes;
}

static int64_t tree_child(void *context, uint64_t directory, struct text name) {
  int64_t inode = image_lookup(context, (uint32_t)(directory - 1), name);
  return inode < 0 ? -ABI_ENOENT : inode + 1;
}

static uint64_t tree_parent(void *context, uint64_t directory) {
  const struct image *image = context;
  return (uint64_t)image->directories[directory - 1].parent + 1;
}

static enum walk_kind tree_kind(void *context, uint64_t node) {
  const struct image *image = context;
  switch (image->inodes[node - 1].mode & S_ABI_IFMT) {
  case S_ABI_IFDIR:
    return WALK_DIRECTORY;
  case S_ABI_IFLNK:
    return WALK_LINK;
  default:
    return WALK_OTHER;
  }
}

static struct text tree_target(void *context, uint64_t link) {
  return image_data(context, (uint32_t)(link - 1));
}

/* Resolve the request's path from its directory. */
static int request_walk(struct server *server, const struct server_request *request, uint32_t flags,
                        uint32_t *inode) {
  struct image *image = server_image(server);
  const struct walk_tree tree = {.root = 1,
                                 .context = image,
                                 .child = tree_child,
                                 .parent = tree_parent,
                                 .kind = tree_kind,
                                 .target = tree_target};
  uint32_t start;
  if (!file_inode(image, request->sqe.file, &start)) {
    return -ABI_EBADF;
  }
  struct text path = {(const char *)request->slot, request->sqe.in_len};
  struct walk_result result;
  int error = walk(&tree, (uint64_t)start + 1, path, flags, &result);
  *inode = error ? 0 : (uint32_t)(result.node - 1);
  return error;
}

static uint32_t inode_kind(const struct image *image, uint32_t inode) {
  return image->inodes[inode].mode & S_ABI_IFMT;
}

/* ---- operations --------------------------------------------------------------------------- */

static int64_t flags_check(const struct image *image, uint32_t inode, uint32_t flags) {
  uint32_t kind = inode_kind(image, inode);
  if ((flags & O_ABI_CREAT) && (flags & O_ABI_EXCL)) {
    return -ABI_EEXIST;
  }
  if ((flags & O_ABI_DIRECTORY) && kind != S_ABI_IFDIR) {
    return -ABI_ENOTDIR;
  }
  if (flags & O_ABI_PATH) {
    return 0;
  }
  if (kind == S_ABI_IFLNK) {
    return -ABI_ELOOP; /* only O_NOFOLLOW comes to stand on one */
  }
  if ((flags & O_ABI_ACCMODE) != O_ABI_RDONLY || (flags & O_ABI_TRUNC)) {
    return kind == S_ABI_IFDIR ? -ABI_EISDIR : -ABI_EROFS;
  }
  return 0;
}

static int64_t on_open(struct server *server, struct server_request *request) {
  uint32_t flags = (uint32_t)request->sqe.arg;
  bool at_link = (flags & O_ABI_NOFOLLOW) || ((flags & O_ABI_CREAT) && (flags & O_ABI_EXCL));
  uint32_t inode;
  int64_t error = request_walk(server, request, at_link ? 0 : WALK_FOLLOW, &inode);
  if (error == -ABI_ENOENT && (flags & O_ABI_CREAT)) {
    return -ABI_EROFS;
  }
  if (!error) {
    error = flags_check(server_image(server), inode, flags);
  }
  return error ? error : (int64_t)inode + 1;
}

static int64_t on_read(struct server *server, struct server_request *request) {
  const struct image *image = server_image(server);
  uint32_t inode;
  if (!file_inode(image, request->sqe.file, &inode)) {
    return -ABI_EBADF;
  }
  if (inode_kind(image, inode) != S_ABI_IFREG) {
    return inode_kind(image, inode) == S_ABI_IFDIR ? -ABI_EISDIR : -ABI_EBADF;
  }
  struct text data = image_data(image, inode);
  uint64_t offset = request->sqe.arg;
  if (offset >= data.len) {
    return 0;
  }
  uint64_t left = data.len - offset;
  size_t n = left < request->sqe.out_cap ? left : request->sqe.out_cap;
  memcpy(request->slot, data.at + offset, n);
  return (int64_t)n;
}

static int64_t stat_answer(const struct image *image, uint32_t inode,
                           struct server_request *request) {
  const struct image_inode *self = &image->inodes[inode];
  if (request->sqe.out_cap < sizeof(struct abi_stat)) {
    return -ABI_EINVAL;
  }
  *(struct abi_stat *)request->slot = (struct abi_stat){
      .dev = 1,
      .ino = (uint64_t)inode + 1,
      .mode = self->mode,
      .nlink = self->nlink,
      .uid = self->uid,
      .gid = self->gid,
      .size = self->len,
      .blocks = (self->len + 511) / 512,
      .atime_ns = (int64_t)self->mtime_ns,
      .mtime_ns = (int64_t)self->mtime_ns,
      .ctime_ns = (int64_t)self->mtime_ns,
  };
  return sizeof(struct abi_stat);
}

static int64_t on_stat(struct server *server, struct server_request *request) {
  uint32_t inode;
  if (!file_inode(server_image(server), request->sqe.file, &inode)) {
    return -ABI_EBADF;
  }
  return stat_answer(server_image(server), inode, request);
}

static int64_t on_statat(struct server *server, struct server_request *request) {
  uint32_t inode;
  bool at_link = request->sqe.arg & O_ABI_NOFOLLOW;
  int error = request_walk(server, request, at_link ? 0 : WALK_FOLLOW, &inode);
  return error ? error : stat_answer(server_image(server), inode, request);
}

static int64_t on_readlinkat(struct server *server, struct server_request *request) {
  uint32_t inode;
  int error = request_walk(server, request, 0, &inode);
  if (error) {
    return error;
  }
  if (inode_kind(server_image(server), inode) != S_ABI_IFLNK) {
    return -ABI_EINVAL;
  }
  struct text target = image_data(server_image(server), inode);
  size_t n = target.len < request->sqe.out_cap ? target.len : request->sqe.out_cap;
  memcpy(request->slot, target.at, n);
  return (int64_t)n;
}

/* Entry n of a directory: 0 is `.`, 1 is `..`, then the records in order. */
static bool entry_get(const struct image *image, uint32_t directory, uint64_t n, uint32_t *inode,
                      struct text *name) {
  if (n < 2) {
    *inode = n == 0 ? directory : image->directories[directory].parent;
    *name = (struct text){"..", n + 1};
    return true;
  }
  const struct image_record *record = image_entry(image, directory, n - 2);
  if (record) {
    *inode = record->inode;
    *name = (struct text){record->name, record->name_len};
  }
  return record != NULL;
}

static int64_t on_getdents(struct server *server, struct server_request *request) {
  const struct image *image = server_image(server);
  uint32_t directory;
  if (!file_inode(image, request->sqe.file, &directory)) {
    return -ABI_EBADF;
  }
  if (inode_kind(image, directory) != S_ABI_IFDIR) {
    return -ABI_ENOTDIR;
  }
  struct dirent_list list = {.at = request->slot, .room = request->sqe.out_cap};
  uint64_t n = request->sqe.arg;
  uint32_t inode;
  struct text name;
  bool more = entry_get(image, directory, n, &inode, &name);
  while (more && dirent_put(&list, (uint64_t)inode + 1, (int64_t)(n + 1), image->inodes[inode].mode,
                            name)) {
    more = entry_get(image, directory, ++n, &inode, &name);
  }
  return dirent_answer(&list, more);
}

/* The bytes up to the end of the file's last page are its own, zero behind the data; what lies
 * behind that page belongs to others and is refused. */
static int64_t on_mmap(struct server *server, struct server_request *request) {
  const struct image *image = server_image(server);
  uint32_t inode;
  if (!file_inode(image, request->sqe.file, &inode)) {
    return -ABI_EBADF;
  }
  if (inode_kind(image, inode) != S_ABI_IFREG) {
    return -ABI_ENODEV;
  }
  uint64_t offset = request->sqe.arg;
  uint64_t room = (image->inodes[inode].len + IMAGE_PAGE_SIZE - 1) & -(uint64_t)IMAGE_PAGE_SIZE;
  if (offset % IMAGE_PAGE_SIZE != 0 || offset > room || request->sqe.arg2 > room - offset) {
    return -ABI_EINVAL;
  }
  return (int64_t)(image_data(image, inode).at + offset);
}

static int64_t on_mapat(struct server *server, struct server_request *request) {
  const struct image *image = server_image(server);
  uint32_t inode;
  int error = request_walk(server, request, WALK_FOLLOW, &inode);
  if (error) {
    return error;
  }
  if (inode_kind(image, inode) != S_ABI_IFREG || image->inodes[inode].len == 0) {
    return -ABI_ENODEV;
  }
  int64_t answer = stat_answer(image, inode, request);
  return answer < 0 ? answer : (int64_t)image_data(image, inode).at;
}

/* Append a file's path to `text`, root first, through parents. Only directories have one that is
 * certain: other inodes may have many names. */
static size_t path_build(const struct image *image, uint32_t inode, char *to, size_t room) {
  size_t used = room;
  while (inode != 0) {
    uint32_t parent = image->directories[inode].parent;
    uint64_t n = 0;
    const struct image_record *record = image_entry(image, parent, n);
    while (record->inode != inode) {
      record = image_entry(image, parent, ++n);
    }
    if (record->name_len + 1u > used) {
      return SIZE_MAX;
    }
    used -= record->name_len;
    memcpy(to + used, record->name, record->name_len);
    to[--used] = '/';
    inode = parent;
  }
  return used;
}

static int64_t on_path(struct server *server, struct server_request *request) {
  static const char scheme[] = "initfs:";
  const struct image *image = server_image(server);
  char path[ABI_PATH_MAX];
  uint32_t inode;
  if (!file_inode(image, request->sqe.file, &inode)) {
    return -ABI_EBADF;
  }
  if (inode_kind(image, inode) != S_ABI_IFDIR) {
    return -ABI_EOPNOTSUPP;
  }
  size_t from = path_build(image, inode, path, sizeof(path));
  if (from == SIZE_MAX) {
    return -ABI_ENAMETOOLONG;
  }
  if (from == sizeof(path)) {
    path[--from] = '/';
  }
  size_t n = sizeof(path) - from;
  if (sizeof(scheme) - 1 + n > request->sqe.out_cap) {
    return -ABI_ERANGE;
  }
  memcpy(request->slot, scheme, sizeof(scheme) - 1);
  memcpy(request->slot + sizeof(scheme) - 1, path + from, n);
  return (int64_t)(sizeof(scheme) - 1 + n);
}

static int64_t on_statfs(struct server *server, struct server_request *request) {
  const struct image *image = server_image(server);
  if (request->sqe.out_cap < 4 * sizeof(uint64_t)) {
    return -ABI_EINVAL;
  }
  uint64_t *out = (uint64_t *)request->slot;
  out[0] = image->len;
  out[1] = 0;
  out[2] = image->n_inodes;
  out[3] = 0;
  return 4 * sizeof(uint64_t);
}

static int64_t on_change(struct server *server, struct server_request *request) {
  (void)server;
  (void)request;
  return -ABI_EROFS;
}

static const struct server_ops initfs_ops = {
    .on = {
        [OP_OPEN] = on_open,        [OP_READ] = on_read,         [OP_STAT] = on_stat,
        [OP_STATAT] = on_statat,    [OP_GETDENTS] = on_getdents, [OP_READLINKAT] = on_readlinkat,
        [OP_MMAP] = on_mmap,        [OP_MAPAT] = on_mapat,       [OP_PATH] = on_path,
        [OP_STATFS] = on_statfs,    [OP_TRUNCATE] = on_change,   [OP_UNLINKAT] = on_change,
        [OP_MKDIRAT] = on_change,   [OP_RENAMEAT] = on_change,   [OP_LINKAT] = on_change,
        [OP_SYMLINKAT] = on_change, [OP_CHMODAT] = on_change,    [OP_CHOWNAT] = on_change,
        [OP_UTIMENSAT] = on_change,
    }};

int initfs_serve(struct initfs *initfs, const char *scheme, void (*ready)(void *), void *context) {
  struct server server;
  int error = server_open(&server, scheme, &initfs_ops, initfs);
  if (error) {
    return error;
  }
  ready(context);
  return server_run(&server);
}
