/* Private memory borrowed from another address space. As with shared memory, each sees what the
 * other writes, page by page as it is touched, until the loan ends; and whatever the lender does to
 * its memory meanwhile, a page does not become two as long as it is lent, and is nobody else's
 * afterwards.
 *
 * The fork of a lender ends its loans, so that nothing here may fork while it has a loan to see:
 * what is gone is seen by calls. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>

#include "loans.h"

enum { INJECT_MOST = 40, ROUNDS = 150, STORM_MS = 4000, LEAK_RUNS = 4, BIG = 2 << 20 };

static const uint64_t APART = 1ul << 40; /* below tables of its own */
static int ends[2];                      /* a pipe, by which calls read memory */

static struct board {
  _Atomic int step;
  _Atomic uint64_t written; /* by the borrower, before this */
  _Atomic bool stop;
} * board; /* shared with all children, never lent */

/* The byte as a call sees it; -1: none. */
static int peek(const char *q) {
  unsigned char byte;
  return write(ends[1], q, 1) == 1 && read(ends[0], &byte, 1) == 1 ? byte : -1;
}

static char *lend(char *p, size_t n_pages) {
  return (char *)borrow(p, n_pages, RW);
}

/* What each writes, the other sees. */
static bool is_one(char *p, char *q) {
  volatile char *mine = p, *other = q;
  char was = *mine;
  *mine = (char)(was + 1);
  bool good = *other == (char)(was + 1);
  *other = (char)(was + 2);
  return good && *mine == (char)(was + 2);
}

/* ---- one process, which borrows from itself ---- */

static void test_views(void) {
  char *p = memory(N, RW, MAP_PRIVATE);
  p[0] = 'l';
  ok(p[3 * PAGE] == 0, "a page that was only read");
  char *q = lend(p, 5);
  ok((int64_t)q > 0 && q != p, "private pages are borrowed");
  is(n_resident(q, 5), 0, "none is there");
  ok(q[0] == 'l' && is_one(p, q), "one that was written is seen");
  ok(is_one(p + PAGE, q + PAGE), "one that was not, too");
  q[2 * PAGE] = 'b';
  ok(p[2 * PAGE] == 'b' && is_one(p + 2 * PAGE, q + 2 * PAGE), "whoever touches it first");
  ok(is_one(p + 3 * PAGE, q + 3 * PAGE), "one that was read before, too");
  is(n_resident(q, 5), 4, "only what was touched is there");
  char *r = (char *)borrow(p, 1, PROT_READ);
  ok((int64_t)r > 0 && r[0] == p[0] && is_one(p, r == q ? p : q) && r[0] == p[0],
     "two loans of a page are one");
  is(borrow(q, 1, RW), -EINVAL, "what is borrowed is not lent on");
  munmap(r, PAGE);
  ok(is_one(p, q), "one ends, the other does not");
  is(revoke(p + 4 * PAGE, 1), 0, "it is taken back");
  ok(peek(q) == -1 && peek(q + 4 * PAGE) == -1, "it is gone");
  ok(p[2 * PAGE] == 'd', "the lender has what was written");
  munmap(q, 5 * PAGE);
  q = lend(p, N);
  ok(is_one(p, q) && is_one(p + 7 * PAGE, q + 7 * PAGE), "and lends it again");
  munmap(q, N * PAGE);
  p[0] = 'x';
  q = lend(p, 1);
  ok(q[0] == 'x' && is_one(p, q), "also when the borrower has let go");
  munmap(q, PAGE);
  munmap(p, N * PAGE);
}

static void test_refused(void) {
  int64_t fd = sys_openat(FD_NS, "memory:/", 8, O_ABI_RDWR, 0);
  bool sized = sys_call((int)fd, OP_TRUNCATE, NULL, 0, 0, PAGE) == 0;
  char *file = (char *)sys_mmap(0, PAGE, RW, MAP_ABI_PRIVATE, (int)fd, 0);
  char *p = memory(2, PROT_READ, MAP_PRIVATE);
  is(sized ? borrow(file, 1, RW) : 0, -EINVAL, "private memory of an object is not lent");
  is(borrow(p, 1, RW), -EACCES, "nor with rights that the lender has not");
  char *q = (char *)borrow(p, 1, PROT_READ);
  ok((int64_t)q > 0 && q[0] == 0 && mprotect(q, PAGE, RW) == -1, "for reading it is");
  mprotect(p, PAGE, RW);
  p[0] = 'w';
  is(q[0], 'w', "and shows what is written to it later");
  munmap(q, PAGE);
  mprotect(p, PAGE, PROT_NONE);
  is(borrow(p, 1, PROT_READ), -EACCES, "what the lender cannot read is not lent");
  munmap(p, 2 * PAGE);
  munmap(file, PAGE);
  sys_close((int)fd);
}

