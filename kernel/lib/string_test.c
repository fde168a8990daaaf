// test-sources:
/* The kernel's memory and string functions against loops of bytes. They are compiled into this file
 * under other names, since the host has its own; blocks are allocated exactly, so that the
 * sanitizer sees every byte read or written outside of them. */
#include "lib/rng.h"
#include "lib/tap.h"

#define memcpy test_memcpy
#define memmove test_memmove
#define memset test_memset
#define memcmp test_memcmp
#define memchr test_memchr
#define strlen test_strlen
#define strnlen test_strnlen
#define strcmp test_strcmp
#define strncmp test_strncmp
#define strlcpy test_strlcpy
#include "lib/string.c"

#define N_STEPS 50000
#define ALIGN_MAX 16

static unsigned char *block_alloc(size_t n) {
  unsigned char *p = malloc(n > 0 ? n : 1);
  TAP_REQUIRE(p);
  return p;
}

static void block_fill(struct rng *rng, unsigned char *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    p[i] = (unsigned char)rng_next(rng);
  }
}

/* Mostly short, now and then beyond a page. */
static size_t random_len(struct rng *rng) {
  return rng_below(rng, 1u << (1 + rng_below(rng, rng_one_in(rng, 50) ? 13 : 8)));
}

static bool copies(struct rng *rng) {
  for (unsigned i = 0; i < N_STEPS; i++) {
    size_t n = random_len(rng), from = rng_below(rng, ALIGN_MAX), to = rng_below(rng, ALIGN_MAX);
    unsigned char *src = block_alloc(from + n), *dst = block_alloc(to + n);
    block_fill(rng, src, from + n);
    block_fill(rng, dst, to + n);
    unsigned char before = to > 0 ? dst[to - 1] : 0;
    TAP_REQUIRE(test_memcpy(dst + to, src + from, n) == dst + to);
    for (size_t k = 0; k < n; k++) {
      TAP_REQUIRE(dst[to + k] == src[from + k]);
    }
    TAP_REQUIRE(to == 0 || dst[to - 1] == before);
    free(src);
    free(dst);
  }
  return true;
}

/* One overlapping move, beside the same done through a copy. */
static void move_once(struct rng *rng, size_t n, size_t from, size_t to, size_t total) {
  unsigned char *moved = block_alloc(total), *expected = block_alloc(total);
  block_fill(rng, moved, total);
  for (size_t k = 0; k < total; k++) {
    expected[k] = k >= to && k < to + n ? moved[from + k - to] : moved[k];
  }
  TAP_REQUIRE(test_memmove(moved + to, moved + from, n) == moved + to);
  for (size_t k = 0; k < total; k++) {
    TAP_REQUIRE(moved[k] == expected[k]);
  }
  free(moved);
  free(expected);
}

/* Every length up to 80 with every overlap, then random ones. */
static bool moves(struct rng *rng) {
  for (size_t n = 0; n <= 80; n++) {
    for (size_t shift = 0; shift <= n + 1; shift++) {
      move_once(rng, n, shift, 0, n + shift);
      move_once(rng, n, 0, shift, n + shift);
    }
  }
  for (unsigned i = 0; i < N_STEPS / 10; i++) {
    size_t n = random_len(rng), from = rng_below(rng, 300), to = rng_below(rng, 300);
    move_once(rng, n, from, to, n + MAX(from, to));
  }
  return true;
}

static bool fills(struct rng *rng) {
  for (unsigned i = 0; i < N_STEPS; i++) {
    size_t n = random_len(rng), at = rng_below(rng, ALIGN_MAX), total = at + n + 1;
    unsigned char *p = block_alloc(total), byte = (unsigned char)rng_next(rng);
    p[total - 1] = (unsigned char)~byte;
    for (size_t k = 0; k < at; k++) {
      p[k] = (unsigned char)~byte;
    }
    TAP_REQUIRE(test_memset(p + at, byte | 0x7f00, n) == p + at);
    for (size_t k = 0; k < total; k++) {
      TAP_REQUIRE((p[k] == byte) == (k >= at && k < at + n));
    }
    free(p);
  }
  return true;
}

static int sign(int x) {
  return (x > 0) - (x < 0);
}

static int slow_compare(const unsigned char *a, const unsigned char *b, size_t n, bool is_text) {
  for (size_t i = 0; i < n; i++) {
    if (a[i] != b[i] || (is_text && a[i] == 0)) {
      return sign(a[i] - b[i]);
    }
  }
  return 0;
}

/* Two blocks that differ in one byte or in none, with a NUL at the end of each. */
static bool compares(struct rng *rng) {
  for (unsigned i = 0; i < N_STEPS; i++) {
    size_t n = random_len(rng) + 1, max = rng_below(rng, (uint32_t)n + 3);
    unsigned char *a = block_alloc(n), *b = block_alloc(n);
    block_fill(rng, a, n - 1);
    a[n - 1] = 0;
    test_memcpy(b, a, n);
    if (n > 1 && rng_one_in(rng, 2)) {
      b[rng_below(rng, (uint32_t)n - 1)] = (unsigned char)rng_next(rng);
    }
    const char *s = (const char *)a, *t = (const char *)b;
    TAP_REQUIRE(sign(test_memcmp(a, b, n)) == slow_compare(a, b, n, false));
    TAP_REQUIRE(sign(test_strcmp(s, t)) == slow_compare(a, b, n, true));
    TAP_REQUIRE(sign(test_strncmp(s, t, max)) == slow_compare(a, b, MIN(max, n), true));
    free(a);
    free(b);
  }
  return true;
}

static size_t slow_find(const unsigned char *p, unsigned char byte, size_t n) {
  size_t i = 0;
  while (i < n && p[i] != byte) {
    i++;
  }
  return i;
}

static bool searches(struct rng *rng) {
  for (unsigned i = 0; i < N_STEPS; i++) {
    size_t n = random_len(rng) + 1;
    unsigned char *p = block_alloc(n), byte = (unsigned char)rng_next(rng);
    block_fill(rng, p, n - 1);
    p[n - 1] = 0;
    size_t at = slow_find(p, byte, n), len = slow_find(p, 0, n), max = rng_below(rng, (uint32_t)n);
    TAP_REQUIRE(test_memchr(p, byte, n) == (at < n ? p + at : NULL));
    TAP_REQUIRE(test_strlen((char *)p) == len);
    TAP_REQUIRE(test_strnlen((char *)p, max) == MIN(len, max));
    free(p);
  }
  return true;
}

static bool cuts(void) {
  char small[4] = "xyz", none[1] = {'x'};
  bool ok = test_strlcpy(small, "ab", sizeof(small)) == 2 && test_strcmp(small, "ab") == 0;
  ok = ok && test_strlcpy(small, "abcdef", sizeof(small)) == 6 && test_strcmp(small, "abc") == 0;
  ok = ok && test_strlcpy(small, "abc", sizeof(small)) == 3 && test_strcmp(small, "abc") == 0;
  return ok && test_strlcpy(none, "abc", 0) == 3 && none[0] == 'x';
}

int main(int argc, char **argv) {
  struct rng rng;
  tap_plan(6);
  rng_seed(&rng, tap_seed(argc, argv));
  tap_ok(copies(&rng), "memcpy, all alignments");
  tap_ok(moves(&rng), "memmove, all overlaps");
  tap_ok(fills(&rng), "memset");
  tap_ok(compares(&rng), "memcmp, strcmp, strncmp");
  tap_ok(searches(&rng), "memchr, strlen, strnlen");
  tap_ok(cuts(), "strlcpy cuts and ends");
  return tap_done();
}
