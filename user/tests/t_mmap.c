/* Memory: anonymous and file mappings, private and shared, protection, partial unmapping, fixed
 * addresses, remapping, absurd sizes, and copy-on-write after fork. Faults are expected in
 * children, where they kill. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tap.h"

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE };

static char *map(size_t n, int prot, int flags) {
  char *p = mmap(NULL, n, prot, flags | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

static int child_reads(void *p) {
  return *(volatile char *)p;
}

static int child_writes(void *p) {
  *(volatile char *)p = 1;
  return 0;
}

static int child_calls(void *p) {
  return ((int (*)(void))(uintptr_t)p)();
}

static bool is_zero(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (p[i]) {
      return false;
    }
  }
  return true;
}

static void test_anonymous(void) {
  char *p = map(16 * PAGE, RW, MAP_PRIVATE);
  ok(p && ((uintptr_t)p & (PAGE - 1)) == 0, "anonymous memory, page-aligned");
  ok(is_zero(p, 16 * PAGE), "reads as zero");
  memset(p, 0x5a, 16 * PAGE);
  ok(p[0] == 0x5a && p[16 * PAGE - 1] == 0x5a, "keeps what is written");
  is(munmap(p, 16 * PAGE), 0, "munmap");
  is(child_exit(child_reads, p), -SIGSEGV, "afterwards a read faults");
  is(munmap(p, 16 * PAGE), 0, "unmapping nothing is no error");
  p = map(64 << 20, RW, MAP_PRIVATE | MAP_NORESERVE);
  ok(p != NULL, "64 MiB");
  for (size_t i = 0; p && i < 64 << 20; i += 1 << 20) {
    p[i] = (char)(i >> 20);
  }
  ok(p && p[63 << 20] == 63 && p[(63 << 20) + PAGE] == 0, "touched sparsely");
  munmap(p, 64 << 20);
}

static void test_errors(void) {
  ok(mmap(NULL, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL,
     "a length of zero");
  ok(mmap(NULL, (size_t)1 << 62, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
         errno == ENOMEM,
     "an absurd length");
  ok(mmap(NULL, ~(size_t)0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
         errno == ENOMEM,
     "the largest length");
  ok(mmap(NULL, PAGE, RW, MAP_PRIVATE, 900, 0) == MAP_FAILED && errno == EBADF, "a bad descriptor");
  ok(mmap((void *)123, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED &&
         errno == EINVAL,
     "a fixed address off a page");
  fails_with(munmap((void *)123, PAGE), EINVAL, "munmap off a page");
  fails_with(mprotect((void *)0x10000000000, PAGE, PROT_READ), ENOMEM, "mprotect of nothing");
  is(child_exit(child_reads, NULL), -SIGSEGV, "the null pointer faults");
  is(child_exit(child_reads, (void *)0xffffffff80000000), -SIGSEGV,
     "and so does the kernel's half");
  is(child_exit(child_reads, (void *)0x7ffffffff000), -SIGSEGV,
     "and the last page of the lower one");
  is(child_exit(child_writes, (void *)0x8000000000000000), -SIGSEGV, "and no canonical address");
}

static void test_protection(void) {
  char *p = map(3 * PAGE, RW, MAP_PRIVATE);
  memset(p, 7, 3 * PAGE);
  is(mprotect(p + PAGE, PAGE, PROT_READ), 0, "the middle page read-only");
  is(child_exit(child_writes, p + PAGE), -SIGSEGV, "a write to it faults");
  is(child_exit(child_reads, p + PAGE), 7, "a read does not");
  is(child_exit(child_writes, p), 0, "the page before can be written");
  is(child_exit(child_writes, p + 2 * PAGE), 0, "and the one after");
  is(mprotect(p + PAGE, PAGE, PROT_NONE), 0, "no access at all");
  is(child_exit(child_reads, p + PAGE), -SIGSEGV, "a read faults");
  is(mprotect(p, 3 * PAGE, RW), 0, "all writable again");
  p[PAGE]++;
  is(p[PAGE], 8, "with its content");
  p[0] = (char)0xc3; /* ret */
  is(child_exit(child_calls, p), -SIGSEGV, "data cannot be executed");
  is(mprotect(p, PAGE, PROT_READ | PROT_EXEC), 0, "until it is made executable");
  ok(child_exit(child_calls, p) >= 0, "then it runs");
  munmap(p, 3 * PAGE);
}