static int64_t poke(char *p, char byte) { /* whatever the rights */
  struct space_op op = {
      .code = SPACE_WRITE, .fd = FD_NONE, .addr = (uint64_t)p, .len = 1, .off = (uint64_t)&byte};
  return apply(own, &op);
}

/* A lender that cannot write to its page has not lost it. */
static void rights_try(const char *name, int prot) {
  char *p = memory(2, RW, MAP_PRIVATE);
  char *q = lend(p, 2);
  bool good = is_one(p, q) && mprotect(p, 2 * PAGE, prot) == 0;
  q[0] = 'r';
  q[PAGE] = 's'; /* not touched yet */
  good = good && poke(p, 't') == 0 && q[0] == 't';
  good = good && mprotect(p, 2 * PAGE, RW) == 0 && p[0] == 't' && p[PAGE] == 's';
  ok(good && is_one(p, q) && is_one(p + PAGE, q + PAGE), name);
  munmap(q, 2 * PAGE);
  munmap(p, 2 * PAGE);
}

/* ---- what ends a loan ---- */

static void ways_try(const char *name, bool ends_it, bool (*way)(char *p)) {
  char *p = memory(N, RW, MAP_PRIVATE), *q = lend(p + 2 * PAGE, 4);
  memset(q, 1, 2 * PAGE);
  bool done = (int64_t)q > 0 && way(p + 3 * PAGE);
  ok(done && (ends_it ? peek(q) == -1 && p[2 * PAGE] == 1 : is_one(p + 2 * PAGE, q)), name);
  munmap(q, 4 * PAGE);
  munmap(p, N * PAGE);
}

static bool way_unmap(char *p) {
  return munmap(p, PAGE) == 0;
}

