/* The initfs image: its format, its check, and look-ups in a checked image. A pure core.
 *
 * All numbers are little-endian; offsets are bytes from the image's start.
 *   page 0          struct image_header
 *   bootstrap       the blob that the kernel starts; on a page of its own
 *   inode table     struct image_inode[inode_count]; inode 0 is the root directory
 *   file data       of each file from a page's start, zero up to the next page
 *   directory data  struct image_record one after the other, sorted by name (as unsigned bytes,
 *                   a prefix before what it starts), `.` and `..` not among them
 *   link data       the target
 *
 * image_check() looks at every byte that a look-up depends on, once; after it:
 *   [I1] every inode's data lies inside the image, and a file's up to the end of its last page;
 *   [I2] every record lies inside its directory, and names an inode of the table;
 *   [I3] every directory but the root has exactly one record, and the root none: a tree;
 *   [I4] names are 1 to 255 bytes without slash and NUL, strictly ascending in a directory. */
#ifndef CATHODE_INITFS_IMAGE_H
#define CATHODE_INITFS_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/server_walk.h"

#define IMAGE_MAGIC "CATHODE\x01"
#define IMAGE_PAGE_SIZE 4096u
#define IMAGE_INODES_MAX (1u << 24)

struct image_header {
  uint8_t magic[8];
  uint64_t bootstrap_off, bootstrap_len; /* bytes; the two words that the kernel reads */
  uint64_t image_len;
  uint64_t inode_off;
  uint32_t inode_count, page_size;
  uint64_t created_ns;
};

struct image_inode {
  uint32_t mode, nlink;
  uint64_t data_off, len; /* bytes */
  uint64_t mtime_ns;
  uint32_t uid, gid;
  uint64_t reserved;
};

struct image_record {
  uint32_t inode;
  uint16_t name_len, zero;
  char name[]; /* NUL-terminated; the record is padded to 8 bytes */
};

_Static_assert(sizeof(struct image_header) == 56, "no padding");
_Static_assert(sizeof(struct image_inode) == 48, "no padding");
_Static_assert(sizeof(struct image_record) == 8, "no padding");

/* What the look-ups need beside the image: memory of the caller's, image_index_size() bytes. */
struct image_directory {
  uint32_t parent;
  uint32_t n_records;
  uint64_t first; /* index into image.records */
  uint64_t mark;  /* the first walk to the root that came by here, for [I3] */
};

struct image {
  const uint8_t *base;
  size_t len; /* bytes, as the header says */
  const struct image_inode *inodes;
  uint32_t n_inodes;
  uint64_t n_records;                  /* of all directories */
  struct image_directory *directories; /* by inode; zero for what is no directory */
  const struct image_record **records; /* of all directories, each in order */
};

/* Check what can be checked without memory. Answers NULL, or what is wrong in a few words. */
[[nodiscard]] const char *image_check(struct image *image, const void *base, size_t len);

/* Bytes of index for a checked image. */
size_t image_index_size(const struct image *image);

/* Build the index in zeroed memory and check what needs it, [I3]. Answers as image_check(). */
[[nodiscard]] const char *image_index(struct image *image, void *memory);

/* The inode of a name in a directory, or -1. */
int64_t image_lookup(const struct image *image, uint32_t directory, struct text name);

/* The n-th record of a directory in name order, or NULL behind the last. */
const struct image_record *image_entry(const struct image *image, uint32_t directory, uint64_t n);

/* The bytes of a file or a link. */
struct text image_data(const struct image *image, uint32_t inode);

#endif
