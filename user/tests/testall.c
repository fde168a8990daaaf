/* testall [-v] [PROGRAM...]: runs the test programs /bin/t_* in order of name (or those named), and
 * prints one TAP stream of all their assertions, renumbered and with the program's name. For each
 * program it adds two of its own: that it ended as its plan and its failures say, and that it left
 * nothing behind, by the counts of live kernel objects in sys:leaks.
 *
 * Servers keep memory for later, so that a program may leave a count higher the first time it runs.
 * A leak is what grows every time: a program after which a count has grown runs again, up to
 * LEAK_RUNS times, and fails when it grew each time. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>

#include "leaks.h"
#include "tap.h"

extern char **environ;

enum { TIME_LIMIT_MS = 60000, LEAK_RUNS = 4 };

static bool verbose;

/* ---- running one program ---- */

struct run {
  const char *name;
  bool counted; /* its assertions go into our stream */
  int planned, seen, failed, out_of_order;
  bool timed_out, bailed;
  int status; /* wait status, or -1 when it could not be started */
};

static void take_line(struct run *run, char *line) {
  bool failed = strncmp(line, "not ok ", 7) == 0;
  if (failed || strncmp(line, "ok ", 3) == 0) {
    char *text = NULL;
    long number = strtol(line + (failed ? 7 : 3), &text, 10);
    run->out_of_order += number != ++run->seen;
    run->failed += failed;
    if (run->counted) {
      tap_count++;
      tap_failed += failed;
      printf("%sok %d - %s:%s\n", failed ? "not " : "", tap_count, run->name,
             strncmp(text, " - ", 3) == 0 ? text + 2 : text);
    }
  } else if (strncmp(line, "1..", 3) == 0) {
    run->planned = atoi(line + 3);
  } else if (strncmp(line, "Bail out!", 9) == 0) {
    run->bailed = true;
    diag("%s: %s", run->name, line);
  } else if (run->counted) {
    puts(line);
  }
  fflush(stdout);
}

/* Reads lines until the end of the pipe or the time limit. */
static void take_output(struct run *run, int fd) {
  static char buffer[8192];
  size_t n = 0;
  int64_t limit = now_ns(CLOCK_MONOTONIC) + (int64_t)TIME_LIMIT_MS * 1000000;
  for (;;) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left_ms = (limit - now_ns(CLOCK_MONOTONIC)) / 1000000;
    if (left_ms <= 0 || poll(&p, 1, (int)left_ms) == 0) {
      run->timed_out = true;
      return;
    }
    ssize_t got = read(fd, buffer + n, sizeof buffer - 1 - n);
    if (got <= 0) {
      return;
    }
    n += (size_t)got;
    buffer[n] = '\0';
    char *start = buffer;
    for (char *end; (end = strchr(start, '\n')) != NULL; start = end + 1) {
      *end = '\0';
      take_line(run, start);
    }
    n -= (size_t)(start - buffer);
    memmove(buffer, start, n);
    n = n == sizeof buffer - 1 ? 0 : n; /* no line is that long: drop it */
  }
}

/* In a group of its own, so that its children can be ended with it. */
static int start_program(const char *name, int output, pid_t *pid) {
  char path[300];
  char *argv[] = {path, NULL};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  snprintf(path, sizeof path, strchr(name, '/') ? "%s" : "/bin/%s", name);
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  int error = posix_spawn(pid, path, &actions, &attributes, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error;
}

static struct run run_program(const char *name, bool counted) {
  struct run run = {.name = name, .counted = counted, .planned = -1, .status = -1};
  int fds[2];
  pid_t pid;
  if (pipe2(fds, O_CLOEXEC) != 0) {
    bail_out("pipe2");
  }
  int error = start_program(name, fds[1], &pid);
  close(fds[1]);
  if (error) {
    diag("%s: %s", name, strerror(error));
    close(fds[0]);
    return run;
  }
  take_output(&run, fds[0]);
  close(fds[0]);
  if (run.timed_out) {
    diag("%s: still running after %d s", name, TIME_LIMIT_MS / 1000);
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
  }
  if (waitpid(pid, &run.status, 0) != pid) {
    run.status = -1;
  }
  return run;
}

/* What is wrong with how a program ended; NULL: nothing. */
static const char *run_problem(const struct run *run) {
  if (run->timed_out) {
    return "it did not end";
  }
  if (run->status == -1 || !WIFEXITED(run->status)) {
    return "it was killed, or did not start";
  }
  if (run->bailed) {
    return "it gave up";
  }
  if (run->planned <= 0 || run->planned != run->seen || run->out_of_order) {
    return "its plan and its assertions do not agree";
  }
  if ((WEXITSTATUS(run->status) != 0) != (run->failed > 0)) {
    return "its exit status and its failures do not agree";
  }
  return NULL;
}

/* ---- leaks ---- */

static void report(bool pass, const char *program, const char *what, const char *why) {
  char name[400];
  snprintf(name, sizeof name, "%s: %s%s%s", program, what, pass ? "" : ":", pass ? "" : why);
  tap_count++;
  tap_failed += !pass;
  printf("%sok %d - %s\n", pass ? "" : "not ", tap_count, name);
  fflush(stdout);
}

static void check_leaks(const char *program, struct leaks *before) {
  char text[LEAKS_TEXT];
  bool clean = leaks_settled(before, text);
  for (int i = 1; i < LEAK_RUNS && !clean; i++) {
    if (verbose) {
      diag("%s left%s; again", program, text);
    }
    *before = leaks_read();
    run_program(program, false);
    clean = leaks_settled(before, text);
  }
  report(clean, program, "leaves nothing behind", text);
}

/* ---- all programs ---- */

static void test_program(const char *name) {
  struct leaks before = leaks_read();
  int64_t from = now_ns(CLOCK_MONOTONIC);
  struct run run = run_program(name, true);
  const char *problem = run_problem(&run);
  char why[100];
  snprintf(why, sizeof why, " %s (status %#x)", problem ? problem : "", (unsigned)run.status);
  report(!problem, name, "ends as it says", why);
  if (before.n > 0 && !run.timed_out) {
    check_leaks(name, &before);
  }
  diag("%s: %lld ms", name, (long long)(now_ns(CLOCK_MONOTONIC) - from) / 1000000);
}

static int is_test(const struct dirent *entry) {
  const char *name = entry->d_name;
  size_t n = strlen(name);
  return strncmp(name, "t_", 2) == 0 && !(n > 4 && strcmp(name + n - 4, "_pie") == 0);
}

int main(int argc, char **argv) {
  verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
  argv += 1 + verbose;
  if (*argv) {
    for (; *argv; argv++) {
      test_program(*argv);
    }
    return tap_done();
  }
  struct dirent **entries;
  int n = scandir("/bin", &entries, is_test, alphasort);
  if (n < 0) {
    bail_out("/bin");
  }
  for (int i = 0; i < n; i++) {
    test_program(entries[i]->d_name);
    free(entries[i]);
  }
  free(entries);
  return tap_done();
}