static void test_partial(void) {
  char *p = map(8 * PAGE, RW, MAP_PRIVATE);
  for (int i = 0; i < 8; i++) {
    p[i * PAGE] = (char)i;
  }
  is(munmap(p + 3 * PAGE, 2 * PAGE), 0, "a hole in the middle");
  is(child_exit(child_reads, p + 3 * PAGE), -SIGSEGV, "faults");
  ok(p[2 * PAGE] == 2 && p[5 * PAGE] == 5, "both sides stay");
  char *q = mmap(p + 3 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  ok(q == p + 3 * PAGE && *q == 0, "a fixed mapping into the hole");
  q = mmap(p + 2 * PAGE, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  ok(q == p + 2 * PAGE && is_zero(q, 4 * PAGE), "a fixed mapping replaces what was there");
  ok(p[PAGE] == 1 && p[6 * PAGE] == 6, "and nothing else");
  is(munmap(p - 0, 8 * PAGE), 0, "all at once");
}

/* Many mappings, changed at random; a model says what each page must hold. */
static void test_random_layout(void) {
  enum { PAGES = 128, STEPS = 400 };
  static unsigned char model[PAGES]; /* 0: not mapped; otherwise its byte */
  uint64_t state = 12345;
  char *area = map(PAGES * PAGE, PROT_NONE, MAP_PRIVATE);
  munmap(area, PAGES * PAGE);
  bool good = true;
  for (int step = 0; step < STEPS && good; step++) {
    size_t at = random_next(&state) % PAGES, n = 1 + random_next(&state) % 12;
    n = at + n > PAGES ? PAGES - at : n;
    char *p = area + at * PAGE;
    unsigned char byte = (unsigned char)(1 + step % 255);
    if (random_next(&state) % 3 == 0) {
      good = munmap(p, n * PAGE) == 0;
      byte = 0;
    } else {
      good = mmap(p, n * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p;
      for (size_t i = 0; i < n; i++) {
        p[i * PAGE + 9] = (char)byte;
      }
    }
    memset(model + at, byte, n);
  }
  for (size_t i = 0; i < PAGES && good; i++) {
    good = !model[i] || (unsigned char)area[i * PAGE + 9] == model[i];
  }
  ok(good, "four hundred random maps and unmaps agree with a model");
  munmap(area, PAGES * PAGE);
}

/* A file of n bytes, at most 8000, that change every thousand. */
static int file_with(const char *name, size_t n) {
  char text[8000];
  int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  for (size_t i = 0; i < n; i++) {
    text[i] = (char)('a' + i / 1000);
  }
  if (write(fd, text, n) != (ssize_t)n) {
    bail_out("write");
  }
  return fd;
}

static void test_file_private(void) {
  int fd = file_with("file", 6000);
  char *p = mmap(NULL, 6000, RW, MAP_PRIVATE, fd, 0), byte = 0;
  ok(p != MAP_FAILED && p[0] == 'a' && p[5999] == 'f', "a private mapping shows the file");
  ok(is_zero(p + 6000, 2 * PAGE - 6000), "the rest of its last page is zero");
  p[0] = 'X';
  ok(pread(fd, &byte, 1, 0) == 1 && byte == 'a', "a write to it stays private");
  char *second = mmap(NULL, 6000, PROT_READ, MAP_PRIVATE, fd, 0);
  is(second[0], 'a', "another mapping does not see it");
  char *tail = mmap(NULL, 1000, PROT_READ, MAP_PRIVATE, fd, PAGE);
  is(tail[0], 'e', "a mapping from an offset");
  ok(mmap(NULL, 10, PROT_READ, MAP_PRIVATE, fd, 100) == MAP_FAILED && errno == EINVAL,
     "an offset off a page");
  close(fd);
  unlink("file");
  is(p[5000], 'f', "the mapping outlives descriptor and name");
  munmap(p, 6000);
  munmap(second, 6000);
  munmap(tail, 1000);
}

static void test_file_shared(void) {
  int fd = file_with("file", 5000);
  char *p = mmap(NULL, 5000, RW, MAP_SHARED, fd, 0), byte = 0;
  if (p == MAP_FAILED) {
    ok(false, "a shared mapping of a file");
    return;
  }
  p[10] = 'Z';
  ok(pread(fd, &byte, 1, 10) == 1 && byte == 'Z', "a write to a shared mapping is in the file");
  ok(pwrite(fd, "Q", 1, 4999) == 1 && p[4999] == 'Q', "a write to the file is in the mapping");
  pid_t pid = fork();
  if (pid == 0) {
    p[20] = 'C';
    _exit(0);
  }
  waitpid(pid, NULL, 0);
  is(p[20], 'C', "a child's write is seen");
  is(msync(p, 5000, MS_SYNC), 0, "msync");
  munmap(p, 5000);
  int read_only = open("file", O_RDONLY);
  ok(mmap(NULL, 5000, RW, MAP_SHARED, read_only, 0) == MAP_FAILED && errno == EACCES,
     "no shared writing through a read-only descriptor");
  close(read_only);
  close(fd);
  unlink("file");
}

/* Beyond the end of the file: the rest of its last page is there, all further ones are SIGBUS. */
static void test_file_end(void) {
  int fd = file_with("file", 5000);
  char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
  char *q = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
  if (p == MAP_FAILED || q == MAP_FAILED) {
    bail_out("a mapping longer than its file");
  }
  ok(p[4999] == 'e' && p[5000] == 0 && p[2 * PAGE - 1] == 0, "the last page of a file");
  is(child_exit(child_reads, p + 2 * PAGE), -SIGBUS, "a read behind it is SIGBUS");
  is(child_exit(child_writes, p + 3 * PAGE), -SIGBUS, "and so is a write");
  is(child_exit(child_reads, q + 2 * PAGE), -SIGBUS, "in a private mapping, too");
  fails_with(pwrite(fd, p + 2 * PAGE, 1, 0), EFAULT, "for a call it is EFAULT");
  ok(ftruncate(fd, 3 * PAGE) == 0 && p[2 * PAGE] == 0, "until the file has grown");
  p[2 * PAGE] = 'g';
  char byte = 0;
  ok(pread(fd, &byte, 1, 2 * PAGE) == 1 && byte == 'g', "what is written there is in the file");
  q[0] = 'P';
  q[PAGE] = 'P';
  ok(ftruncate(fd, 100) == 0 && p[99] == 'a' && q[0] == 'P', "the file is cut");
  is(child_exit(child_reads, p + PAGE), -SIGBUS, "what is cut off is SIGBUS");
  is(child_exit(child_reads, q + PAGE), -SIGBUS, "a private copy of it, too");
  ok(pwrite(fd, "w", 1, 3 * PAGE + 7) == 1 && p[3 * PAGE + 7] == 'w' && p[2 * PAGE] == 0,
     "a write behind the end brings the pages back, empty");
  munmap(p, 4 * PAGE);
  munmap(q, 4 * PAGE);
  close(fd);
  unlink("file");
}

static void test_remap(void) {
  char *p = map(2 * PAGE, RW, MAP_PRIVATE);
  p[0] = 'r';
  p[PAGE] = 's';
  char *q = mremap(p, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
  ok(q != MAP_FAILED && q[0] == 'r' && q[PAGE] == 's', "mremap keeps the content");
  ok(q != MAP_FAILED && is_zero(q + 2 * PAGE, 62 * PAGE), "and adds zeros");
  q[63 * PAGE] = 't';
  char *s = mremap(q, 64 * PAGE, PAGE, 0);
  ok(s == q && s[0] == 'r', "mremap shrinks in place");
  is(child_exit(child_reads, q + PAGE), -SIGSEGV, "the rest is gone");
  munmap(s, PAGE);
}

static void test_remap_fixed(void) {
  char *p = map(20 * PAGE, RW, MAP_PRIVATE);
  for (int i = 0; i < 20; i++) {
    p[i * PAGE] = (char)(i + 1);
  }
  char *q = mremap(p + 2 * PAGE, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 10 * PAGE);
  ok(q == p + 10 * PAGE && q[0] == 3 && q[2 * PAGE] == 5, "pages move to a place of one's own");
  is(child_exit(child_reads, p + 2 * PAGE), -SIGSEGV, "and are gone from where they were");
  ok(p[PAGE] == 2 && p[5 * PAGE] == 6 && p[9 * PAGE] == 10 && p[13 * PAGE] == 14,
     "their neighbours stay");
  q = mremap(p + 5 * PAGE, PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 15 * PAGE);
  ok(q == p + 15 * PAGE && q[0] == 6 && is_zero(q + PAGE, 2 * PAGE) && p[18 * PAGE] == 19,
     "and grow there");
  q = mremap(p + 6 * PAGE, 3 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p);
  ok(q == p && q[0] == 7 && p[PAGE] == 2, "or shrink");
  is(child_exit(child_reads, p + 8 * PAGE), -SIGSEGV, "with nothing left behind");
  int both = MREMAP_MAYMOVE | MREMAP_FIXED;
  ok(mremap(p, 2 * PAGE, 2 * PAGE, both, p + PAGE) == MAP_FAILED && errno == EINVAL,
     "not onto themselves");
  ok(mremap(p, PAGE, PAGE, both, p + 100) == MAP_FAILED && errno == EINVAL, "not off a page");
  ok(mremap(p, PAGE, PAGE, MREMAP_FIXED, p + 3 * PAGE) == MAP_FAILED && errno == EINVAL,
     "not without leave to move");
  ok(mremap(p + 2 * PAGE, PAGE, PAGE, both, p + 19 * PAGE) == MAP_FAILED && errno == EFAULT,
     "nothing cannot move");
  ok(p[0] == 7 && p[PAGE] == 2, "and all is as it was");
  munmap(p, 20 * PAGE);
}

static void test_advice(void) {
  char *p = map(4 * PAGE, RW, MAP_PRIVATE);
  memset(p, 1, 4 * PAGE);
  is(madvise(p + PAGE, 2 * PAGE, MADV_DONTNEED), 0, "MADV_DONTNEED");
  ok(is_zero(p + PAGE, 2 * PAGE), "pages read as zero again");
  ok(p[0] == 1 && p[3 * PAGE] == 1, "the others do not");
  munmap(p, 4 * PAGE);
}

/* ---- copy-on-write ---- */

enum { COW_PAGES = 64 };
static char *cow;
static volatile bool stop;

static void *keep_writing(void *arg) {
  for (unsigned char round = 0; !stop; round++) {
    for (int i = 0; i < COW_PAGES; i++) {
      cow[i * PAGE + 100] = (char)round;
    }
  }
  return arg;
}

/* What the child sees must not change after fork, although a thread of the parent keeps writing. */
static int child_sees_snapshot(void) {
  static char seen[COW_PAGES];
  for (int i = 0; i < COW_PAGES; i++) {
    seen[i] = cow[i * PAGE + 100];
  }
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < COW_PAGES; i++) {
      if (cow[i * PAGE + 100] != seen[i]) {
        return 1;
      }
    }
    sched_yield();
  }
  return 0;
}

static void test_cow_with_threads(void) {
  pthread_t thread;
  cow = map(COW_PAGES * PAGE, RW, MAP_PRIVATE);
  pthread_create(&thread, NULL, keep_writing, NULL);
  bool good = true;
  for (int i = 0; i < 15; i++) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
      _exit(child_sees_snapshot());
    }
    good = waitpid(pid, &status, 0) == pid && status == 0 && good;
  }
  stop = true;
  pthread_join(thread, NULL);
  ok(good, "a child's memory does not change while the parent writes");
  munmap(cow, COW_PAGES * PAGE);
}

