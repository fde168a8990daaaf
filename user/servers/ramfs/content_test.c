// test-sources: content.c
/* File contents at their edges: quota, holes, lower layers, mappings. The ordinary traffic is
 * compared with the host's file system in ramfs_test.c. */
#include "servers/ramfs/content.h"

#include <string.h>
#include <sys/mman.h>

#include "abi/abi.h"
#include "lib/tap.h"

#define PAGE ABI_PAGE_SIZE

static struct quota quota;
static uint8_t bytes[8 * PAGE];

static void begin(struct content *content, uint64_t limit) {
  quota = (struct quota){.limit = limit};
  content_init(content, &quota);
}

static void end(struct content *content, const char *what) {
  content_fini(content);
  tap_ok(quota.used == 0, "%s: all pages are given back", what);
}

static void test_quota(void) {
  struct content content;
  begin(&content, 2);
  memset(bytes, 'q', sizeof(bytes));
  int64_t n = content_write(&content, 100, bytes, 3 * PAGE);
  tap_ok(n == 2 * (int64_t)PAGE - 100, "a write ends where the quota ends (%lld)", (long long)n);
  tap_ok(content.size == 2 * PAGE, "and the file with it");
  tap_ok(content_write(&content, 2 * PAGE, bytes, 1) == -ABI_ENOSPC, "the next fails with ENOSPC");
  tap_ok(content.size == 2 * PAGE, "and changes nothing");
  tap_ok(content_write(&content, 0, bytes, PAGE) == (int64_t)PAGE, "what is there can be changed");
  tap_ok(content_resize(&content, PAGE) == 0 && quota.used == 1, "cutting gives pages back");
  tap_ok(content_write(&content, 5 * PAGE, bytes, 1) == 1 && quota.used == 2,
         "a hole costs nothing");
  tap_ok(content_read(&content, 2 * PAGE, bytes, PAGE) == PAGE && bytes[0] == 0 &&
             bytes[PAGE - 1] == 0 && quota.used == 2,
         "and reads as zero, for nothing");
  end(&content, "quota");
}

static void test_limits(void) {
  struct content content;
  begin(&content, 10);
  tap_ok(content_resize(&content, CONTENT_SIZE_MAX) == 0 && quota.used == 0,
         "the largest file is one hole");
  tap_ok(content_resize(&content, CONTENT_SIZE_MAX + 1) == -ABI_EFBIG, "a larger one is refused");
  tap_ok(content_write(&content, CONTENT_SIZE_MAX, "x", 1) == -ABI_EFBIG,
         "as is a write behind the limit");
  tap_ok(content_write(&content, UINT64_MAX, "x", 1) == -ABI_EFBIG, "wherever that is");
  tap_ok(content_read(&content, UINT64_MAX, bytes, 1) == 0, "nothing is there to be read");
  tap_ok(content_address(&content, 1, PAGE, false) == -ABI_EINVAL, "mappings start on pages");
  tap_ok(content_address(&content, 0, UINT64_MAX, false) == -ABI_EFBIG, "and have an end");
  end(&content, "limits");
}

static void test_lower(void) {
  struct content content;
  begin(&content, 2);
  uint8_t *lower = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TAP_REQUIRE(lower != MAP_FAILED);
  memset(lower, 'l', 2 * PAGE + 5);
  TAP_REQUIRE(mprotect(lower, 3 * PAGE, PROT_READ) == 0);
  content_set_lower(&content, lower, 2 * PAGE + 5);
  tap_ok(content_read(&content, 2 * PAGE, bytes, PAGE) == 5 && bytes[4] == 'l',
         "a lower file is read in place");
  tap_ok(content_address(&content, PAGE, PAGE, false) == (int64_t)(lower + PAGE),
         "and mapped in place");
  tap_ok(quota.used == 0, "at no cost");
  tap_ok(content_write(&content, 0, "x", 1) == -ABI_ENOSPC && quota.used == 0 && content.lower,
         "a change that the quota forbids leaves it as it was");
  tap_ok(content_resize(&content, PAGE + 1) == 0 && !content.lower && quota.used == 2,
         "cutting copies what stays");
  tap_ok(content_resize(&content, 2 * PAGE) == 0 && content_read(&content, PAGE, bytes, 2) == 2 &&
             bytes[0] == 'l' && bytes[1] == 0,
         "and what comes back is zero");
  end(&content, "lower");
}

static void test_maps(void) {
  struct content content;
  begin(&content, 100);
  TAP_REQUIRE(content_write(&content, 0, "old", 3) == 3);
  uint8_t *mapped = (uint8_t *)content_address(&content, 0, PAGE, true);
  mapped[1] = '-';
  mapped[50] = 'z';
  tap_ok(content_read(&content, 0, bytes, 3) == 3 && memcmp(bytes, "o-d", 3) == 0,
         "what a client writes is in the file");
  TAP_REQUIRE(content_write(&content, 60, "far", 3) == 3);
  tap_ok(mapped[60] == 'f', "what is written is in the client's mapping");
  tap_ok(mapped[50] == 0, "what lay behind the end has become zero");
  uint8_t *before = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, content.fd, 0); /* a client's */
  TAP_REQUIRE(before != MAP_FAILED);
  TAP_REQUIRE(content_write(&content, 40 * PAGE, "grow", 4) == 4);
  mapped = (uint8_t *)content_address(&content, 0, 41 * PAGE, true);
  mapped[0] = 'n';
  tap_ok(before[0] == 'n' && mapped[40 * PAGE] == 'g', "a grown file is still the same memory");
  tap_ok(quota.used == 41, "all that can be written through a mapping counts");
  tap_ok(content_address(&content, 0, 50 * PAGE, true) > 0 && quota.used == 41,
         "what lies behind the end does not");
  tap_ok(content_resize(&content, 45 * PAGE) == 0 && quota.used == 45,
         "until the file grows there");
  TAP_REQUIRE(content_write(&content, 60 * PAGE, "x", 1) == 1);
  tap_ok(quota.used == 51, "also by a write behind");
  tap_ok(content_resize(&content, 0) == 0 && quota.used == 0 && before[0] == 'n',
         "cut to nothing, it leaves its memory to those who have it");
  munmap(before, PAGE);
  end(&content, "maps");
}

int main(void) {
  tap_plan(34);
  test_quota();
  test_limits();
  test_lower();
  test_maps();
  return tap_done();
}
