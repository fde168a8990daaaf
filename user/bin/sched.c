/* sched, sched NAME, sched NAME=VALUE: the scheduler's parameters, which are the files of
 * sys:sched: all with value, unit and limits; the value of one; or set one as the system runs. */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

#define DIRECTORY "sys:/sched"

/* Prints "name value", or the value alone. */
static int show(const char *name, bool with_name) {
  char value[256];
  char *path = path_join(DIRECTORY, name);
  int fd = open(path, O_RDONLY);
  ssize_t n = fd < 0 ? -1 : read(fd, value, sizeof value - 1);
  if (n < 0) {
    warn("%s", path);
  } else {
    value[n] = '\0';
    value[strcspn(value, "\n")] = '\0';
    printf(with_name ? "%-24s %s\n" : "%.0s%s\n", name, value);
  }
  if (fd >= 0) {
    close(fd);
  }
  free(path);
  return n < 0 ? 1 : 0;
}

/* name value unit least most */
static int show_all(void) {
  int fd = open(DIRECTORY, O_RDONLY);
  if (fd < 0) {
    err(1, DIRECTORY);
  }
  return copy_fd(fd, 1, DIRECTORY);
}

/* Why a value was refused: its name's line of the table says what it takes. */
static void range_warn(const char *name, const char *value) {
  char found[64], unit[32];
  unsigned long least, most;
  FILE *table = fopen(DIRECTORY, "r");
  while (table && fscanf(table, "%63s %*s %31s %lu %lu", found, unit, &least, &most) == 4) {
    if (strcmp(found, name) == 0) {
      bool counts = !isdigit((unsigned char)unit[0]); /* else it is the range in words */
      warnx("%s=%s: %s takes %lu to %lu%s%s", name, value, name, least, most, counts ? " " : "",
            counts ? unit : "");
    }
  }
  if (table) {
    fclose(table);
  }
}

static int set(const char *name, const char *value) {
  if (*value == '\0') {
    warnx("%s=: no value", name);
    return 1;
  }
  char *path = path_join(DIRECTORY, name);
  int fd = open(path, O_WRONLY);
  bool good = fd >= 0 && write_all(fd, value, strlen(value));
  if (!good && errno == ERANGE) {
    range_warn(name, value);
  } else if (!good) {
    warn("%s=%s", name, value);
  }
  if (fd >= 0) {
    close(fd);
  }
  free(path);
  return good ? 0 : 1;
}

int main(int argc, char **argv) {
  int status = argc > 1 ? 0 : show_all();
  for (int i = 1; i < argc; i++) {
    char *equals = strchr(argv[i], '=');
    if (equals) {
      *equals = '\0';
      status |= set(argv[i], equals + 1);
    } else {
      status |= show(argv[i], argc > 2);
    }
  }
  return finish(status);
}
