/* Memory under pressure from several sides: advice, residence, remapping, exact counts, and then
 * threads and children that map, write, protect, discard, fork and unmap side by side, each against
 * a shadow of what its pages must hold; and a detector of stale translations. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "tap.h"

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE };

static char *map(size_t n_pages) {
  char *p = mmap(NULL, n_pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

/* ---- one at a time ---- */

static bool vec_is(const char *p, size_t n, const char *want) {
  unsigned char vec[16];
  bool same = mincore((void *)p, n * PAGE, vec) == 0;
  for (size_t i = 0; i < n; i++) {
    same = same && (vec[i] & 1) == (want[i] == '1');
  }
  return same;
}

static void test_residence(void) {
  char *p = map(8);
  unsigned char vec[8];
  ok(vec_is(p, 8, "00000000"), "nothing is resident before it is touched");
  p[0] = p[3 * PAGE] = 1;
  ok(vec_is(p, 8, "10010000"), "what was written is");
  is(madvise(p, 2 * PAGE, MADV_DONTNEED), 0, "MADV_DONTNEED");
  ok(vec_is(p, 8, "00010000") && p[0] == 0, "takes pages away, which read as zero");
  is(madvise(p + 4 * PAGE, 2 * PAGE, 23 /* MADV_POPULATE_WRITE */), 0, "MADV_POPULATE_WRITE");
  ok(vec_is(p, 8, "10011100"), "brings pages in");
  is(munmap(p + 6 * PAGE, PAGE), 0, "a hole");
  fails_with(mincore(p, 8 * PAGE, vec), ENOMEM, "mincore over a hole");
  fails_with(madvise(p, 8 * PAGE, MADV_WILLNEED), ENOMEM, "madvise over a hole");
  fails_with(msync(p, 8 * PAGE, MS_SYNC), ENOMEM, "msync over a hole");
  is(msync(p, 6 * PAGE, MS_SYNC), 0, "msync of what is mapped");
  fails_with(mincore(p + 1, PAGE, vec), EINVAL, "mincore off a page");
  munmap(p, 8 * PAGE);
}

static void test_remap(void) {
  char *p = map(64);
  for (int i = 0; i < 64; i++) {
    p[i * PAGE] = (char)(i + 1);
  }
  char *q = mremap(p + 8 * PAGE, 16 * PAGE, 4096 * PAGE, MREMAP_MAYMOVE);
  bool good = q != MAP_FAILED && q != p + 8 * PAGE;
  for (int i = 0; good && i < 16; i++) {
    good = q[i * PAGE] == (char)(i + 9);
  }
  ok(good && q[4095 * PAGE] == 0, "a piece moves out of the middle and grows");
  fails_with(msync(p + 8 * PAGE, PAGE, MS_ASYNC), ENOMEM, "it is gone from where it was");
  ok(p[7 * PAGE] == 8 && p[24 * PAGE] == 25, "what was around it stays");
  munmap(p, 64 * PAGE);
  munmap(q, 4096 * PAGE);
}

