/* The file: server's program: `ramfs [LIMIT_BYTES]`. Started by bootstrap, before there is a file:
 * to run from; says that it serves by one byte on descriptor 3. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/abi.h"
#include "servers/ramfs/device.h"
#include "servers/ramfs/ramfs.h"

#define READY_FD 3
#define NODES_MAX (256u << 10)
#define LIMIT_DEFAULT (64ull << 20)

static const struct server_ops ramfs_ops = {
    .on = {
        [OP_OPEN] = on_open,         [OP_CLOSE] = on_close,         [OP_READ] = on_read,
        [OP_WRITE] = on_write,       [OP_STAT] = on_stat,           [OP_STATAT] = on_statat,
        [OP_GETDENTS] = on_getdents, [OP_TRUNCATE] = on_truncate,   [OP_PATH] = on_path,
        [OP_UNLINKAT] = on_unlinkat, [OP_MKDIRAT] = on_mkdirat,     [OP_RENAMEAT] = on_renameat,
        [OP_LINKAT] = on_linkat,     [OP_SYMLINKAT] = on_symlinkat, [OP_READLINKAT] = on_readlinkat,
        [OP_CHMODAT] = on_chmodat,   [OP_CHOWNAT] = on_chownat,     [OP_UTIMENSAT] = on_utimensat,
        [OP_MMAP] = on_mmap,         [OP_STATFS] = on_statfs,       [OP_MAPAT] = on_mapat,
    }};

/* Bytes that files may have: as told, or half of the machine's memory. */
static uint64_t limit_bytes(int argc, char **argv) {
  if (argc > 1) {
    return strtoull(argv[1], NULL, 0);
  }
  long n_pages = sysconf(_SC_PHYS_PAGES);
  return n_pages > 0 ? (uint64_t)n_pages * ABI_PAGE_SIZE / 2 : LIMIT_DEFAULT;
}

static int fail(const char *step, int error) {
  fprintf(stderr, "ramfs: %s: %s\n", step, strerror(-error));
  return EXIT_FAILURE;
}

int main(int argc, char **argv) {
  static struct ramfs ramfs;
  struct server server;
  int error =
      tree_init(&ramfs.tree, limit_bytes(argc, argv) / ABI_PAGE_SIZE, NODES_MAX, "initfs:/");
  if (!error) {
    error = handle_table_init(&ramfs.handles, ramfs.tree.root);
  }
  if (!error) {
    error = device_populate(&ramfs.tree);
  }
  if (error) {
    return fail("cannot build the tree", error);
  }
  error = server_open(&server, "file", &ramfs_ops, &ramfs);
  if (error) {
    return fail("cannot register file:", error);
  }
  if (write(READY_FD, "r", 1) != 1) {
    return fail("cannot say that it serves", -errno);
  }
  close(READY_FD);
  return fail("serving ended", server_run(&server));
}
