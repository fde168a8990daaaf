/* What the kernel says of scheduling, and what is due by it: for the tests of shares. */
#ifndef CATHODE_TESTS_SCHED_SAYS_H
#define CATHODE_TESTS_SCHED_SAYS_H

#include <fcntl.h>

#include "tap.h"

static inline void text_read(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY);
  ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
  if (n < 0) {
    bail_out(path);
  }
  close(fd);
  text[n] = '\0';
}

static inline uint64_t number_read(const char *path, const char *name) {
  static char text[4096];
  text_read(path, text, sizeof text);
  const char *at = strstr(text, name);
  if (!at) {
    bail_out(name);
  }
  return strtoull(at + strlen(name), NULL, 10);
}

static inline uint64_t param_get(const char *name) {
  char path[64];
  snprintf(path, sizeof path, "sys:/sched/%s", name);
  return number_read(path, "");
}

static inline bool param_set(const char *name, uint64_t value) {
  char path[64], text[32];
  snprintf(path, sizeof path, "sys:/sched/%s", name);
  int n = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  int fd = open(path, O_WRONLY);
  bool good = fd >= 0 && write(fd, text, (size_t)n) == n;
  close(fd);
  return good;
}

/* By one step of nice a factor of 1.25; nice 0 weighs 1. */
static inline double weight_of(int nice) {
  double weight = 1;
  for (; nice < 0; nice++) {
    weight *= 1.25;
  }
  for (; nice > 0; nice--) {
    weight /= 1.25;
  }
  return weight;
}

/* Microseconds of CPU time of a process with one thread: a line of sys:/context, "tid pid cpu state
 * us name". */
static inline uint64_t cpu_time_us(pid_t pid) {
  char key[32];
  snprintf(key, sizeof key, "\n%d %d ", pid, pid);
  static char text[8192];
  text_read("sys:/context", text, sizeof text);
  const char *at = strstr(text, key);
  for (int word = 0; at && word < 4; word++) {
    at = strchr(at + 1, ' ');
  }
  if (!at) {
    bail_out("a load that is not in sys:/context");
  }
  return strtoull(at, NULL, 10);
}

#endif
