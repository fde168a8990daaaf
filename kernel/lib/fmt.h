/* Formatting and parsing of text, without locale, floating point or allocation.
 *
 * Conversions: %s %c %d %i %u %x %X %p %%, lengths l ll z, flags - and 0, a width (number or *),
 * and a precision for %s (number or *). A NULL string prints as (null). An unknown conversion is
 * printed as it stands; its argument is not consumed, so what follows it is not to be trusted. gcc
 * and clang check the callers. */
#ifndef CATHODE_LIB_FMT_H
#define CATHODE_LIB_FMT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes at most cap bytes, the last of them a NUL (nothing when cap is 0; buf may then be NULL).
 * Answers the length of the whole text without its NUL: at least cap means that it was cut. */
size_t fmt_snprintf(char *buf, size_t cap, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
size_t fmt_vsnprintf(char *buf, size_t cap, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* Reads the whole of text[0..len) as a number: decimal, or hexadecimal after 0x or 0X.
 * Fails: false, *out untouched, for no digit, any other character, or more than 64 bits. */
[[nodiscard]] bool fmt_parse_u64(const char *text, size_t len, uint64_t *out);

/* True for what fmt_parse_u64() takes, and for what it refuses only for having more than 64 bits.
 */
[[nodiscard]] bool fmt_is_number(const char *text, size_t len);

#endif