static int cow_generations(int depth, char *p) {
  if (depth == 0) {
    return 0;
  }
  p[0]++;
  p[depth * PAGE]++;
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    _exit(cow_generations(depth - 1, p));
  }
  char mine = p[0];
  p[PAGE] = 99;
  return waitpid(pid, &status, 0) == pid && status == 0 && p[0] == mine ? 0 : 1;
}

static int wait_then_check(void *arg) {
  char *p = arg;
  for (int i = 0; i < 32; i++) {
    if (p[i * PAGE] != 'o') {
      return 1;
    }
    p[i * PAGE] = 'c';
  }
  return 0;
}

static void test_cow(void) {
  char *p = map(32 * PAGE, RW, MAP_PRIVATE);
  memset(p, 'o', 32 * PAGE);
  is(child_exit(wait_then_check, p), 0, "a child changes every page");
  bool kept = true;
  for (int i = 0; i < 32; i++) {
    kept = kept && p[i * PAGE] == 'o';
  }
  ok(kept, "and the parent keeps its own");
  is(cow_generations(8, p), 0, "eight generations that all write");
  munmap(p, 32 * PAGE);
  p = map(4 << 20, RW, MAP_PRIVATE);
  memset(p, 'o', 4 << 20);
  is(child_exit(wait_then_check, p), 0, "the same in large memory");
  is(p[31 * PAGE], 'o', "unchanged");
  munmap(p, 4 << 20);
}

int main(void) {
  scratch_enter("t_mmap");
  test_anonymous();
  test_errors();
  test_protection();
  test_partial();
  test_random_layout();
  test_file_private();
  test_file_shared();
  test_file_end();
  test_remap();
  test_remap_fixed();
  test_advice();
  test_cow();
  test_cow_with_threads();
  scratch_leave();
  return tap_done();
}
