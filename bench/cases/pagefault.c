/* What does the first touch of a page cost?
 *
 * Each sample maps fresh pages, touches each of them once (timed), checks what they hold, and
 * unmaps them. Pages are small (4 KiB): that they are touched one by one is the point. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../cases.h"
#include "../os.h"
#include "../process.h"

enum { PAGE_BYTES = 4096, PAGES_MOST = 1024, PAGES_IDLE = 32, FILE_PAGES = 256 };
enum { CHILD_SAW_OLD = 5, CHILD_SAW_NEW = 6 };

static int data_fd = -1;

static unsigned char *pages_map(struct run *run, uint64_t n, int flags, int fd) {
  int prot = fd < 0 ? PROT_READ | PROT_WRITE : PROT_READ;
  unsigned char *base = mmap(NULL, n * PAGE_BYTES, prot, MAP_PRIVATE | flags, fd, 0);
  if (base == MAP_FAILED) {
    run_fail(run, "mapping %llu pages: %s", (unsigned long long)n, strerror(errno));
    return NULL;
  }
  /* A kernel that knows only small pages may refuse the advice, which is as good. */
  madvise(base, n * PAGE_BYTES, MADV_NOHUGEPAGE);
  return base;
}

static unsigned char page_mark(uint64_t page) {
  return (unsigned char)(page % 251 + 1);
}

static void pages_write(volatile unsigned char *base, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) {
    base[i * PAGE_BYTES] = page_mark(i);
  }
}

static uint64_t pages_read(const volatile unsigned char *base, uint64_t n) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < n; i++) {
    sum += base[i * PAGE_BYTES];
  }
  return sum;
}

/* Pages whose first byte is the mark and whose others are zero: fresh memory, written once. */
static uint64_t pages_count_marked(const unsigned char *base, uint64_t n) {
  static const unsigned char zeroes[PAGE_BYTES];
  uint64_t good = 0;
  for (uint64_t i = 0; i < n; i++) {
    const unsigned char *page = base + i * PAGE_BYTES;
    good += page[0] == page_mark(i) && memcmp(page + 1, zeroes, PAGE_BYTES - 1) == 0;
  }
  return good;
}

static void write_measure(struct run *run, uint64_t n) {
  unsigned char *base = pages_map(run, n, MAP_ANONYMOUS, -1);
  if (base == NULL) {
    return;
  }
  run_start(run);
  RUN_WORK(pages_write(base, n), 0);
  run_stop(run);
  run->confirmed = pages_count_marked(base, n);
  munmap(base, n * PAGE_BYTES);
}

const struct bench_case case_pf_anon_write = {
    .name = "pf.anon.write",
    .op = "the first write to a page of anonymous memory",
    .measure = write_measure,
    .max_n = PAGES_MOST,
};

/* A CPU that has nothing to do may zero frames for later. */
static void idle_write_measure(struct run *run, uint64_t n) {
  const struct timespec pause = {.tv_nsec = 10000000};
  if (nanosleep(&pause, NULL) != 0) {
    run_fail(run, "nanosleep: %s", strerror(errno));
    return;
  }
  write_measure(run, n);
}

const struct bench_case case_pf_anon_idle = {
    .name = "pf.anon.idle",
    .op = "the first write to a page of anonymous memory, 32 of them after 10 ms of idleness",
    .measure = idle_write_measure,
    .min_n = PAGES_IDLE,
    .max_n = PAGES_IDLE,
};

static void read_measure(struct run *run, uint64_t n) {
  unsigned char *base = pages_map(run, n, MAP_ANONYMOUS, -1);
  if (base == NULL) {
    return;
  }
  struct os_counts before, after;
  os_counts_read(run, &before);
  run_start(run);
  uint64_t sum = RUN_WORK(pages_read(base, n), 0);
  run_stop(run);
  os_counts_read(run, &after);
  pages_write(base, n); /* what was only read must still become memory of its own */
  run->confirmed = sum == 0 ? pages_count_marked(base, n) : 0;
  /* Zeroes look the same when nobody looks: a kernel may map many pages at a fault, not all. */
  if (after.faults == before.faults) {
    run_fail(run, "%llu pages were read without a fault", (unsigned long long)n);
  }
  munmap(base, n * PAGE_BYTES);
}

