/* trace [-o FILE] [-m MASK] [-l MIB] COMMAND [ARG...]: run a command and keep what the kernel's
 * flight recorder (sys:/trace) notes meanwhile, of every CPU and every process. Unless told it
 * notes everything, also the ends of system calls, and with them the times of both.
 *
 * The stream goes to FILE, or to stdout, when that is "-" or not given; then the command's own
 * stdout is our stderr. While the command runs the rings are emptied into memory every few
 * milliseconds; what they overwrote before that is counted in the stream. With more than MIB (64)
 * in memory only the end of what follows is kept. Answers the command's status.
 *
 * The stream, read by tools/trace.py: a line STREAM_HEAD, then sections `section NAME BYTES`,
 * newline, BYTES bytes; the last is `section end 0`. meta and threads are the files of sys:/trace.
 * cpuN has records of CPU N, packed, since a serial line is slow; it comes as often as it takes.
 *
 * A packed record is a byte (event | PACK_* for what is left out), then numbers of 7 bits a byte,
 * lowest first, bit 7 set on all but the last: the time since the record before (TSC, zigzag), the
 * thread, a and b (zigzag). In each section the record before the first is all zero. */
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

#define STREAM_HEAD "cathode-trace 1\n"
#define DIRECTORY "sys:/trace"
#define DRAIN_EVERY_NS 5000000
#define READ_MOST (64u << 10) /* bytes of one read */
#define CPUS_MOST 64
#define PACK_AT_ONCE 4096u /* records in one section */
#define PACKED_MOST 36u    /* bytes of a record: 1 + 10 + 5 + 10 + 10 */
#define PACK_SAME_THREAD 0x20u
#define PACK_A_ZERO 0x40u
#define PACK_B_ZERO 0x80u
#define PACK_EVENT 0x1fu

extern char **environ;

struct bytes {
  char *data;
  size_t len, room;
};

struct ring {
  int fd;
  struct bytes kept;
};

static struct ring rings[CPUS_MOST];
static int n_rings;
static size_t limit = 64u << 20, n_kept;
static const char *mask_wanted;
static char mask_before[32];

/* ---- files of sys:/trace ------------------------------------------------------------------- */

static int trace_open(const char *name, int flags) {
  char *path = path_join(DIRECTORY, name);
  int fd = open(path, flags | O_CLOEXEC);
  free(path);
  return fd;
}

/* Appends what one read answers, which is how many bytes. */
static size_t read_more(int fd, struct bytes *to) {
  if (to->room - to->len < READ_MOST) {
    to->room = 2 * to->room + READ_MOST;
    to->data = realloc_or_die(to->data, to->room);
  }
  ssize_t n = read(fd, to->data + to->len, READ_MOST);
  if (n < 0) {
    err(1, DIRECTORY);
  }
  to->len += (size_t)n;
  return (size_t)n;
}

static struct bytes file_read(const char *name) {
  struct bytes all = {0};
  int fd = trace_open(name, O_RDONLY);
  if (fd < 0) {
    err(1, DIRECTORY "/%s", name);
  }
  while (read_more(fd, &all) > 0) {
  }
  close(fd);
  return all;
}

static void mask_set(const char *text) {
  int fd = trace_open("mask", O_WRONLY);
  if (fd < 0 || !write_all(fd, text, strlen(text))) {
    err(1, DIRECTORY "/mask: %s", text);
  }
  close(fd);
}

/* ---- rings --------------------------------------------------------------------------------- */

static void rings_open(void) {
  char name[16];
  for (int cpu = 0; cpu < CPUS_MOST; cpu++) {
    snprintf(name, sizeof name, "cpu%d", cpu);
    int fd = trace_open(name, O_RDONLY);
    if (fd >= 0) {
      rings[cpu].fd = fd;
      n_rings = cpu + 1;
    } else if (errno != ENOENT) {
      err(1, DIRECTORY "/%s", name);
    }
  }
  if (n_rings == 0) {
    errx(1, "tracing is switched off: boot without trace.kib=0");
  }
}

/* Everything that is new, of each CPU in turn, unless there is too much of it already. */
static void rings_drain(bool limited) {
  for (int cpu = 0; cpu < n_rings; cpu++) {
    struct bytes *kept = &rings[cpu].kept;
    size_t before = kept->len;
    while (rings[cpu].fd > 0 && !(limited && n_kept + kept->len - before > limit) &&
           read_more(rings[cpu].fd, kept) > 0) {
    }
    n_kept += kept->len - before;
  }
}

