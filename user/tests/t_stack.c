/* Memory that grows downwards: the stack of a program up to its limit, and MAP_GROWSDOWN. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "tap.h"

enum { PAGE = 4096, MIB = 1 << 20, GUARD = MIB, RESERVED = 64 * MIB };

static const char *program;

/* ---- a program's stack ---------------------------------------------------------------------- */

/* Takes that many KiB of stack, and looks whether all of it stays as it was written. */
static int stack_use(int kib, volatile char *above) {
  volatile char block[1000];
  block[0] = (char)(kib * 7);
  int wrong = kib > 0 ? stack_use(kib - 1, block) : 0;
  return wrong + (block[0] != (char)(kib * 7)) + (above == NULL);
}

static int uses(void *mib) {
  volatile char here = 0;
  return stack_use(*(int *)mib * 1024, &here);
}

struct limited {
  rlim_t limit; /* bytes */
  int mib;
};

static bool limit_set(int which, rlim_t soft) {
  struct rlimit limit;
  if (getrlimit(which, &limit) != 0) {
    return false;
  }
  limit.rlim_cur = soft;
  return setrlimit(which, &limit) == 0;
}

static int uses_limited(void *arg) {
  struct limited *l = arg;
  return limit_set(RLIMIT_STACK, l->limit) ? uses(&l->mib) : 99;
}

static int execs_limited(void *arg) {
  struct limited *l = arg;
  char mib[16];
  snprintf(mib, sizeof mib, "%d", l->mib);
  if (limit_set(RLIMIT_STACK, l->limit)) {
    execl(program, program, mib, (char *)NULL);
  }
  return 99;
}

static int vforks_limited(void *arg) {
  struct limited *l = arg;
  pid_t pid = vfork();
  if (pid == 0) {
    _exit(execs_limited(l));
  }
  int status = 0;
  bool ended = waitpid(pid, &status, 0) == pid;
  return ended && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? 33 : 99;
}

static int runs_out_of_space(void *arg) {
  return limit_set(RLIMIT_AS, 4 * MIB) ? uses(arg) : 99;
}

static void test_stack(void) {
  int seven = 7, nine = 9;
  is(child_exit(uses, &seven), 0, "seven MiB of stack");
  is(child_exit(uses, &nine), -SIGSEGV, "nine are too much");
  is(child_exit(uses_limited, &(struct limited){2 * MIB, 1}), 0, "a lower limit");
  is(child_exit(uses_limited, &(struct limited){2 * MIB, 3}), -SIGSEGV, "holds at once");
  is(child_exit(uses_limited, &(struct limited){32 * MIB, 24}), 0, "as does a higher one");
  is(child_exit(uses_limited, &(struct limited){RLIM_INFINITY, 100}), 0, "and none at all");
  is(child_exit(execs_limited, &(struct limited){2 * MIB, 1}), 0, "it is the next program's");
  is(child_exit(execs_limited, &(struct limited){2 * MIB, 3}), -SIGSEGV, "if it is low");
  is(child_exit(execs_limited, &(struct limited){32 * MIB, 24}), 0, "and if it is high");
  is(child_exit(vforks_limited, &(struct limited){2 * MIB, 3}), 33, "also by vfork");
  is(child_exit(runs_out_of_space, &seven), -SIGSEGV, "the limit on all memory holds, too");
}

static void test_limit(void) {
  struct rlimit first, wrong = {2, 1}, now;
  is(getrlimit(RLIMIT_STACK, &first), 0, "the limit is known");
  is(first.rlim_cur, 8 * MIB, "and 8 MiB");
  fails_with(setrlimit(RLIMIT_STACK, &wrong), EINVAL, "a soft limit above the hard one is refused");
  ok(limit_set(RLIMIT_STACK, 3 * MIB) && getrlimit(RLIMIT_STACK, &now) == 0 &&
         now.rlim_cur == 3 * MIB && now.rlim_max == first.rlim_max,
     "another is set");
  is(setrlimit(RLIMIT_STACK, &first), 0, "and the first again");
}

/* ---- mappings that grow --------------------------------------------------------------------- */

/* Room that nothing else lies in; its middle. */
static char *room(void) {
  char *p = mmap(NULL, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    bail_out("no address space");
  }
  munmap(p, RESERVED);
  return (char *)(((uintptr_t)p + RESERVED / 2) & ~(uintptr_t)(MIB - 1));
}

