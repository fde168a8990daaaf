/* A file whose pages its server is asked for, one by one, through the ring: what is asked, who
 * shares the answers, the end of the file, changes, and waits that end early. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "ring.h"
#include "runtime/syscall.h"
#include "tap.h"

enum {
  PAGE = 4096,
  FILE_ID = 7,
  OBJECT_ID = 99,
  N_PAGES = 40,
  LAST_BYTES = 100, /* of the last page */
  OP_ASKED = OP_USER,
  OP_CHANGE = OP_USER + 1, /* other bytes from now on */
  OP_HOLD = OP_USER + 2,   /* arg: 1: no page is answered until it is 0 again */
  OP_CLOSED = OP_USER + 3,
  OP_DIE = OP_USER + 4,
  OP_HELD = OP_USER + 5, /* how many pages are not answered yet */
};

/* ---- the server ---- */

static unsigned char byte_of(uint64_t offset, unsigned change) {
  return (unsigned char)(1 + (offset * 7 + offset / PAGE + change * 100) % 255);
}

static struct {
  unsigned asked, closed, change;
  bool hold;
  uint32_t held[RING_TAGS];
  uint64_t held_at[RING_TAGS];
  unsigned n_held;
} served;

static void page_answer(struct ring *ring, uint32_t tag, uint64_t offset) {
  unsigned char *slot = ring->slots + (size_t)tag * RING_SLOT_SIZE;
  uint64_t size = (N_PAGES - 1) * PAGE + LAST_BYTES, n = 0;
  for (; n < PAGE && offset + n < size; n++) {
    slot[n] = byte_of(offset + n, served.change);
  }
  ring_answer(ring, (struct ring_cqe){.tag = tag, .result = (int64_t)n});
}

static void page_serve(struct ring *ring, const struct ring_sqe *sqe) {
  served.asked++;
  if (sqe->arg2 != OBJECT_ID || sqe->file != FILE_ID || sqe->out_cap != PAGE) {
    ring_answer(ring, (struct ring_cqe){.tag = sqe->tag, .result = -ABI_EINVAL});
  } else if (served.hold) {
    served.held[served.n_held] = sqe->tag;
    served.held_at[served.n_held++] = sqe->arg;
  } else {
    page_answer(ring, sqe->tag, sqe->arg);
  }
}

static void hold_set(struct ring *ring, bool hold) {
  served.hold = hold;
  while (!hold && served.n_held > 0) {
    served.n_held--;
    page_answer(ring, served.held[served.n_held], served.held_at[served.n_held]);
  }
}

/* CANCEL: the request that it is about is answered, if it is still held. */
static void held_cancel(struct ring *ring, uint32_t tag) {
  for (unsigned i = 0; i < served.n_held; i++) {
    if (served.held[i] == tag) {
      served.n_held--;
      served.held[i] = served.held[served.n_held];
      served.held_at[i] = served.held_at[served.n_held];
      ring_answer(ring, (struct ring_cqe){.tag = tag, .result = -ABI_ECANCELED});
      return;
    }
  }
}

static void serve(struct ring *ring, const struct ring_sqe *sqe) {
  struct ring_cqe cqe = {.tag = sqe->tag, .kind = CQE_DONE};
  switch (sqe->op) {
  case OP_OPEN:
    cqe.result = FILE_ID;
    break;
  case OP_MMAP:
    cqe.kind = CQE_PAGED;
    cqe.result = OBJECT_ID;
    break;
  case OP_PAGE:
    page_serve(ring, sqe);
    return;
  case OP_CANCEL:
    held_cancel(ring, (uint32_t)sqe->arg);
    return;
  case OP_CHANGE:
    served.change++;
    ring_answer(ring, (struct ring_cqe){.kind = CQE_STALE, .result = OBJECT_ID});
    break;
  case OP_HOLD:
    hold_set(ring, sqe->arg);
    break;
  case OP_ASKED:
    cqe.result = served.asked;
    break;
  case OP_HELD:
    cqe.result = served.n_held;
    break;
  case OP_CLOSE:
    served.closed++;
    break;
  case OP_CLOSED:
    cqe.result = served.closed;
    break;
  case OP_WRITE:
    cqe.result = sqe->in_len;
    break;
  case OP_DIE:
    _exit(3);
  default:
    cqe.result = -ABI_EOPNOTSUPP;
  }
  ring_answer(ring, cqe);
}

