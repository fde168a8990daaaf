/* The devices of /dev, as far as a file server can be them. */
#ifndef CATHODE_RAMFS_DEVICE_H
#define CATHODE_RAMFS_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "servers/ramfs/tree.h"

struct device {
  const char *name; /* in /dev */
  uint32_t perm;
  /* Bytes read or written, or a negated error. NULL in a device that forwards. */
  int64_t (*read)(void *to, size_t n);
  int64_t (*write)(size_t n);
  const char *forward; /* an open is answered with a descriptor of this path; NULL for none */
};

/* Make /dev with its devices, /dev/shm and /tmp. Fails: as tree_make(). */
[[nodiscard]] int device_populate(struct tree *tree);

#endif
