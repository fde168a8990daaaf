/* Which CPUs are told when translations go, counted in the kernel's own counters: a CPU that runs
 * the space by one interrupt a batch, one that rests by none until tables go; and that a CPU which
 * was not told does not use what it missed. The test's thread stays on CPU 0 and its peer on CPU 1;
 * CPU 0's counters then count this test alone. What was found is kept and said at the end: who
 * prints wakes others, perhaps on the peer's CPU. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "tap.h"
#include "threads.h"

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, TABLE = 2 << 20, BATCH = 64 };
enum { PROBES_MOST = 10000 };

struct told {
  long requests, interrupts, spared;
};

static long number_after(const char *text, const char *name) {
  const char *at = strstr(text, name);
  return at != NULL ? strtol(at + strlen(name), NULL, 10) : -1;
}

/* What CPU 0 has sent since boot. */
static struct told told_read(void) {
  static char text[4096];
  int fd = open("sys:/cpu/0/stat", O_RDONLY);
  ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  return (struct told){number_after(text, "\nSHOOTDOWNS "), number_after(text, "\nSHOOTDOWN_IPIS "),
                       number_after(text, "\nSHOOTDOWN_SPARED ")};
}

static struct told told_since(struct told from) {
  struct told now = told_read();
  return (struct told){now.requests - from.requests, now.interrupts - from.interrupts,
                       now.spared - from.spared};
}

/* ---- what was found ---- */

static struct finding {
  long got, want;
  const char *name;
} findings[40];
static int n_findings;

static void found(long got, long want, const char *name) {
  if (n_findings < (int)(sizeof findings / sizeof findings[0])) {
    findings[n_findings++] = (struct finding){got, want, name};
  }
}

/* Requests and interrupts as one number, which also shows both. */
static void found_told(struct told t, long requests, long interrupts, const char *name) {
  found(t.requests * 1000 + t.interrupts, requests * 1000 + interrupts, name);
}

static void findings_say(void) {
  for (int i = 0; i < n_findings; i++) {
    is(findings[i].got, findings[i].want, findings[i].name);
  }
}

/* n pages that are there, in tables of their own, and as many in the last one that stay; they keep
 * the table. */