static char scheme_name[32], scheme_path[64];

static pid_t server_start(void) {
  int ready[2];
  char byte;
  snprintf(scheme_name, sizeof scheme_name, "paged%d", (int)getpid());
  snprintf(scheme_path, sizeof scheme_path, "%s:/file", scheme_name);
  if (pipe(ready) != 0) {
    bail_out("pipe");
  }
  pid_t pid = fork();
  if (pid == 0) {
    struct ring ring;
    struct ring_sqe sqe;
    ring_open(&ring, scheme_name);
    if (write(ready[1], "r", 1) != 1) {
      _exit(81);
    }
    while (ring_take(&ring, &sqe)) {
      serve(&ring, &sqe);
    }
    _exit(82);
  }
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) {
    bail_out("the server did not start");
  }
  close(ready[0]);
  return pid;
}

/* ---- clients ---- */

static int file;

static int file_open(void) {
  return (int)sys_openat(FD_NS, scheme_path, strlen(scheme_path), O_ABI_RDWR, 0);
}

static int64_t tell(uint32_t op, uint64_t arg) {
  return sys_call(file, op, NULL, 0, 0, arg);
}

static volatile unsigned char *map(int fd, uint32_t prot, uint32_t flags, size_t n_pages) {
  int64_t at = sys_mmap(0, n_pages * PAGE, prot, flags, fd, 0);
  if (at < 0) {
    bail_out("no mapping");
  }
  return (volatile unsigned char *)at;
}

static bool page_is(volatile unsigned char *p, uint64_t page, unsigned change) {
  for (uint64_t i = 0; i < PAGE; i++) {
    if (p[page * PAGE + i] != byte_of(page * PAGE + i, change)) {
      return false;
    }
  }
  return true;
}

static int child_touches(void *p) {
  return *(volatile unsigned char *)p;
}

static uint64_t n_major(void) {
  struct space_stat st = {0};
  struct space_op op = {.code = SPACE_STAT, .fd = FD_NONE, .off = (uint64_t)&st};
  return sys_call(FD_SELF, OP_SPACE_APPLY, &op, sizeof op, 0, 0) == 1 ? st.faults[SPACE_FAULT_MAJOR]
                                                                      : UINT64_MAX;
}

static void test_pages(void) {
  volatile unsigned char *p = map(file, PROT_READ, MAP_SHARED, N_PAGES);
  is(tell(OP_ASKED, 0), 0, "a mapping asks for nothing");
  uint64_t major = n_major();
  ok(page_is(p, 3, 0) && page_is(p, 0, 0), "two pages are the server's");
  is(n_major() - major, 2, "and counted as major faults");
  is(tell(OP_ASKED, 0), 2, "and were asked for, no others");
  int other = file_open();
  volatile unsigned char *q = map(other, PROT_READ | PROT_WRITE, MAP_PRIVATE, N_PAGES);
  sys_close(other);
  ok(page_is(q, 3, 0) && tell(OP_ASKED, 0) == 2, "a private mapping of another open has them too");
  q[3 * PAGE] = 0;
  ok(q[3 * PAGE] == 0 && page_is(p, 3, 0), "a write to it stays private");
  q[5 * PAGE] = 0;
  ok(q[5 * PAGE + 1] == byte_of(5 * PAGE + 1, 0) && tell(OP_ASKED, 0) == 3,
     "a write to a page that nobody had asks for it");
  ok(page_is(p, 5, 0) && tell(OP_ASKED, 0) == 3, "once for all");
  is(sys_mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), -ABI_EACCES,
     "nobody writes to the server's pages");
  is(sys_mprotect((uint64_t)p, PAGE, PROT_READ | PROT_WRITE), -ABI_EACCES, "nor later");
  is(child_exit(child_touches, (void *)(p + 9 * PAGE)), byte_of(9 * PAGE, 0), "a child asks");
  ok(page_is(p, 9, 0) && tell(OP_ASKED, 0) == 4, "for its parent as well");
  sys_munmap((uint64_t)q, N_PAGES * PAGE);
  sys_munmap((uint64_t)p, N_PAGES * PAGE);
}

