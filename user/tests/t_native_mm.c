/* Steps on an address space that nobody runs in: what is counted, read, mapped again, and where
 * mappings without a place go. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>

#include "runtime/syscall.h"
#include "tap.h"

enum { PAGE = 4096, RW = PROT_ABI_READ | PROT_ABI_WRITE };
enum { ANON = MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS };

static int64_t space;
static unsigned char bytes[10 * PAGE], back[10 * PAGE];

static int64_t apply(struct space_op *step) {
  int64_t done = sys_call((int)space, OP_SPACE_APPLY, step, sizeof *step, sizeof *step, 0);
  return done == 1 ? 0 : done;
}

static int64_t step(uint32_t code, uint64_t addr, uint64_t len, void *off) {
  struct space_op op = {
      .code = code, .fd = FD_NONE, .addr = addr, .len = len, .off = (uint64_t)off};
  return apply(&op);
}

static int64_t map(uint64_t addr, uint64_t n_pages, uint32_t flags) {
  struct space_op op = {.code = SPACE_MAP,
                        .fd = FD_NONE,
                        .prot = RW,
                        .flags = ANON | flags,
                        .addr = addr,
                        .len = n_pages * PAGE};
  int64_t result = apply(&op);
  return result < 0 ? result : (int64_t)op.addr;
}

static bool counts_are(uint64_t n_grants, uint64_t n_pages) {
  struct space_stat st = {0};
  return step(SPACE_STAT, 0, 0, &st) == 0 && st.n_grants == n_grants &&
         st.resident_pages == n_pages && st.private_pages == n_pages;
}

static bool reads_as(uint64_t addr, const unsigned char *want, size_t n) {
  memset(back, 0x77, n);
  return step(SPACE_READ, addr, n, back) == 0 && memcmp(back, want, n) == 0;
}

static void test_counts(void) {
  struct space_stat st = {0};
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (unsigned char)(i * 7 + (i >> 12));
  }
  ok(counts_are(0, 0), "a new space has nothing");
  is(map(0x400000, 20, MAP_ABI_FIXED), 0x400000, "twenty pages");
  ok(counts_are(1, 0), "are a grant and no page");
  is(step(SPACE_WRITE, 0x401000, sizeof bytes, bytes), 0, "ten are written");
  ok(counts_are(1, 10), "and counted");
  ok(step(SPACE_STAT, 0, 0, &st) == 0 && st.table_pages == 4, "below four tables");
  ok(reads_as(0x401000, bytes, sizeof bytes), "they hold what was written");
  ok(reads_as(0x401003, bytes + 3, 2 * PAGE), "also from the middle of a page");
  memset(bytes, 0, PAGE);
  ok(reads_as(0x400000, bytes, PAGE) && counts_are(1, 10), "a page not touched reads as zero");
  is(step(SPACE_UNMAP, 0x403000, 5 * PAGE, NULL), 0, "five go");
  ok(counts_are(2, 5), "two grants and five pages are left");
  is(step(SPACE_READ, 0x402000, 2 * PAGE, back), -EFAULT, "a hole cannot be read");
  is(step(SPACE_STAT, 0, 0, (void *)8), -EFAULT, "counts cannot go to a wild address");
  is(step(SPACE_UNMAP, 0x400000, 20 * PAGE, NULL), 0, "all go");
  ok(counts_are(0, 0), "and nothing is left");
}

static void test_same(void) {
  static const char name[] = "memory:/";
  int64_t fd = sys_openat(FD_NS, name, sizeof name - 1, O_ABI_RDWR, 0);
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (unsigned char)(i * 13 + (i >> 12));
  }
  ok(fd >= 0 && sys_pwrite((int)fd, bytes, sizeof bytes, 0) == sizeof bytes, "an object");
  struct space_op file = {.code = SPACE_MAP,
                          .fd = (int32_t)fd,
                          .prot = PROT_ABI_READ,
                          .flags = MAP_ABI_PRIVATE | MAP_ABI_FIXED,
                          .addr = 0x10000000,
                          .len = sizeof bytes};
  is(apply(&file), 0, "is mapped");
  sys_close((int)fd);
  struct space_op same = {.code = SPACE_MAP_SAME,
                          .fd = FD_NONE,
                          .prot = RW,
                          .flags = MAP_ABI_FIXED,
                          .addr = 0x20000000,
                          .len = 4 * PAGE,
                          .off = 0x10002000};
  is(apply(&same), 0, "a part of it is mapped again");
  ok(reads_as(0x20000000, bytes + 2 * PAGE, 4 * PAGE), "and is the same");
  is(step(SPACE_WRITE, 0x20000000, PAGE, bytes + 5 * PAGE), 0, "a write to it");
  ok(reads_as(0x20000000, bytes + 5 * PAGE, PAGE), "is seen there");
  ok(reads_as(0x10002000, bytes + 2 * PAGE, PAGE), "and nowhere else");
  is(step(SPACE_UNMAP, 0x10000000, sizeof bytes, NULL), 0, "the first goes");
  ok(reads_as(0x20001000, bytes + 3 * PAGE, 3 * PAGE), "the second stays");
  same.addr = 0x30000000;
  is(apply(&same), -EINVAL, "what is not mapped cannot be mapped again");
  is(step(SPACE_UNMAP, 0x20000000, 4 * PAGE, NULL), 0, "the second goes");
}

/* An object that is cut: what lies behind its end goes from every mapping, before the call answers.
 */
