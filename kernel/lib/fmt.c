/* Formatting and parsing of text, see fmt.h for what is understood. */
#include "lib/fmt.h"

#include "lib/bits.h"
#include "lib/string.h"

/* Where the text goes. `len` counts all of it, also what did not fit. */
struct fmt_out {
  char *buf;
  size_t cap, len;
};

/* One conversion: %[flags][width][.precision][length]letter. */
struct fmt_spec {
  bool left, zero, is_long, has_precision;
  size_t width, precision;
};

#define DIGITS_MAX 20 /* of UINT64_MAX in decimal */

static void out_char(struct fmt_out *out, char c) {
  if (out->len + 1 < out->cap) {
    out->buf[out->len] = c;
  }
  out->len++;
}

static void out_text(struct fmt_out *out, const char *text, size_t len) {
  for (size_t i = 0; i < len; i++) {
    out_char(out, text[i]);
  }
}

static void out_fill(struct fmt_out *out, char c, size_t n) {
  while (n-- > 0) {
    out_char(out, c);
  }
}

/* `prefix` (a sign, 0x) and `text`, padded to the width: with zeros between the two, or with spaces
 * on one side. */
static void out_padded(struct fmt_out *out, const struct fmt_spec *spec, const char *prefix,
                       const char *text, size_t len) {
  size_t total = strlen(prefix) + len, pad = spec->width > total ? spec->width - total : 0;
  bool zero = spec->zero && !spec->left;
  if (!spec->left && !zero) {
    out_fill(out, ' ', pad);
  }
  out_text(out, prefix, strlen(prefix));
  if (zero) {
    out_fill(out, '0', pad);
  }
  out_text(out, text, len);
  if (spec->left) {
    out_fill(out, ' ', pad);
  }
}

static void out_number(struct fmt_out *out, const struct fmt_spec *spec, const char *prefix,
                       uint64_t value, unsigned base, bool upper) {
  const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  char text[DIGITS_MAX];
  size_t at = DIGITS_MAX;
  do {
    text[--at] = digits[value % base];
    value /= base;
  } while (value != 0);
  out_padded(out, spec, prefix, text + at, DIGITS_MAX - at);
}

static void out_signed(struct fmt_out *out, const struct fmt_spec *spec, int64_t value) {
  uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
  out_number(out, spec, value < 0 ? "-" : "", magnitude, 10, false);
}

static void out_string(struct fmt_out *out, const struct fmt_spec *spec, const char *text) {
  struct fmt_spec plain = *spec;
  plain.zero = false;
  text = text ? text : "(null)";
  out_padded(out, &plain, "", text,
             strnlen(text, spec->has_precision ? spec->precision : SIZE_MAX));
}

/* The magnitude of a number or of the argument that * stands for. */
static size_t spec_number(const char **p, va_list *args, bool *negative) {
  size_t n = 0;
  *negative = false;
  if (**p == '*') {
    int value = va_arg(*args, int);
    ++*p;
    *negative = value < 0;
    return value < 0 ? 0 - (size_t)value : (size_t)value;
  }
  while (**p >= '0' && **p <= '9') {
    n = n * 10 + (size_t)(*(*p)++ - '0');
  }
  return n;
}

static void spec_flags(struct fmt_spec *spec, const char **p) {
  for (; **p == '-' || **p == '0'; ++*p) {
    spec->left |= **p == '-';
    spec->zero |= **p == '0';
  }
}

/* Reads everything between % and the letter. As in ISO C, a negative width asks for - as well, and
 * a negative precision for none. */
static struct fmt_spec spec_parse(const char **p, va_list *args) {
  struct fmt_spec spec = {0};
  bool negative;
  spec_flags(&spec, p);
  spec.width = spec_number(p, args, &negative);
  spec.left |= negative;
  if (**p == '.') {
    ++*p;
    spec.precision = spec_number(p, args, &negative);
    spec.has_precision = !negative;
  }
  for (; **p == 'l' || **p == 'z'; ++*p) {
    spec.is_long = true;
  }
  return spec;
}

static uint64_t arg_unsigned(const struct fmt_spec *spec, va_list *args) {
  return spec->is_long ? va_arg(*args, unsigned long) : va_arg(*args, unsigned);
}

static int64_t arg_signed(const struct fmt_spec *spec, va_list *args) {
  return spec->is_long ? va_arg(*args, long) : va_arg(*args, int);
}

/* False for a letter that is not known. */
static bool out_conversion(struct fmt_out *out, const struct fmt_spec *spec, char letter,
                           va_list *args) {
  char c;
  switch (letter) {
  case 'd':
  case 'i':
    out_signed(out, spec, arg_signed(spec, args));
    return true;
  case 'u':
    out_number(out, spec, "", arg_unsigned(spec, args), 10, false);
    return true;
  case 'x':
  case 'X':
    out_number(out, spec, "", arg_unsigned(spec, args), 16, letter == 'X');
    return true;
  case 'p':
    out_number(out, spec, "0x", (uintptr_t)va_arg(*args, void *), 16, false);
    return true;
  case 's':
    out_string(out, spec, va_arg(*args, const char *));
    return true;
  case 'c':
    c = (char)va_arg(*args, int);
    out_padded(out, &(struct fmt_spec){.left = spec->left, .width = spec->width}, "", &c, 1);
    return true;
  case '%':
    out_char(out, '%');
    return true;
  default:
    return false;
  }
}

size_t fmt_vsnprintf(char *buf, size_t cap, const char *format, va_list args) {
  struct fmt_out out = {buf, cap, 0};
  va_list rest;
  va_copy(rest, args);
  for (const char *p = format; *p != '\0'; p++) {
    if (*p != '%') {
      out_char(&out, *p);
      continue;
    }
    const char *start = p++;
    struct fmt_spec spec = spec_parse(&p, &rest);
    if (!out_conversion(&out, &spec, *p, &rest)) {
      p -= *p == '\0';
      out_text(&out, start, (size_t)(p - start) + 1);
    }
  }
  va_end(rest);
  if (cap > 0) {
    buf[MIN(out.len, cap - 1)] = '\0';
  }
  return out.len;
}

size_t fmt_snprintf(char *buf, size_t cap, const char *format, ...) {
  va_list args;
  va_start(args, format);
  size_t len = fmt_vsnprintf(buf, cap, format, args);
  va_end(args);
  return len;
}

/* The value of a digit in any base up to 16, 16 for anything else. */
static unsigned digit_value(char c) {
  if (c >= '0' && c <= '9') {
    return (unsigned)(c - '0');
  }
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
}

/* The base of a number, which is written behind the first *prefix characters. */
static unsigned number_base(const char *text, size_t len, size_t *prefix) {
  bool is_hex = len > 2 && text[0] == '0' && (text[1] | 0x20) == 'x';
  *prefix = is_hex ? 2 : 0;
  return is_hex ? 16 : 10;
}

bool fmt_parse_u64(const char *text, size_t len, uint64_t *out) {
  size_t i;
  unsigned base = number_base(text, len, &i);
  uint64_t value = 0;
  if (len == 0) {
    return false;
  }
  for (; i < len; i++) {
    unsigned digit = digit_value(text[i]);
    if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
        __builtin_add_overflow(value, digit, &value)) {
      return false;
    }
  }
  *out = value;
  return true;
}

bool fmt_is_number(const char *text, size_t len) {
  size_t i;
  unsigned base = number_base(text, len, &i);
  while (i < len && digit_value(text[i]) < base) {
    i++;
  }
  return len > 0 && i == len;
}