static void test_end(void) {
  volatile unsigned char *p = map(file, PROT_READ, MAP_SHARED, N_PAGES + 2);
  uint64_t last = (N_PAGES - 1) * PAGE;
  ok(p[last + LAST_BYTES - 1] == byte_of(last + LAST_BYTES - 1, 0) && p[last + LAST_BYTES] == 0,
     "behind the last byte its page is zero");
  is(child_exit(child_touches, (void *)(p + last + PAGE)), -SIGBUS, "the next page is SIGBUS");
  int ends[2];
  if (pipe(ends) != 0) {
    bail_out("pipe");
  }
  fails_with(write(ends[1], (void *)(p + last + PAGE), 1), EFAULT, "for a call EFAULT");
  is(write(ends[1], (void *)(p + 20 * PAGE), 10), 10, "a call asks for a page as well");
  unsigned char bytes[10];
  ok(read(ends[0], bytes, 10) == 10 && bytes[9] == byte_of(20 * PAGE + 9, 0), "and has its bytes");
  is(sys_write(file, (void *)(p + 21 * PAGE), 3 * PAGE), 3 * PAGE,
     "even one to the server whose pages they are");
  close(ends[0]);
  close(ends[1]);
  sys_munmap((uint64_t)p, (N_PAGES + 2) * PAGE);
}

static void test_stale(void) {
  volatile unsigned char *p = map(file, PROT_READ, MAP_SHARED, N_PAGES);
  volatile unsigned char *q = map(file, PROT_READ | PROT_WRITE, MAP_PRIVATE, N_PAGES);
  q[PAGE] = 0;
  ok(page_is(p, 1, 0) && page_is(p, 2, 0), "pages before a change");
  is(tell(OP_CHANGE, 0), 0, "the server changes them, and says so");
  ok(page_is(p, 1, 1) && page_is(p, 2, 1), "a shared mapping has the new ones");
  ok(q[PAGE] == 0 && q[PAGE + 1] == byte_of(PAGE + 1, 0), "a private copy stays");
  sys_munmap((uint64_t)q, N_PAGES * PAGE);
  sys_munmap((uint64_t)p, N_PAGES * PAGE);
}

static void *thread_sums(void *p) {
  uint64_t wrong = 0;
  for (uint64_t page = 0; page < N_PAGES - 1; page++) {
    wrong += !page_is(p, page, 1);
  }
  return (void *)wrong;
}

static void test_threads(void) {
  enum { THREADS = 4 };
  pthread_t threads[THREADS];
  volatile unsigned char *p = map(file, PROT_READ, MAP_SHARED, N_PAGES);
  uint64_t wrong = 0;
  for (int i = 0; i < THREADS; i++) {
    pthread_create(&threads[i], NULL, thread_sums, (void *)p);
  }
  for (int i = 0; i < THREADS; i++) {
    void *result;
    pthread_join(threads[i], &result);
    wrong += (uint64_t)result;
  }
  is(wrong, 0, "four threads that touch the same pages at once");
  sys_munmap((uint64_t)p, N_PAGES * PAGE);
}

/* ---- waits that end early ---- */

static void on_signal(int signo) {
  _exit(signo == SIGUSR1 ? 77 : 78);
}

static int child_waits(void *p) {
  signal(SIGUSR1, on_signal);
  return *(volatile unsigned char *)p;
}

static int child_waits_in_call(void *p) {
  int ends[2];
  signal(SIGUSR1, on_signal);
  return pipe(ends) == 0 && write(ends[1], p, 1) == 1 ? 5 : 6;
}

/* Runs a child that touches a page while the server holds it back, sends it a signal once it has
 * been asked for, and answers how it ended. */