static bool way_replace(char *p) {
  return mmap(p, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p && p[0] == 0;
}

static bool way_move(char *p) {
  char *moved = mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
  bool good = moved != MAP_FAILED && moved[0] == 1 && child_exit(child_writes, moved) == 0;
  return good && munmap(moved, 2 * PAGE) == 0;
}

static bool way_discard(char *p) {
  return madvise(p, PAGE, MADV_DONTNEED) == 0 && p[0] == 0;
}

static bool way_transfer(char *p) {
  int64_t space = sys_dup(FD_SELF, "addrspace/empty", 15, 0);
  struct space_op op = {.code = SPACE_TRANSFER,
                        .fd = FD_NONE,
                        .prot = RW,
                        .addr = 0x400000,
                        .len = PAGE,
                        .off = (uint64_t)p};
  return apply((int)space, &op) == 0 && sys_close((int)space) == 0;
}

static bool way_fork(char *p) {
  return child_exit(child_writes, p) == 0 && p[0] == 1;
}

static bool way_beside(char *p) {
  return munmap(p - 3 * PAGE, 2 * PAGE) == 0 && madvise(p + 3 * PAGE, PAGE, MADV_DONTNEED) == 0;
}

static bool way_huge(char *p) {
  return madvise(p, PAGE, MADV_HUGEPAGE) == 0;
}

static void test_ways(void) {
  ways_try("unmapping a part ends a loan", true, way_unmap);
  ways_try("so does mapping over it", true, way_replace);
  ways_try("moving it", true, way_move);
  ways_try("throwing it away", true, way_discard);
  ways_try("giving it to another space", true, way_transfer);
  ways_try("and a fork", true, way_fork);
  ways_try("but not what happens beside it", false, way_beside);
  ways_try("nor other advice", false, way_huge);
}

/* ---- forks: parent and child have two of each page afterwards ---- */

static int child_sees_its_own(void *arg) {
  volatile char *p = arg;
  int was = *p;
  atomic_store(&board->step, 1);
  while (atomic_load(&board->step) != 2) {
    sleep_ms(1);
  }
  bool same = *p == was;
  *p = 'c';
  return same ? 0 : 1;
}

static bool fork_divides(char *p) {
  atomic_store(&board->step, 0);
  pid_t pid = fork();
  if (pid == 0) {
    _exit(child_sees_its_own(p));
  }
  while (atomic_load(&board->step) != 1) {
    sleep_ms(1);
  }
  *p = 'p';
  atomic_store(&board->step, 2);
  int status = -1;
  return waitpid(pid, &status, 0) == pid && status == 0 && *p == 'p';
}

static void test_forks(void) {
  char *p = memory(N, RW, MAP_PRIVATE), *q = lend(p, N);
  memset(q, 'q', N * PAGE);
  ok(fork_divides(p) && peek(q) == -1, "a fork ends a loan, and parent and child have two pages");
  munmap(q, N * PAGE);
  q = lend(p + PAGE, 2);
  q[0] = 'r';
  munmap(q, 2 * PAGE);
  ok(fork_divides(p + PAGE), "also of what a borrower has let go");
  q = lend(p + PAGE, 2);
  q[0] = 's';
  revoke(p + PAGE, 2);
  ok(fork_divides(p + PAGE), "and of what was taken back");
  munmap(q, 2 * PAGE);
  q = lend(p + 3 * PAGE, 1);
  q[0] = 'm';
  munmap(q, PAGE);
  char *moved = mremap(p + 3 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
  ok(moved[0] == 'm' && fork_divides(moved), "also when it has moved since");
  munmap(moved, 2 * PAGE);
  munmap(p, N * PAGE);
}

/* A page that a clone still shares is not the one that is lent. */
static void test_clone_first(void) {
  char *p = memory(1, RW, MAP_PRIVATE);
  p[0] = 'f';
  atomic_store(&board->step, 0);
  pid_t pid = fork();
  if (pid == 0) {
    _exit(child_sees_its_own(p));
  }
  while (atomic_load(&board->step) != 1) {
    sleep_ms(1);
  }
  char *q = lend(p, 1);
  bool good = q[0] == 'f' && is_one(p, q);
  atomic_store(&board->step, 2);
  int status = -1;
  ok(good && waitpid(pid, &status, 0) == pid && status == 0 && is_one(p, q),
     "what a clone shares is copied before it is lent");
  munmap(q, PAGE);
  munmap(p, PAGE);
}

static void test_big(void) {
  char *all = memory(3 * BIG / PAGE, RW, MAP_PRIVATE);
  char *p = (char *)(((uintptr_t)all + BIG - 1) & ~(uintptr_t)(BIG - 1));
  madvise(p, BIG, MADV_HUGEPAGE);
  memset(p, 'B', 3 * PAGE);
  char *q = lend(p + PAGE, 2);
  bool good = q[0] == 'B' && is_one(p + PAGE, q) && p[2 * PAGE] == 'B';
  good = good && mprotect(p, BIG, PROT_READ) == 0 && mprotect(p, BIG, RW) == 0;
  ok(good && is_one(p + PAGE, q) && is_one(p + 2 * PAGE, q + PAGE), "a page of a block is lent");
  ok(fork_divides(p + PAGE) && fork_divides(p), "and divided by a fork");
  munmap(q, 2 * PAGE);
  pid_t pid = fork(); /* shares the rest of the block */
  if (pid == 0) {
    pause();
  }
  q = lend(p + 5 * PAGE, 1);
  ok(is_one(p + 5 * PAGE, q), "also one that a clone shares");
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  munmap(q, PAGE);
  munmap(all, 3 * BIG);
}

/* ---- no memory ---- */

static void test_no_memory(void) {
  int fd = open("sys:/inject", O_WRONLY), n_peeks = 0;
  char *p = memory(1, RW, MAP_PRIVATE), *q = NULL;
  bool errors = true;
  for (int n = 1; n < INJECT_MOST && q == NULL; n++) {
    inject(fd, "alloc", n);
    int64_t r = borrow_as(own, p, PAGE, RW, APART, 0);
    inject(fd, "off", 0);
    errors = errors && (r > 0 || r == -ENOMEM);
    q = r > 0 ? (char *)r : NULL;
  }
  ok(errors && q != NULL, "without memory nothing is borrowed");
  int seen = -1;
  for (int n = 1; n < INJECT_MOST && seen == -1; n++) {
    inject(fd, "alloc", n);
    seen = peek(q);
    inject(fd, "off", 0);
    n_peeks = n;
  }
  ok(seen == 0 && n_peeks > 3 && is_one(p, q), "nor brought, but then it is");
  munmap(q, PAGE);
  munmap(p, PAGE);
  close(fd);
}

/* A fork that finds no memory, while a page is lent and while a clone makes tables shared. */
static void test_fork_without_memory(void) {
  int fd = open("sys:/inject", O_WRONLY);
  char *p = memory(1, RW, MAP_PRIVATE);
  bool good = true;
  int n_failed = 0;
  for (int n = 1; n < INJECT_MOST && good; n++) {
    char *q = (char *)borrow_as(own, p, PAGE, RW, APART, 0);
    good = (int64_t)q > 0 && is_one(p, q);
    *p = 'n';
    inject(fd, "alloc", n);
    pid_t pid = fork();
    if (pid == 0) {
      *p = 'c';
      _exit(0);
    }
    inject(fd, "off", 0);
    n_failed += pid < 0;
    good = good && (pid < 0 ? errno == ENOMEM : waitpid(pid, NULL, 0) == pid) && *p == 'n';
    munmap(q, PAGE);
  }
  ok(good && n_failed > 3 && fork_divides(p), "a fork that fails leaves a page its lender's");
  munmap(p, PAGE);
  close(fd);
}

/* ---- several processes ---- */

static sigjmp_buf again;

static void on_bus(int number) {
  (void)number;
  siglongjmp(again, 1);
}

/* NULL while the lender takes things back, or has gone: then others run first. */
static char *borrow_again(const char *p, uint32_t prot) {
  int64_t r = borrow(p, 1, prot);
  if (r <= 0) {
    sched_yield();
  }
  return r > 0 ? (char *)r : NULL;
}

/* Counts in the lender's page, and borrows it anew when it has lost it, until it is told to stop.
 */
static _Noreturn void counter(char *p) {
  volatile uint64_t count = 0;
  volatile char *volatile q = NULL;
  signal(SIGBUS, on_bus);
  (void)sigsetjmp(again, 1);
  while (!atomic_load(&board->stop)) {
    if (q != NULL) {
      munmap((void *)q, PAGE);
    }
    q = borrow_again(p, RW);
    while (q != NULL && !atomic_load(&board->stop)) {
      *(volatile uint64_t *)q = count + 1;
      count++;
      atomic_store(&board->written, count);
    }
  }
  _exit(0);
}

/* Borrows the page, looks at it and lets go, over and over. */
static _Noreturn void toucher(char *p) {
  volatile char *volatile q = NULL;
  signal(SIGBUS, on_bus);
  (void)sigsetjmp(again, 1);
  while (!atomic_load(&board->stop)) {
    if (q != NULL) {
      munmap((void *)q, PAGE);
    }
    q = borrow_again(p, PROT_READ);
    (void)(q != NULL ? q[0] : 0);
  }
  _exit(0);
}

/* Nothing that was written before the loan ended is lost, and nothing comes after. */
static bool count_is_right(char *p) {
  volatile uint64_t *word = (volatile uint64_t *)p;
  uint64_t before = atomic_load(&board->written), now = *word, after = atomic_load(&board->written);
  if (now < before || now > after + 1) {
    diag("%lu written before, %lu seen, %lu written", before, now, after);
  }
  return before <= now && now <= after + 1;
}

static volatile bool neighbour_stops;

/* Faults and discards pages in the same table, all the time. */
static void *neighbour(void *arg) {
  char *p = arg;
  while (!neighbour_stops) {
    p[0] = p[PAGE] = 1;
    if (madvise(p, PAGE, MADV_DONTNEED) != 0 || mprotect(p + PAGE, PAGE, PROT_READ) != 0 ||
        mprotect(p + PAGE, PAGE, RW) != 0) {
      return arg;
    }
  }
  return NULL;
}

static bool child_spoils(char *p) {
  pid_t pid = fork();
  if (pid == 0) {
    memset(p, 0xee, 128);
    _exit(0);
  }
  int status = -1;
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* Away, where a child has it as well, and back. */
static bool move_and_spoil(char *p, char *other) {
  return mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other) == other &&
         child_spoils(other) && mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p;
}

/* The lender does to the page whatever it may; its own word in it, too, must be as it wrote it. */
static bool lender_round(char *p, uint64_t random, uint64_t round) {
  volatile uint64_t *mine = (volatile uint64_t *)(p + 64);
  bool good = count_is_right(p) && *mine == round;
  *mine = round + 1;
  if (random % 5 == 0) {
    good = good && child_spoils(p);
  } else if (random % 5 == 4) {
    good = good && move_and_spoil(p, p + 3 * PAGE);
  } else if (random % 5 == 1) {
    good = good && mprotect(p, PAGE, PROT_READ) == 0 && count_is_right(p) &&
           mprotect(p, PAGE, RW) == 0;
  } else if (random % 5 == 2) {
    good = good && revoke(p, 1) == 0;
  } else {
    sleep_ms(1);
  }
  return good;
}

static bool storm(void) {
  char *p = memory(4, RW, MAP_PRIVATE);
  pthread_t thread;
  void *value = NULL;
  uint64_t state = 7, round = 0;
  int status = -1;
  bool good = true;
  board->stop = false;
  board->written = 0;
  neighbour_stops = false;
  pid_t pid = fork(), second = pid != 0 ? fork() : 0;
  if (pid == 0) {
    counter(p);
  }
  if (second == 0) {
    toucher(p);
  }
  pthread_create(&thread, NULL, neighbour, p + PAGE);
  /* Where four CPUs are emulated by one, turns are long. */
  int64_t limit = now_ns(CLOCK_MONOTONIC) + STORM_MS * 1000000ll;
  for (; round < ROUNDS && good && now_ns(CLOCK_MONOTONIC) < limit; round++) {
    good = lender_round(p, random_next(&state), round);
  }
  board->stop = neighbour_stops = true;
  pthread_join(thread, &value);
  if (!good || value != NULL) {
    diag("round %lu: neighbour %p", round, value);
  }
  good = waitpid(pid, &status, 0) == pid && status == 0 && value == NULL && good;
  good = waitpid(second, &status, 0) == second && status == 0 && good;
  good = good && *(uint64_t *)p == board->written;
  return munmap(p, 4 * PAGE) == 0 && good;
}

/* A borrower outlives its lender, and finds neither what it had nor what it has not touched yet. */
static _Noreturn void outlive(char *p) {
  char *q = lend(p, 2);
  close(own);
  bool good = (int64_t)q > 0 && peek(q) == 'e';
  atomic_store(&board->step, 1);
  while (good && peek(q) != -1) {
    sleep_ms(1);
  }
  atomic_store(&board->step, good && peek(q + PAGE) == -1 ? 2 : 3);
  _exit(0);
}

static bool lender_exits(void) {
  atomic_store(&board->step, 0);
  pid_t pid = fork();
  if (pid == 0) {
    own = own_space();
    char *p = memory(2, RW, MAP_PRIVATE);
    p[0] = 'e';
    if (fork() == 0) {
      outlive(p);
    }
    while (atomic_load(&board->step) == 0) {
      sleep_ms(1);
    }
    _exit(0);
  }
  bool ended = waitpid(pid, NULL, 0) == pid;
  while (atomic_load(&board->step) < 2) {
    sleep_ms(1);
  }
  return ended && atomic_load(&board->step) == 2;
}

/* The borrower is killed, and the lender, at any moment. */
static bool kills(void) {
  bool good = true;
  for (int i = 0; i < 10; i++) {
    pid_t lender = fork();
    if (lender == 0) {
      own = own_space();
      board->stop = false;
      char *p = memory(2, RW, MAP_PRIVATE);
      for (int j = 0; j < 2; j++) {
        if (fork() == 0) {
          counter(p);
        }
      }
      for (;;) {
        p[PAGE] = 1;
      }
    }
    sleep_ms(5);
    kill(lender, SIGKILL);
    good = waitpid(lender, NULL, 0) == lender && good;
    board->stop = true;
    sleep_ms(5);
  }
  return good;
}

static void test_leaks(void) {
  char text[LEAKS_TEXT] = "";
  bool good = storm(), settled = false;
  for (int run = 0; run < LEAK_RUNS && good && !settled; run++) {
    struct leaks before = leaks_read();
    good = storm();
    settled = leaks_settled(&before, text);
  }
  ok(good, "a page is one for lender and borrower, whatever the lender does, and nobody else's");
  if (!ok(settled, "and nothing is left behind")) {
    diag("grown:%s", text);
  }
  ok(kills(), "lenders and borrowers are killed");
}

int main(void) {
  board = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  own = own_space();
  if (pipe(ends) != 0) {
    bail_out("pipe");
  }
  test_views();
  test_refused();
  rights_try("a lender that cannot write still has the page", PROT_READ);
  rights_try("one that cannot access it, too", PROT_NONE);
  test_ways();
  test_forks();
  test_clone_first();
  test_big();
  test_no_memory();
  test_fork_without_memory();
  ok(lender_exits(), "with its lender a borrower's pages go");
  test_leaks();
  return tap_done();
}
