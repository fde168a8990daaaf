/* printf(1) and echo(1), shared by the programs and by the shell's builtins. */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib.h"

static int escape_octal(const char **text, int digits) {
  int value = 0;
  for (; digits > 0 && **text >= '0' && **text <= '7'; digits--) {
    value = value * 8 + *(*text)++ - '0';
  }
  return value & 0xff;
}

int escape_char(const char **text, bool zero_octal) {
  static const char letters[] = "\\abfnrtv", values[] = "\\\a\b\f\n\r\t\v";
  char c = **text;
  const char *known = c ? strchr(letters, c) : NULL;
  if (known) {
    (*text)++;
    return values[known - letters];
  }
  if (c == 'c') {
    (*text)++;
    return -1;
  }
  if (zero_octal && c == '0') {
    (*text)++;
    return escape_octal(text, 3);
  }
  return !zero_octal && c >= '0' && c <= '7' ? escape_octal(text, 3) : -2;
}

/* Appends the expansion of %b text to a malloced string; false when \c says to stop all output. */
static bool expand_escapes(const char *text, char *to, size_t *length) {
  while (*text) {
    int c = (unsigned char)*text++;
    if (c == '\\') {
      c = escape_char(&text, true);
      if (c == -1) {
        return false;
      }
      c = c == -2 ? '\\' : c;
    }
    to[(*length)++] = (char)c;
  }
  return true;
}

int echo_main(int argc, char **argv) {
  int first = argc > 1 && strcmp(argv[1], "-n") == 0 ? 2 : 1;
  for (int i = first; i < argc; i++) {
    char *text = alloc_or_die(strlen(argv[i]) + 1);
    size_t length = 0;
    bool go_on = expand_escapes(argv[i], text, &length);
    fwrite(text, 1, length, stdout);
    free(text);
    if (!go_on) {
      return 0;
    }
    if (i + 1 < argc) {
      putchar(' ');
    }
  }
  if (first == 1) {
    putchar('\n');
  }
  return 0;
}

/* One use of the format. `spec` is "%" with flags, width and precision, without the conversion. */
struct job {
  char **args; /* what remains */
  int status;
  bool stop; /* \c was met */
  char spec[64];
  int stars[2]; /* values of `*` */
  int n_stars;
};

static const char *next_arg(struct job *job) {
  return *job->args ? *job->args++ : NULL;
}

static void complain(struct job *job, const char *text, const char *why) {
  warnx("%s: %s", text, why);
  job->status = 1;
}

/* 'c and "c are the code of the character; numbers are as in C. */
static bool quoted_char(const char *text, int *code) {
  if (*text != '\'' && *text != '"') {
    return false;
  }
  *code = (unsigned char)text[1];
  return true;
}

static void check_number(struct job *job, const char *text, const char *end) {
  if (end == text) {
    complain(job, text, "expected numeric value");
  } else if (*end) {
    complain(job, text, "not completely converted");
  } else if (errno == ERANGE) {
    complain(job, text, "Numerical result out of range");
  }
}

static long long integer_arg(struct job *job, bool is_signed) {
  const char *text = next_arg(job);
  int code;
  if (!text || quoted_char(text, &code)) {
    return text ? code : 0;
  }
  char *end;
  errno = 0;
  long long value =
      is_signed || *text == '-' ? strtoll(text, &end, 0) : (long long)strtoull(text, &end, 0);
  check_number(job, text, end);
  return value;
}

static double real_arg(struct job *job) {
  const char *text = next_arg(job);
  int code;
  if (!text || quoted_char(text, &code)) {
    return text ? code : 0;
  }
  char *end;
  errno = 0;
  double value = strtod(text, &end);
  check_number(job, text, end);
  return value;
}

#pragma GCC diagnostic ignored                                                                     \
    "-Wformat-nonliteral" /* the user's format, checked by spec_parse() */

