/* date [-u] [+FORMAT]: the time, by strftime(3); times are UTC unless TZ says otherwise. */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib.h"

int main(int argc, char **argv) {
  int i = 1;
  if (i < argc && strcmp(argv[i], "-u") == 0) {
    setenv("TZ", "UTC0", 1);
    i++;
  }
  const char *format = i < argc && argv[i][0] == '+' ? argv[i++] + 1 : "%a %b %e %H:%M:%S %Z %Y";
  if (i < argc) {
    usage("date [-u] [+FORMAT]");
  }
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
    err(1, "clock");
  }
  char text[1024];
  size_t n = strftime(text, sizeof text, format, localtime(&now.tv_sec));
  fwrite(text, 1, n, stdout);
  putchar('\n');
  return finish(0);
}