static void test_sparse(void) {
  size_t len = (size_t)1 << 40;
  char *p = mmap(NULL, len, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ok(p != MAP_FAILED, "a tebibyte");
  if (p == MAP_FAILED) {
    return;
  }
  for (size_t at = 0; at < len; at += len / 64) {
    p[at] = 1;
  }
  pid_t pid = fork();
  if (pid == 0) {
    p[len / 2] = 2;
    _exit(p[0] == 1 && p[len / 2] == 2 && p[len - 1] == 0 ? 0 : 1);
  }
  int status = -1;
  ok(waitpid(pid, &status, 0) == pid && status == 0, "its child has it too");
  ok(p[len / 2] == 1, "and does not share what it writes");
  is(munmap(p, len), 0, "unmapped at once");
}

/* ---- side by side ---- */

enum { N_THREADS = 3, SLOTS = 24, SLOT_PAGES = 3, STEPS = 300, FORK_EVERY = 60 };

struct worker {
  pthread_t thread;
  uint64_t state;
  char *base;                   /* its slots lie between those of the others */
  unsigned char content[SLOTS]; /* 0: not mapped, 1: zero, else the byte */
  bool read_only[SLOTS];
  int pipe[2];
  bool good;
};

static char *slot_at(const struct worker *w, size_t slot) {
  return w->base + slot * N_THREADS * SLOT_PAGES * PAGE;
}

/* Whether the kernel can write there: the page keeps its first byte. */
static bool writable(struct worker *w, char *p) {
  return write(w->pipe[1], p, 1) == 1 && read(w->pipe[0], p, 1) == 1;
}

static bool slot_holds(const struct worker *w, size_t slot) {
  unsigned char want = w->content[slot] == 1 ? 0 : w->content[slot];
  const char *p = slot_at(w, slot);
  bool good = true;
  for (int i = 0; w->content[slot] != 0 && i < SLOT_PAGES; i++) {
    good = good && (unsigned char)p[i * PAGE] == want && (unsigned char)p[i * PAGE + 4095] == want;
  }
  return good;
}

static void slot_write(struct worker *w, size_t slot, unsigned char byte) {
  for (int i = 0; i < SLOT_PAGES; i++) {
    memset(slot_at(w, slot) + i * PAGE, byte, PAGE);
  }
  w->content[slot] = byte;
}

static bool slot_map(struct worker *w, size_t slot) {
  char *p = slot_at(w, slot);
  w->content[slot] = 1;
  w->read_only[slot] = false;
  return mmap(p, SLOT_PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p;
}

static bool slot_protect(struct worker *w, size_t slot, bool read_only) {
  w->read_only[slot] = read_only;
  bool done = mprotect(slot_at(w, slot), SLOT_PAGES * PAGE, read_only ? PROT_READ : RW) == 0;
  if (!read_only) {
    return done && writable(w, slot_at(w, slot) + PAGE);
  }
  char drained;
  bool refused = !writable(w, slot_at(w, slot) + PAGE);
  (void)!read(w->pipe[0], &drained, 1); /* the byte that could not go, if it is there still */
  return done && refused;
}

static bool slot_unmap(struct worker *w, size_t slot) {
  w->content[slot] = 0;
  char *p = slot_at(w, slot);
  return munmap(p, SLOT_PAGES * PAGE) == 0 && write(w->pipe[1], p + PAGE, 1) < 0 && errno == EFAULT;
}

/* The child sees what its parent had, changes all of it, and sees that. */
static bool child_agrees(struct worker *w) {
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    bool good = true;
    for (size_t i = 0; i < SLOTS; i++) {
      good = good && slot_holds(w, i);
      if (w->content[i] != 0 && !w->read_only[i]) {
        slot_write(w, i, 0xee);
        good = good && slot_holds(w, i);
      }
    }
    _exit(good ? 0 : 1);
  }
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool worker_step(struct worker *w, unsigned step) {
  size_t slot = random_next(&w->state) % SLOTS;
  bool good = slot_holds(w, slot);
  if (step % FORK_EVERY == 0) {
    return good && child_agrees(w);
  }
  if (w->content[slot] == 0) {
    return good && slot_map(w, slot) && slot_holds(w, slot);
  }
  switch (random_next(&w->state) % 5) {
  case 0:
    return good && slot_unmap(w, slot);
  case 1:
    return good && slot_protect(w, slot, !w->read_only[slot]);
  case 2:
    w->content[slot] = 1;
    return good && madvise(slot_at(w, slot), SLOT_PAGES * PAGE, MADV_DONTNEED) == 0;
  default:
    if (!w->read_only[slot]) {
      slot_write(w, slot, (unsigned char)(2 + step % 200));
    }
    return good && slot_holds(w, slot);
  }
}

static void *worker_run(void *arg) {
  struct worker *w = arg;
  w->good = pipe2(w->pipe, O_NONBLOCK) == 0;
  for (unsigned step = 1; step <= STEPS && w->good; step++) {
    w->good = worker_step(w, step);
  }
  for (size_t i = 0; i < SLOTS; i++) {
    w->good = w->good && slot_holds(w, i);
  }
  close(w->pipe[0]);
  close(w->pipe[1]);
  return NULL;
}

static void test_side_by_side(void) {
  static struct worker workers[N_THREADS];
  size_t n_pages = (size_t)SLOTS * N_THREADS * SLOT_PAGES;
  char *arena = (char *)0x2000000000; /* where nobody else maps: stacks and heaps go far above */
  bool good = true;
  for (int i = 0; i < N_THREADS; i++) {
    workers[i].state = 77 + (uint64_t)i;
    workers[i].base = arena + (size_t)i * SLOT_PAGES * PAGE;
    good = good && pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0;
  }
  for (int i = 0; good && i < N_THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    ok(workers[i].good, "a thread and its children agree with its shadow");
  }
  ok(good, "the threads ran");
  munmap(arena, n_pages * PAGE);
}

/* ---- stale translations ---- */

/* `round` is odd while the page is closed: from after mprotect or munmap has returned until before
 * the page is opened again. An access that succeeds within one odd round went through a translation
 * that should not exist any more. */
enum { ROUNDS = 100, LOOKS = 50 };

static _Atomic unsigned round_now;
static char *watched;
static sigjmp_buf caught;

static void on_fault(int signo) {
  siglongjmp(caught, signo);
}

static void *watcher_run(void *arg) {
  long *stale = arg;
  for (unsigned before; (before = atomic_load(&round_now)) < 2 * ROUNDS;) {
    if (sigsetjmp(caught, 1) == 0) {
      (void)*(volatile char *)watched;
      *stale += before % 2 == 1 && atomic_load(&round_now) == before;
    }
  }
  return NULL;
}

static bool page_close(unsigned round) {
  return round % 4 == 1 ? mprotect(watched, PAGE, PROT_NONE) == 0 : munmap(watched, PAGE) == 0;
}

static bool page_open(void) {
  bool good = mmap(watched, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == watched;
  *watched = 1;
  return good;
}

static void test_stale(void) {
  long stale = 0;
  pthread_t watcher;
  struct sigaction action = {.sa_handler = on_fault};
  sigaction(SIGSEGV, &action, NULL);
  watched = (char *)0x2100000000; /* while it is not mapped, nobody else may take its place */
  bool good = page_open() && pthread_create(&watcher, NULL, watcher_run, &stale) == 0;
  for (unsigned round = 1; good && round < 2 * ROUNDS; round += 2) {
    good = page_close(round);
    atomic_store(&round_now, round);
    for (int i = 0; i < LOOKS; i++) {
      atomic_load(&round_now);
    }
    atomic_store(&round_now, round + 1);
    good = good && page_open();
  }
  atomic_store(&round_now, 2 * ROUNDS);
  pthread_join(watcher, NULL);
  signal(SIGSEGV, SIG_DFL);
  ok(good, "a page is closed and opened under a reader");
  is(stale, 0, "no read succeeds once the closing call has returned");
  munmap(watched, PAGE);
}

int main(void) {
  test_residence();
  test_remap();
  test_sparse();
  test_side_by_side();
  test_stale();
  return tap_done();
}
