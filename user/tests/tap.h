/* TAP for test programs: one line per assertion, the plan at the end.
 *
 * A program calls ok(), is(), is_str(), skip() and ends with `return tap_done();`. Only the process
 * and thread that runs main() may assert: children and threads answer by exit status or by value,
 * so that lines can never be torn or counted twice. The stream is flushed after each line,
 * therefore fork() never duplicates buffered text. */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int tap_count, tap_failed;

/* A comment line for the reader; never counted. */
__attribute__((format(printf, 1, 2))) static inline void diag(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("# ", stdout);
  vfprintf(stdout, format, args);
  va_end(args);
  putchar('\n');
  fflush(stdout);
}

static inline bool tap_line(bool pass, const char *name, const char *file, int line) {
  tap_count++;
  printf("%sok %d - %s\n", pass ? "" : "not ", tap_count, name);
  fflush(stdout);
  if (!pass) {
    tap_failed++;
    diag("failed at %s:%d, errno %d (%s)", file, line, errno, strerror(errno));
  }
  return pass;
}

static inline bool tap_equal(int64_t got, int64_t want, const char *name, const char *file,
                             int line) {
  bool pass = tap_line(got == want, name, file, line);
  if (!pass) {
    diag("     got: %lld", (long long)got);
    diag("expected: %lld", (long long)want);
  }
  return pass;
}

static inline bool tap_equal_str(const char *got, const char *want, const char *name,
                                 const char *file, int line) {
  bool pass = tap_line(got && strcmp(got, want) == 0, name, file, line);
  if (!pass) {
    diag("     got: \"%s\"", got ? got : "(null)");
    diag("expected: \"%s\"", want);
  }
  return pass;
}

/* Each evaluates its arguments once and answers whether the assertion held. */
#define ok(condition, name) tap_line((condition), (name), __FILE__, __LINE__)
#define is(got, want, name) tap_equal((int64_t)(got), (int64_t)(want), (name), __FILE__, __LINE__)
#define is_str(got, want, name) tap_equal_str((got), (want), (name), __FILE__, __LINE__)

/* The call failed with exactly this error. */
#define fails_with(call, error, name)                                                              \
  (errno = 0, tap_equal((int64_t)(call) == -1 ? errno : 0, (error), (name), __FILE__, __LINE__))

/* An assertion that this machine cannot make, and why. */
static inline void skip(const char *name, const char *reason) {
  printf("ok %d - %s # SKIP %s\n", ++tap_count, name, reason);
  fflush(stdout);
}

/* Prints the plan; the status for main(). */
static inline int tap_done(void) {
  printf("1..%d\n", tap_count);
  fflush(stdout);
  return tap_failed ? 1 : 0;
}

/* Ends the test: what follows would mean nothing. */
static inline void bail_out(const char *why) {
  printf("Bail out! %s: %s\n", why, strerror(errno));
  fflush(stdout);
  _exit(99);
}

/* Runs body(arg) in a child that exits with its value; answers the wait status, or -1. */
static inline int child_status(int (*body)(void *), void *arg) {
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    _exit(body(arg));
  }
  if (pid < 0 || waitpid(pid, &status, 0) != pid) {
    return -1;
  }
  return status;
}

/* The same for a child that must exit by itself: its exit code, or -signal. */
static inline int child_exit(int (*body)(void *), void *arg) {
  int status = child_status(body, arg);
  return WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status) ? -WTERMSIG(status) : -1000;
}

/* The path of the running program, for tests that exec themselves; argv[0] may be a bare name. */
static inline const char *self_path(const char *argv0) {
  static char path[512];
  if (!strchr(argv0, '/')) {
    snprintf(path, sizeof path, "/bin/%s", argv0);
  } else if (argv0[0] == '/' || !getcwd(path, 256)) {
    snprintf(path, sizeof path, "%s", argv0);
  } else {
    snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", argv0);
  }
  return path;
}

/* A generator for reproducible tests (xorshift64*): the same seed, the same numbers. */
static inline uint64_t random_next(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * 2685821657736338717u;
}

static inline int64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void sleep_ms(int ms) {
  struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

/* A directory of the test's own below /tmp, made current; scratch_leave() removes it when empty. */
static char scratch_path[64];

static inline void scratch_enter(const char *test) {
  snprintf(scratch_path, sizeof scratch_path, "/tmp/%s.%d", test, (int)getpid());
  if (mkdtemp(strcat(scratch_path, ".XXXXXX")) == NULL || chdir(scratch_path) != 0) {
    bail_out("cannot make a scratch directory");
  }
}

static inline void scratch_leave(void) {
  ok(chdir("/") == 0 && rmdir(scratch_path) == 0, "the scratch directory is empty at the end");
}

#endif
