/* The initfs: server: the raw boot image as a read-only tree.
 *
 * One thread, no memory of its own but the index: a file id is an inode number plus one, so that
 * opens and closes leave nothing behind. OP_MMAP answers the address inside the image mapping, so
 * that a private mapping of a file is the image's own frames. Limits: no access checks (everything
 * in the image may be read by everybody), no device nodes. */
#ifndef CATHODE_INITFS_INITFS_H
#define CATHODE_INITFS_INITFS_H

#include <stddef.h>

#include "servers/initfs/image.h"

struct initfs {
  struct image image;
};

/* Serve `scheme` from a checked and indexed image. Calls ready(context) once the name is
 * registered, then serves until the kernel ends it; answers the negated error. */
[[nodiscard]] int initfs_serve(struct initfs *initfs, const char *scheme, void (*ready)(void *),
                               void *context);

#endif
