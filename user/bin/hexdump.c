/* hexdump [FILE...]: sixteen bytes a line: offset, hexadecimal, characters (as hexdump -C).
 * Repeated lines are shown as one "*". */
#include <ctype.h>
#include <string.h>

#include "lib.h"

static void print_line(const unsigned char *bytes, size_t n, unsigned long long offset) {
  printf("%08llx ", offset);
  for (size_t i = 0; i < 16; i++) {
    fputs(i == 8 ? " " : "", stdout);
    if (i < n) {
      printf(" %02x", bytes[i]);
    } else {
      fputs("   ", stdout);
    }
  }
  fputs("  |", stdout);
  for (size_t i = 0; i < n; i++) {
    putchar(isprint(bytes[i]) ? bytes[i] : '.');
  }
  puts("|");
}

static int dump(FILE *file, const char *name) {
  unsigned char line[16], last[16] = {0};
  unsigned long long offset = 0;
  bool starred = false;
  (void)name;
  for (size_t n; (n = fread(line, 1, sizeof line, file)) > 0; offset += n) {
    if (offset > 0 && n == sizeof line && memcmp(line, last, n) == 0) {
      if (!starred) {
        puts("*");
      }
      starred = true;
      continue;
    }
    starred = false;
    print_line(line, n, offset);
    memcpy(last, line, n);
  }
  if (offset > 0) {
    printf("%08llx\n", offset);
  }
  return ferror(file) ? 1 : 0;
}

int main(int argc, char **argv) {
  (void)argc;
  return finish(for_each_file(argv + 1, dump));
}