static int child_reads(void *p) {
  return *(volatile unsigned char *)p;
}

static int child_copies_cut_page(void *p) {
  volatile unsigned char *page = p;
  int64_t fd = sys_openat(FD_NS, "sys:/leaks", 10, O_ABI_RDONLY, 0);
  return page[0] == 0 && sys_pread((int)fd, (void *)(page + PAGE), 1, 0) == -EFAULT ? 0 : 1;
}

static void test_cut(void) {
  enum { N = 700 }; /* more than a table of pages */
  int64_t fd = sys_openat(FD_NS, "memory:/", 8, O_ABI_RDWR, 0);
  bool cut = sys_call((int)fd, OP_TRUNCATE, NULL, 0, 0, N * PAGE) == 0;
  unsigned char *p = (unsigned char *)sys_mmap(0, N * PAGE, RW, MAP_ABI_SHARED, (int)fd, 0);
  unsigned char *q = (unsigned char *)sys_mmap(0, N * PAGE, RW, MAP_ABI_PRIVATE, (int)fd, 0);
  memset(p, 's', N * PAGE);
  memset(q, 'p', N * PAGE);
  int ends[2], ready[2];
  char byte = 0;
  if (pipe(ends) != 0 || pipe(ready) != 0) {
    bail_out("pipe");
  }
  pid_t pid = fork(); /* a space that shares the tables */
  if (pid == 0) {
    close(ends[1]);
    bool held = p[600 * PAGE] == 's' && write(ready[1], &byte, 1) == 1;
    held = held && read(ends[0], &byte, 1) == 0;
    _exit(held && child_exit(child_reads, p + 600 * PAGE) == -SIGBUS &&
                  child_reads(p + 2 * PAGE) == 's'
              ? 0
              : 1);
  }
  close(ready[1]);
  cut = cut && read(ready[0], &byte, 1) == 1;
  cut = cut && sys_call((int)fd, OP_TRUNCATE, NULL, 0, 0, 3 * PAGE + 5) == 0;
  ok(cut && p[3 * PAGE + 4] == 's' && p[3 * PAGE + 5] == 0, "a cut object ends in its last page");
  ok(q[3 * PAGE + 5] == 'p', "a private copy of that stays");
  is(child_exit(child_reads, p + 4 * PAGE), -SIGBUS, "the next page is gone");
  is(child_exit(child_reads, p + 600 * PAGE), -SIGBUS, "as is one far behind");
  is(child_exit(child_reads, q + 600 * PAGE), -SIGBUS, "from a private mapping, too");
  close(ends[1]);
  int status = -1;
  ok(waitpid(pid, &status, 0) == pid && status == 0, "and from another space");
  cut = sys_call((int)fd, OP_TRUNCATE, NULL, 0, 0, 5 * PAGE) == 0;
  ok(cut && p[4 * PAGE] == 0, "what comes back is zero");
  is(child_exit(child_copies_cut_page, p + 4 * PAGE), 0, "behind the end a call has EFAULT");
  sys_munmap((uint64_t)p, N * PAGE);
  sys_munmap((uint64_t)q, N * PAGE);
  sys_close((int)fd);
  close(ready[0]);
  close(ends[0]);
}

