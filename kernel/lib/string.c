/* Memory and C string functions, see string.h.
 *
 * Moves of n bytes with 8 <= n <= 16 are two words, the second ending at the last byte and
 * overlapping the first when it must; longer ones are a loop of four words an iteration and then at
 * most four such words. BARRIER() in the byte loops keeps the compiler from recognising the
 * function it is compiling and replacing the loop by a call of it. */
#include "lib/string.h"

#include "lib/bits.h"
#include <stdint.h>

/* Any 8, 4 or 2 bytes, wherever they lie and whatever type they have. */
struct u64_any {
  uint64_t v;
} __attribute__((packed, may_alias));
struct u32_any {
  uint32_t v;
} __attribute__((packed, may_alias));
struct u16_any {
  uint16_t v;
} __attribute__((packed, may_alias));

static inline uint64_t word_load(const unsigned char *p) {
  return ((const struct u64_any *)(const void *)p)->v;
}

static inline void word_store(unsigned char *p, uint64_t v) {
  ((struct u64_any *)(void *)p)->v = v;
}

static inline uint32_t half_load(const unsigned char *p) {
  return ((const struct u32_any *)(const void *)p)->v;
}

static inline void half_store(unsigned char *p, uint32_t v) {
  ((struct u32_any *)(void *)p)->v = v;
}

static inline uint16_t quarter_load(const unsigned char *p) {
  return ((const struct u16_any *)(const void *)p)->v;
}

static inline void quarter_store(unsigned char *p, uint16_t v) {
  ((struct u16_any *)(void *)p)->v = v;
}

/* n <= 16. Everything is loaded before anything is stored, so that it serves memmove too. */
static inline void short_move(unsigned char *d, const unsigned char *s, size_t n) {
  if (n >= 8) {
    uint64_t first = word_load(s), last = word_load(s + n - 8);
    word_store(d, first);
    word_store(d + n - 8, last);
  } else if (n >= 4) {
    uint32_t first = half_load(s), last = half_load(s + n - 4);
    half_store(d, first);
    half_store(d + n - 4, last);
  } else if (n >= 2) {
    uint16_t first = quarter_load(s), last = quarter_load(s + n - 2);
    quarter_store(d, first);
    quarter_store(d + n - 2, last);
  } else if (n == 1) {
    *d = *s;
  }
}

/* 32 bytes, loaded before they are stored. */
static inline void line_move(unsigned char *d, const unsigned char *s) {
  uint64_t a = word_load(s), b = word_load(s + 8), c = word_load(s + 16), e = word_load(s + 24);
  word_store(d, a);
  word_store(d + 8, b);
  word_store(d + 16, c);
  word_store(d + 24, e);
}

/* n > 16, d not inside of (s, s + n). The tail is loaded before an overlapping d overwrites it. */
static void long_move_up(unsigned char *d, const unsigned char *s, size_t n) {
  uint64_t tail = word_load(s + n - 8);
  unsigned char *end = d + n;
  while (n >= 32) {
    line_move(d, s);
    BARRIER();
    d += 32, s += 32, n -= 32;
  }
  while (n > 8) {
    word_store(d, word_load(s));
    BARRIER();
    d += 8, s += 8, n -= 8;
  }
  word_store(end - 8, tail);
}

/* n > 16, from the end, for d inside of (s, s + n). */
static void long_move_down(unsigned char *d, const unsigned char *s, size_t n) {
  uint64_t head = word_load(s);
  while (n >= 32) {
    n -= 32;
    line_move(d + n, s + n);
    BARRIER();
  }
  while (n > 8) {
    n -= 8;
    word_store(d + n, word_load(s + n));
    BARRIER();
  }
  word_store(d, head);
}

void *memcpy(void *restrict dst, const void *restrict src, size_t n) {
  if (n <= 16) {
    short_move(dst, src, n);
  } else {
    long_move_up(dst, src, n);
  }
  return dst;
}

void *memmove(void *dst, const void *src, size_t n) {
  if (n <= 16) {
    short_move(dst, src, n);
  } else if ((uintptr_t)dst - (uintptr_t)src >= n) {
    long_move_up(dst, src, n);
  } else {
    long_move_down(dst, src, n);
  }
  return dst;
}

/* n < 8. */
static inline void short_fill(unsigned char *d, uint64_t v, size_t n) {
  if (n >= 4) {
    half_store(d, (uint32_t)v);
    half_store(d + n - 4, (uint32_t)v);
  } else if (n >= 2) {
    quarter_store(d, (uint16_t)v);
    quarter_store(d + n - 2, (uint16_t)v);
  } else if (n == 1) {
    *d = (unsigned char)v;
  }
}

/* 64 bytes. Written out, because at -O2 gcc leaves a loop of eight a loop. */
static inline void line_fill(unsigned char *d, uint64_t v) {
  word_store(d, v);
  word_store(d + 8, v);
  word_store(d + 16, v);
  word_store(d + 24, v);
  word_store(d + 32, v);
  word_store(d + 40, v);
  word_store(d + 48, v);
  word_store(d + 56, v);
}

void *memset(void *dst, int byte, size_t n) {
  unsigned char *d = dst;
  uint64_t v = (unsigned char)byte * UINT64_C(0x0101010101010101);
  if (n < 8) {
    short_fill(d, v, n);
    return dst;
  }
  unsigned char *end = d + n;
  while (n >= 64) {
    line_fill(d, v);
    BARRIER();
    d += 64, n -= 64;
  }
  while (n > 8) {
    word_store(d, v);
    BARRIER();
    d += 8, n -= 8;
  }
  word_store(end - 8, v);
  return dst;
}

int memcmp(const void *a, const void *b, size_t n) {
  const unsigned char *p = a, *q = b;
  while (n >= 8 && word_load(p) == word_load(q)) {
    p += 8, q += 8, n -= 8;
  }
  for (; n > 0; p++, q++, n--) {
    if (*p != *q) {
      return *p - *q;
    }
    BARRIER();
  }
  return 0;
}

void *memchr(const void *s, int byte, size_t n) {
  const unsigned char *p = s;
  for (; n > 0; p++, n--) {
    if (*p == (unsigned char)byte) {
      return (void *)(uintptr_t)p;
    }
    BARRIER();
  }
  return NULL;
}

size_t strlen(const char *s) {
  const char *p = s;
  while (*p != '\0') {
    p++;
    BARRIER();
  }
  return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t max) {
  size_t n = 0;
  while (n < max && s[n] != '\0') {
    n++;
    BARRIER();
  }
  return n;
}

int strcmp(const char *a, const char *b) {
  while (*a != '\0' && *a == *b) {
    a++, b++;
  }
  return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t n) {
  while (n > 0 && *a != '\0' && *a == *b) {
    a++, b++, n--;
  }
  return n == 0 ? 0 : (unsigned char)*a - (unsigned char)*b;
}

size_t strlcpy(char *dst, const char *src, size_t cap) {
  size_t len = strlen(src);
  if (cap > 0) {
    size_t n = len < cap ? len : cap - 1;
    memcpy(dst, src, n);
    dst[n] = '\0';
  }
  return len;
}