const struct bench_case case_pf_anon_read = {
    .name = "pf.anon.read",
    .op = "the first read of a page of anonymous memory that was never written",
    .measure = read_measure,
    .max_n = PAGES_MOST,
};

/* The child holds the old pages until the parent has written, then looks at what it has. */
static int witness_run(int wait_fd, const unsigned char *base, uint64_t n) {
  char byte;
  if (read(wait_fd, &byte, 1) != 1) {
    return CHILD_SAW_NEW;
  }
  return pages_count_marked(base, n) == n ? CHILD_SAW_OLD : CHILD_SAW_NEW;
}

static void pages_unshare(struct run *run, volatile unsigned char *base, uint64_t n) {
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    RUN_WORK((void)(base[i * PAGE_BYTES] = 0), 0);
  }
  run_stop(run);
}

static void cow_measure_with(struct run *run, uint64_t n, unsigned char *base, int pipe_fds[2]) {
  pages_write(base, n);
  pid_t pid = process_fork(run);
  if (pid == 0) {
    _exit(witness_run(pipe_fds[0], base, n));
  }
  if (pid < 0) {
    return;
  }
  pages_unshare(run, base, n);
  bool told = write(pipe_fds[1], "x", 1) == 1;
  if (process_reap(run, pid, CHILD_SAW_OLD) && told) {
    run->confirmed = pages_read(base, n) == 0 ? n : 0;
  }
}

static void cow_measure(struct run *run, uint64_t n) {
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) {
    run_fail(run, "pipe: %s", strerror(errno));
    return;
  }
  unsigned char *base = pages_map(run, n, MAP_ANONYMOUS, -1);
  if (base != NULL) {
    cow_measure_with(run, n, base, pipe_fds);
    munmap(base, n * PAGE_BYTES);
  }
  close(pipe_fds[0]);
  close(pipe_fds[1]);
}

const struct bench_case case_pf_cow = {
    .name = "pf.cow",
    .op = "the first write after fork to a page that a living child shares: the copy is made",
    .measure = cow_measure,
    .max_n = PAGES_MOST,
};

/* A file of FILE_PAGES pages, each marked; it has no name any more when this returns. */
static bool file_setup(struct run *run) {
  static unsigned char page[PAGE_BYTES];
  char path[] = "/tmp/bench-XXXXXX";
  data_fd = mkstemp(path);
  if (data_fd < 0) {
    return run_fail(run, "%s: %s", path, strerror(errno));
  }
  unlink(path);
  for (uint64_t i = 0; i < FILE_PAGES; i++) {
    page[0] = page_mark(i);
    if (write(data_fd, page, PAGE_BYTES) != PAGE_BYTES) {
      close(data_fd);
      return run_fail(run, "writing %s: %s", path, strerror(errno));
    }
  }
  return true;
}

static void file_measure(struct run *run, uint64_t n) {
  unsigned char *base = pages_map(run, n, 0, data_fd);
  if (base == NULL) {
    return;
  }
  run_start(run);
  uint64_t sum = RUN_WORK(pages_read(base, n), 0);
  run_stop(run);
  uint64_t expected = 0;
  for (uint64_t i = 0; i < n; i++) {
    expected += page_mark(i);
  }
  run->confirmed = sum == expected ? pages_count_marked(base, n) : 0;
  munmap(base, n * PAGE_BYTES);
}

static void file_teardown(struct run *run) {
  (void)run;
  close(data_fd);
}

const struct bench_case case_pf_file = {
    .name = "pf.file",
    .op = "the first read of a page of a private file mapping, pages read in order",
    .setup = file_setup,
    .measure = file_measure,
    .teardown = file_teardown,
    .max_n = FILE_PAGES,
};