static int64_t physical_open(const char *name) {
  return sys_openat(FD_NS, name, strlen(name), O_ABI_RDWR, 0);
}

/* The version register of the interrupt controller, which is where the architecture puts it. */
static int child_has_version(void *arg) {
  volatile uint32_t *registers = arg;
  return (registers[0x30 / 4] & 0xff) >= 0x10 ? 0 : 1;
}

static int child_is_refused(void *arg) {
  return setuid(1000) == 0 && physical_open(arg) == -EPERM ? 0 : 1;
}

static void test_physical(void) {
  static char name[] = "memory:/physical/fee00000/1000";
  int64_t fd = physical_open(name);
  ok(fd >= 0, "registers of a device");
  int64_t at = sys_mmap(0, PAGE, PROT_ABI_READ, MAP_ABI_SHARED, (int)fd, 0);
  ok(at > 0, "are mapped");
  is(sys_mmap(0, PAGE, PROT_ABI_READ, MAP_ABI_PRIVATE, (int)fd, 0), -EINVAL, "but not privately");
  is(sys_read((int)fd, back, 4), -EINVAL, "nor read as a file");
  struct space_op same = {
      .code = SPACE_READ, .fd = FD_NONE, .addr = (uint64_t)at, .len = 4, .off = (uint64_t)back};
  is(sys_call(FD_SELF, OP_SPACE_APPLY, &same, sizeof same, sizeof same, 0), -EFAULT,
     "nor by the kernel");
  int ended = child_exit(child_has_version, (void *)at);
  if (ended == 0) {
    ok(true, "hold what they should");
  } else {
    skip("hold what they should", "the interrupt controller is not mapped in this mode");
  }
  is(child_exit(child_is_refused, name), 0, "are root's alone");
  is(physical_open("memory:/physical/200000/1000"), -EPERM, "memory is no device");
  is(physical_open("memory:/physical/1ff000/fee00000"), -EPERM, "nor what has some in it");
  is(physical_open("memory:/physical/fee00001/1000"), -EPERM, "nor what is no page");
  is(physical_open("memory:/physical/fee00000/ffffffffffff1000"), -EPERM, "or has no end");
  is(physical_open("memory:/physical/fee00000"), -ENOENT, "a length is needed");
  is(physical_open("memory:/physical/xyz/1000"), -ENOENT, "and digits");
  sys_munmap((uint64_t)at, PAGE);
  sys_close((int)fd);
}

static void test_ceiling(void) {
  is(step(SPACE_CEILING, 0x50000000, 0, NULL), 0, "a ceiling");
  is(map(0, 16, 0), 0x50000000 - 16 * PAGE, "a mapping goes right below");
  is(map(0, 16, 0), 0x50000000 - 32 * PAGE, "the next one below that");
  ok(counts_are(1, 0), "and both are one");
  int64_t big = map(0, 0x50000000 / PAGE, 0);
  ok(big >= 0x50000000, "what does not fit goes above");
  is(step(SPACE_CEILING, 0x50000001, 0, NULL), -EINVAL, "a ceiling off a page");
  is(step(SPACE_CEILING, 0, 0, NULL), -EINVAL, "a ceiling of nothing");
  is(step(SPACE_CEILING, 0x800000000000, 0, NULL), -EINVAL, "a ceiling over user memory");
}

