/* file: operations that take a path. */
#include <string.h>

#include "abi/abi.h"
#include "runtime/syscall.h"
#include "servers/ramfs/device.h"
#include "servers/ramfs/lower.h"
#include "servers/ramfs/ramfs.h"

static struct text request_text(const struct server_request *request) {
  return (struct text){(const char *)request->slot, request->sqe.in_len};
}

/* "first NUL second", arg: bytes of the first. False when malformed. */
static bool request_pair(const struct server_request *request, struct text *first,
                         struct text *second) {
  struct text whole = request_text(request);
  uint64_t n = request->sqe.arg;
  if (n >= whole.len || whole.at[n] != '\0') {
    return false;
  }
  *first = (struct text){whole.at, n};
  *second = (struct text){whole.at + n + 1, whole.len - n - 1};
  return true;
}

/* The node of a request's path; an empty path is the open file itself. */
static int request_node(struct server *server, const struct server_request *request,
                        struct text path, uint32_t flags, struct node **node) {
  const struct handle *handle = request_handle(server, request);
  if (!handle) {
    return -ABI_EBADF;
  }
  if (path.len == 0) {
    *node = handle->node;
    return 0;
  }
  return tree_find(&server_ramfs(server)->tree, handle->node, path, flags, node);
}

static bool request_caller(struct server *server, const struct server_request *request,
                           struct caller *caller) {
  const struct handle *handle = request_handle(server, request);
  *caller = (struct caller){handle ? handle->node : NULL, request->sqe.uid};
  return handle != NULL;
}

/* ---- opening ------------------------------------------------------------------------------ */

static int64_t open_forward(const char *path, uint32_t flags, struct server_request *request) {
  uint32_t kept = O_ABI_ACCMODE | O_ABI_NONBLOCK;
  int64_t fd = sys_openat(FD_NS, path, strlen(path), (flags & kept) | O_ABI_CLOEXEC, 0);
  if (fd >= 0) {
    request->kind = CQE_FD;
  }
  return fd;
}

int64_t on_open(struct server *server, struct server_request *request) {
  struct ramfs *ramfs = server_ramfs(server);
  uint32_t flags = (uint32_t)request->sqe.arg;
  struct caller caller;
  struct node *node;
  if (!request_caller(server, request, &caller)) {
    return -ABI_EBADF;
  }
  int error = tree_open(&ramfs->tree, &caller, request_text(request), flags,
                        (uint32_t)(request->sqe.arg >> 32), &node);
  if (error) {
    return error;
  }
  if (node_is(node, S_ABI_IFCHR) && node->device->forward && !(flags & O_ABI_PATH)) {
    return open_forward(node->device->forward, flags, request);
  }
  return handle_open(&ramfs->handles, node, flags);
}

/* ---- attributes --------------------------------------------------------------------------- */

int64_t stat_answer(const struct node *node, struct server_request *request) {
  if (request->sqe.out_cap < sizeof(struct abi_stat)) {
    return -ABI_EINVAL;
  }
  bool file = node_is(node, S_ABI_IFREG);
  bool link = node_is(node, S_ABI_IFLNK);
  bool own = file && !node->content.lower && !node->lower; /* counts its pages itself */
  uint64_t size = file ? node->content.size : link ? node->link.len : 0;
  uint64_t blocks =
      own ? content_pages(&node->content) * (ABI_PAGE_SIZE / 512) : (size + 511) / 512;
  *(struct abi_stat *)request->slot = (struct abi_stat){
      .dev = 2,
      .ino = node->ino,
      .mode = node->mode,
      .nlink = node->nlink,
      .uid = node->uid,
      .gid = node->gid,
      .size = size,
      .blocks = file ? blocks : 0,
      .atime_ns = node->atime_ns,
      .mtime_ns = node->mtime_ns,
      .ctime_ns = node->ctime_ns,
  };
  return sizeof(struct abi_stat);
}

int64_t on_statat(struct server *server, struct server_request *request) {
  struct node *node;
  uint32_t how = request->sqe.arg & O_ABI_NOFOLLOW ? 0 : WALK_FOLLOW;
  int error = request_node(server, request, request_text(request), how, &node);
  return error ? error : stat_answer(node, request);
}

/* What is open, stat and mmap of a program: it is mapped to be read, and stays what it was for who
 * maps it. */
