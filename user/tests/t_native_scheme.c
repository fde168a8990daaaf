/* A scheme served from a ring, against the ABI alone: what a server is told, what its clients get;
 * a server that dies, that never answers, and that lies in every way a ring allows. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include "ring.h"
#include "runtime/syscall.h"
#include "tap.h"

enum {
  FILE_ID = 7,
  FILE_BYTES = 100000,
  MAPPED_BYTES = 3 * 4096,
  OP_REVERSE = OP_USER,   /* answers the bytes in reverse */
  OP_COUNT = OP_USER + 1, /* answers how many CANCEL and CLOSE came: cancels | closes << 16 */
  OP_LIE = OP_USER + 2,   /* arg: which lie; see answer_with_lie() */
  OP_DIE = OP_USER + 3,
  OP_HOLD = OP_USER + 4, /* not answered until it is cancelled */
  LARGEST_ERROR = 4095,
};

#define MAP_AT 0x7000000000ull

/* ---- the server ---- */

static struct {
  unsigned cancels, closes;
  uint64_t written; /* sum of all bytes written */
  char path[64];    /* of the last open */
} served;

static void lie_in_header(struct ring *ring) {
  struct ring_header truth = *ring->header;
  ring->header->n_sqes = 3;
  ring->header->n_cqes = 0;
  ring->header->slots_offset = ~0u;
  ring->header->magic = 0;
  ring->header->cq_head += 99;
  (void)sys_ring_enter(ring->fd, 0, NO_DEADLINE);
  ring->header->n_sqes = truth.n_sqes;
  ring->header->n_cqes = truth.n_cqes;
  ring->header->slots_offset = truth.slots_offset;
  ring->header->magic = truth.magic;
}

static void answer_with_lie(struct ring *ring, const struct ring_sqe *sqe) {
  struct ring_cqe cqe = {.tag = sqe->tag, .kind = CQE_DONE, .result = 0};
  switch (sqe->arg) {
  case 0:
    cqe.result = INT64_MAX;
    break;
  case 1:
    cqe.result = INT64_MIN;
    break;
  case 2:
    cqe.result = -99999;
    break;
  case 3: /* a tag that is none, then the true one twice */
    ring_answer(ring, (struct ring_cqe){.tag = 12345, .result = 1});
    ring_answer(ring, cqe);
    break;
  case 4:
    cqe.kind = 77;
    cqe.result = 3;
    break;
  case 5: /* a descriptor where none was asked for */
    cqe.kind = CQE_FD;
    cqe.result = ring->fd;
    break;
  case 6: /* readiness of a file that does not exist */
    ring_answer(ring, (struct ring_cqe){.kind = CQE_EVENT, .extra = 0xffff, .result = -5});
    break;
  case 7: /* an index far ahead; put right afterwards */
    __atomic_store_n(&ring->header->cq_tail, ring->cq_tail + 100000, __ATOMIC_RELEASE);
    (void)sys_ring_enter(ring->fd, 0, NO_DEADLINE);
    break;
  case 8: /* nonsense in what the kernel must not believe; put right afterwards */
    lie_in_header(ring);
    break;
  }
  ring_answer(ring, cqe);
}

static int64_t serve_read(const struct ring_sqe *sqe, unsigned char *slot) {
  uint64_t left = sqe->arg < FILE_BYTES ? FILE_BYTES - sqe->arg : 0;
  uint64_t n = sqe->out_cap < left ? sqe->out_cap : left;
  for (uint64_t i = 0; i < n; i++) {
    slot[i] = (unsigned char)((sqe->arg + i) * 7);
  }
  return (int64_t)n;
}

static int64_t serve_write(const struct ring_sqe *sqe, const unsigned char *slot) {
  for (uint32_t i = 0; i < sqe->in_len; i++) {
    served.written += slot[i];
  }
  return sqe->in_len;
}

