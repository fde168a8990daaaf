/* The scheduler's parameters: each lies in the range that sys:/sched lists, takes both ends of it,
 * refuses what lies beyond with ERANGE and stays as it was. */
#define _GNU_SOURCE
#include <fcntl.h>

#include "tap.h"

struct param {
  char name[32];
  unsigned long value, least, most;
};

/* The error, or 0. */
static int param_write(const struct param *p, unsigned long value) {
  char path[64], text[32];
  snprintf(path, sizeof path, "sys:/sched/%s", p->name);
  int n = snprintf(text, sizeof text, "%lu\n", value), fd = open(path, O_WRONLY);
  int error = fd < 0 || write(fd, text, (size_t)n) != n ? errno : 0;
  close(fd);
  return error;
}

static unsigned long param_read(const struct param *p) {
  char path[64], text[32] = "";
  snprintf(path, sizeof path, "sys:/sched/%s", p->name);
  int fd = open(path, O_RDONLY);
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  return n > 0 ? strtoul(text, NULL, 10) : ~0ul;
}

static void param_test(const struct param *p) {
  ok(p->least <= p->value && p->value <= p->most, p->name);
  bool below = p->least == 0 || param_write(p, p->least - 1) == ERANGE;
  ok(below && param_write(p, p->most + 1) == ERANGE, "refused beyond its range");
  is(param_read(p), p->value, "and as it was");
  bool ends = param_write(p, p->least) == 0 && param_read(p) == p->least &&
              param_write(p, p->most) == 0 && param_read(p) == p->most;
  ok(param_write(p, p->value) == 0 && ends, "both ends are taken at once");
}

int main(void) {
  static char text[8192];
  int fd = open("sys:/sched", O_RDONLY), n_params = 0;
  if (fd < 0) {
    skip("parameters", "this kernel has none");
    return tap_done();
  }
  ok(read(fd, text, sizeof text - 1) > 0, "sys:/sched can be read");
  close(fd);
  struct param p;
  for (char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
    if (sscanf(line, "%31s %lu %*s %lu %lu", p.name, &p.value, &p.least, &p.most) == 4) {
      param_test(&p);
      n_params++;
    }
  }
  ok(n_params >= 10, "at least ten of them");
  return tap_done();
}