int64_t on_mapat(struct server *server, struct server_request *request) {
  struct node *node;
  int error = request_node(server, request, request_text(request), WALK_FOLLOW, &node);
  if (error) {
    return error;
  }
  if (!node_is(node, S_ABI_IFREG) || node->content.size == 0) {
    return -ABI_ENODEV;
  }
  error = lower_map(node);
  int64_t answer = error ? error : stat_answer(node, request);
  return answer < 0 ? answer : content_address(&node->content, 0, node->content.size, false);
}

int64_t on_chmodat(struct server *server, struct server_request *request) {
  struct node *node;
  int error = request_node(server, request, request_text(request), WALK_FOLLOW, &node);
  if (error) {
    return error;
  }
  node->mode = (node->mode & S_ABI_IFMT) | (request->sqe.arg & 07777);
  node_touch_attributes(node);
  return 0;
}

int64_t on_chownat(struct server *server, struct server_request *request) {
  struct node *node;
  int error = request_node(server, request, request_text(request), WALK_FOLLOW, &node);
  if (error) {
    return error;
  }
  uint32_t uid = (uint32_t)request->sqe.arg;
  uint32_t gid = (uint32_t)(request->sqe.arg >> 32);
  node->uid = uid == UINT32_MAX ? node->uid : uid;
  node->gid = gid == UINT32_MAX ? node->gid : gid;
  node_touch_attributes(node);
  return 0;
}

int64_t on_utimensat(struct server *server, struct server_request *request) {
  struct text path = request_text(request);
  int64_t times[2];
  if (path.len < sizeof(times)) {
    return -ABI_EINVAL;
  }
  memcpy(times, path.at, sizeof(times));
  path.at += sizeof(times);
  path.len -= sizeof(times);
  struct node *node;
  uint32_t how = request->sqe.arg & O_ABI_NOFOLLOW ? 0 : WALK_FOLLOW;
  int error = request_node(server, request, path, how, &node);
  if (error) {
    return error;
  }
  node->atime_ns = times[0];
  node->mtime_ns = times[1];
  node_touch_attributes(node);
  return 0;
}

/* ---- names -------------------------------------------------------------------------------- */

int64_t on_unlinkat(struct server *server, struct server_request *request) {
  struct caller caller;
  if (!request_caller(server, request, &caller)) {
    return -ABI_EBADF;
  }
  return tree_unlink(&server_ramfs(server)->tree, caller.start, request_text(request),
                     request->sqe.arg & O_ABI_DIRECTORY);
}

int64_t on_mkdirat(struct server *server, struct server_request *request) {
  struct caller caller;
  struct node *node;
  if (!request_caller(server, request, &caller)) {
    return -ABI_EBADF;
  }
  uint32_t mode = S_ABI_IFDIR | (request->sqe.arg & 07777);
  return tree_make(&server_ramfs(server)->tree, &caller, request_text(request), mode, &node);
}

int64_t on_symlinkat(struct server *server, struct server_request *request) {
  struct caller caller;
  struct text path;
  struct text target;
  if (!request_caller(server, request, &caller)) {
    return -ABI_EBADF;
  }
  if (!request_pair(request, &path, &target)) {
    return -ABI_EINVAL;
  }
  return tree_symlink(&server_ramfs(server)->tree, &caller, path, target);
}

int64_t on_renameat(struct server *server, struct server_request *request) {
  struct caller caller;
  struct text from;
  struct text to;
  if (!request_caller(server, request, &caller)) {
    return -ABI_EBADF;
  }
  if (!request_pair(request, &from, &to)) {
    return -ABI_EINVAL;
  }
  return tree_rename(&server_ramfs(server)->tree, caller.start, from, to);
}

int64_t on_linkat(struct server *server, struct server_request *request) {
  struct caller caller;
  struct text from;
  struct text to;
  if (!request_caller(server, request, &caller)) {
    return -ABI_EBADF;
  }
  if (!request_pair(request, &from, &to)) {
    return -ABI_EINVAL;
  }
  return tree_link(&server_ramfs(server)->tree, caller.start, from, to);
}

int64_t on_readlinkat(struct server *server, struct server_request *request) {
  struct node *node;
  int error = request_node(server, request, request_text(request), 0, &node);
  if (error) {
    return error;
  }
  if (!node_is(node, S_ABI_IFLNK)) {
    return -ABI_EINVAL;
  }
  size_t n = node->link.len < request->sqe.out_cap ? node->link.len : request->sqe.out_cap;
  memcpy(request->slot, node->link.target, n);
  return (int64_t)n;
}