/* A tebibyte costs what its touched pages cost. */
static void test_sparse(void) {
  const uint64_t tebi = 1ul << 40, base = 1ul << 41;
  struct space_stat st = {0};
  is(map(base, tebi / PAGE, MAP_ABI_FIXED), (int64_t)base, "a tebibyte");
  is(step(SPACE_WRITE, base, PAGE, bytes), 0, "its first page");
  is(step(SPACE_WRITE, base + tebi - 2 * PAGE, 2 * PAGE, bytes), 0, "and its last two");
  ok(counts_are(1, 3), "one grant, three pages");
  ok(step(SPACE_STAT, 0, 0, &st) == 0 && st.table_pages == 7,
     "and the root with twice three tables below");
  is(step(SPACE_UNMAP, base, tebi, NULL), 0, "it goes");
  ok(counts_are(0, 0) && step(SPACE_STAT, 0, 0, &st) == 0 && st.table_pages == 1,
     "and nothing is left but the root");
}

static bool faults_are(uint64_t zero, uint64_t read, uint64_t file, uint64_t copy) {
  struct space_stat st = {0};
  return step(SPACE_STAT, 0, 0, &st) == 0 && st.faults[SPACE_FAULT_ZERO] == zero &&
         st.faults[SPACE_FAULT_READ] == read && st.faults[SPACE_FAULT_FILE] == file &&
         st.faults[SPACE_FAULT_COPY] == copy;
}

static int64_t advise(uint64_t addr, uint64_t n_pages, uint32_t advice) {
  struct space_op op = {
      .code = SPACE_ADVISE, .fd = FD_NONE, .flags = advice, .addr = addr, .len = n_pages * PAGE};
  return apply(&op);
}

static int64_t object_map(uint64_t addr, size_t n_pages) {
  static const char name[] = "memory:/";
  int64_t fd = sys_openat(FD_NS, name, sizeof name - 1, O_ABI_RDWR, 0);
  struct space_op op = {.code = SPACE_MAP,
                        .fd = (int32_t)fd,
                        .prot = RW,
                        .flags = MAP_ABI_PRIVATE | MAP_ABI_FIXED,
                        .addr = addr,
                        .len = n_pages * PAGE};
  bool good = fd >= 0 && sys_pwrite((int)fd, bytes, n_pages * PAGE, 0) >= 0;
  int64_t result = good ? apply(&op) : fd;
  sys_close((int)fd);
  return result;
}

/* A new space, so that all counts begin at 0. */
static void test_faults(void) {
  sys_close((int)space);
  space = sys_dup(FD_SELF, "addrspace/empty", 15, O_ABI_CLOEXEC);
  is(map(0x600000, 16, MAP_ABI_FIXED), 0x600000, "sixteen pages in a new space");
  ok(faults_are(0, 0, 0, 0), "came by no fault yet");
  is(step(SPACE_WRITE, 0x600000, 4 * PAGE, bytes), 0, "four are written");
  ok(faults_are(4, 0, 0, 0), "four zeroed frames");
  is(advise(0x604000, 2, ADVISE_ABI_POPULATE_READ), 0, "two are only read");
  ok(faults_are(4, 2, 0, 0), "the zero frame, twice");
  is(step(SPACE_WRITE, 0x604000, PAGE, bytes), 0, "one of them is written");
  ok(faults_are(4, 2, 0, 1), "and replaced");
  is(object_map(0x700000, 4), 0, "four pages of an object");
  is(advise(0x700000, 2, ADVISE_ABI_POPULATE_READ), 0, "two are read");
  ok(faults_are(4, 2, 2, 1), "the object's own");
  is(step(SPACE_WRITE, 0x701000, 2 * PAGE, bytes), 0, "one of them and a third are written");
  ok(faults_are(4, 2, 2, 3), "two copies");
}

static int64_t limit(uint64_t soft, uint64_t hard) {
  struct space_limit new = {soft, hard};
  return step(SPACE_LIMIT, (uint64_t) & new, 0, NULL);
}

