/* file: operations on open files. */
#include <string.h>

#include "abi/abi.h"
#include "runtime/server_dirent.h"
#include "servers/ramfs/device.h"
#include "servers/ramfs/lower.h"
#include "servers/ramfs/ramfs.h"

struct handle *request_handle(struct server *server, const struct server_request *request) {
  return handle_get(&server_ramfs(server)->handles, request->sqe.file);
}

int64_t on_close(struct server *server, struct server_request *request) {
  struct ramfs *ramfs = server_ramfs(server);
  handle_close(&ramfs->handles, &ramfs->tree, request->sqe.file);
  return 0;
}

int64_t on_stat(struct server *server, struct server_request *request) {
  const struct handle *handle = request_handle(server, request);
  return handle ? stat_answer(handle->node, request) : -ABI_EBADF;
}

/* ---- bytes -------------------------------------------------------------------------------- */

/* The last access is noted once after each change only, which is what anybody asks of it. */
static void node_accessed(struct node *node) {
  if (node->atime_ns <= node->mtime_ns) {
    node->atime_ns = time_now_ns();
  }
}

int64_t on_read(struct server *server, struct server_request *request) {
  const struct handle *handle = request_handle(server, request);
  if (!handle || !handle_reads(handle)) {
    return -ABI_EBADF;
  }
  struct node *node = handle->node;
  if (node_is(node, S_ABI_IFDIR)) {
    return -ABI_EISDIR;
  }
  if (node_is(node, S_ABI_IFCHR)) {
    return node->device->read ? node->device->read(request->slot, request->sqe.out_cap)
                              : -ABI_ENODEV;
  }
  int error = lower_map(node);
  if (error) {
    return error;
  }
  node_accessed(node);
  return content_read(&node->content, request->sqe.arg, request->slot, request->sqe.out_cap);
}

int64_t on_write(struct server *server, struct server_request *request) {
  const struct handle *handle = request_handle(server, request);
  if (!handle || !handle_writes(handle)) {
    return -ABI_EBADF;
  }
  struct node *node = handle->node;
  if (node_is(node, S_ABI_IFCHR)) {
    return node->device->write ? node->device->write(request->sqe.in_len) : -ABI_ENODEV;
  }
  int64_t result = lower_map(node);
  if (result < 0) {
    return result;
  }
  bool append = request->sqe.arg2 & O_ABI_APPEND;
  uint64_t offset = append ? node->content.size : request->sqe.arg;
  result = content_write(&node->content, offset, request->slot, request->sqe.in_len);
  if (result > 0) {
    node_touch(node);
  }
  return result;
}

int64_t on_truncate(struct server *server, struct server_request *request) {
  const struct handle *handle = request_handle(server, request);
  if (!handle) {
    return -ABI_EBADF;
  }
  struct node *node = handle->node;
  if (!handle_writes(handle) || !node_is(node, S_ABI_IFREG)) {
    return -ABI_EINVAL;
  }
  int error = lower_map(node);
  if (!error) {
    error = content_resize(&node->content, request->sqe.arg);
  }
  if (!error) {
    node_touch(node);
  }
  return error;
}

int64_t on_mmap(struct server *server, struct server_request *request) {
  const struct handle *handle = request_handle(server, request);
  if (!handle) {
    return -ABI_EBADF;
  }
  struct node *node = handle->node;
  if (!node_is(node, S_ABI_IFREG)) {
    return -ABI_ENODEV;
  }
  int error = lower_map(node);
  if (error) {
    return error;
  }
  return content_address(&node->content, request->sqe.arg, request->sqe.arg2,
                         handle_writes(handle));
}

/* ---- directories -------------------------------------------------------------------------- */

/* `.` and `..`, at positions 0 and 1. False when there is no more room. */
static bool dots_put(struct dirent_list *list, const struct node *directory, uint64_t *position) {
  while (*position < 2) {
    const struct node *node = *position == 0 ? directory : directory->directory.parent;
    struct text name = {"..", *position + 1};
    if (!dirent_put(list, node->ino, (int64_t)(*position + 1), S_ABI_IFDIR, name)) {
      return false;
    }
    ++*position;
  }
  return true;
}

int64_t on_getdents(struct server *server, struct server_request *request) {
  const struct handle *handle = request_handle(server, request);
  if (!handle || !handle_reads(handle)) {
    return -ABI_EBADF;
  }
  struct node *node = handle->node;
  if (!node_is(node, S_ABI_IFDIR)) {
    return -ABI_ENOTDIR;
  }
  int error = lower_read(&server_ramfs(server)->tree, node);
  if (error) {
    return error;
  }
  struct dirent_list list = {.at = request->slot, .room = request->sqe.out_cap};
  uint64_t position = request->sqe.arg;
  if (!dots_put(&list, node, &position)) {
    return dirent_answer(&list, true);
  }
  const struct directory *table = &node->directory.table;
  const struct entry *entry = directory_next(table, position - 2);
  while (entry && dirent_put(&list, entry->node->ino, (int64_t)entry->slot + 3, entry->node->mode,
                             entry_name(entry))) {
    entry = directory_next(table, entry->slot + 1ull);
  }
  return dirent_answer(&list, entry != NULL);
}

int64_t on_path(struct server *server, struct server_request *request) {
  static const char scheme[] = {'f', 'i', 'l', 'e', ':'};
  const struct handle *handle = request_handle(server, request);
  if (!handle) {
    return -ABI_EBADF;
  }
  if (request->sqe.out_cap < sizeof(scheme)) {
    return -ABI_ERANGE;
  }
  memcpy(request->slot, scheme, sizeof(scheme));
  int64_t n =
      tree_path(&server_ramfs(server)->tree, handle->node, (char *)request->slot + sizeof(scheme),
                request->sqe.out_cap - sizeof(scheme));
  return n < 0 ? n : n + (int64_t)sizeof(scheme);
}

int64_t on_statfs(struct server *server, struct server_request *request) {
  const struct tree *tree = &server_ramfs(server)->tree;
  if (request->sqe.out_cap < 4 * sizeof(uint64_t)) {
    return -ABI_EINVAL;
  }
  const uint64_t answer[4] = {
      tree->quota.limit * ABI_PAGE_SIZE,
      (tree->quota.limit - tree->quota.used) * ABI_PAGE_SIZE,
      tree->max_nodes,
      tree->max_nodes - tree->n_nodes,
  };
  memcpy(request->slot, answer, sizeof(answer));
  return sizeof(answer);
}
