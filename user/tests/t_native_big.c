/* Memory by pages of 2 MiB where madvise asks for it: what is there after one touch, what a fork
 * and a write after it see, and every way to cut such a page in parts, against a model of the
 * contents. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>

#include "runtime/syscall.h"
#include "tap.h"

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, PARTS = 512 };
static const size_t BIG = (size_t)PAGE * PARTS;

static struct space_stat stat_now(void) {
  struct space_stat st = {0};
  struct space_op op = {.code = SPACE_STAT, .fd = FD_NONE, .off = (uint64_t)&st};
  if (sys_call(FD_SELF, OP_SPACE_APPLY, &op, sizeof op, 0, 0) != 1) {
    bail_out("no counts");
  }
  return st;
}

static int64_t n_resident(void) {
  return (int64_t)stat_now().resident_pages;
}

/* n aligned regions of 2 MiB that want to be big. */
static char *regions(size_t n) {
  char *p = mmap(NULL, (n + 1) * BIG, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    bail_out("no memory");
  }
  char *start = (char *)(((uintptr_t)p + BIG - 1) & ~(BIG - 1));
  munmap(p, (size_t)(start - p));
  munmap(start + n * BIG, (size_t)(p + BIG - start));
  if (madvise(start, n * BIG, MADV_HUGEPAGE) != 0) {
    bail_out("madvise");
  }
  return start;
}

/* Every page of the regions has a byte of its own. */
static char byte_of(size_t page) {
  return (char)(1 + page % 251);
}

static void fill(char *p, size_t n_pages) {
  for (size_t i = 0; i < n_pages; i++) {
    p[i * PAGE + 7] = byte_of(i);
  }
}

static bool is_filled(const char *p, size_t first, size_t end) {
  for (size_t i = first; i < end; i++) {
    if (p[i * PAGE + 7] != byte_of(i)) {
      return false;
    }
  }
  return true;
}

static int child_writes(void *p) {
  *(volatile char *)p = 1;
  return 0;
}

static int child_reads(void *p) {
  return *(volatile char *)p;
}

static void test_touch(void) {
  char *p = regions(2);
  struct space_stat before = stat_now();
  p[5 * PAGE] = 1;
  struct space_stat after = stat_now();
  is(after.resident_pages - before.resident_pages, PARTS, "one write brings 512 pages");
  ok(after.table_pages - before.table_pages <= 1, "without a table of their own");
  bool zero = true;
  for (size_t i = 0; i < BIG; i += 512) {
    zero = zero && (p[i] == 0 || i == 5 * PAGE);
  }
  ok(zero, "all zero");
  int64_t n = n_resident();
  ok(p[BIG] == 0 && n_resident() - n < PARTS, "a read does not");
  is(madvise(p, BIG, MADV_DONTNEED), 0, "they are thrown away");
  is(madvise(p, 2 * BIG, MADV_NOHUGEPAGE), 0, "and not wanted big any more");
  n = n_resident();
  p[5 * PAGE] = 1;
  is(n_resident() - n, 1, "a write brings one");
  munmap(p, 2 * BIG);
}

/* A child that writes to one page of each region, checks all, and cuts holes. */
static int child_cuts(void *arg) {
  char *p = arg;
  p[3 * PAGE + 7] = 'c';
  if (!is_filled(p, 0, 3) || !is_filled(p, 4, 2 * PARTS) || p[3 * PAGE + 7] != 'c') {
    return 1;
  }
  if (munmap(p + BIG + 100 * PAGE, 50 * PAGE) != 0 || !is_filled(p, PARTS, PARTS + 100) ||
      !is_filled(p, PARTS + 150, 2 * PARTS)) {
    return 2;
  }
  p[BIG + 99 * PAGE + 7] = 'd';
  p[BIG + 150 * PAGE + 7] = 'e';
  return is_filled(p, 4, PARTS + 99) && is_filled(p, PARTS + 151, 2 * PARTS) ? 0 : 3;
}

static int child_writes_all(void *arg) {
  char *p = arg;
  for (size_t i = 0; i < 2 * PARTS; i++) {
    p[i * PAGE + 7] = 'x';
  }
  return p[BIG + 7] == 'x' && p[BIG + 8] == 0 ? 0 : 1;
}

static void test_fork(void) {
  char *p = regions(2);
  fill(p, 2 * PARTS);
  is(child_exit(child_cuts, p), 0, "a child writes to them, and cuts them up");
  ok(is_filled(p, 0, 2 * PARTS), "its parent's stay");
  is(child_exit(child_writes_all, p), 0, "a child writes to every page");
  ok(is_filled(p, 0, 2 * PARTS), "its parent's stay");
  int ends[2];
  if (pipe(ends) != 0) {
    bail_out("pipe");
  }
  pid_t pid = fork();
  if (pid == 0) {
    char byte;
    close(ends[1]);
    _exit(read(ends[0], &byte, 1) == 0 && is_filled(p, 0, 2 * PARTS) ? 0 : 1);
  }
  munmap(p + 10 * PAGE, 20 * PAGE);
  p[BIG + 7] = 'p';
  ok(is_filled(p, 0, 10) && is_filled(p, 30, PARTS) && is_filled(p, PARTS + 1, 2 * PARTS),
     "the parent cuts what a child shares");
  close(ends[0]);
  close(ends[1]);
  int status = -1;
  ok(waitpid(pid, &status, 0) == pid && status == 0, "the child's stay");
  ok(is_filled(p, 0, 10) && is_filled(p, 30, PARTS) && p[BIG + 7] == 'p', "as do the parent's");
  munmap(p, 2 * BIG);
}

