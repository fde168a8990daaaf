// test-sources: image.c
/* The image check: a good image, one fault at a time, and many random ones; what passes the check
 * must be safe to look anything up in (the sanitizers watch the edges). */
#include "servers/initfs/image.h"

#include <string.h>

#include "abi/abi.h"
#include "lib/rng.h"
#include "lib/tap.h"

#define IMAGE_SIZE (6u * IMAGE_PAGE_SIZE)
#define INODE_OFF (1u * IMAGE_PAGE_SIZE)
#define ROOT_OFF (2u * IMAGE_PAGE_SIZE)
#define SUB_OFF (3u * IMAGE_PAGE_SIZE)
#define FILE_OFF (4u * IMAGE_PAGE_SIZE)
#define LINK_OFF (5u * IMAGE_PAGE_SIZE)
#define RANDOM_ROUNDS 200000

enum { ROOT, FILE_A, SUB, LINK, FILE_B, N_INODES };

static uint8_t *good;
static uint8_t *bytes;

static struct image_header *header(uint8_t *image) {
  return (struct image_header *)image;
}

static struct image_inode *inodes(uint8_t *image) {
  return (struct image_inode *)(image + INODE_OFF);
}

static size_t record_put(uint8_t *at, uint32_t inode, const char *name) {
  struct image_record *record = (struct image_record *)at;
  record->inode = inode;
  record->name_len = (uint16_t)strlen(name);
  memcpy(record->name, name, strlen(name) + 1);
  return (sizeof(*record) + strlen(name) + 1 + 7) & ~7u;
}

/* / has `a` (file), `link` -> a, `sub`; /sub has `b` (file). */
static void good_build(void) {
  good = calloc(1, IMAGE_SIZE);
  bytes = malloc(IMAGE_SIZE);
  *header(good) = (struct image_header){.image_len = IMAGE_SIZE,
                                        .inode_off = INODE_OFF,
                                        .inode_count = N_INODES,
                                        .page_size = IMAGE_PAGE_SIZE};
  memcpy(header(good)->magic, IMAGE_MAGIC, 8);
  size_t n = record_put(good + ROOT_OFF, FILE_A, "a");
  n += record_put(good + ROOT_OFF + n, LINK, "link");
  n += record_put(good + ROOT_OFF + n, SUB, "sub");
  struct image_inode *table = inodes(good);
  table[ROOT] = (struct image_inode){.mode = S_ABI_IFDIR | 0755, .data_off = ROOT_OFF, .len = n};
  n = record_put(good + SUB_OFF, FILE_B, "b");
  table[SUB] = (struct image_inode){.mode = S_ABI_IFDIR | 0755, .data_off = SUB_OFF, .len = n};
  table[FILE_A] = (struct image_inode){.mode = S_ABI_IFREG, .data_off = FILE_OFF, .len = 5};
  table[FILE_B] = (struct image_inode){.mode = S_ABI_IFREG, .data_off = FILE_OFF, .len = 4096};
  table[LINK] = (struct image_inode){.mode = S_ABI_IFLNK, .data_off = LINK_OFF, .len = 1};
  memcpy(good + FILE_OFF, "hello", 5);
  good[LINK_OFF] = 'a';
}

/* Check and index; the index is freed by image_drop(). */
static const char *image_load(struct image *image, const uint8_t *from, size_t len) {
  const char *wrong = image_check(image, from, len);
  if (wrong) {
    return wrong;
  }
  wrong = image_index(image, calloc(1, image_index_size(image)));
  if (wrong) {
    free(image->directories);
  }
  return wrong;
}

static void image_drop(struct image *image) {
  free(image->directories);
}

static struct text text_of(const char *word) {
  return (struct text){word, strlen(word)};
}

static void test_good(void) {
  struct image image;
  const char *wrong = image_load(&image, good, IMAGE_SIZE);
  tap_ok(wrong == NULL, "a good image passes (%s)", wrong ? wrong : "");
  tap_ok(image_lookup(&image, ROOT, text_of("a")) == FILE_A &&
             image_lookup(&image, ROOT, text_of("sub")) == SUB &&
             image_lookup(&image, SUB, text_of("b")) == FILE_B,
         "names are found");
  tap_ok(image_lookup(&image, ROOT, text_of("")) == -1 &&
             image_lookup(&image, ROOT, text_of("b")) == -1 &&
             image_lookup(&image, ROOT, text_of("zz")) == -1 &&
             image_lookup(&image, FILE_A, text_of("a")) == -1,
         "what is not there is not found");
  tap_ok(image_entry(&image, ROOT, 2)->inode == SUB && image_entry(&image, ROOT, 3) == NULL,
         "entries come in order and end");
  struct text data = image_data(&image, FILE_A);
  tap_ok(data.len == 5 && memcmp(data.at, "hello", 5) == 0, "data is found");
  image_drop(&image);
}

/* The copy in `bytes` must be refused with these words. */
static void refused(const char *expected) {
  struct image image;
  const char *wrong = image_load(&image, bytes, IMAGE_SIZE);
  if (!wrong) {
    image_drop(&image);
  }
  tap_ok(wrong && strcmp(wrong, expected) == 0, "refused: %s", expected);
  memcpy(bytes, good, IMAGE_SIZE);
}

