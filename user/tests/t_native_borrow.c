/* Shared memory borrowed from another address space: seen both ways as it is touched, and gone from
 * every borrower when the lender takes it back, unmaps it or ends. That a borrower is told in time
 * is shown by a value which the lender writes afterwards: nobody may ever read it through the loan.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>

#include "loans.h"

enum { BEFORE = 1, AFTER = 2 };        /* what the lender writes */
enum { SAW_AFTER = 40, REFUSED = 41 }; /* how a borrower must not end */
enum { INJECT_MOST = 60, CYCLES = 5, LEAK_RUNS = 4 };

static const uint64_t APART = 1ul << 40; /* below tables of its own */

static struct board {
  _Atomic int reads[2], ready, go;
} * board; /* shared with all children, never lent */

/* ---- one process, which borrows from itself ---- */

static void test_views(void) {
  char *p = memory(N, RW, MAP_SHARED);
  p[0] = 'l';
  char *q = (char *)borrow(p + PAGE, 4, RW), *first = (char *)borrow(p, 1, PROT_READ);
  ok((int64_t)q > 0 && q != p + PAGE && (int64_t)first > 0, "pages are borrowed");
  is(n_resident(q, 4), 0, "none is there");
  p[PAGE] = 'a';
  q[2 * PAGE] = 'b';
  ok(q[0] == 'a' && p[3 * PAGE] == 'b' && first[0] == 'l', "each sees what the other writes");
  is(n_resident(q, 4), 2, "and only what was touched is there");
  char byte = 'c';
  int ends[2];
  ok(pipe(ends) == 0 && write(ends[1], &byte, 1) == 1 && read(ends[0], q + PAGE, 1) == 1 &&
         p[2 * PAGE] == 'c',
     "a call writes to it");
  is(revoke(p + 4 * PAGE, 1), 0, "taking a part of it back");
  ok(is_gone(q) && is_gone(q + PAGE) && is_gone(q + 3 * PAGE), "ends it all");
  is(child_exit(child_writes, q), -SIGBUS, "for writers, too");
  is(write(ends[1], q, 1) == -1 ? errno : 0, EFAULT, "also for calls");
  ok(first[0] == 'l', "but not the loan beside it");
  ok(p[PAGE] == 'a' && p[3 * PAGE] == 'b', "the lender has its own");
  is(revoke(p, N), 0, "the other is taken back");
  ok(is_gone(first), "it is gone");
  is(revoke(p, N), 0, "nothing is lent: that is no error");
  char *again = (char *)borrow(p + PAGE, 1, RW);
  ok((int64_t)again > 0 && again[0] == 'a' && is_gone(q), "a new loan is not the old one");
  is(munmap(q, 4 * PAGE) | munmap(first, PAGE) | munmap(again, PAGE), 0, "borrowers let go");
  is(revoke(p, N), 0, "of which the lender need not know");
  munmap(p, N * PAGE);
  close(ends[0]);
  close(ends[1]);
}

