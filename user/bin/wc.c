/* wc [-lwc] [FILE...]: count lines, words and bytes; the sum of several files at the end. */
#include <ctype.h>
#include <err.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

struct counts {
  unsigned long long lines, words, bytes;
};

static bool show_lines, show_words, show_bytes;
static struct counts total;

static void print(const struct counts *counts, const char *name) {
  const unsigned long long values[] = {counts->lines, counts->words, counts->bytes};
  const bool shown[] = {show_lines, show_words, show_bytes};
  int width = show_lines + show_words + show_bytes > 1 ? 7 : 0;
  const char *space = "";
  for (int i = 0; i < 3; i++) {
    if (shown[i]) {
      printf("%s%*llu", space, width, values[i]);
      space = " ";
    }
  }
  printf(strcmp(name, "-") == 0 ? "\n" : " %s\n", name);
}

static int count(FILE *file, const char *name) {
  struct counts counts = {0};
  bool in_word = false;
  for (int c; (c = getc(file)) != EOF;) {
    counts.bytes++;
    counts.lines += c == '\n';
    counts.words += !in_word && !isspace(c);
    in_word = !isspace(c);
  }
  if (ferror(file)) {
    warn("%s", name);
    return 1;
  }
  total.lines += counts.lines;
  total.words += counts.words;
  total.bytes += counts.bytes;
  print(&counts, name);
  return 0;
}

int main(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "lwc")) != -1;) {
    show_lines |= option == 'l';
    show_words |= option == 'w';
    show_bytes |= option == 'c';
    if (option == '?') {
      usage("wc [-lwc] [FILE...]");
    }
  }
  if (!show_lines && !show_words && !show_bytes) {
    show_lines = show_words = show_bytes = true;
  }
  int status = for_each_file(argv + optind, count);
  if (argc - optind > 1) {
    print(&total, "total");
  }
  return finish(status);
}
