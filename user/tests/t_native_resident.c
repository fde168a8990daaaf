/* The limit on what a process has in memory (setrlimit's RLIMIT_RSS): who is found to have more is
 * killed, by a sixteenth too late at most; what does not count is not held against anybody. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "runtime/syscall.h"
#include "tap.h"

enum { PAGE = 4096, MIB = 1 << 20, RW = PROT_READ | PROT_WRITE };
enum {
  LIMIT = 8 * MIB,
  OWN = 2 * MIB
}; /* OWN: what a program has without doing anything, at most */

static _Atomic long *touched; /* pages; shared with children */
static const char *program;

static bool limit_set(rlim_t bytes) {
  struct rlimit limit = {bytes, RLIM_INFINITY}, now;
  return setrlimit(RLIMIT_RSS, &limit) == 0 && getrlimit(RLIMIT_RSS, &now) == 0 &&
         now.rlim_cur == bytes;
}

static char *memory(size_t len, int flags) {
  char *p = mmap(NULL, len, RW, MAP_ANONYMOUS | flags, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

static int touch(char *p, size_t len) {
  for (size_t at = 0; p && at < len; at += PAGE) {
    p[at] = 1;
    atomic_fetch_add(touched, 1);
  }
  return p ? 0 : 98;
}

static int hog(void *mib) {
  size_t len = *(size_t *)mib * MIB;
  return limit_set(LIMIT) ? touch(memory(len, MAP_PRIVATE), len) : 99;
}

static int hog_shared(void *mib) {
  size_t len = *(size_t *)mib * MIB;
  return limit_set(LIMIT) ? touch(memory(len, MAP_SHARED), len) : 99;
}

static int hog_big(void *mib) {
  size_t len = *(size_t *)mib * MIB;
  char *p = memory(len, MAP_PRIVATE);
  return limit_set(LIMIT) && madvise(p, len, MADV_HUGEPAGE) == 0 ? touch(p, len) : 99;
}

static int hog_populated(void *mib) {
  size_t len = *(size_t *)mib * MIB;
  return limit_set(LIMIT) && memory(len, MAP_PRIVATE | MAP_POPULATE) ? 0 : 99;
}

static int hog_advised(void *mib) {
  size_t len = *(size_t *)mib * MIB;
  char *p = memory(len, MAP_PRIVATE);
  return limit_set(LIMIT) && madvise(p, len, 23 /* MADV_POPULATE_WRITE */) == 0 ? 0 : 99;
}

/* The kernel touches it. */
static int hog_copied(void *mib) {
  size_t len = *(size_t *)mib * MIB;
  int64_t fd = sys_openat(FD_NS, "memory:/", 8, O_ABI_RDWR, 0);
  bool sized = sys_call((int)fd, OP_TRUNCATE, NULL, 0, 0, len) == 0;
  char *p = memory(len, MAP_PRIVATE);
  return sized && limit_set(LIMIT) && sys_pread((int)fd, p, len, 0) == (int64_t)len ? 0 : 99;
}

static void *touch_half(void *p) {
  (void)touch(p, LIMIT);
  return NULL;
}

static int hog_threads(void *arg) {
  (void)arg;
  pthread_t thread;
  char *p = memory(2 * LIMIT, MAP_PRIVATE);
  if (!limit_set(LIMIT) || pthread_create(&thread, NULL, touch_half, p) != 0) {
    return 99;
  }
  touch_half(p + LIMIT);
  return pthread_join(thread, NULL);
}

/* A limit below what there is. */
static int hog_late(void *arg) {
  (void)arg;
  char *p = memory(LIMIT, MAP_PRIVATE);
  return touch(p, LIMIT) == 0 && limit_set(LIMIT / 2) ? touch(memory(PAGE, MAP_PRIVATE), PAGE) : 99;
}

static int hog_execs(void *mib) {
  char text[16];
  snprintf(text, sizeof text, "%zu", *(size_t *)mib);
  if (limit_set(LIMIT)) {
    execl(program, program, text, (char *)NULL);
  }
  return 99;
}

/* What a child shares with its parent is the child's, too. */
static int parent_of_hog(void *arg) {
  size_t half = LIMIT / 2;
  (void)arg;
  if (!limit_set(LIMIT) || touch(memory(half, MAP_PRIVATE), half) != 0) {
    return 99;
  }
  pid_t pid = fork();
  if (pid == 0) {
    _exit(touch(memory(half + OWN, MAP_PRIVATE), half + OWN));
  }
  int status = 0;
  bool killed = waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
  return killed && WTERMSIG(status) == SIGKILL ? 0 : 1;
}

static int child_within(void *arg) {
  size_t half = LIMIT / 2;
  (void)arg;
  char *p = memory(half, MAP_PRIVATE);
  if (!limit_set(LIMIT) || touch(p, half) != 0) {
    return 99;
  }
  pid_t pid = fork();
  if (pid == 0) { /* copies are not more pages */
    _exit(touch(p, half));
  }
  int status = 1;
  return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}

/* Much comes, but never much at a time. */
static int modest(void *arg) {
  (void)arg;
  char *p = memory(LIMIT / 2, MAP_PRIVATE);
  for (int i = 0; limit_set(LIMIT) && p && i < 20; i++) {
    if (touch(p, LIMIT / 2) != 0 || madvise(p, LIMIT / 2, MADV_DONTNEED) != 0) {
      return 1;
    }
  }
  return 0;
}

static int reader(void *arg) {
  (void)arg;
  volatile char *p = memory(8 * LIMIT, MAP_PRIVATE);
  int sum = limit_set(LIMIT) ? 0 : 99;
  for (size_t at = 0; at < 8 * LIMIT; at += PAGE) {
    sum += p[at];
  }
  return sum;
}

int main(int argc, char **argv) {
  size_t few = (LIMIT - OWN) / MIB, many = 2 * LIMIT / MIB;
  touched = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (argc > 1) {
    size_t len = strtoul(argv[1], NULL, 10) * MIB;
    return touch(memory(len, MAP_PRIVATE), len);
  }
  program = self_path(argv[0]);
  is(child_exit(hog, &few), 0, "who stays below the limit goes on");
  atomic_store(touched, 0);
  is(child_exit(hog, &many), -SIGKILL, "who has more is killed");
  long n = atomic_load(touched);
  ok(n > (LIMIT - OWN) / PAGE && n <= (LIMIT + LIMIT / 16) / PAGE + 1,
     "soon after, and not before");
  is(child_exit(hog_shared, &many), -SIGKILL, "with shared memory, too");
  is(child_exit(hog_big, &many), -SIGKILL, "with pages of 2 MiB");
  is(child_exit(hog_populated, &many), -SIGKILL, "by mapping it populated");
  is(child_exit(hog_advised, &many), -SIGKILL, "by advice");
  is(child_exit(hog_copied, &many), -SIGKILL, "by a call");
  is(child_exit(hog_threads, NULL), -SIGKILL, "by several threads");
  is(child_exit(hog_late, NULL), -SIGKILL, "and who had more before");
  is(child_exit(hog_execs, &few), 0, "the next program has the limit");
  is(child_exit(hog_execs, &many), -SIGKILL, "and ends by it");
  is(child_exit(parent_of_hog, NULL), 0, "a child ends by what it has, its parent does not");
  is(child_exit(child_within, NULL), 0, "what it copies does not count twice");
  is(child_exit(modest, NULL), 0, "what was given back does not count");
  is(child_exit(reader, NULL), 0, "nor does what was only read");
  return tap_done();
}