static int child_struck(int (*body)(void *), volatile unsigned char *p, int signo, bool let_go) {
  int64_t asked = tell(OP_ASKED, 0);
  int status = -1;
  tell(OP_HOLD, 1);
  pid_t pid = fork();
  if (pid == 0) {
    _exit(body((void *)p));
  }
  while (tell(OP_ASKED, 0) == asked) {
    sleep_ms(1);
  }
  kill(pid, signo);
  if (let_go) {
    sleep_ms(20); /* the signal may not end the wait: given the time, a wrong one would */
    tell(OP_HOLD, 0);
  }
  waitpid(pid, &status, 0);
  tell(OP_HOLD, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_waits(void) {
  volatile unsigned char *p = map(file, PROT_READ, MAP_SHARED, N_PAGES);
  is(child_struck(child_waits, p, SIGKILL, false), -SIGKILL, "who waits for a page can be killed");
  is(child_struck(child_waits, p + PAGE, SIGTERM, false), -SIGTERM, "or ended");
  is(child_struck(child_waits, p + 2 * PAGE, SIGUSR1, false), 77, "or take a signal");
  is(child_struck(child_waits_in_call, p + 3 * PAGE, SIGKILL, false), -SIGKILL,
     "in a call it can be killed");
  is(child_struck(child_waits_in_call, p + 4 * PAGE, SIGUSR1, true), 77,
     "but takes a signal when the page has come");
  ok(page_is(p, 0, 1) && page_is(p, 3, 1), "the pages can still be had");
  sys_munmap((uint64_t)p, N_PAGES * PAGE);
}

static void asked_wait(int64_t n) {
  while (tell(OP_ASKED, 0) < n) {
    sleep_ms(1);
  }
}

/* What says whether a signal is due lies in a page of the server's as well: nobody asks for that
 * one and waits for another at the same time. */
static void test_nested(void) {
  volatile unsigned char *p = map(file, PROT_READ, MAP_SHARED, N_PAGES);
  int64_t asked = tell(OP_ASKED, 0);
  tell(OP_HOLD, 1);
  pid_t pid = fork();
  if (pid == 0) {
    struct proc_op op = {.code = PROC_SIGCTL, .a = (uint64_t)(p + 6 * PAGE)};
    _exit(sys_call(FD_SELF, OP_PROC_APPLY, &op, sizeof op, 0, 0) < 0 ? 90 : p[7 * PAGE]);
  }
  asked_wait(asked + 1);
  is(tell(OP_HELD, 0), 1, "a child waits for a page");
  kill(pid, SIGUSR1);
  asked_wait(asked + 2);
  is(tell(OP_HELD, 0), 1, "and takes that back before it asks for the page that tells of a signal");
  kill(pid, SIGKILL);
  is(waitpid(pid, NULL, 0), pid, "it ends");
  tell(OP_HOLD, 0);
  sys_munmap((uint64_t)p, N_PAGES * PAGE);
}

static void test_close(void) {
  int64_t before = tell(OP_CLOSED, 0);
  int other = file_open();
  volatile unsigned char *p = map(other, PROT_READ, MAP_SHARED, N_PAGES);
  sys_close(other);
  ok(page_is(p, 30, 1), "a mapping outlives its descriptor");
  is(tell(OP_CLOSED, 0), before, "whose file stays open");
  sys_munmap((uint64_t)p, N_PAGES * PAGE);
  for (int i = 0; i < 500 && tell(OP_CLOSED, 0) == before; i++) {
    sleep_ms(1);
  }
  is(tell(OP_CLOSED, 0), before + 1, "until it goes");
}

static void test_death(pid_t server) {
  volatile unsigned char *p = map(file, PROT_READ, MAP_SHARED, N_PAGES);
  ok(page_is(p, 1, 1), "a page");
  is(tell(OP_DIE, 0), -ABI_ESHUTDOWN, "the server dies");
  is(waitpid(server, NULL, 0), server, "it is dead");
  ok(page_is(p, 1, 1), "what has come stays");
  is(child_exit(child_touches, (void *)(p + 2 * PAGE)), -SIGBUS, "the rest is SIGBUS");
  sys_munmap((uint64_t)p, N_PAGES * PAGE);
}

int main(void) {
  pid_t server = server_start();
  file = file_open();
  test_pages();
  test_end();
  test_stale();
  test_threads();
  test_waits();
  test_nested();
  test_close();
  test_death(server);
  sys_close(file);
  return tap_done();
}