static int64_t serve_open(const struct ring_sqe *sqe, const unsigned char *slot) {
  if (sqe->in_len >= sizeof served.path) {
    return -ABI_ENAMETOOLONG;
  }
  memcpy(served.path, slot, sqe->in_len);
  served.path[sqe->in_len] = '\0';
  return strcmp(served.path, "none") == 0 ? -ABI_ENOENT : FILE_ID;
}

static int64_t serve_stat(unsigned char *slot) {
  struct abi_stat st = {.mode = S_ABI_IFREG | 0644, .size = FILE_BYTES, .ino = FILE_ID, .nlink = 1};
  memcpy(slot, &st, sizeof st);
  return sizeof st;
}

/* Where all of a file lies, by names that say what is wrong with the answer. */
static int64_t serve_map(const struct ring_sqe *sqe, unsigned char *slot) {
  static int64_t memory;
  char name[16] = "";
  memcpy(name, slot, sqe->in_len < sizeof name ? sqe->in_len : sizeof name - 1);
  if (memory == 0) {
    memory = sys_mmap(0, MAPPED_BYTES, PROT_ABI_READ | PROT_ABI_WRITE,
                      MAP_ABI_SHARED | MAP_ABI_ANONYMOUS, FD_NONE, 0);
    memset((void *)memory, 'm', MAPPED_BYTES);
  }
  struct abi_stat st = {.mode = S_ABI_IFREG | 0755, .size = MAPPED_BYTES - 10};
  st.size = strcmp(name, "longer") == 0 ? MAPPED_BYTES + 1 : st.size;
  st.size = strcmp(name, "huge") == 0 ? UINT64_MAX : st.size;
  st.size = strcmp(name, "empty") == 0 ? 0 : st.size;
  memcpy(slot, &st, sizeof st);
  return strcmp(name, "odd") == 0       ? memory + 1
         : strcmp(name, "nowhere") == 0 ? 4096
         : strcmp(name, "kernel") == 0  ? INT64_MAX
         : strcmp(name, "zero") == 0    ? 0
         : strcmp(name, "none") == 0    ? -ABI_ENOENT
                                        : memory;
}

static int64_t serve_reverse(const struct ring_sqe *sqe, unsigned char *slot) {
  for (uint32_t i = 0; i < sqe->in_len / 2; i++) {
    unsigned char c = slot[i];
    slot[i] = slot[sqe->in_len - 1 - i];
    slot[sqe->in_len - 1 - i] = c;
  }
  return sqe->in_len;
}

/* Answers one request, or not. */
static void serve(struct ring *ring, const struct ring_sqe *sqe) {
  unsigned char *slot = ring->slots + (size_t)sqe->tag * RING_SLOT_SIZE;
  struct ring_cqe cqe = {.tag = sqe->tag, .kind = CQE_DONE};
  switch (sqe->op) {
  case OP_OPEN:
    cqe.result = serve_open(sqe, slot);
    break;
  case OP_READ:
    cqe.result = sqe->file == FILE_ID ? serve_read(sqe, slot) : -ABI_EIO;
    break;
  case OP_WRITE:
    cqe.result = serve_write(sqe, slot);
    break;
  case OP_STAT:
    cqe.result = serve_stat(slot);
    break;
  case OP_MAPAT:
    cqe.kind = sqe->in_len == 5 && memcmp(slot, "paged", 5) == 0 ? CQE_PAGED : CQE_DONE;
    cqe.result = serve_map(sqe, slot);
    break;
  case OP_DUP: /* hands over a descriptor of its own */
    cqe.kind = CQE_FD;
    cqe.result = sys_openat(FD_NS, "sys:/leaks", 10, 0, 0);
    ring_answer(ring, cqe);
    (void)sys_ring_enter(ring->fd, 0, NO_DEADLINE);
    sys_close((int)cqe.result);
    return;
  case OP_CLOSE:
    served.closes++;
    break;
  case OP_CANCEL:
    served.cancels++;
    cqe.tag = (uint32_t)sqe->arg;
    cqe.result = -ABI_ECANCELED;
    break;
  case OP_REVERSE:
    cqe.result = serve_reverse(sqe, slot);
    break;
  case OP_COUNT:
    cqe.result = (int64_t)(served.cancels | served.closes << 16);
    break;
  case OP_LIE:
    answer_with_lie(ring, sqe);
    return;
  case OP_DIE:
    _exit(3);
  case OP_HOLD:
    return;
  default:
    cqe.result = -ABI_EOPNOTSUPP;
  }
  ring_answer(ring, cqe);
}

