/* Checking and reading an initfs image: see image.h for the format and what holds afterwards. */
#include "servers/initfs/image.h"

#include "abi/abi.h"
#include "lib/string.h"

static uint64_t page_round_up(uint64_t n) {
  return (n + IMAGE_PAGE_SIZE - 1) & ~(uint64_t)(IMAGE_PAGE_SIZE - 1);
}

/* Whether off .. off + len lies inside the image, without overflow. */
static bool range_inside(const struct image *image, uint64_t off, uint64_t len) {
  return off <= image->len && len <= image->len - off;
}

/* Bytes that differ, as memcmp says it, then length. */
static int text_compare(struct text a, struct text b) {
  int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
  if (order != 0) {
    return order;
  }
  return a.len < b.len ? -1 : a.len > b.len;
}

static struct text record_name(const struct image_record *record) {
  return (struct text){record->name, record->name_len};
}

static size_t record_size(const struct image_record *record) {
  return (sizeof(*record) + record->name_len + 1 + 7) & ~(size_t)7;
}

/* ---- the check ---------------------------------------------------------------------------- */

static const char *header_check(struct image *image, size_t len) {
  const struct image_header *header = (const struct image_header *)image->base;
  if (len < IMAGE_PAGE_SIZE || memcmp(header->magic, IMAGE_MAGIC, sizeof(header->magic)) != 0) {
    return "not an initfs image";
  }
  if (header->page_size != IMAGE_PAGE_SIZE) {
    return "page size is not 4096";
  }
  if (header->image_len > len) {
    return "image is cut short";
  }
  image->len = header->image_len;
  if (header->inode_count == 0 || header->inode_count > IMAGE_INODES_MAX ||
      header->inode_off % 8 != 0) {
    return "inode table is malformed";
  }
  if (!range_inside(image, header->inode_off,
                    (uint64_t)header->inode_count * sizeof(struct image_inode))) {
    return "inode table lies outside the image";
  }
  image->n_inodes = header->inode_count;
  image->inodes = (const struct image_inode *)(image->base + header->inode_off);
  return NULL;
}

static bool name_valid(struct text name) {
  if (name.len == 0 || name.len > ABI_NAME_MAX) {
    return false;
  }
  for (size_t i = 0; i < name.len; i++) {
    if (name.at[i] == '/' || name.at[i] == '\0') {
      return false;
    }
  }
  return !(name.at[0] == '.' && (name.len == 1 || (name.len == 2 && name.at[1] == '.')));
}

/* One record at `at`, `room` bytes before the directory's end, behind a record `last` or NULL. */
static const char *record_check(const struct image *image, const struct image_record *record,
                                uint64_t room, const struct image_record *last) {
  if (room < sizeof(*record) || room < record_size(record)) {
    return "directory record is cut short";
  }
  if (record->inode >= image->n_inodes) {
    return "directory names an inode that is not there";
  }
  if (!name_valid(record_name(record)) || record->name[record->name_len] != '\0') {
    return "directory holds a malformed name";
  }
  if (last && text_compare(record_name(last), record_name(record)) >= 0) {
    return "directory is not sorted";
  }
  return NULL;
}

static const char *directory_check(struct image *image, const struct image_inode *inode) {
  if (inode->data_off % 8 != 0) {
    return "directory data is not aligned";
  }
  const struct image_record *last = NULL;
  uint64_t off = 0;
  while (off < inode->len) {
    const struct image_record *record =
        (const struct image_record *)(image->base + inode->data_off + off);
    const char *wrong = record_check(image, record, inode->len - off, last);
    if (wrong) {
      return wrong;
    }
    last = record;
    off += record_size(record);
    if (++image->n_records > image->len / sizeof(*record)) {
      return "directories overlap"; /* so that the check and the index stay linear */
    }
  }
  return NULL;
}

static const char *file_check(const struct image *image, const struct image_inode *inode) {
  if (inode->data_off % IMAGE_PAGE_SIZE != 0) {
    return "file data does not start on a page";
  }
  if (!range_inside(image, inode->data_off, page_round_up(inode->len))) {
    return "file's last page lies outside the image";
  }
  return NULL;
}

static const char *link_check(const struct image_inode *inode) {
  return inode->len == 0 || inode->len >= ABI_PATH_MAX ? "link's target is malformed" : NULL;
}

