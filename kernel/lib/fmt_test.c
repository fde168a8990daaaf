// test-sources: fmt.c
/* Formatting against the host's snprintf, parsing against what was formatted. */
#include "lib/fmt.h"

#include "lib/rng.h"
#include "lib/tap.h"
#include <limits.h>
#include <string.h>

#define N_STEPS 50000
#define TEXT_MAX 400

/* Formats with both, into a block of exactly `cap` bytes, and compares text and length. */
#define SAME(cap, ...)                                                                             \
  do {                                                                                             \
    char expected[TEXT_MAX];                                                                       \
    char *got = malloc((cap) > 0 ? (cap) : 1);                                                     \
    TAP_REQUIRE(got);                                                                              \
    int want = snprintf(expected, sizeof(expected), __VA_ARGS__);                                  \
    TAP_REQUIRE(want >= 0 && fmt_snprintf(got, (cap), __VA_ARGS__) == (size_t)want);               \
    text_matches(got, expected, (cap), (size_t)want);                                              \
    free(got);                                                                                     \
  } while (0)

static void text_matches(const char *got, const char *expected, size_t cap, size_t len) {
  if (cap > 0) {
    size_t n = MIN(len, cap - 1);
    TAP_REQUIRE(memcmp(got, expected, n) == 0 && got[n] == '\0');
  }
}

static uint64_t random_value(struct rng *rng) {
  unsigned shift = rng_below(rng, 64);
  uint64_t value = rng_next(rng) >> shift;
  return rng_one_in(rng, 2) ? value : -value;
}

static bool integers(struct rng *rng) {
  for (unsigned i = 0; i < N_STEPS; i++) {
    uint64_t v = random_value(rng);
    size_t cap = rng_below(rng, 100);
    int w = (int)rng_below(rng, 30) - 5;
    SAME(cap, "%d %i %u %x %X", (int)v, (int)v, (unsigned)v, (unsigned)v, (unsigned)v);
    SAME(cap, "[%8d] [%-8d] [%08d] [%2x]", (int)v, (int)v, (int)v, (unsigned)v);
    SAME(cap, "%ld %lu %lx %lX", (long)v, (unsigned long)v, (unsigned long)v, (unsigned long)v);
    SAME(cap, "%lld,%llu,%llx", (long long)v, (unsigned long long)v, (unsigned long long)v);
    SAME(cap, "%zu %zd %zx", (size_t)v, (ssize_t)v, (size_t)v);
    SAME(cap, "[%*d] [%-*lu] [%0*lx]", w, (int)v, w, (unsigned long)v, 20, (unsigned long)v);
  }
  return true;
}

static bool texts(struct rng *rng) {
  const char *words[] = {"", "a", "scheme", "a longer piece of text, with spaces"};
  for (unsigned i = 0; i < N_STEPS; i++) {
    const char *s = words[rng_below(rng, ARRAY_LEN(words))];
    size_t cap = rng_below(rng, 120);
    int w = (int)rng_below(rng, 40), p = (int)rng_below(rng, 40) - 2;
    SAME(cap, "%s|%10s|%-10s|%c|%%", s, s, s, (int)('a' + w % 26));
    SAME(cap, "%.*s|%*.*s|%-*.3s|%.0s|%4c|%-4c", p, s, w, p, s, w, s, s, 'x', 'y');
  }
  return true;
}

/* A string without a NUL is read no further than its precision. */
static bool bounded_string(void) {
  char *raw = malloc(3), out[16];
  TAP_REQUIRE(raw);
  memcpy(raw, "abc", 3);
  bool ok = fmt_snprintf(out, sizeof(out), "<%.*s>", 3, raw) == 5 && strcmp(out, "<abc>") == 0;
  free(raw);
  return ok;
}

static bool edges(void) {
  SAME(64, "%d %ld %u %lx", INT_MIN, LONG_MIN, UINT_MAX, ULONG_MAX);
  SAME(64, "%p", (void *)(uintptr_t)0xdeadbeef);
  SAME(64, "%016lx|%-5c|", 0xabcul, 'c');
  SAME(64, "plain text %9d %-19u|", 42, 42u);
  return fmt_snprintf(NULL, 0, "%d", 12345) == 5;
}

