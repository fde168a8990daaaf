/* cut -c LIST | -b LIST | -f LIST [-d DELIMITER] [-s] [FILE...]: columns of lines. LIST: 1,3-5,7-.
 * Lines without the delimiter are printed whole, with -s not at all. Characters are bytes. */
#include <err.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

enum { RANGES = 64 };
static struct { long from, to; } ranges[RANGES];
static int n_ranges;
static bool by_field, only_delimited;
static char delimiter = '\t';

static void parse_list(char *list) {
  for (char *save, *item = strtok_r(list, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
    char *end;
    long from = *item == '-' ? 1 : strtol(item, &end, 10);
    end = *item == '-' ? item : end;
    long to = *end == '-' && !end[1] ? LONG_MAX : *end == '-' ? strtol(end + 1, &end, 10) : from;
    if (n_ranges == RANGES || from < 1 || to < from) {
      errx(2, "%s: bad list", item);
    }
    ranges[n_ranges].from = from;
    ranges[n_ranges++].to = to;
  }
}

static bool is_selected(long column) {
  for (int i = 0; i < n_ranges; i++) {
    if (column >= ranges[i].from && column <= ranges[i].to) {
      return true;
    }
  }
  return false;
}

static void cut_bytes(const char *line) {
  for (long i = 0; line[i]; i++) {
    if (is_selected(i + 1)) {
      putchar(line[i]);
    }
  }
  putchar('\n');
}

static void cut_fields(const char *line) {
  if (!strchr(line, delimiter)) {
    if (!only_delimited) {
      puts(line);
    }
    return;
  }
  bool any = false;
  for (long field = 1; line; field++) {
    const char *end = strchr(line, delimiter);
    size_t n = end ? (size_t)(end - line) : strlen(line);
    if (is_selected(field)) {
      if (any) {
        putchar(delimiter);
      }
      fwrite(line, 1, n, stdout);
      any = true;
    }
    line = end ? end + 1 : NULL;
  }
  putchar('\n');
}

int main(int argc, char **argv) {
  const char *text = "cut -c LIST | -f LIST [-d DELIMITER] [-s] [FILE...]";
  for (int option; (option = getopt(argc, argv, "c:b:f:d:s")) != -1;) {
    if (option == '?') {
      usage(text);
    } else if (option == 'd') {
      delimiter = *optarg;
    } else if (option == 's') {
      only_delimited = true;
    } else {
      by_field = option == 'f';
      parse_list(optarg);
    }
  }
  if (n_ranges == 0) {
    usage(text);
  }
  struct lines lines;
  int status = lines_read(argv + optind, &lines);
  for (size_t i = 0; i < lines.n; i++) {
    if (by_field) {
      cut_fields(lines.line[i]);
    } else {
      cut_bytes(lines.line[i]);
    }
  }
  return finish(status);
}
