/* xargs [-n MAX] [-0] [COMMAND [ARG...]]: run a command (echo) with words from standard input as
 * further arguments. Words are separated by blanks and newlines (quotes and backslashes protect
 * them), with -0 by NUL. Statuses: 123 when a command failed, 126 or 127 when it could not run. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib.h"

extern char **environ;

enum { WORDS_MAX = 4096, BYTES_MAX = 100000 };

static int run(char **argv) {
  pid_t pid;
  int status, error = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
  if (error) {
    errno = error;
    err(error == ENOENT ? 127 : 126, "%s", argv[0]);
  }
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) {
      err(1, "wait");
    }
  }
  return status == 0 ? 0 : 123;
}

/* The next word, malloced; NULL at the end. */
static char *read_word(bool by_nul) {
  char *word = NULL;
  size_t n = 0;
  bool any = false;
  int quote = 0;
  for (int c; (c = getchar()) != EOF;) {
    bool separates = by_nul ? c == '\0' : !quote && strchr(" \t\n", c) && c;
    if (separates && (any || by_nul)) {
      any = true;
      break;
    }
    if (separates) {
      continue;
    }
    any = true;
    if (!by_nul && (quote ? c == quote : c == '"' || c == '\'')) {
      quote = quote ? 0 : c;
      continue;
    }
    if (!by_nul && !quote && c == '\\' && (c = getchar()) == EOF) {
      break;
    }
    word = realloc_or_die(word, n + 2);
    word[n++] = (char)c;
  }
  if (any) {
    word = realloc_or_die(word, n + 1);
    word[n] = '\0';
  }
  return any ? word : NULL;
}

int main(int argc, char **argv) {
  long long most = WORDS_MAX;
  bool by_nul = false;
  for (int option; (option = getopt(argc, argv, "+n:0")) != -1;) {
    if (option == '?') {
      usage("xargs [-n MAX] [-0] [COMMAND [ARG...]]");
    }
    most = option == 'n' ? number_arg(optarg, 1, WORDS_MAX) : most;
    by_nul |= option == '0';
  }
  static char *default_command[] = {"echo"};
  char **command = optind < argc ? argv + optind : default_command;
  int fixed = optind < argc ? argc - optind : 1, status = 0;
  char **words = alloc_or_die(((size_t)fixed + (size_t)most + 1) * sizeof *words);
  memcpy(words, command, (size_t)fixed * sizeof *words);
  bool ran = false;
  for (char *word = read_word(by_nul); word || !ran; ran = true) {
    size_t bytes = 0;
    int n = fixed;
    for (; word && n < fixed + most && bytes < BYTES_MAX; word = read_word(by_nul)) {
      bytes += strlen(word) + 1;
      words[n++] = word;
    }
    words[n] = NULL;
    int result = run(words);
    status = result ? result : status;
    while (n > fixed) {
      free(words[--n]);
    }
  }
  free(words);
  return status;
}