/* What was recorded before the command started is not wanted. */
static void rings_forget(void) {
  rings_drain(false);
  for (int cpu = 0; cpu < n_rings; cpu++) {
    rings[cpu].kept.len = 0;
  }
  n_kept = 0;
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

static int command_wait(pid_t pid) {
  int status;
  const struct timespec pause = {0, DRAIN_EVERY_NS};
  for (;;) {
    pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended < 0 && errno != EINTR) {
      err(1, "wait");
    }
    rings_drain(true);
    if (ended == pid) {
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    nanosleep(&pause, NULL);
  }
}

/* The command's status; 127 when there is no such program, as a shell says. */
static int command_run(char **argv, bool stdout_is_ours) {
  char all[16];
  snprintf(all, sizeof all, "0x%x", TRACE_MASK_ALL);
  mask_set(mask_wanted ? mask_wanted : all);
  rings_forget();
  pid_t pid = command_start(argv, stdout_is_ours);
  int failed = pid < 0 ? errno : 0;
  int status = pid < 0 ? (failed == ENOENT ? 127 : 126) : command_wait(pid);
  mask_set("0");
  rings_drain(false);
  mask_set(mask_before);
  if (failed) {
    errno = failed;
    warn("%s", argv[0]);
  }
  return status;
}

/* ---- the stream ---------------------------------------------------------------------------- */

static void section_write(FILE *out, const char *name, const struct bytes *bytes) {
  fprintf(out, "section %s %zu\n", name, bytes->len);
  fwrite(bytes->data, 1, bytes->len, out);
}

static uint8_t *number_pack(uint8_t *to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) {
    *to++ = (uint8_t)(value | 0x80);
  }
  *to++ = (uint8_t)value;
  return to;
}

/* Small numbers of either sign become small ones without: 0 -1 1 -2 ... to 0 1 2 3 ... */
static uint64_t zigzag(uint64_t value) {
  return value << 1 ^ (uint64_t)((int64_t)value >> 63);
}

static uint8_t *record_pack(uint8_t *to, const struct trace_record *r,
                            const struct trace_record *before) {
  bool same = r->thread == before->thread;
  *to++ = (uint8_t)((r->event & PACK_EVENT) | (same ? PACK_SAME_THREAD : 0) |
                    (r->a == 0 ? PACK_A_ZERO : 0) | (r->b == 0 ? PACK_B_ZERO : 0));
  to = number_pack(to, zigzag(r->tsc - before->tsc));
  to = same ? to : number_pack(to, r->thread);
  to = r->a == 0 ? to : number_pack(to, zigzag(r->a));
  return r->b == 0 ? to : number_pack(to, zigzag(r->b));
}

static void ring_write(FILE *out, int cpu) {
  static uint8_t packed[PACK_AT_ONCE * PACKED_MOST];
  static const struct trace_record zero;
  const struct bytes *kept = &rings[cpu].kept;
  const struct trace_record *r = (const void *)kept->data, *before = &zero;
  char name[16];
  snprintf(name, sizeof name, "cpu%d", cpu);
  for (size_t left = kept->len / sizeof *r; left > 0; before = &zero) {
    size_t n = left < PACK_AT_ONCE ? left : PACK_AT_ONCE;
    uint8_t *end = packed;
    for (left -= n; n > 0; n--) {
      end = record_pack(end, r, before);
      before = r++;
    }
    section_write(out, name,
                  &(struct bytes){.data = (char *)packed, .len = (size_t)(end - packed)});
  }
}

/* A line on stderr: how much there is, and how much is missing. */
static void tell(void) {
  uint64_t n = 0, lost = 0;
  for (int cpu = 0; cpu < n_rings; cpu++) {
    const struct trace_record *r = (const struct trace_record *)(void *)rings[cpu].kept.data;
    for (size_t i = 0; i < rings[cpu].kept.len / sizeof *r; i++) {
      lost += r[i].event == TRACE_LOST ? r[i].a : 0;
      n += r[i].event != TRACE_LOST;
    }
  }
  fprintf(stderr, "trace: %llu events, %llu lost\n", (unsigned long long)n,
          (unsigned long long)lost);
}

static void stream_write(FILE *out, const struct bytes *threads_before) {
  static const struct bytes nothing;
  struct bytes meta = file_read("meta"), threads = file_read("threads");
  fputs(STREAM_HEAD, out);
  section_write(out, "meta", &meta);
  section_write(out, "threads", threads_before);
  section_write(out, "threads", &threads);
  for (int cpu = 0; cpu < n_rings; cpu++) {
    ring_write(out, cpu);
  }
  section_write(out, "end", &nothing);
  if (fflush(out) != 0 || ferror(out)) {
    err(1, "the trace could not be written");
  }
}

int main(int argc, char **argv) {
  const char *path = "-";
  for (int option; (option = getopt(argc, argv, "+o:m:l:")) >= 0;) {
    if (option == 'o') {
      path = optarg;
    } else if (option == 'm') {
      mask_wanted = optarg;
    } else if (option == 'l') {
      limit = (size_t)number_arg(optarg, 1, 4096) << 20;
    } else {
      usage("trace [-o FILE] [-m MASK] [-l MIB] COMMAND [ARG...]");
    }
  }
  if (optind == argc) {
    usage("trace [-o FILE] [-m MASK] [-l MIB] COMMAND [ARG...]");
  }
  bool to_stdout = strcmp(path, "-") == 0;
  FILE *out = to_stdout ? stdout : fopen(path, "we");
  if (!out) {
    err(1, "%s", path);
  }
  struct bytes mask = file_read("mask");
  memcpy(mask_before, mask.data, mask.len < sizeof mask_before ? mask.len : 0);
  rings_open();
  struct bytes threads = file_read("threads");
  int status = command_run(argv + optind, to_stdout);
  stream_write(out, &threads);
  tell();
  return status;
}
