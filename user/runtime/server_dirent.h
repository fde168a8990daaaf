/* Packing directory entries into the answer of OP_GETDENTS. */
#ifndef CATHODE_RUNTIME_SERVER_DIRENT_H
#define CATHODE_RUNTIME_SERVER_DIRENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/server_walk.h"

struct dirent_list {
  uint8_t *at;
  size_t used, room; /* bytes */
};

/* Append a record; `next` is the position after it, `mode` gives the type. False when it does not
 * fit, and then nothing was written. */
[[nodiscard]] bool dirent_put(struct dirent_list *list, uint64_t ino, int64_t next, uint32_t mode,
                              struct text name);

/* The answer: bytes used; EINVAL when entries were left and not even one of them fitted. */
int64_t dirent_answer(const struct dirent_list *list, bool more);

#endif
