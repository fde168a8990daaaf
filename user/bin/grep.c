/* grep [-EFivcnqlh] PATTERN [FILE...]: lines that match. -E: extended expressions, -F: plain text,
 * -i: case does not matter, -v: lines that do not match, -c: their number, -n: with line numbers,
 * -q: only the status, -l: names of files, -h: never names. Status 0 found, 1 not, 2 error. */
#define _GNU_SOURCE
#include <err.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

static struct {
  bool plain, ignore_case, invert, count, number, quiet, list, with_names;
  const char *pattern;
  regex_t regex;
} grep;

static bool found_any;

static bool matches(const char *line) {
  if (!grep.plain) {
    return regexec(&grep.regex, line, 0, NULL, 0) == 0;
  }
  return (grep.ignore_case ? strcasestr(line, grep.pattern) : strstr(line, grep.pattern)) != NULL;
}

static void print_match(const char *name, long number, const char *line) {
  if (grep.with_names) {
    printf("%s:", name);
  }
  if (grep.number) {
    printf("%ld:", number);
  }
  puts(line);
}

static int search(FILE *file, const char *name) {
  char *line = NULL;
  size_t room = 0;
  long number = 0, found = 0;
  const char *shown = strcmp(name, "-") == 0 ? "(standard input)" : name;
  bool only_first = grep.quiet || grep.list;
  for (ssize_t n; (n = getline(&line, &room, file)) >= 0 && !(only_first && found);) {
    number++;
    line[n > 0 && line[n - 1] == '\n' ? n - 1 : n] = '\0';
    if (matches(line) != grep.invert) {
      found++;
      if (!only_first && !grep.count) {
        print_match(shown, number, line);
      }
    }
  }
  free(line);
  if (grep.count && !only_first) {
    printf(grep.with_names ? "%s:%ld\n" : "%.0s%ld\n", shown, found);
  }
  if (grep.list && found && !grep.quiet) {
    puts(shown);
  }
  found_any |= found > 0;
  return ferror(file) ? 2 : 0;
}

static void compile(int flags) {
  int error = grep.plain ? 0 : regcomp(&grep.regex, grep.pattern, flags | REG_NOSUB);
  if (error) {
    char message[100];
    regerror(error, &grep.regex, message, sizeof message);
    errx(2, "%s", message);
  }
}

int main(int argc, char **argv) {
  bool no_names = false;
  int flags = 0;
  for (int option; (option = getopt(argc, argv, "EFivcnqlhe:")) != -1;) {
    flags |= option == 'E' ? REG_EXTENDED : option == 'i' ? REG_ICASE : 0;
    grep.plain |= option == 'F';
    grep.ignore_case |= option == 'i';
    grep.invert |= option == 'v';
    grep.count |= option == 'c';
    grep.number |= option == 'n';
    grep.quiet |= option == 'q';
    grep.list |= option == 'l';
    no_names |= option == 'h';
    grep.pattern = option == 'e' ? optarg : grep.pattern;
    if (option == '?') {
      usage("grep [-EFivcnqlh] PATTERN [FILE...]");
    }
  }
  if (!grep.pattern && optind == argc) {
    usage("grep [-EFivcnqlh] PATTERN [FILE...]");
  }
  grep.pattern = grep.pattern ? grep.pattern : argv[optind++];
  compile(flags);
  grep.with_names = argc - optind > 1 && !no_names;
  int status = finish(for_each_file(argv + optind, search));
  return status && !(grep.quiet && found_any) ? 2 : !found_any;
}