static bool limit_is(uint64_t soft, uint64_t hard) {
  struct space_limit now = {0};
  return step(SPACE_LIMIT, 0, 0, &now) == 0 && now.soft == soft && now.hard == hard;
}

/* The space has 20 pages. */
static void test_limit(void) {
  int64_t own = space;
  ok(limit_is(UINT64_MAX, UINT64_MAX), "a space has no limit");
  is(limit(30 * PAGE, 29 * PAGE), -EINVAL, "a soft limit above the hard one is refused");
  is(limit(30 * PAGE, 40 * PAGE), 0, "thirty pages of at most forty");
  ok(limit_is(30 * PAGE, 40 * PAGE), "it is so");
  is(map(0x800000, 11, MAP_ABI_FIXED), -ENOMEM, "eleven more are one too many");
  is(map(0x800000, 10, MAP_ABI_FIXED), 0x800000, "ten are not");
  is(map(0, 1, 0), -ENOMEM, "then there is no room");
  is(map(0x800000, 10, MAP_ABI_FIXED), 0x800000, "but to replace what is there");
  is(map(0x805000, 6, MAP_ABI_FIXED), -ENOMEM, "and no page more");
  is(step(SPACE_REMAP, 0x800000, 10 * PAGE, (void *)(11 * PAGE)), -ENOMEM, "nor does one grow");
  is(limit(8 * PAGE, 40 * PAGE), 0, "a limit below what is there takes nothing away");
  is(step(SPACE_READ, 0x600000, PAGE, back), 0, "it can be read");
  is(step(SPACE_UNMAP, 0x800000, 10 * PAGE, NULL), 0, "and unmapped");
  is(limit(25 * PAGE, 50 * PAGE), 0, "root raises a hard limit");
  struct space_op self = {.code = SPACE_LIMIT, .fd = FD_NONE};
  struct space_limit mine = {1ul << 40, UINT64_MAX}, none = {UINT64_MAX, UINT64_MAX};
  self.addr = (uint64_t)&mine;
  is(sys_call(FD_SELF, OP_SPACE_APPLY, &self, sizeof self, 0, 0), 1, "who makes a space");
  space = sys_dup(FD_SELF, "addrspace/empty", 15, O_ABI_CLOEXEC);
  ok(limit_is(1ul << 40, UINT64_MAX), "gives it its own limit");
  self.addr = (uint64_t)&none;
  is(sys_call(FD_SELF, OP_SPACE_APPLY, &self, sizeof self, 0, 0), 1, "and lets go of it");
  sys_close((int)space);
  space = own;
}

static int64_t limit_kind(uint32_t kind, uint64_t soft) {
  struct space_limit new = {soft, UINT64_MAX};
  struct space_op op = {
      .code = SPACE_LIMIT, .fd = FD_NONE, .flags = kind, .addr = (uint64_t) & new};
  return apply(&op);
}

static int64_t protect(uint64_t addr, uint64_t n_pages, uint32_t prot) {
  struct space_op op = {
      .code = SPACE_PROTECT, .fd = FD_NONE, .prot = prot, .addr = addr, .len = n_pages * PAGE};
  return apply(&op);
}