static const char *inode_check(struct image *image, const struct image_inode *inode) {
  if (!range_inside(image, inode->data_off, inode->len)) {
    return "data lies outside the image"; /* [I1] */
  }
  switch (inode->mode & S_ABI_IFMT) {
  case S_ABI_IFDIR:
    return directory_check(image, inode);
  case S_ABI_IFREG:
    return file_check(image, inode);
  case S_ABI_IFLNK:
    return link_check(inode);
  default:
    return "inode is neither file, directory nor link";
  }
}

const char *image_check(struct image *image, const void *base, size_t len) {
  *image = (struct image){.base = base};
  const char *wrong = header_check(image, len);
  for (uint32_t i = 0; !wrong && i < image->n_inodes; i++) {
    wrong = inode_check(image, &image->inodes[i]);
  }
  if (!wrong && (image->inodes[0].mode & S_ABI_IFMT) != S_ABI_IFDIR) {
    wrong = "inode 0 is not a directory";
  }
  return wrong;
}

/* ---- the index ---------------------------------------------------------------------------- */

#define PARENT_NONE UINT32_MAX

static size_t directories_size(const struct image *image) {
  return image->n_inodes * sizeof(struct image_directory);
}

size_t image_index_size(const struct image *image) {
  return directories_size(image) + image->n_records * sizeof(struct image_record *);
}

static bool inode_is_directory(const struct image *image, uint64_t inode) {
  return (image->inodes[inode].mode & S_ABI_IFMT) == S_ABI_IFDIR;
}

/* Enter a directory's records, and this directory as parent of those that are directories. */
static const char *directory_index(struct image *image, uint32_t inode, uint64_t *next) {
  const struct image_inode *self = &image->inodes[inode];
  struct image_directory *directory = &image->directories[inode];
  directory->first = *next;
  for (uint64_t off = 0; off < self->len;) {
    const struct image_record *record =
        (const struct image_record *)(image->base + self->data_off + off);
    if (inode_is_directory(image, record->inode)) {
      if (record->inode == 0 || image->directories[record->inode].parent != PARENT_NONE) {
        return "a directory has two names";
      }
      image->directories[record->inode].parent = inode;
    }
    image->records[(*next)++] = record;
    directory->n_records++;
    off += record_size(record);
  }
  return NULL;
}

/* [I3] Every directory has at most one parent; it hangs from the root unless it lies on a loop.
 * Each is marked with the walk that saw it first, so that all walks together are linear. */
static const char *tree_check(struct image *image) {
  for (uint32_t i = 1; i < image->n_inodes; i++) {
    uint32_t at = inode_is_directory(image, i) ? i : 0;
    while (at != 0 && image->directories[at].mark == 0) {
      image->directories[at].mark = i;
      at = image->directories[at].parent;
      if (at == PARENT_NONE) {
        return "a directory has no name";
      }
    }
    if (at != 0 && image->directories[at].mark == i) {
      return "a directory lies inside itself";
    }
  }
  return NULL;
}

const char *image_index(struct image *image, void *memory) {
  image->directories = memory;
  image->records = (const struct image_record **)((uint8_t *)memory + directories_size(image));
  for (uint32_t i = 0; i < image->n_inodes; i++) {
    image->directories[i].parent = i == 0 ? 0 : PARENT_NONE;
  }
  const char *wrong = NULL;
  uint64_t next = 0;
  for (uint32_t i = 0; !wrong && i < image->n_inodes; i++) {
    if (inode_is_directory(image, i)) {
      wrong = directory_index(image, i, &next);
    }
  }
  return wrong ? wrong : tree_check(image);
}

/* ---- look-ups ----------------------------------------------------------------------------- */

int64_t image_lookup(const struct image *image, uint32_t directory, struct text name) {
  const struct image_directory *self = &image->directories[directory];
  uint64_t low = self->first;
  uint64_t high = self->first + self->n_records;
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    const struct image_record *record = image->records[middle];
    int order = text_compare(name, record_name(record));
    if (order == 0) {
      return record->inode;
    }
    if (order < 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return -1;
}

const struct image_record *image_entry(const struct image *image, uint32_t directory, uint64_t n) {
  const struct image_directory *self = &image->directories[directory];
  return n < self->n_records ? image->records[self->first + n] : NULL;
}

struct text image_data(const struct image *image, uint32_t inode) {
  const struct image_inode *self = &image->inodes[inode];
  return (struct text){(const char *)image->base + self->data_off, self->len};
}