static void test_parts(void) {
  char *p = regions(2);
  fill(p, 2 * PARTS);
  is(mprotect(p + 9 * PAGE, PAGE, PROT_READ), 0, "one page of them read-only");
  is(child_exit(child_writes, p + 9 * PAGE), -SIGSEGV, "cannot be written to");
  ok(child_exit(child_writes, p + 8 * PAGE) == 0 && child_exit(child_writes, p + 10 * PAGE) == 0,
     "its neighbours can");
  ok(is_filled(p, 0, 2 * PARTS), "all keep their bytes");
  is(mprotect(p, 2 * BIG, PROT_NONE), 0, "all without rights");
  is(child_exit(child_reads, p + BIG), -SIGSEGV, "cannot be read");
  is(mprotect(p, 2 * BIG, RW), 0, "and back");
  ok(is_filled(p, 0, 2 * PARTS), "with their bytes");
  is(madvise(p + BIG + 4 * PAGE, 3 * PAGE, MADV_DONTNEED), 0, "three are thrown away");
  ok(p[BIG + 4 * PAGE + 7] == 0 && is_filled(p, 0, PARTS + 4) && is_filled(p, PARTS + 7, 2 * PARTS),
     "and are zero, the others not");
  char *q = mremap(p + BIG, BIG, 3 * BIG, MREMAP_MAYMOVE);
  ok(q != MAP_FAILED && q[7] == byte_of(PARTS) && q[BIG - PAGE + 7] == byte_of(2 * PARTS - 1),
     "they move");
  munmap(q, 3 * BIG);
  munmap(p, BIG);
}

/* Rights taken from a part while all is shared, and so without W, must not come back with a write
 * to another part. */
static int child_part_read_only(void *arg) {
  char *p = arg;
  return mprotect(p + PAGE, PAGE, PROT_READ) == 0 && child_writes(p) == 0 &&
                 child_exit(child_writes, p + PAGE) == -SIGSEGV && is_filled(p, 1, PARTS)
             ? 0
             : 1;
}

static void test_rights_after_fork(void) {
  char *p = regions(1);
  fill(p, PARTS);
  is(child_exit(child_part_read_only, p), 0, "a part made read-only after a fork stays so");
  ok(mprotect(p + PAGE, PAGE, PROT_READ) == 0 && child_writes(p) == 0 &&
         child_exit(child_writes, p + PAGE) == -SIGSEGV,
     "also with the last user");
  munmap(p, BIG);
}

/* Random operations against a model: one byte a page. */
enum { N_REGIONS = 3, N_PAGES = N_REGIONS * PARTS, STEPS = 250 };
static unsigned char model[N_PAGES];
static char *area;

static bool area_agrees(void) {
  for (size_t i = 0; i < N_PAGES; i++) {
    if ((unsigned char)area[i * PAGE + 3] != model[i]) {
      return false;
    }
  }
  return true;
}

static int child_agrees(void *arg) {
  uint64_t *state = arg;
  for (int i = 0; i < 20; i++) {
    size_t page = random_next(state) % N_PAGES;
    area[page * PAGE + 3] = (char)(model[page] ^= 0x55);
  }
  return area_agrees() ? 0 : 1;
}

static bool random_step(uint64_t *state) {
  size_t first = random_next(state) % N_PAGES, n = 1 + random_next(state) % 700;
  n = first + n > N_PAGES ? N_PAGES - first : n;
  char *p = area + first * PAGE;
  switch (random_next(state) % 8) {
  case 0: /* new memory in the place of old */
    memset(model + first, 0, n);
    return mmap(p, n * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p &&
           madvise(p, n * PAGE, MADV_HUGEPAGE) == 0;
  case 1:
    memset(model + first, 0, n);
    return madvise(p, n * PAGE, MADV_DONTNEED) == 0;
  case 2:
    return mprotect(p, n * PAGE, PROT_READ) == 0 && area_agrees() && mprotect(p, n * PAGE, RW) == 0;
  case 3:
    return child_exit(child_agrees, state) == 0 && area_agrees();
  default:
    for (size_t i = 0; i < 30; i++) {
      size_t page = random_next(state) % N_PAGES;
      model[page] = (unsigned char)random_next(state);
      area[page * PAGE + 3] = (char)model[page];
    }
    return true;
  }
}

static void test_random(void) {
  uint64_t state = 4711;
  bool good = true;
  area = regions(N_REGIONS);
  for (int i = 0; i < STEPS && good; i++) {
    good = random_step(&state);
  }
  ok(good && area_agrees(), "random operations agree with a model");
  munmap(area, N_REGIONS * BIG);
}

int main(void) {
  test_touch();
  test_fork();
  test_parts();
  test_rights_after_fork();
  test_random();
  return tap_done();
}
