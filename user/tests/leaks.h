/* The counts of live kernel objects, from sys:leaks, and what of them has grown.
 *
 * A count may be higher the first time something is done: servers and caches keep memory for later.
 * A leak is what grows every time; whoever counts does the thing again before it complains. */
#ifndef TESTS_LEAKS_H
#define TESTS_LEAKS_H

#include "tap.h"

enum { LEAKS_MOST = 64, LEAKS_TEXT = 300, LEAKS_SETTLE_MS = 500 };

struct leaks {
  int n; /* -1: this system does not count */
  struct {
    char name[40];
    long count;
  } of[LEAKS_MOST];
};

static inline struct leaks leaks_read(void) {
  struct leaks leaks = {0};
  FILE *file = fopen("sys:/leaks", "r");
  if (!file) {
    leaks.n = -1;
    return leaks;
  }
  while (leaks.n < LEAKS_MOST &&
         fscanf(file, "%39s %ld", leaks.of[leaks.n].name, &leaks.of[leaks.n].count) == 2) {
    leaks.n++;
  }
  fclose(file);
  return leaks;
}

static inline long leaks_count(const struct leaks *leaks, const char *name) {
  for (int i = 0; i < leaks->n; i++) {
    if (strcmp(leaks->of[i].name, name) == 0) {
      return leaks->of[i].count;
    }
  }
  return 0;
}

/* Writes "name +n" for everything that has grown; false when nothing has. */
static inline bool leaks_growth(const struct leaks *before, const struct leaks *after,
                                char text[LEAKS_TEXT]) {
  size_t n = 0;
  text[0] = '\0';
  for (int i = 0; i < after->n && n < LEAKS_TEXT; i++) {
    long grown = after->of[i].count - leaks_count(before, after->of[i].name);
    if (grown > 0) {
      n += (size_t)snprintf(text + n, LEAKS_TEXT - n, " %s +%ld", after->of[i].name, grown);
    }
  }
  return n > 0;
}

/* What ends with a process may be given back a little later. */
static inline bool leaks_settled(const struct leaks *before, char text[LEAKS_TEXT]) {
  for (int ms = 0;; ms += 10) {
    struct leaks after = leaks_read();
    if (!leaks_growth(before, &after, text)) {
      return true;
    }
    if (ms >= LEAKS_SETTLE_MS) {
      return false;
    }
    sleep_ms(10);
  }
}

#endif