static char scheme_name[32], scheme_path[64];

/* Starts a server; answers when its scheme is there. */
static pid_t server_start(const char *suffix) {
  int ready[2];
  char byte;
  snprintf(scheme_name, sizeof scheme_name, "test%d%s", (int)getpid(), suffix);
  snprintf(scheme_path, sizeof scheme_path, "%s:/some/file", scheme_name);
  if (pipe(ready) != 0) {
    bail_out("pipe");
  }
  pid_t pid = fork();
  if (pid == 0) {
    struct ring ring;
    struct ring_sqe sqe;
    ring_open(&ring, scheme_name);
    close(ready[0]);
    if (write(ready[1], "r", 1) != 1) {
      _exit(81);
    }
    close(ready[1]);
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

static void server_stop(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

/* ---- clients ---- */

static int64_t client_open(void) {
  return sys_openat(FD_NS, scheme_path, strlen(scheme_path), O_ABI_RDWR, 0);
}

/* A call without bytes in either direction: the answer is a number. */
static int64_t client_call(int64_t fd, uint32_t op, uint64_t arg) {
  return sys_call((int)fd, op, NULL, 0, 0, arg);
}

/* A call with room for bytes of the answer, which is their number. */
static int64_t client_call_out(int64_t fd, uint32_t op, uint64_t arg, char *buffer, size_t size) {
  return sys_call((int)fd, op, buffer, 0, size, arg);
}

static bool pattern_is_right(const unsigned char *bytes, size_t n, size_t offset) {
  for (size_t i = 0; i < n; i++) {
    if (bytes[i] != (unsigned char)((offset + i) * 7)) {
      return false;
    }
  }
  return true;
}

static bool lengths_are_right(int64_t fd) {
  static const size_t lengths[] = {1, 2, 255, 256, 257, 4096, 4097, 9000};
  enum { N = sizeof lengths / sizeof lengths[0] };
  bool right = true;
  for (size_t i = 0; i < 2 * N; i++) {
    size_t n = lengths[i % N];
    int64_t at = sys_mmap(0, 3 * 4096, PROT_ABI_READ | PROT_ABI_WRITE,
                          MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS, FD_NONE, 0);
    unsigned char *text = (unsigned char *)at;
    if (i >= N) {
      text[0] = 3; /* its page is there, others may not be */
    }
    right = right && sys_call((int)fd, OP_REVERSE, text, n, n, 0) == (int64_t)n &&
            text[n - 1] == (i >= N ? 3 : 0);
    sys_munmap((uint64_t)at, 3 * 4096);
  }
  return right;
}

static void test_round_trips(void) {
  static unsigned char block[FILE_BYTES + 1000];
  int64_t fd = client_open();
  ok(fd >= 0, "open");
  is(sys_read((int)fd, block, 100), 100, "read");
  ok(pattern_is_right(block, 100, 0), "the bytes of the server");
  is(sys_read((int)fd, block, 100), 100, "read again");
  ok(pattern_is_right(block, 100, 100), "from where it was");
  is(sys_pread((int)fd, block, sizeof block, 0), FILE_BYTES, "a read larger than a slot");
  ok(pattern_is_right(block, FILE_BYTES, 0), "all of it");
  is(sys_write((int)fd, block, 70000), 70000, "a write larger than a slot");
  ok(lengths_are_right(fd),
     "operations with bytes of every length, from and to pages that are not there");
  is(sys_seek((int)fd, 0, SEEK_ABI_END), FILE_BYTES, "seek to the end asks the server");
  is(sys_read((int)fd, block, 10), 0, "end of file");
  char text[16] = "hello";
  is(sys_call((int)fd, OP_REVERSE, text, 5, 16, 0), 5, "an operation of the server's own");
  is_str(text, "olleh", "with bytes in both directions");
  is(sys_call((int)fd, OP_MKDIRAT, text, 1, 0, 0), -ABI_EOPNOTSUPP, "an error of the server's own");
  struct abi_stat st;
  ok(sys_call((int)fd, OP_STAT, &st, 0, sizeof st, 0) == sizeof st && st.size == FILE_BYTES,
     "stat");
  char path[64];
  snprintf(path, sizeof path, "%s:/none", scheme_name);
  is(sys_openat(FD_NS, path, strlen(path), 0, 0), -ABI_ENOENT,
     "a file that the server does not have");
  int64_t other = sys_dup((int)fd, "leaks", 5, 0);
  ok(other >= 0 && sys_read((int)other, block, 10) == 10 && block[0] >= 'a' && block[0] <= 'z',
     "a descriptor handed over by the server");
  sys_close((int)other);
  sys_close((int)fd);
  fd = client_open();
  is(client_call(fd, OP_COUNT, 0) >> 16, 1, "the server hears of the close");
  sys_close((int)fd);
}

static int hold_until_killed(void *arg) {
  (void)arg;
  int64_t fd = client_open();
  return client_call(fd, OP_HOLD, 0) < 0 ? 1 : 0;
}

static void test_cancel(void) {
  int64_t fd = client_open();
  int64_t before = client_call(fd, OP_COUNT, 0) & 0xffff;
  enum { VICTIMS = 5 };
  pid_t pids[VICTIMS];
  for (int i = 0; i < VICTIMS; i++) {
    pids[i] = fork();
    if (pids[i] == 0) {
      _exit(hold_until_killed(NULL));
    }
  }
  sleep_ms(30);
  for (int i = 0; i < VICTIMS; i++) {
    kill(pids[i], SIGKILL);
  }
  bool all = true;
  for (int i = 0; i < VICTIMS; i++) {
    int status = 0;
    all = waitpid(pids[i], &status, 0) == pids[i] && WIFSIGNALED(status) && all;
  }
  ok(all, "clients can be killed while the server holds their requests");
  int64_t limit = now_ns(CLOCK_MONOTONIC) + 5000000000, count;
  do {
    count = (client_call(fd, OP_COUNT, 0) & 0xffff) - before;
    sched_yield();
  } while (count < VICTIMS && now_ns(CLOCK_MONOTONIC) < limit);
  ok(count <= VICTIMS && count > 0, "the server hears of cancelled requests");
  char byte;
  is(sys_pread((int)fd, &byte, 1, 0), 1, "and serves others as before");
  sys_close((int)fd);
}

static void test_many_clients(void) {
  enum { CLIENTS = 8, ROUNDS = 60 };
  pid_t pids[CLIENTS];
  for (int c = 0; c < CLIENTS; c++) {
    pids[c] = fork();
    if (pids[c] == 0) {
      unsigned char block[600];
      int64_t fd = client_open();
      for (int i = 0; i < ROUNDS; i++) {
        size_t offset = (size_t)(c * 1000 + i * 13);
        if (sys_pread((int)fd, block, sizeof block, (int64_t)offset) != sizeof block ||
            !pattern_is_right(block, sizeof block, offset)) {
          _exit(1);
        }
      }
      _exit(0);
    }
  }
  int good = 0;
  for (int c = 0; c < CLIENTS; c++) {
    int status = -1;
    good += waitpid(pids[c], &status, 0) == pids[c] && status == 0;
  }
  is(good, CLIENTS, "eight clients at once, each with its own answers");
}

static void test_lies(void) {
  enum { LIES = 9 };
  bool sane = true;
  for (uint64_t lie = 0; lie < LIES; lie++) {
    char buffer[16];
    int64_t fd = client_open(), result = client_call_out(fd, OP_LIE, lie, buffer, sizeof buffer);
    if (result < -LARGEST_ERROR || result > (int64_t)sizeof buffer) {
      diag("lie %d: %lld", (int)lie, (long long)result);
      sane = false;
    }
    char byte = 0;
    (void)sys_pread((int)fd, &byte, 1, 3); /* may get what is left of a lie */
    if (sys_pread((int)fd, &byte, 1, 3) != 1 || byte != 21) {
      diag("after lie %d the server cannot be used", (int)lie);
      sane = false;
    }
    sys_close((int)fd);
  }
  ok(sane, "lies of the server: every answer is a result that fits, or an error");
}

/* Maps a file by its path, in the caller's space at AT. */
static int64_t client_map(int space, const char *scheme, const char *name,
                          struct space_file *file) {
  static char path[64];
  snprintf(path, sizeof path, "%s:/%s", scheme, name);
  *file = (struct space_file){.path = (uint64_t)path, .path_len = strlen(path)};
  struct space_op step = {.code = SPACE_MAP_PATH,
                          .fd = FD_NONE,
                          .prot = PROT_ABI_READ,
                          .flags = MAP_ABI_FIXED,
                          .addr = MAP_AT,
                          .off = (uint64_t)file};
  return sys_call(space, OP_SPACE_APPLY, &step, sizeof step, 0, 0);
}

static void test_map_path(void) {
  static const struct {
    const char *name;
    int64_t answer;
  } wrong[] = {{"longer", -ABI_EIO},  {"huge", -ABI_EIO},   {"empty", -ABI_EIO},
               {"odd", -ABI_EIO},     {"kernel", -ABI_EIO}, {"nowhere", -ABI_EIO},
               {"zero", -ABI_ENODEV}, {"paged", -ABI_EIO},  {"none", -ABI_ENOENT}};
  struct space_file file;
  const char *bytes = (const char *)MAP_AT;
  int space = (int)sys_dup(FD_SELF, "addrspace", 9, O_ABI_CLOEXEC);
  is(client_map(space, scheme_name, "good", &file), 1, "a file is mapped by its path");
  is((int64_t)file.stat.size, MAPPED_BYTES - 10, "its stat comes with it");
  ok(bytes[0] == 'm' && bytes[MAPPED_BYTES - 1] == 'm', "its bytes are there");
  is(sys_munmap(MAP_AT, MAPPED_BYTES), 0, "and go");
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    is(client_map(space, scheme_name, wrong[i].name, &file), wrong[i].answer, wrong[i].name);
  }
  is(client_map(space, "sys", "leaks", &file), -ABI_EOPNOTSUPP, "a scheme that cannot");
  is(client_map(space, "nosuch", "file", &file), -ABI_ENODEV, "no such scheme");
  struct space_op step = {.code = SPACE_MAP_PATH, .fd = FD_NONE, .addr = MAP_AT, .off = 8};
  is(sys_call(space, OP_SPACE_APPLY, &step, sizeof step, 0, 0), -ABI_EFAULT, "no struct");
  is(sys_call(FD_NS, OP_MAPAT, scheme_path, strlen(scheme_path), 0, 0), -ABI_EBADF,
     "programs do not ask servers where their memory is");
  sys_close(space);
}

static void test_death(pid_t server) {
  int64_t fd = client_open(), other = client_open();
  char byte;
  is(client_call(fd, OP_DIE, 0), -ABI_ESHUTDOWN, "the server dies of the request");
  is(waitpid(server, NULL, 0), server, "it is dead");
  is(sys_read((int)other, &byte, 1), -ABI_ESHUTDOWN, "other open files answer ESHUTDOWN");
  is(client_call(other, OP_COUNT, 0), -ABI_ESHUTDOWN, "for every operation");
  is(client_open(), -ABI_ENODEV, "the scheme is gone");
  struct poll_fd p = {.fd = (int)fd, .events = POLL_ABI_IN};
  ok(sys_poll(&p, 1, 0) == 1 && (p.revents & (POLL_ABI_HUP | POLL_ABI_ERR)), "poll tells it");
  is(sys_close((int)fd), 0, "close");
  is(sys_close((int)other), 0, "and close");
}

/* A server killed from outside while several clients wait. */
static void test_killed_server(void) {
  enum { CLIENTS = 4 };
  pid_t server = server_start("b"), pids[CLIENTS];
  for (int i = 0; i < CLIENTS; i++) {
    pids[i] = fork();
    if (pids[i] == 0) {
      int64_t fd = client_open();
      _exit(client_call(fd, OP_HOLD, 0) == -ABI_ESHUTDOWN ? 0 : 1);
    }
  }
  sleep_ms(30);
  server_stop(server);
  int good = 0;
  for (int i = 0; i < CLIENTS; i++) {
    int status = -1;
    good += waitpid(pids[i], &status, 0) == pids[i] &&
            (status == 0 || WEXITSTATUS(status) == 1); /* 1: it came too late to wait */
  }
  is(good, CLIENTS, "the clients of a killed server are let go");
  server = server_start("b");
  int64_t fd = client_open();
  ok(fd >= 0, "its name can be taken again");
  sys_close((int)fd);
  server_stop(server);
}

/* More requests than tags, none answered: the rest waits, and all end with the server. */
static void test_more_than_tags(void) {
  enum { CLIENTS = 70 };
  pid_t server = server_start("c"), pids[CLIENTS];
  for (int i = 0; i < CLIENTS; i++) {
    pids[i] = fork();
    if (pids[i] == 0) {
      int64_t fd = client_open();
      (void)client_call(fd, OP_HOLD, 0);
      _exit(0);
    }
  }
  sleep_ms(50);
  server_stop(server);
  int ended = 0;
  for (int i = 0; i < CLIENTS; i++) {
    int status = -1;
    ended += pids[i] > 0 && waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status);
  }
  is(ended, CLIENTS, "seventy clients of a server that never answers");
}

static uint64_t switches(void) {
  char text[2048];
  int64_t fd = sys_openat(FD_NS, "sys:/cpu/0/stat", 15, O_ABI_RDONLY, 0);
  int64_t n = sys_read((int)fd, text, sizeof text - 1);
  sys_close((int)fd);
  text[n > 0 ? n : 0] = '\0';
  const char *line = strstr(text, "SWITCHES ");
  return line != NULL ? strtoull(line + 9, NULL, 10) : 0;
}

/* Nobody waits for the end of a file: a server on the same CPU, though better, does not come in
 * for each. */
static void test_closes(void) {
  enum { FILES = 40 };
  int64_t fds[FILES];
  cpu_set_t before, first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  sched_getaffinity(0, sizeof before, &before);
  sched_setaffinity(0, sizeof first, &first);
  pid_t server = server_start("closes");
  is(setpriority(PRIO_PROCESS, (id_t)server, -15), 0, "a server with a better priority");
  for (int i = 0; i < FILES; i++) {
    fds[i] = client_open();
  }
  uint64_t from = switches();
  for (int i = 0; i < FILES; i++) {
    sys_close((int)fds[i]);
  }
  ok(switches() - from < FILES / 4, "closing files does not bring it in for each");
  fds[0] = client_open();
  is(client_call(fds[0], OP_COUNT, 0) >> 16, FILES, "it hears of all of them");
  sys_close((int)fds[0]);
  server_stop(server);
  sched_setaffinity(0, sizeof before, &before);
}

int main(void) {
  pid_t server = server_start("a");
  char name[64];
  snprintf(name, sizeof name, ":%s", scheme_name);
  is(sys_openat(FD_NS, name, strlen(name), O_ABI_CREAT | O_ABI_RDWR, 0), -ABI_EEXIST,
     "a name that is taken");
  test_round_trips();
  test_many_clients();
  test_cancel();
  test_lies();
  test_map_path();
  test_death(server);
  test_killed_server();
  test_more_than_tags();
  test_closes();
  return tap_done();
}
