/* tr [-cds] SET1 [SET2]: replace bytes of SET1 by those of SET2; -d: delete them; -s: of equal
 * adjacent ones (of the last set) keep one; -c: SET1 is what it does not contain. Sets know ranges
 * a-z, backslash escapes, and [:alpha:] and its like. */
#include <ctype.h>
#include <err.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

struct set {
  int n;
  unsigned char byte[1024];
};

static const struct {
  const char *name;
  int (*is)(int);
} classes[] = {{"[:alpha:]", isalpha}, {"[:digit:]", isdigit}, {"[:alnum:]", isalnum},
               {"[:upper:]", isupper}, {"[:lower:]", islower}, {"[:space:]", isspace},
               {"[:blank:]", isblank}, {"[:punct:]", ispunct}, {"[:xdigit:]", isxdigit}};

static void set_add(struct set *set, int c) {
  if (set->n < (int)sizeof set->byte) {
    set->byte[set->n++] = (unsigned char)c;
  }
}

/* Adds a class that begins at text; answers its length, 0 when there is none. */
static size_t set_add_class(struct set *set, const char *text) {
  for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
    size_t n = strlen(classes[i].name);
    if (strncmp(text, classes[i].name, n) == 0) {
      for (int c = 0; c < 256; c++) {
        if (classes[i].is(c)) {
          set_add(set, c);
        }
      }
      return n;
    }
  }
  return 0;
}

static int next_byte(const char **text) {
  int c = (unsigned char)*(*text)++;
  if (c == '\\' && **text) {
    int escaped = escape_char(text, false);
    c = escaped >= 0 ? escaped : (unsigned char)*(*text)++;
  }
  return c;
}

static void set_parse(struct set *set, const char *text) {
  while (*text) {
    size_t n = set_add_class(set, text);
    if (n > 0) {
      text += n;
      continue;
    }
    int first = next_byte(&text), last = first;
    if (*text == '-' && text[1]) {
      text++;
      last = next_byte(&text);
    }
    if (last < first) {
      errx(2, "a range is the wrong way round");
    }
    for (int c = first; c <= last; c++) {
      set_add(set, c);
    }
  }
}

static bool set_has(const struct set *set, int c) {
  return memchr(set->byte, c, (size_t)set->n) != NULL;
}

static void set_complement(struct set *set) {
  struct set other = {0};
  for (int c = 0; c < 256; c++) {
    if (!set_has(set, c)) {
      set_add(&other, c);
    }
  }
  *set = other;
}

/* What each byte becomes; -1: deleted. */
static void make_map(int map[256], const struct set *from, const struct set *to, bool delete) {
  for (int c = 0; c < 256; c++) {
    map[c] = c;
  }
  for (int i = 0; i < from->n; i++) {
    if (delete) {
      map[from->byte[i]] = -1;
    } else if (to->n > 0) {
      map[from->byte[i]] = to->byte[i < to->n ? i : to->n - 1];
    }
  }
}

int main(int argc, char **argv) {
  bool complement = false, delete = false, squeeze = false;
  for (int option; (option = getopt(argc, argv, "cCds")) != -1;) {
    complement |= option == 'c' || option == 'C';
    delete |= option == 'd';
    squeeze |= option == 's';
    if (option == '?') {
      usage("tr [-cds] SET1 [SET2]");
    }
  }
  int n_sets = argc - optind;
  if (n_sets < 1 || n_sets > 2 || (n_sets == 1 && !delete &&!squeeze)) {
    usage("tr [-cds] SET1 [SET2]");
  }
  static struct set from, to;
  int map[256], last = -1;
  set_parse(&from, argv[optind]);
  if (complement) {
    set_complement(&from);
  }
  set_parse(&to, n_sets == 2 ? argv[optind + 1] : "");
  make_map(map, &from, &to, delete);
  const struct set *squeezed = n_sets == 2 ? &to : &from;
  for (int c; (c = getchar()) != EOF;) {
    int out = map[c];
    if (out < 0 || (squeeze && out == last && set_has(squeezed, out))) {
      continue;
    }
    last = out;
    putchar(out);
  }
  return finish(0);
}
