/* Host tests in the Test Anything Protocol, version 12: a plan line, then "ok N - name" lines.
 *
 *   int main(int argc, char **argv) {
 *     tap_plan(2);
 *     tap_ok(1 + 1 == 2, "addition");
 *     tap_ok(random_walk(tap_seed(argc, argv)), "random operations"); // TAP_REQUIRE() inside
 *     return tap_done();
 *   }
 *
 * TAP_REQUIRE is for the millions of checks that deserve no line of their own: the first failure
 * ends the program. A failed kassert does too. Included by one file of a program only, as it
 * defines kassert_fail. */
#ifndef CATHODE_LIB_TAP_H
#define CATHODE_LIB_TAP_H

#include "lib/kassert.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
  unsigned planned, run, failed;
  unsigned long long seed; /* printed with a failure, to make it again */
} tap_state;

/* How many tap_ok calls will follow. First of all. */
static inline void tap_plan(unsigned n) {
  tap_state.planned = n;
  printf("1..%u\n", n);
}

/* The seed of this run: the first argument, or 1. A random one is the caller's decision. */
static inline unsigned long long tap_seed(int argc, char **argv) {
  tap_state.seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
  return tap_state.seed;
}

/* One line of the plan. Answers the condition. */
#define tap_ok(cond, ...) tap_report(!!(cond), #cond, __FILE__, __LINE__, __VA_ARGS__)

__attribute__((format(printf, 5, 6))) static inline bool
tap_report(bool passed, const char *expr, const char *file, int line, const char *name, ...) {
  va_list args;
  printf("%s %u - ", passed ? "ok" : "not ok", ++tap_state.run);
  va_start(args, name);
  vprintf(name, args);
  va_end(args);
  putchar('\n');
  if (!passed) {
    tap_state.failed++;
    printf("# %s:%d: %s (seed %llu)\n", file, line, expr, tap_state.seed);
  }
  return passed;
}

/* Ends the test at once unless `cond` holds. */
#define TAP_REQUIRE(cond) (LIKELY(cond) ? (void)0 : tap_bail(#cond, __FILE__, __LINE__, 1))

_Noreturn static inline void tap_bail(const char *expr, const char *file, int line, int status) {
  printf("Bail out! %s:%d: %s (seed %llu)\n", file, line, expr, tap_state.seed);
  fflush(stdout);
  exit(status);
}

#define TAP_KASSERT_STATUS 3 /* no sanitizer ends a program with it */

_Noreturn void kassert_fail(const char *expr, const char *file, int line) {
  tap_bail(expr, file, line, TAP_KASSERT_STATUS);
}

/* Whether `run` ends in a failed kassert, as a broken contract must. It runs in a process of its
 * own, without output. */
static inline bool tap_dies(void (*run)(void)) {
  int status = 0;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    TAP_REQUIRE(freopen("/dev/null", "w", stdout));
    run();
    _exit(0);
  }
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == TAP_KASSERT_STATUS;
}

/* The exit status: 0 only when every planned test ran and passed. */
static inline int tap_done(void) {
  if (tap_state.run != tap_state.planned) {
    printf("# planned %u tests, ran %u\n", tap_state.planned, tap_state.run);
  }
  return tap_state.failed != 0 || tap_state.run != tap_state.planned;
}

#endif
