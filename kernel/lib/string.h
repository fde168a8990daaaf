/* Memory and C string functions, with the names and contracts of ISO C: the compiler emits calls to
 * memcpy, memmove, memset and memcmp also where no source line has one.
 *
 * General registers only; no vector state is touched. Bytes are moved eight at a time, and a length
 * that is no multiple of eight is finished by one move that overlaps the last. Pages and user
 * memory have routines of their own in arch/. */
#ifndef CATHODE_LIB_STRING_H
#define CATHODE_LIB_STRING_H

#include <stddef.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int byte, size_t n);

size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);

/* Copies as much of `src` as fits in `cap` bytes and ends it with a NUL (nothing when cap is 0).
 * Answers strlen(src): at least `cap` means that it was cut. */
size_t strlcpy(char *dst, const char *src, size_t cap);

#endif