static char *pages_make(size_t n_pages) {
  size_t len = n_pages * PAGE;
  char *raw = mmap(NULL, len + 3 * TABLE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *p = (char *)(((uintptr_t)raw + TABLE - 1) / TABLE * TABLE);
  if (raw == MAP_FAILED || mprotect(p, len + PAGE, RW) != 0) {
    bail_out("no memory");
  }
  memset(p, 1, len + PAGE);
  return p;
}

/* ---- the peer ---- */

enum peer_does { PEER_SPINS, PEER_SLEEPS, PEER_LOOKS, PEER_ENDS };

static _Atomic int order, obeyed; /* enum peer_does and a turn, so that each order is another */
static _Atomic(char *) peer_page;
static _Atomic int peer_saw;
static int wake_up[2];

static void *peer_run(void *arg) {
  thread_pin(1);
  for (int mine = -1, now; (now = atomic_load(&order)) % 4 != PEER_ENDS;) {
    if (now == mine) {
      continue;
    }
    mine = now;
    if (now % 4 == PEER_LOOKS) {
      atomic_store(&peer_saw, *(volatile char *)atomic_load(&peer_page));
    }
    atomic_store(&obeyed, now);
    char byte;
    if (now % 4 == PEER_SLEEPS && read(wake_up[0], &byte, 1) != 1) {
      break;
    }
  }
  return arg;
}

static void peer_order(enum peer_does what) {
  static int turn;
  static bool sleeps;
  int now = 4 * ++turn + (int)what;
  atomic_store(&order, now);
  if (sleeps && write(wake_up[1], "", 1) != 1) {
    bail_out("the peer cannot be woken");
  }
  sleeps = what == PEER_SLEEPS;
  while (what != PEER_ENDS && atomic_load(&obeyed) != now) {
  }
}

/* What one change is told to: a page that is there loses a right. */
static struct told probe(char *page) {
  mprotect(page, PAGE, RW);
  *page = 1;
  struct told from = told_read();
  mprotect(page, PAGE, PROT_READ);
  return told_since(from);
}

/* Until CPU 1 rests in this space: a change then leaves it alone. If somebody else has run there
 * since, and the space is not loaded any more, the peer sleeps anew. */
static bool peer_rest(void) {
  char *page = pages_make(1);
  peer_order(PEER_SLEEPS);
  for (int i = 0; i < PROBES_MOST; i++) {
    struct told t = probe(page);
    if (t.interrupts == 0 && t.spared == 1) {
      return true;
    }
    if (t.interrupts == 0) {
      peer_order(PEER_SPINS);
      peer_order(PEER_SLEEPS);
    }
  }
  return false;
}

/* ---- who is told ---- */

static struct told unmap_told(char *p, size_t n_pages) {
  struct told from = told_read();
  munmap(p, n_pages * PAGE);
  return told_since(from);
}

static struct told protect_told(char *p, size_t n_pages, int prot) {
  struct told from = told_read();
  mprotect(p, n_pages * PAGE, prot);
  return told_since(from);
}

static void test_batches(void) {
  peer_order(PEER_SPINS);
  found_told(unmap_told(pages_make(1), 1), 1, 1, "one page: one interrupt");
  found_told(unmap_told(pages_make(BATCH), BATCH), 1, 1, "a batch of pages: one interrupt");
  found_told(unmap_told(pages_make(200), 200), 4, 4, "200 pages of a table: four batches");
  found_told(unmap_told(pages_make(1024), 1024), 1, 1, "two tables whole: one interrupt");
  char *p = pages_make(300);
  found_told(protect_told(p, 300, PROT_READ), 1, 1, "300 pages lose a right: one interrupt");
}

static void test_widening(void) {
  char *p = pages_make(8);
  mprotect(p, 8 * PAGE, PROT_READ);
  peer_order(PEER_SPINS);
  struct told widened = protect_told(p, 8, RW);
  struct told from = told_read();
  memset(p, 2, 8 * PAGE);
  struct told written = told_since(from);
  char *fresh = mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  from = told_read();
  memset(fresh, 3, 8 * PAGE);
  struct told touched = told_since(from);
  found_told(widened, 0, 0, "a right that is given: nothing is sent");
  found_told(written, 0, 0, "nor when it is used");
  found_told(touched, 0, 0, "nor when a page appears");
}

static void test_rest(void) {
  char *p = pages_make(BATCH);
  found(peer_rest(), true, "a CPU whose thread sleeps rests");
  struct told t = unmap_told(p, BATCH);
  found_told(t, 0, 0, "a batch of pages goes: the CPU at rest is not told");
  found(t.spared, 1, "since it rests, not since it is not there");
}

static void test_missed(void) {
  char *p = pages_make(2);
  atomic_store(&peer_page, p);
  peer_order(PEER_LOOKS);
  int before = atomic_load(&peer_saw);
  bool rests = peer_rest();
  struct told from = told_read();
  bool good = mmap(p, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p;
  *p = 7;
  struct told t = told_since(from);
  peer_order(PEER_LOOKS);
  found(rests && good && before == 1, true, "a page that a CPU at rest has cached is replaced");
  found_told(t, 0, 0, "it is not told");
  found(atomic_load(&peer_saw), 7, "and sees the new page when it is back");
}

static void test_tables(void) {
  char *first = pages_make(TABLE / PAGE), *second = pages_make(TABLE / PAGE);
  bool rests = peer_rest();
  struct told one = unmap_told(first, TABLE / PAGE), two = unmap_told(second, TABLE / PAGE);
  found(rests, true, "a CPU rests");
  found_told(one, 1, 1, "a table goes: it is told");
  found_told(two, 0, 0, "once: it has left the space");
  found(two.spared, 0, "and is not asked for");
  atomic_store(&peer_page, second + TABLE);
  peer_order(PEER_LOOKS);
  found(atomic_load(&peer_saw), 1, "it comes back");
}

/* As a new program, which has run on CPUs 0 and 1 only: where a space has been, it may rest. */
static void begin_anew(char *self) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  CPU_SET(1, &set);
  if (sched_setaffinity(0, sizeof set, &set) == 0) {
    execve(self, (char *[]){self, "anew", NULL}, environ);
  }
  bail_out("the program cannot begin anew");
}

int main(int argc, char **argv) {
  pthread_t peer;
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
    skip("who is told", "needs two CPUs");
    return tap_done();
  }
  if (argc < 2) {
    begin_anew(argv[0]);
  }
  thread_pin(0);
  if (pipe(wake_up) != 0) {
    bail_out("pipe");
  }
  peer = thread_start(0, peer_run, NULL);
  test_batches();
  test_widening();
  test_rest();
  test_missed();
  test_tables();
  peer_order(PEER_ENDS);
  pthread_join(peer, NULL);
  findings_say();
  return tap_done();
}