/* Prints one value with the parsed spec and as many `*` values as it has. */
#define PRINT(job, value)                                                                          \
  do {                                                                                             \
    if ((job)->n_stars == 0) {                                                                     \
      printf((job)->spec, (value));                                                                \
    } else if ((job)->n_stars == 1) {                                                              \
      printf((job)->spec, (job)->stars[0], (value));                                               \
    } else {                                                                                       \
      printf((job)->spec, (job)->stars[0], (job)->stars[1], (value));                              \
    }                                                                                              \
  } while (0)

static void print_escaped(struct job *job) {
  const char *text = next_arg(job);
  char *expanded = alloc_or_die(text ? strlen(text) + 1 : 1);
  size_t length = 0;
  job->stop = text && !expand_escapes(text, expanded, &length);
  expanded[length] = '\0';
  if (strcmp(job->spec, "%s") == 0) {
    fwrite(expanded, 1, length, stdout);
  } else {
    PRINT(job, expanded);
  }
  free(expanded);
}

/* `spec` already ends with the conversion as C spells it. */
static bool print_conversion(struct job *job, char conversion) {
  if (conversion == 'b') {
    print_escaped(job);
  } else if (conversion == 's') {
    const char *text = next_arg(job);
    PRINT(job, text ? text : "");
  } else if (conversion == 'c') {
    const char *text = next_arg(job);
    if (text && *text) {
      PRINT(job, *text);
    }
  } else if (strchr("di", conversion)) {
    PRINT(job, integer_arg(job, true));
  } else if (strchr("ouxX", conversion)) {
    PRINT(job, integer_arg(job, false));
  } else if (strchr("eEfFgGaA", conversion)) {
    PRINT(job, real_arg(job));
  } else {
    return false;
  }
  return true;
}

/* Copies flags, width and precision after a `%` to spec. Answers what follows, or NULL. */
static const char *spec_parse(struct job *job, const char *format) {
  size_t n = 0;
  job->spec[n++] = '%';
  job->n_stars = 0;
  while (*format && strchr("-+ #0123456789.*", *format)) {
    if (n + 4 > sizeof job->spec || (*format == '*' && job->n_stars == 2)) {
      return NULL;
    }
    if (*format == '*') {
      job->stars[job->n_stars++] = (int)integer_arg(job, true);
    }
    job->spec[n++] = *format++;
  }
  job->spec[n] = '\0';
  return format;
}

static const char *print_spec(struct job *job, const char *format) {
  format = spec_parse(job, format);
  if (!format || !*format) {
    complain(job, "%", "bad conversion");
    job->stop = true;
    return "";
  }
  char conversion = *format++;
  strcat(job->spec, strchr("diouxX", conversion) ? "ll" : "");
  size_t end = strlen(job->spec);
  job->spec[end] = conversion == 'b' ? 's' : conversion;
  job->spec[end + 1] = '\0';
  if (!print_conversion(job, conversion)) {
    complain(job, job->spec, "invalid directive");
    job->stop = true;
  }
  return format;
}

static const char *print_escape(struct job *job, const char *format) {
  int c = escape_char(&format, false);
  if (c == -1) {
    job->stop = true;
  } else {
    putchar(c == -2 ? '\\' : c);
  }
  return format;
}

static void print_once(struct job *job, const char *format) {
  while (*format && !job->stop) {
    char c = *format++;
    if (c == '\\') {
      format = print_escape(job, format);
    } else if (c == '%' && *format == '%') {
      putchar(*format++);
    } else if (c == '%') {
      format = print_spec(job, format);
    } else {
      putchar(c);
    }
  }
}

int printf_main(int argc, char **argv) {
  int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
  if (argc <= first) {
    warnx("usage: printf FORMAT [ARGUMENT...]");
    return 2;
  }
  struct job job = {.args = argv + first + 1};
  char **before;
  do {
    before = job.args;
    print_once(&job, argv[first]);
  } while (*job.args && job.args != before && !job.stop);
  return job.status;
}