static void test_refused(void) {
  char *p = memory(N, RW, MAP_SHARED);
  char *fixed = memory(2, RW, MAP_PRIVATE);
  is(borrow(p + (N - 1) * PAGE, 2, RW), -EINVAL, "more than one mapping is not lent");
  is(borrow(p + 1, 1, RW), -EINVAL, "nor what is no page");
  is(borrow(p, 0, RW), -EINVAL, "nor nothing");
  is(borrow((char *)(1ul << 47), 1, RW), -EINVAL, "nor the kernel");
  is(borrow_as(own, p, -4095ul, RW, 0, 0), -EINVAL, "nor more than there is");
  is(borrow_as(own, p, PAGE, RW, 0, MAP_ABI_PRIVATE), -EINVAL, "nor privately");
  is(borrow(p, 1, RW | PROT_EXEC), -EACCES, "nor with rights that the lender has not");
  is(borrow_as(own, p, PAGE, RW, (uint64_t)fixed, MAP_ABI_FIXED_NOREPLACE), -EEXIST,
     "a place may be taken");
  is(borrow_as(own, p, PAGE, RW, (uint64_t)fixed, MAP_ABI_FIXED), (int64_t)fixed, "or be replaced");
  is(borrow(fixed, 1, RW), -EINVAL, "what is borrowed is not lent on");
  is(revoke(p + 1, 1), -EINVAL, "an address off a page has no loans");
  mprotect(p + PAGE, PAGE, PROT_READ);
  is(borrow(p + PAGE, 1, RW), -EACCES, "read-only memory is lent");
  char *q = (char *)borrow(p + PAGE, 1, PROT_READ);
  ok((int64_t)q > 0 && q[0] == 0 && mprotect(q, PAGE, RW) == -1 && errno == EACCES,
     "for reading only");
  q = mremap(q, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
  ok(q != MAP_FAILED && q[0] == 0 && is_gone(q + PAGE), "a loan that is grown shows no more");
  munmap(q, 2 * PAGE);
  munmap(p, N * PAGE);
  ok(is_gone(fixed), "with the lender's mapping its loans go");
  munmap(fixed, 2 * PAGE);
}

/* What a lender does to a part of what it lent, and whether that ends the loan. */
static void ways_try(const char *name, bool ends, bool (*way)(char *p)) {
  char *p = memory(N, RW, MAP_SHARED), *q = (char *)borrow(p + 2 * PAGE, 4, RW);
  q[0] = 1;
  bool done = (int64_t)q > 0 && way(p + 3 * PAGE);
  ok(done && (ends ? is_gone(q) : child_exit(child_reads, q) == 1), name);
  munmap(q, 4 * PAGE);
  munmap(p, N * PAGE);
}

static bool way_unmap(char *p) {
  return munmap(p, PAGE) == 0;
}

static bool way_replace(char *p) {
  return mmap(p, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p;
}

static bool way_hint(char *p) { /* a place that is taken: it goes elsewhere */
  char *other = mmap(p, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return other != p && munmap(other, PAGE) == 0;
}

static bool way_grow(char *p) {
  char *moved = mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
  return moved != MAP_FAILED && munmap(moved, 2 * PAGE) == 0;
}

static bool way_shrink(char *p) {
  return mremap(p, 2 * PAGE, PAGE, 0) == p;
}

static bool way_move_onto(char *p) {
  char *other = memory(1, RW, MAP_PRIVATE);
  return mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p;
}

static bool way_protect(char *p) {
  return mprotect(p, PAGE, PROT_NONE) == 0;
}

static bool way_discard(char *p) {
  return madvise(p, PAGE, MADV_DONTNEED) == 0;
}

static bool way_beside(char *p) {
  return munmap(p - 3 * PAGE, 2 * PAGE) == 0;
}

static void test_ways(void) {
  ways_try("unmapping a part ends a loan", true, way_unmap);
  ways_try("so does mapping over it", true, way_replace);
  ways_try("growing it", true, way_grow);
  ways_try("cutting it off", true, way_shrink);
  ways_try("moving something onto it", true, way_move_onto);
  ways_try("but not a mapping that goes elsewhere", false, way_hint);
  ways_try("a change of the lender's rights", false, way_protect);
  ways_try("advice", false, way_discard);
  ways_try("or what happens beside it", false, way_beside);
}

/* An object that is cut, or goes, is so for who borrowed it as well. */
static void test_object(void) {
  int64_t fd = sys_openat(FD_NS, "memory:/", 8, O_ABI_RDWR, 0);
  bool sized = sys_call((int)fd, OP_TRUNCATE, NULL, 0, 0, N * PAGE) == 0;
  char *p = (char *)sys_mmap(0, N * PAGE, RW, MAP_ABI_SHARED, (int)fd, 0);
  char *q = (char *)borrow(p + PAGE, 4, RW);
  q[0] = q[2 * PAGE] = 3;
  ok(sized && p[3 * PAGE] == 3, "a file's memory is borrowed");
  is(sys_call((int)fd, OP_TRUNCATE, NULL, 0, 0, 2 * PAGE), 0, "the file is cut");
  ok(is_gone(q + 2 * PAGE) && is_gone(q + PAGE) && q[0] == 3, "the loan ends there");
  munmap(q, 4 * PAGE);
  munmap(p, N * PAGE);
  sys_close((int)fd);
}

/* ---- several processes ---- */

/* Reads until there is nothing to read any more, which ends it by SIGBUS. */
static _Noreturn void reader(volatile char *q, int who) {
  for (;;) {
    if (*q == AFTER) {
      _exit(SAW_AFTER);
    }
    atomic_fetch_add(&board->reads[who], 1);
  }
}

/* A borrower and its clone; both must end by SIGBUS. The clone's end is in the exit code. */
static _Noreturn void borrower(char *p) {
  char *q = (char *)borrow(p, N, RW);
  munmap(p, N * PAGE);
  if ((int64_t)q < 0 || q[0] != BEFORE) {
    _exit(REFUSED);
  }
  pid_t clone = fork();
  if (clone == 0) {
    reader(q, 0);
  }
  pid_t second = fork();
  if (second == 0) {
    reader(q, 1);
  }
  int a = 0, b = 0;
  waitpid(clone, &a, 0);
  waitpid(second, &b, 0);
  _exit(WIFSIGNALED(a) && WTERMSIG(a) == SIGBUS && b == a ? 0 : WEXITSTATUS(a) | WEXITSTATUS(b));
}

static bool readers_run(void) {
  for (int i = 0; i < 2; i++) {
    int from = atomic_load(&board->reads[i]);
    while (atomic_load(&board->reads[i]) < from + 3) {
      sleep_ms(1);
    }
  }
  return true;
}

/* Two readers are at work when `end` ends the loan. */
static void readers_try(const char *name, bool (*end)(char *p)) {
  char *p = memory(N, RW, MAP_SHARED), *keep = (char *)borrow(p, 1, RW);
  p[0] = BEFORE;
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    borrower(p);
  }
  bool ended = readers_run() && end(p);
  ok(ended && waitpid(pid, &status, 0) == pid && status == 0, name);
  munmap(keep, PAGE);
  munmap(p, N * PAGE);
}

static bool end_by_revoking(char *p) {
  bool done = revoke(p, 1) == 0;
  p[0] = AFTER;
  return done;
}

static bool end_by_unmapping(char *p) {
  return munmap(p + PAGE, PAGE) == 0;
}

/* A lender's clone lends nothing: what it unmaps, and its end, are its own. */
static bool end_after_clone(char *p) {
  pid_t pid = fork();
  if (pid == 0) {
    _exit(munmap(p, N * PAGE) == 0 ? 0 : 1);
  }
  int status = -1;
  return waitpid(pid, &status, 0) == pid && status == 0 && readers_run() && end_by_revoking(p);
}

static void test_processes(void) {
  readers_try("no reader sees what is written after it was revoked", end_by_revoking);
  readers_try("readers end with the lender's mapping", end_by_unmapping);
  readers_try("a lender's clone ends nothing", end_after_clone);
}

/* A borrower outlives its lender; it keeps no handle on its space. */
static _Noreturn void outlive(char *p, int out) {
  char *q = (char *)borrow(p, 1, RW);
  munmap(p, PAGE);
  close(own);
  atomic_store(&board->ready, (int64_t)q > 0 && q[0] == BEFORE ? 1 : -1);
  char gone = child_exit(child_reads, q) != BEFORE; /* it is there while the lender waits */
  atomic_store(&board->go, 1);
  while (!gone) {
    gone = is_gone(q);
    sleep_ms(1);
  }
  _exit(write(out, &gone, 1) == 1 ? 0 : 1);
}

static _Noreturn void lend_and_exit(int out) {
  own = own_space();
  char *p = memory(1, RW, MAP_SHARED);
  p[0] = BEFORE;
  if (fork() == 0) {
    outlive(p, out);
  }
  while (atomic_load(&board->go) == 0) {
    sleep_ms(1);
  }
  _exit(atomic_load(&board->ready));
}

static bool lender_exits(void) {
  int ends[2], status = -1;
  char gone = 0;
  board->ready = board->go = 0;
  if (pipe(ends) != 0) {
    bail_out("pipe");
  }
  pid_t pid = fork();
  if (pid == 0) {
    lend_and_exit(ends[1]);
  }
  close(ends[1]);
  bool lent = waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 1;
  bool told = read(ends[0], &gone, 1) == 1 && gone == 1;
  close(ends[0]);
  return lent && told;
}

/* The lender is a space in which nobody runs: its end is the end of its last handle. */
static bool lender_closed(void) {
  int64_t space = sys_dup(FD_SELF, "addrspace/empty", 15, 0);
  struct space_op map = {.code = SPACE_MAP,
                         .fd = FD_NONE,
                         .prot = RW,
                         .flags = MAP_ABI_SHARED | MAP_ABI_ANONYMOUS | MAP_ABI_FIXED,
                         .addr = 0x400000,
                         .len = N * PAGE};
  bool good = apply((int)space, &map) == 0;
  char *q = (char *)borrow_as((int)space, (void *)0x401000, PAGE, RW, 0, MAP_ABI_POPULATE);
  char *r = (char *)borrow_as((int)space, (void *)0x400000, 2 * PAGE, PROT_READ, 0, 0);
  good = good && (int64_t)q > 0 && (int64_t)r > 0 && n_resident(q, 1) == 1;
  q[5] = 7;
  good = good && r[PAGE + 5] == 7 && sys_close((int)space) == 0 && is_gone(q) && is_gone(r);
  return munmap(q, PAGE) == 0 && munmap(r, 2 * PAGE) == 0 && good;
}

static int child_borrows_and_exits(void *p) {
  char *q = (char *)borrow(p, 1, RW);
  return (int64_t)q > 0 ? q[0] : REFUSED;
}

static bool borrower_exits(void) {
  char *p = memory(1, RW, MAP_SHARED);
  p[0] = BEFORE;
  bool good = child_exit(child_borrows_and_exits, p) == BEFORE && revoke(p, 1) == 0;
  good = good && child_exit(child_borrows_and_exits, p) == BEFORE && p[0] == BEFORE;
  return munmap(p, PAGE) == 0 && good;
}

static void test_ends(void) {
  ok(borrower_exits(), "a borrower ends, the lender goes on");
  ok(lender_closed(), "a lender nobody runs in ends, and its loans with it");
  ok(lender_exits(), "a lender exits, and its borrower has nothing any more");
}

/* A word in borrowed memory is the lender's word. */
static void test_futex(void) {
  char *p = memory(1, RW, MAP_SHARED);
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    uint32_t *word = (uint32_t *)borrow(p, 1, RW);
    munmap(p, PAGE);
    _exit((int64_t)word < 0 ||
          sys_futex(word, FUTEX_OP_WAIT | FUTEX_OP_SHARED, 0, NO_DEADLINE, NULL, 0) != 0);
  }
  while (sys_futex((uint32_t *)p, FUTEX_OP_WAKE | FUTEX_OP_SHARED, 1, 0, NULL, 0) == 0) {
    sleep_ms(1);
  }
  ok(waitpid(pid, &status, 0) == pid && status == 0, "a borrower that waits is woken");
  munmap(p, PAGE);
}

/* ---- no memory, and nothing left ---- */

/* Each allocation of borrowing and of taking back fails in turn: an error, after which both work.
 * A clone of the borrower makes tables shared, so that taking back has to copy all three. */
static int64_t struck_borrow(int fd, const char *p, int n) {
  inject(fd, "alloc", n);
  int64_t q = borrow_as(own, p, PAGE, RW, APART, 0);
  inject(fd, "off", 0);
  return q;
}

static int64_t struck_revoke(int fd, char *p, int n) {
  inject(fd, "alloc", n);
  int64_t e = revoke(p, 1);
  inject(fd, "off", 0);
  return e;
}

static void test_no_memory(void) {
  int fd = open("sys:/inject", O_WRONLY), n_borrows = 0, n_revokes = 0;
  char *p = memory(1, RW, MAP_SHARED), *q = NULL;
  bool errors = true;
  for (int n = 1; n < INJECT_MOST && q == NULL; n++) {
    int64_t r = struck_borrow(fd, p, n);
    q = r > 0 ? (char *)r : NULL;
    errors = errors && (r > 0 || r == -ENOMEM);
    n_borrows = n;
  }
  ok(errors && q != NULL && n_borrows > 2, "without memory nothing is borrowed");
  q[0] = BEFORE;
  int64_t e = -1;
  for (int n = 1; n < INJECT_MOST && e != 0; n++) {
    pid_t pid = fork();
    if (pid == 0) {
      pause();
    }
    e = struck_revoke(fd, p, n);
    errors = errors && (e == 0 || (e == -ENOMEM && revoke(p, 1) == 0));
    errors = errors && is_gone(q) && p[0] == BEFORE;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    n_revokes = n;
    munmap(q, PAGE);
    q = e == 0 ? q : (char *)borrow_as(own, p, PAGE, RW, APART, 0);
    errors = errors && (int64_t)q > 0 && (e == 0 || q[0] == BEFORE);
  }
  ok(errors && e == 0 && n_revokes > 3, "nor taken back, but then it is");
  munmap(p, PAGE);
  close(fd);
}

static bool cycle(void) {
  bool good = true;
  for (int i = 0; i < CYCLES; i++) {
    char *p = memory(N, RW, MAP_SHARED);
    char *q = (char *)borrow(p, N, RW), *r = (char *)borrow(p + PAGE, 2, RW);
    memset(q, i, N * PAGE);
    good = good && r[0] == i && munmap(r, 2 * PAGE) == 0;
    good = good && (i % 2 == 0 || revoke(p, 1) == 0) && munmap(p, N * PAGE) == 0 &&
           munmap(q, N * PAGE) == 0;
    good = good && lender_closed() && borrower_exits() && lender_exits();
  }
  return good;
}

/* What grows only once is kept for later: a leak grows each time. */
static void test_leaks(void) {
  char text[LEAKS_TEXT] = "";
  bool good = cycle(), settled = false;
  for (int run = 0; run < LEAK_RUNS && good && !settled; run++) {
    struct leaks before = leaks_read();
    good = cycle();
    settled = leaks_settled(&before, text);
  }
  ok(good, "all of that again");
  if (!ok(settled, "leaves nothing behind")) {
    diag("grown:%s", text);
  }
}

int main(void) {
  board = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  own = own_space();
  test_views();
  test_refused();
  test_ways();
  test_object();
  test_processes();
  test_ends();
  test_futex();
  test_no_memory();
  test_leaks();
  return tap_done();
}
