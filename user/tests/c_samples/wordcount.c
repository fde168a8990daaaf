/* Counts the words of a file (the argument) and prints the most frequent ones, in a fixed order. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  char word[32];
  int count;
};

static struct entry table[1024];
static int n_entries;

static void count_word(const char *word) {
  for (int i = 0; i < n_entries; i++) {
    if (strcmp(table[i].word, word) == 0) {
      table[i].count++;
      return;
    }
  }
  snprintf(table[n_entries].word, sizeof table[0].word, "%s", word);
  table[n_entries++].count = 1;
}

static int by_count(const void *a, const void *b) {
  const struct entry *x = a, *y = b;
  return x->count != y->count ? y->count - x->count : strcmp(x->word, y->word);
}

int main(int argc, char **argv) {
  FILE *file = argc > 1 ? fopen(argv[1], "r") : stdin;
  if (!file) {
    perror(argv[1]);
    return 1;
  }
  char word[32];
  size_t n = 0;
  for (int c; (c = fgetc(file)) != EOF;) {
    if (isalpha(c) && n < sizeof word - 1) {
      word[n++] = (char)tolower(c);
    } else if (n > 0) {
      word[n] = '\0';
      count_word(word);
      n = 0;
    }
  }
  qsort(table, (size_t)n_entries, sizeof table[0], by_count);
  for (int i = 0; i < n_entries && i < 8; i++) {
    printf("%4d %s\n", table[i].count, table[i].word);
  }
  printf("%d different words\n", n_entries);
  return 0;
}
