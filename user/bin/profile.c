/* profile [-f HZ] [-o FILE] COMMAND [ARG...]: run a command, and look HZ (1000) times a second at
 * what each CPU is doing meanwhile (sys:/profile).
 *
 * The samples go to FILE, or to stdout, when that is "-" or not given; then the command's own
 * stdout is our stderr. Answers the command's status.
 *
 * The stream, read by tools/profile.py: lines of text. STREAM_HEAD, `hz N`, `samples N`, `lost N`,
 * then one for each stack that was seen: how often, the process's name, the number of addresses in
 * the kernel, and the addresses in hexadecimal, innermost first; last `end`. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/abi.h"
#include "lib.h"

#define STREAM_HEAD "cathode-profile 1"
#define DIRECTORY "sys:/profile/"
#define DRAIN_EVERY_NS 20000000
#define READ_MOST 256u     /* samples of one read */
#define STACKS_FIRST 1024u /* a power of two */
#define USAGE "profile [-f HZ] [-o FILE] COMMAND [ARG...]"

extern char **environ;

/* Different stacks, each with how often it was seen: an open hash table, at most half full. */
struct stack {
  size_t count; /* 0: free */
  struct profile_sample sample;
};

static struct {
  struct stack *of;
  size_t n, room; /* room: a power of two */
  size_t n_samples;
} stacks;

static void hz_set(long long hz) {
  char text[24];
  int n = snprintf(text, sizeof text, "%lld", hz);
  int fd = open(DIRECTORY "hz", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || !write_all(fd, text, (size_t)n)) {
    err(1, DIRECTORY "hz: %s", text);
  }
  close(fd);
}

static unsigned long long lost_read(void) {
  char text[24] = "";
  int fd = open(DIRECTORY "lost", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) {
    err(1, DIRECTORY "lost");
  }
  close(fd);
  return strtoull(text, NULL, 10);
}

/* ---- stacks --------------------------------------------------------------------------------- */

/* What makes two samples the same stack of the same program: bytes that can be compared. */
static void sample_normalize(struct profile_sample *s) {
  unsigned depth = s->n_kernel + s->n_user;
  s->tsc = 0;
  s->pid = 0;
  s->cpu = 0;
  memset(s->at + depth, 0, (PROFILE_DEPTH - depth) * sizeof s->at[0]);
}

/* FNV-1a, by words. */
static uint64_t sample_hash(const struct profile_sample *s) {
  const uint64_t *word = (const uint64_t *)(const void *)s;
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < sizeof *s / sizeof *word; i++) {
    hash = (hash ^ word[i]) * 0x100000001b3u;
  }
  return hash ^ hash >> 32;
}

/* Its place in the table, or where it is to go. */
static struct stack *stack_find(const struct profile_sample *s) {
  for (uint64_t i = sample_hash(s);; i++) {
    struct stack *stack = &stacks.of[i & (stacks.room - 1)];
    if (stack->count == 0 || memcmp(&stack->sample, s, sizeof *s) == 0) {
      return stack;
    }
  }
}

static void stacks_grow(void) {
  struct stack *old = stacks.of;
  size_t old_room = stacks.room;
  stacks.room = old_room ? 2 * old_room : STACKS_FIRST;
  stacks.of = alloc_or_die(stacks.room * sizeof *old);
  memset(stacks.of, 0, stacks.room * sizeof *old);
  for (size_t i = 0; i < old_room; i++) {
    if (old[i].count > 0) {
      *stack_find(&old[i].sample) = old[i];
    }
  }
  free(old);
}

static void sample_count(struct profile_sample *s) {
  if (2 * stacks.n >= stacks.room) {
    stacks_grow();
  }
  sample_normalize(s);
  struct stack *stack = stack_find(s);
  stack->sample = *s;
  stacks.n += stack->count++ == 0;
  stacks.n_samples++;
}

/* All that is new is counted, or forgotten. */
static void samples_drain(int fd, bool counted) {
  static struct profile_sample some[READ_MOST];
  ssize_t n;
  while ((n = read(fd, some, sizeof some)) > 0) {
    for (size_t i = 0; counted && i < (size_t)n / sizeof some[0]; i++) {
      sample_count(&some[i]);
    }
  }
  if (n < 0) {
    err(1, DIRECTORY "samples");
  }
}

/* ---- the command --------------------------------------------------------------------------- */

static pid_t command_start(char **argv, bool stdout_is_ours) {
  posix_spawn_file_actions_t actions;
  pid_t pid;
  posix_spawn_file_actions_init(&actions);
  if (stdout_is_ours) {
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
  }
  errno = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  return errno ? -1 : pid;
}

static int command_wait(pid_t pid, int fd) {
  int status;
  const struct timespec pause = {0, DRAIN_EVERY_NS};
  for (;;) {
    pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended < 0 && errno != EINTR) {
      err(1, "wait");
    }
    samples_drain(fd, true);
    if (ended == pid) {
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    nanosleep(&pause, NULL);
  }
}

/* The command's status; 127 when there is no such program, as a shell says. */
static int command_run(char **argv, long long hz, bool stdout_is_ours) {
  int fd = open(DIRECTORY "samples", O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    err(1, DIRECTORY "samples");
  }
  samples_drain(fd, false); /* what others have left */
  hz_set(hz);
  pid_t pid = command_start(argv, stdout_is_ours);
  int failed = pid < 0 ? errno : 0;
  int status = pid < 0 ? (failed == ENOENT ? 127 : 126) : command_wait(pid, fd);
  hz_set(0);
  samples_drain(fd, true);
  close(fd);
  if (failed) {
    errno = failed;
    warn("%s", argv[0]);
  }
  return status;
}

/* ---- the stream ---------------------------------------------------------------------------- */

static void stack_write(FILE *out, const struct profile_sample *s, size_t count) {
  const char *name = s->name[0] ? s->name : "idle";
  fprintf(out, "%zu %.*s %u", count, (int)sizeof s->name, name, s->n_kernel);
  for (unsigned i = 0; i < (unsigned)s->n_kernel + s->n_user; i++) {
    fprintf(out, " %llx", (unsigned long long)s->at[i]);
  }
  fputc('\n', out);
}

static void stream_write(FILE *out, long long hz, unsigned long long lost) {
  fprintf(out, STREAM_HEAD "\nhz %lld\nsamples %zu\nlost %llu\n", hz, stacks.n_samples, lost);
  for (size_t i = 0; i < stacks.room; i++) {
    if (stacks.of[i].count > 0) {
      stack_write(out, &stacks.of[i].sample, stacks.of[i].count);
    }
  }
  fputs("end\n", out);
  if (fflush(out) != 0 || ferror(out)) {
    err(1, "the profile could not be written");
  }
}

int main(int argc, char **argv) {
  const char *path = "-";
  long long hz = 1000;
  for (int option; (option = getopt(argc, argv, "+f:o:")) >= 0;) {
    if (option == 'f') {
      hz = number_arg(optarg, 20, 10000);
    } else if (option == 'o') {
      path = optarg;
    } else {
      usage(USAGE);
    }
  }
  if (optind == argc) {
    usage(USAGE);
  }
  bool to_stdout = strcmp(path, "-") == 0;
  FILE *out = to_stdout ? stdout : fopen(path, "we");
  if (!out) {
    err(1, "%s", path);
  }
  unsigned long long lost = lost_read();
  int status = command_run(argv + optind, hz, to_stdout);
  stream_write(out, hz, lost_read() - lost);
  return status;
}
