/* The file: server: a writable tree in memory above the boot image.
 *
 * One thread serves everything; nothing it does waits for a client. The tree (tree.c) holds nodes
 * (node.c), whose bytes (content.c) lie in memory that clients map; what the image has is mirrored
 * on demand (lower.c). Limits: mode bits are stored, not enforced; half of the machine's memory for
 * file bytes; a quarter million nodes. */
#ifndef CATHODE_RAMFS_RAMFS_H
#define CATHODE_RAMFS_RAMFS_H

#include "runtime/server.h"
#include "servers/ramfs/handle.h"
#include "servers/ramfs/tree.h"

struct ramfs {
  struct tree tree;
  struct handle_table handles;
};

/* The request's file id as a handle; NULL: answer EBADF. */
struct handle *request_handle(struct server *server, const struct server_request *request);

static inline struct ramfs *server_ramfs(const struct server *server) {
  return server->context;
}

/* Operations on names (ops_name.c) and on open files (ops_file.c). */
server_handler on_open, on_statat, on_unlinkat, on_mkdirat, on_renameat, on_linkat, on_symlinkat,
    on_readlinkat, on_chmodat, on_chownat, on_utimensat, on_mapat;
server_handler on_close, on_read, on_write, on_stat, on_getdents, on_truncate, on_path, on_mmap,
    on_statfs;

int64_t stat_answer(const struct node *node, struct server_request *request);

#endif