static void test_header_faults(void) {
  struct image image;
  memcpy(bytes, good, IMAGE_SIZE);
  tap_ok(image_check(&image, good, 100) != NULL, "refused: shorter than a page");
  bytes[3] ^= 1;
  refused("not an initfs image");
  header(bytes)->page_size = 8192;
  refused("page size is not 4096");
  header(bytes)->image_len = IMAGE_SIZE + 1;
  refused("image is cut short");
  header(bytes)->inode_count = 0;
  refused("inode table is malformed");
  header(bytes)->inode_off = UINT64_MAX - 7;
  refused("inode table lies outside the image");
}

static void test_inode_faults(void) {
  inodes(bytes)[ROOT].mode = S_ABI_IFREG;
  inodes(bytes)[ROOT].data_off = FILE_OFF;
  refused("inode 0 is not a directory");
  inodes(bytes)[FILE_A].data_off = UINT64_MAX;
  refused("data lies outside the image");
  inodes(bytes)[FILE_A].data_off += 8;
  refused("file data does not start on a page");
  inodes(bytes)[LINK].len = 0;
  refused("link's target is malformed");
  inodes(bytes)[FILE_A].mode = S_ABI_IFIFO;
  refused("inode is neither file, directory nor link");
}

static void test_directory_faults(void) {
  inodes(bytes)[ROOT].len--;
  refused("directory record is cut short");
  ((struct image_record *)(bytes + ROOT_OFF))->inode = N_INODES;
  refused("directory names an inode that is not there");
  bytes[ROOT_OFF + 8] = '/';
  refused("directory holds a malformed name");
  bytes[ROOT_OFF + 8] = '.';
  refused("directory holds a malformed name");
  bytes[ROOT_OFF + 8] = 'z';
  refused("directory is not sorted");
  ((struct image_record *)(bytes + SUB_OFF))->inode = SUB;
  refused("a directory has two names");
  ((struct image_record *)(bytes + SUB_OFF))->inode = ROOT;
  refused("a directory has two names");
  inodes(bytes)[FILE_B] = inodes(bytes)[SUB];
  inodes(bytes)[FILE_B].len = 0;
  ((struct image_record *)(bytes + SUB_OFF))->inode = FILE_A;
  refused("a directory has no name");
}

/* /sub is cut off the root and names itself: it has one name, but hangs from nothing. */
static void test_loop(void) {
  inodes(bytes)[ROOT].len = 32; /* `a` and `link` */
  ((struct image_record *)(bytes + SUB_OFF))->inode = SUB;
  refused("a directory lies inside itself");
}

/* Look up everything in an accepted image. */
static void image_use(const struct image *image) {
  for (uint32_t i = 0; i < image->n_inodes; i++) {
    struct text data = image_data(image, i);
    volatile char sink = data.len ? (char)(data.at[0] ^ data.at[data.len - 1]) : 0;
    (void)sink;
    const struct image_record *record;
    for (uint64_t n = 0; (record = image_entry(image, i, n)) != NULL; n++) {
      struct text name = {record->name, record->name_len};
      TAP_REQUIRE(image_lookup(image, i, name) == record->inode);
    }
    uint32_t up = i;
    for (uint32_t steps = 0; image->directories[i].n_records > 0 && up != 0; steps++) {
      TAP_REQUIRE(steps < image->n_inodes);
      up = image->directories[up].parent;
    }
  }
}

static uint32_t random_place(struct rng *rng) {
  static const uint32_t areas[] = {0, INODE_OFF, ROOT_OFF, SUB_OFF};
  static const uint32_t sizes[] = {sizeof(struct image_header),
                                   N_INODES * sizeof(struct image_inode), 48, 16};
  uint32_t area = rng_below(rng, 4);
  return areas[area] + rng_below(rng, sizes[area]);
}

static void test_random(unsigned long long seed) {
  struct rng rng;
  unsigned n_accepted = 0;
  rng_seed(&rng, seed);
  for (unsigned i = 0; i < RANDOM_ROUNDS; i++) {
    uint32_t at[4];
    uint32_t n = 1 + rng_below(&rng, 4);
    for (uint32_t k = 0; k < n; k++) {
      at[k] = random_place(&rng);
      bytes[at[k]] = (uint8_t)rng_next(&rng);
    }
    struct image image;
    if (!image_load(&image, bytes, IMAGE_SIZE)) {
      image_use(&image);
      image_drop(&image);
      n_accepted++;
    }
    for (uint32_t k = 0; k < n; k++) {
      bytes[at[k]] = good[at[k]];
    }
  }
  tap_ok(n_accepted > 0 && n_accepted < RANDOM_ROUNDS, "random damage: %u accepted and used",
         n_accepted);
}

int main(int argc, char **argv) {
  unsigned long long seed = tap_seed(argc, argv);
  tap_plan(26);
  good_build();
  test_good();
  test_header_faults();
  test_inode_faults();
  test_directory_faults();
  test_loop();
  test_random(seed);
  free(good);
  free(bytes);
  return tap_done();
}