/* A space of its own, whose data is counted page by page. */
static void test_data(void) {
  int64_t own = space;
  space = sys_dup(FD_SELF, "addrspace/empty", 15, O_ABI_CLOEXEC);
  is(limit_kind(SPACE_LIMIT_KINDS, 1), -EINVAL, "what there is no limit on");
  is(limit_kind(SPACE_LIMIT_DATA, 10 * PAGE), 0, "ten pages of data");
  is(map(0x800000, 11, MAP_ABI_FIXED), -ENOMEM, "eleven are too many");
  is(map(0x800000, 10, MAP_ABI_FIXED), 0x800000, "ten are not");
  is(map(0x900000, 1, MAP_ABI_FIXED), -ENOMEM, "and then none is left");
  is(map(0x900000, 1, MAP_ABI_FIXED | MAP_ABI_GROWSDOWN), 0x900000, "what grows is no data");
  is(protect(0x803000, 4, PROT_ABI_READ), 0, "four of them cannot be written to");
  is(map(0xa00000, 5, MAP_ABI_FIXED), -ENOMEM, "five have no room");
  is(map(0xa00000, 4, MAP_ABI_FIXED), 0xa00000, "four have");
  is(protect(0x802000, 3, RW), -ENOMEM, "two cannot become data again");
  is(map(0x801000, 3, MAP_ABI_FIXED), -ENOMEM, "nor be replaced by data");
  is(map(0x801000, 2, MAP_ABI_FIXED), 0x801000, "data can");
  is(step(SPACE_UNMAP, 0xa02000, 2 * PAGE, NULL), 0, "two go");
  is(protect(0x802000, 3, RW), 0, "now two can");
  is(step(SPACE_REMAP, 0xa00000, 2 * PAGE, (void *)(3 * PAGE)), -ENOMEM, "growth is counted, too");
  sys_close((int)space);
  space = own;
}

static int64_t map_growing(uint64_t addr, uint64_t n_pages) {
  return map(addr, n_pages, MAP_ABI_FIXED | MAP_ABI_GROWSDOWN);
}

/* Where mappings go that name no place, beside one that grows. */
static void test_room(void) {
  const uint64_t top = 1ul << 40, least = 128ul << 20;
  int64_t own = space;
  space = sys_dup(FD_SELF, "addrspace/empty", 15, O_ABI_CLOEXEC);
  is(step(SPACE_CEILING, top, 0, NULL), 0, "a ceiling");
  is(map_growing(top - PAGE, 1), (int64_t)(top - PAGE), "what grows below it");
  is(map(0, 4, 0), (int64_t)(top - least - GROW_ABI_GUARD - 4 * PAGE), "leaves room to grow");
  is(map(top - 3 * PAGE, 1, 0), (int64_t)(top - least - GROW_ABI_GUARD - 5 * PAGE),
     "also from who hints at a place right below");
  is(map(top - GROW_ABI_GUARD - 2 * PAGE, 1, 0), (int64_t)(top - GROW_ABI_GUARD - 2 * PAGE),
     "but not from who hints at one farther off");
  is(step(SPACE_UNMAP, top - 2 * least, 2 * least - PAGE, NULL), 0, "all these go");
  is(limit_kind(SPACE_LIMIT_STACK, 2 * least), 0, "a higher limit");
  int64_t at = map(0, 4, 0);
  is(at, (int64_t)(top - 2 * least - GROW_ABI_GUARD - 4 * PAGE), "is more room");
  is(step(SPACE_UNMAP, (uint64_t)at, 4 * PAGE, NULL), 0, "which is given back");
  is(limit_kind(SPACE_LIMIT_STACK, UINT64_MAX), 0, "no limit");
  is(map(0, 4, 0), (int64_t)(top - (1ul << 30) - GROW_ABI_GUARD - 4 * PAGE), "is a GiB");
  is(map(0x10000, (top - 2 * GROW_ABI_GUARD) / PAGE - 0x10, MAP_ABI_FIXED), 0x10000, "and when");
  is(map(top, (ABI_USER_END - top) / PAGE, MAP_ABI_FIXED), (int64_t)top, "all else is taken");
  is(map(0, 4, 0), (int64_t)(top - PAGE - GROW_ABI_GUARD - 4 * PAGE), "only the guard is kept");
  is(map(0, GROW_ABI_GUARD / PAGE, 0), -ENOMEM, "as far as it is one");
  sys_close((int)space);
  space = own;
}

int main(void) {
  space = sys_dup(FD_SELF, "addrspace/empty", 15, O_ABI_CLOEXEC);
  if (space < 0) {
    bail_out("no empty space");
  }
  test_counts();
  test_same();
  test_sparse();
  test_cut();
  test_physical();
  test_ceiling();
  test_faults();
  test_limit();
  test_data();
  test_room();
  is(sys_close((int)space), 0, "the space goes");
  return tap_done();
}