/* The pointer is volatile because the compiler would refuse a NULL that it can see, rightly. */
static bool null_string(void) {
  const char *volatile none = NULL;
  char out[16];
  return fmt_snprintf(out, sizeof(out), "%s", none) == 6 && strcmp(out, "(null)") == 0;
}

/* Called without the format attribute, for the same reason. */
static bool unknown_conversions(void) {
  size_t (*unchecked)(char *, size_t, const char *, ...) = fmt_snprintf;
  char out[32];
  bool ok = unchecked(out, sizeof(out), "a%qb") == 4 && strcmp(out, "a%qb") == 0;
  ok = ok && unchecked(out, sizeof(out), "a%") == 2 && strcmp(out, "a%") == 0;
  return ok && unchecked(out, sizeof(out), "a%-08l") == 6 && strcmp(out, "a%-08l") == 0;
}

/* Flags in any order and number; zeros never pad a string. */
static bool flag_pairs(void) {
  size_t (*unchecked)(char *, size_t, const char *, ...) = fmt_snprintf;
  char out[64];
  unchecked(out, sizeof(out), "%-05d|%0-5d|%-0-5d|%05s|", 42, 42, 42, "ab");
  return strcmp(out, "42   |42   |42   |   ab|") == 0;
}

static bool parses(const char *text, uint64_t expected) {
  uint64_t n;
  return fmt_parse_u64(text, strlen(text), &n) && n == expected &&
         fmt_is_number(text, strlen(text));
}

static bool refuses(const char *text) {
  uint64_t n = 77;
  return !fmt_parse_u64(text, strlen(text), &n) && n == 77;
}

static bool numbers_parse(struct rng *rng) {
  char text[32];
  for (unsigned i = 0; i < N_STEPS; i++) {
    uint64_t v = random_value(rng);
    fmt_snprintf(text, sizeof(text), i % 3 == 0 ? "%lu" : i % 3 == 1 ? "0x%lx" : "0X%lX", v);
    TAP_REQUIRE(parses(text, v));
  }
  return parses("0", 0) && parses("007", 7) && parses("18446744073709551615", UINT64_MAX) &&
         parses("0xffffffffffffffff", UINT64_MAX) && parses("0x00000000000000000001", 1);
}

static bool numbers_refused(void) {
  const char *bad[] = {"",   "0x",  "x",   "-1",  "+1", " 1",   "1 ",
                       "1k", "0xg", "1.0", "0b1", "a",  "0x1x", "99999999999999999999x"};
  const char *large[] = {"18446744073709551616", "18446744073709551620", "99999999999999999999",
                         "0x10000000000000000"};
  bool ok = true;
  for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
    ok = ok && refuses(bad[i]) && !fmt_is_number(bad[i], strlen(bad[i]));
  }
  for (unsigned i = 0; i < ARRAY_LEN(large); i++) {
    ok = ok && refuses(large[i]) && fmt_is_number(large[i], strlen(large[i]));
  }
  return ok;
}

/* Only text[0..len) is read. */
static bool parse_is_bounded(void) {
  char *raw = malloc(2);
  uint64_t n = 0;
  TAP_REQUIRE(raw);
  memcpy(raw, "42", 2);
  bool ok = fmt_parse_u64(raw, 2, &n) && n == 42 && fmt_parse_u64(raw, 1, &n) && n == 4 &&
            fmt_is_number(raw, 2);
  free(raw);
  return ok;
}

int main(int argc, char **argv) {
  struct rng rng;
  tap_plan(10);
  rng_seed(&rng, tap_seed(argc, argv));
  tap_ok(integers(&rng), "integers as the host prints them");
  tap_ok(texts(&rng), "strings and characters as the host prints them");
  tap_ok(bounded_string(), "a precision bounds the reading of a string");
  tap_ok(edges(), "extreme values, no buffer");
  tap_ok(null_string(), "a NULL string");
  tap_ok(unknown_conversions(), "unknown conversions stand as they are");
  tap_ok(flag_pairs(), "flags in any order");
  tap_ok(numbers_parse(&rng), "numbers are read back");
  tap_ok(numbers_refused(), "what is no number is refused");
  tap_ok(parse_is_bounded(), "a number's length bounds its reading");
  return tap_done();
}
