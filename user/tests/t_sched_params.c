/* The scheduler's parameters: each lies in the range that sys:/sched lists, takes both ends of it,
 * refuses what lies beyond with ERANGE and stays as it was. The program that sets them says why. */
#define _GNU_SOURCE
#include <fcntl.h>

#include "tap.h"

struct param {
  char name[32];
  unsigned long value, least, most;
};

/* The error, or 0. */
static int text_write(const struct param *p, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "sys:/sched/%s", p->name);
  int n = (int)strlen(text), fd = open(path, O_WRONLY);
  int error = fd < 0 || write(fd, text, (size_t)n) != n ? errno : 0;
  close(fd);
  return error;
}

static int param_write(const struct param *p, unsigned long value) {
  char text[32];
  snprintf(text, sizeof text, "%lu\n", value);
  return text_write(p, text);
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
  ok(text_write(p, "18446744073709551616") == ERANGE, "and what no range could hold");
  ok(text_write(p, "1x") == EINVAL && text_write(p, "-1") == EINVAL, "what is no number is not");
  is(param_read(p), p->value, "and as it was");
  bool ends = param_write(p, p->least) == 0 && param_read(p) == p->least &&
              param_write(p, p->most) == 0 && param_read(p) == p->most;
  ok(param_write(p, p->value) == 0 && ends, "both ends are taken at once");
}

/* What /bin/sched says when it is asked for `what`, and that it fails. */
static bool sched_says(const char *what, const char *says) {
  char command[128], got[256] = "";
  snprintf(command, sizeof command, "sched %s 2>&1", what);
  FILE *out = popen(command, "r");
  size_t n = out ? fread(got, 1, sizeof got - 1, out) : 0;
  got[n] = '\0';
  return out && pclose(out) == 1 << 8 && strcmp(got, says) == 0;
}

static void test_program(void) {
  ok(sched_says("slice_us=99", "sched: slice_us=99: slice_us takes 100 to 1000000 us\n"),
     "the program says what a parameter takes");
  ok(sched_says("handoff=2", "sched: handoff=2: handoff takes 0 to 1\n"),
     "also where it counts none");
  ok(sched_says("slice_us=", "sched: slice_us=: no value\n"), "an empty value is none");
  ok(sched_says("nope=1", "sched: nope=1: No such file or directory\n"),
     "an unknown name is refused as it was");
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
  test_program();
  return tap_done();
}
