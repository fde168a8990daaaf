/* The bytes of a file: a memory object of the kernel's, or a file of the layer below.
 *
 *   [C1] The bytes lie in the object `fd` (memory:, a memfd on the host), or (`lower`) in a
 *        read-only mapping of a file below, which the first change copies. Neither: all is a hole.
 *   [C2] A page counts against the quota from its first write (its bit in `present`) until it is
 *        cut off; pages that are not present read as zero, and reading does not make them present.
 *        Pages of a file below are not ours and do not count.
 *   [C3] Bytes of present pages behind `size` are zero, unless a client that maps them wrote there.
 *   [C5] The object reaches to the end of the file's last page where it is mapped, and no further:
 *        who touches what lies behind gets SIGBUS, until the file grows. Pages that a client can
 *        reach count, also those that come within the reach of a mapping as the file grows.
 *   [C4] A file keeps its object as long as it has bytes, so all who map it share it; cut to
 *        nothing it gets a new one, and who mapped the old one (a running program) keeps it whole.
 * Bytes go in and out by pread and pwrite: a machine without memory is then an error to answer,
 * where touching a mapping would be the end of the server. The object is mapped here only when a
 * client asks to map it. Limits: who mapped a file below before its first change keeps the old. */
#ifndef CATHODE_RAMFS_CONTENT_H
#define CATHODE_RAMFS_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENT_SIZE_MAX (1ull << 40)

/* Pages that all contents together may have. */
struct quota {
  uint64_t limit, used;
};

struct content {
  struct quota *quota;
  uint64_t size;     /* bytes of the file */
  int fd;            /* [C1] -1: none */
  bool lower;        /* [C1] */
  uint8_t *map;      /* the file below, or the object where a client has asked; NULL: neither */
  size_t map_len;    /* bytes, whole pages */
  uint64_t reach;    /* [C5] end of the furthest mapping that a client has asked for */
  uint64_t *present; /* [C2] a bit a page */
  size_t n_words;
};

void content_init(struct content *content, struct quota *quota);
void content_fini(struct content *content);

/* Take a mapping of `size` bytes (not 0) that was made for this content; it is unmapped with it. */
void content_set_lower(struct content *content, void *map, uint64_t size);

/* Bytes read: 0 at and behind the end. Fails: EIO. */
[[nodiscard]] int64_t content_read(const struct content *content, uint64_t offset, void *to,
                                   size_t n);

/* Bytes written, fewer than n when the quota ended; growing the file as needed.
 * Fails: ENOSPC, EFBIG, ENOMEM, and then nothing was written. */
[[nodiscard]] int64_t content_write(struct content *content, uint64_t offset, const void *from,
                                    size_t n);

/* Cut the file, or extend it by a hole. Fails: EFBIG, ENOSPC (a lower file had to be copied),
 * ENOMEM. */
[[nodiscard]] int content_resize(struct content *content, uint64_t size);

/* An address where offset .. offset + n lies, for clients to map; `writable` when they may write
 * there. What of it the file has counts; the rest may be mapped as well. Fails: EINVAL (not
 * page-aligned, or nothing), EFBIG, ENOSPC, ENOMEM. */
[[nodiscard]] int64_t content_address(struct content *content, uint64_t offset, uint64_t n,
                                      bool writable);

/* Pages that count against the quota. */
uint64_t content_pages(const struct content *content);

#endif