static char *map_at(char *at, size_t len, int prot, int flags) {
  char *p = mmap(at, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
  return p == at ? p : NULL;
}

static char *map_growing(char *at) {
  return map_at(at, PAGE, PROT_READ | PROT_WRITE, MAP_GROWSDOWN);
}

static int writes(void *p) {
  *(volatile char *)p = 1;
  return *(volatile char *)p - 1;
}

static int writes_unwritable(void *p) {
  char *page = (char *)((uintptr_t)p & ~(uintptr_t)(PAGE - 1));
  return mprotect(page, PAGE, PROT_READ) == 0 ? writes(page - PAGE) : 99;
}

static bool is_mapped(const char *page) {
  unsigned char there;
  return mincore((void *)page, PAGE, &there) == 0;
}

static void test_growth(void) {
  char *top = room(), *p = map_growing(top);
  ok(p != NULL, "a page that grows");
  p[0] = 'a';
  ok(!is_mapped(p - PAGE), "is alone");
  p[-1] = 'b';
  ok(p[-1] == 'b' && p[-2] == 0 && p[0] == 'a', "has a page below when that is written to");
  ok(is_mapped(p - PAGE), "which is mapped");
  p[-3 * MIB] = 'c';
  ok(p[-3 * MIB] == 'c' && p[-MIB] == 0 && p[-1] == 'b', "grows by much at once");
  is(child_exit(writes, p - 7 * MIB), 0, "up to the limit");
  ok(!is_mapped(p - 7 * MIB), "a child for itself alone");
  is(child_exit(writes, p - 8 * MIB - 1), -SIGSEGV, "and not beyond");
  is(child_exit(writes, p + PAGE), -SIGSEGV, "nor upwards");
  is(child_exit(writes_unwritable, p - 3 * MIB), -SIGSEGV, "nor against the rights it has");
  is(munmap(p - 4 * MIB, 4 * MIB), 0, "what has grown goes");
  ok(!is_mapped(p - PAGE) && p[0] == 'a', "all of it");
  p[-2 * PAGE] = 'd';
  ok(p[-2 * PAGE] == 'd' && p[-1] == 0, "and comes again, empty");
  munmap(p - 4 * MIB, 5 * MIB);
  is(child_exit(writes, p - PAGE), -SIGSEGV, "with the last page it ends");
  fails_with(mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0), EINVAL,
             "what is shared does not grow");
}

static void test_guard(void) {
  char *top = room(), *p = map_growing(top);
  char *low = map_at(top - 4 * MIB, PAGE, PROT_READ | PROT_WRITE, 0);
  char *end = low + PAGE;
  is(child_exit(writes, end + GUARD), 0, "growth to the guard above another mapping");
  is(child_exit(writes, end + GUARD - 1), -SIGSEGV, "ends there");
  is(child_exit(writes, end), -SIGSEGV, "and does not come near");
  is(mprotect(low, PAGE, PROT_NONE), 0, "what nobody can access");
  is(child_exit(writes, end), 0, "is a guard itself");
  is(child_exit(writes, end - 1), -SIGSEGV, "and stays");
  munmap(low, 4 * MIB);
  p[-MIB] = 'm';
  char *to = top + 16 * MIB;
  ok(mremap(p - MIB, MIB + PAGE, MIB + PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to,
     "what has grown moves");
  to[-PAGE] = 'n';
  ok(to[0] == 'm' && to[-PAGE] == 'n', "and grows there");
  munmap(top - 4 * MIB, 24 * MIB);
}

/* The kernel writes where nothing was yet. */
static void test_copy(void) {
  char *p = map_growing(room());
  int ends[2];
  if (pipe(ends) != 0) {
    bail_out("pipe");
  }
  is(write(ends[1], "grown", 5), 5, "five bytes in a pipe");
  is(read(ends[0], p - 2 * MIB - 3, 5), 5, "are read to where memory is to grow");
  ok(memcmp(p - 2 * MIB - 3, "grown", 5) == 0, "and are there");
  is(write(ends[1], "x", 1), 1, "a byte");
  fails_with(read(ends[0], p - 12 * MIB, 1), EFAULT, "not beyond the limit");
  munmap(p - 4 * MIB, 5 * MIB);
  close(ends[0]);
  close(ends[1]);
}

/* Places that nobody named are not where the stack is to grow. */
static void test_room(void) {
  enum { N = 200, LEN = 256 * 1024 };
  char here, *lowest = (char *)((uintptr_t)&here - 7 * MIB);
  char *maps[N];
  bool apart = true;
  for (int i = 0; i < N; i++) {
    maps[i] = mmap(NULL, LEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    apart = apart && maps[i] != MAP_FAILED && (maps[i] + LEN <= lowest || maps[i] > &here);
  }
  ok(apart, "fifty MiB of mappings leave the stack its room");
  int seven = 7;
  is(child_exit(uses, &seven), 0, "which it then takes");
  for (int i = 0; i < N; i++) {
    munmap(maps[i], LEN);
  }
}

int main(int argc, char **argv) {
  if (argc > 1) {
    int mib = atoi(argv[1]);
    return uses(&mib);
  }
  program = self_path(argv[0]);
  test_limit();
  test_stack();
  test_growth();
  test_guard();
  test_copy();
  test_room();
  return tap_done();
}
