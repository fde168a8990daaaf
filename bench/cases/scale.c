/* Does work that has nothing in common get in its own way on more CPUs?
 *
 * As many workers as the parameter says, a CPU each, are threads of one process or processes by
 * themselves. All do the same at the same time; an operation is one by each of them, so that with
 * twice the workers it should take as long. Orders and answers go through pipes. When all have
 * their order they start together, and the time is from the first who starts to the last who ends.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../cases.h"
#include "../os.h"
#include "../process.h"
#include "../region.h"
#include "../trap.h"

enum { GATE_SECONDS = 5 }; /* for all to come, or they do not */
enum { WORKERS_MOST = 16, PAGE_BYTES = 4096, WORKER_DONE = 6 };
enum { TABLE_PAGES = 512, CHUNK_PAGES = 2 * TABLE_PAGES }; /* what one page table maps */

struct task {
  uint64_t (*work)(uint64_t n); /* does n operations, and answers how many took effect */
  /* May be null: before there are workers, false after run_absent() or run_fail(). */
  bool (*prepare)(struct run *run);
  /* May be null: when all are done (before, another thread may have the same addresses at once),
   * null or what is wrong. */
  const char *(*refute)(void);
};

struct answer {
  uint64_t done; /* operations that took effect */
  uint64_t begin, end;
  uint64_t lonely; /* who waited for the others in vain */
};

static struct {
  struct worker {
    int order_fds[2]; /* how many operations; closed: go */
    unsigned cpu;
    pthread_t thread;
    pid_t pid;
  } of[WORKERS_MOST];
  int answer_fds[2];         /* from all */
  _Atomic uint64_t *arrived; /* shared: how many have come to the gate, ever */
  unsigned n;                /* workers that run */
  unsigned size;             /* and will run */
  bool are_threads;
  const struct task *task;
} crew;

/* Waits for the others of this round, each on its own CPU. */
static bool gate_pass(void) {
  uint64_t round = atomic_fetch_add(crew.arrived, 1) / crew.size;
  uint64_t give_up = ticks_now() + ticks_from_ns(GATE_SECONDS * 1000000000ul);
  while (atomic_load(crew.arrived) < (round + 1) * crew.size) {
    if (ticks_now() > give_up) {
      return false;
    }
    __builtin_ia32_pause();
  }
  return true;
}

static void worker_run(const struct worker *worker) {
  struct run run = {0};
  uint64_t n;
  bool pinned = process_pin(&run, worker->cpu);
  while (read(worker->order_fds[0], &n, sizeof(n)) == sizeof(n)) {
    struct answer answer = {.lonely = !gate_pass(), .begin = ticks_now()};
    answer.done = pinned ? crew.task->work(n) : 0;
    answer.end = ticks_now();
    if (write(crew.answer_fds[1], &answer, sizeof(answer)) != sizeof(answer)) {
      return;
    }
  }
}

static void *worker_thread(void *argument) {
  worker_run(argument);
  return NULL;
}

/* A child that holds its brothers' writing ends would keep them from seeing the end. */
static void worker_process(const struct worker *worker) {
  for (const struct worker *w = crew.of; w <= worker; w++) {
    close(w->order_fds[1]);
  }
  worker_run(worker);
  _exit(WORKER_DONE);
}

static bool worker_start(struct run *run, struct worker *worker) {
  if (pipe(worker->order_fds) != 0) {
    return run_fail(run, "pipe: %s", strerror(errno));
  }
  if (crew.are_threads) {
    int error = pthread_create(&worker->thread, NULL, worker_thread, worker);
    if (error != 0) {
      run_fail(run, "pthread_create: %s", strerror(error));
    }
  } else {
    worker->pid = process_fork(run);
    if (worker->pid == 0) {
      worker_process(worker);
    }
  }
  if (run->state != RUN_OK) {
    close(worker->order_fds[0]);
    close(worker->order_fds[1]);
  }
  return run->state == RUN_OK;
}

static void crew_end(struct run *run) {
  for (unsigned i = 0; i < crew.n; i++) {
    close(crew.of[i].order_fds[1]);
  }
  for (unsigned i = 0; i < crew.n; i++) {
    if (crew.are_threads) {
      pthread_join(crew.of[i].thread, NULL);
    } else {
      process_reap(run, crew.of[i].pid, WORKER_DONE);
    }
    close(crew.of[i].order_fds[0]);
  }
  close(crew.answer_fds[0]);
  close(crew.answer_fds[1]);
  process_shared_page_free(crew.arrived);
}

static bool crew_start(struct run *run, const struct task *task, bool are_threads) {
  if (process_cpus() < run->param) {
    return run_absent(run, "this machine has %u CPUs", process_cpus());
  }
  if (task->prepare != NULL && !task->prepare(run)) {
    return false;
  }
  crew.n = 0;
  crew.size = (unsigned)run->param;
  crew.task = task;
  crew.are_threads = are_threads;
  crew.arrived = process_shared_page(run);
  if (crew.arrived == NULL || pipe(crew.answer_fds) != 0) {
    return run_fail(run, "pipe: %s", strerror(errno));
  }
  while (crew.n < run->param) {
    crew.of[crew.n].cpu = crew.n;
    if (!worker_start(run, &crew.of[crew.n])) {
      crew_end(run);
      return false;
    }
    crew.n++;
  }
  return true;
}

static bool order_give(const struct worker *worker, uint64_t n) {
  return write(worker->order_fds[1], &n, sizeof(n)) == sizeof(n);
}

static bool answer_take(struct answer *all) {
  struct answer one;
  if (read(crew.answer_fds[0], &one, sizeof(one)) != sizeof(one)) {
    return false;
  }
  all->lonely += one.lonely;
  all->done += one.done;
  all->begin = one.begin < all->begin ? one.begin : all->begin;
  all->end = one.end > all->end ? one.end : all->end;
  return true;
}

static void crew_measure(struct run *run, uint64_t n) {
  struct answer all = {.begin = UINT64_MAX};
  bool good = true;
  for (unsigned i = 0; i < crew.n; i++) {
    good = order_give(&crew.of[i], n) && good;
  }
  for (unsigned i = 0; i < crew.n && good; i++) {
    good = answer_take(&all);
  }
  if (!good) {
    run_fail(run, "a worker is gone: %s", strerror(errno));
  } else if (all.lonely > 0) {
    run_fail(run, "the workers did not come together within %d s", (int)GATE_SECONDS);
  }
  const char *wrong = good && crew.task->refute != NULL ? crew.task->refute() : NULL;
  if (wrong != NULL) {
    run_fail(run, "%s", wrong);
  }
  run->confirmed = all.done / crew.n;
  run->ticks = all.end - all.begin;
}

/* ---- what they do --------------------------------------------------------------------------- */

static uint64_t syscall_work(uint64_t n) {
  long first = os_null_call();
  uint64_t same = 0;
  for (uint64_t i = 0; i < n; i++) {
    same += RUN_WORK(os_null_call(), -1) == first;
  }
  return same;
}

static uint64_t mmap_work(uint64_t n) {
  uint64_t done = 0;
  for (void *base; done < n; done++) {
    base = region_map();
    if (base == MAP_FAILED || !region_unmap(base)) {
      break;
    }
  }
  return done;
}

static const char *mmap_refute(void) {
  int fds[2];
  if (pipe(fds) != 0) {
    return strerror(errno);
  }
  const char *wrong = region_refute(fds);
  close(fds[0]);
  close(fds[1]);
  return wrong;
}

/* Each page is written once, and read again when all are. */
static uint64_t pages_touch(volatile unsigned char *base, uint64_t n) {
  uint64_t good = 0;
  for (uint64_t i = 0; i < n; i++) {
    RUN_WORK((void)(base[i * PAGE_BYTES] = (unsigned char)(i | 1)), 0);
  }
  for (uint64_t i = 0; i < n; i++) {
    good += base[i * PAGE_BYTES] == (unsigned char)(i | 1) && base[i * PAGE_BYTES + 1] == 0;
  }
  return good;
}

/* A chunk that begins with a page table and has no table in common with another worker's. */
static uint64_t fault_work(uint64_t n) {
  static const size_t table = TABLE_PAGES * PAGE_BYTES,
                      len = (CHUNK_PAGES + TABLE_PAGES) * PAGE_BYTES;
  uint64_t done = 0, good = 0;
  while (done < n) {
    uint64_t n_pages = n - done < CHUNK_PAGES ? n - done : CHUNK_PAGES;
    char *all = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) {
      return good;
    }
    madvise(all, len, MADV_NOHUGEPAGE); /* where there are none: refused */
    good += pages_touch((unsigned char *)all + (-(uintptr_t)all & (table - 1)), n_pages);
    munmap(all, len);
    done += n_pages;
  }
  return good;
}

static const struct task syscall_task = {.work = syscall_work};
static const struct task fault_task = {.work = fault_work};
static const struct task mmap_task = {.work = mmap_work, .refute = mmap_refute};
static const struct task trap_task = {
    .work = trap_work, .prepare = trap_prepare, .refute = trap_refute};
static const struct task int_task = {.work = trap_int_work, .prepare = trap_int_prepare};

/* ---- the cases ------------------------------------------------------------------------------ */

static const uint64_t cpu_counts[] = {1, 2, 4, 8, WORKERS_MOST, 0};

/* `...`: more fields, such as .counts_itself. */
#define SCALE_CASE(id, what, how, threads, least, text, ...)                                       \
  static bool id##_##how##_setup(struct run *run) {                                                \
    return crew_start(run, &id##_task, threads);                                                   \
  }                                                                                                \
  const struct bench_case case_##id##_scale_##how = {.name = what ".scale." #how,                  \
                                                     .op = text,                                   \
                                                     .setup = id##_##how##_setup,                  \
                                                     .measure = crew_measure,                      \
                                                     .teardown = crew_end,                         \
                                                     .param_name = "cpus",                         \
                                                     .params = cpu_counts,                         \
                                                     .min_n = least,                               \
                                                     __VA_ARGS__};

SCALE_CASE(syscall, "syscall", threads, true, 10000,
           "the cheapest system call, by each of so many threads, a CPU each")
SCALE_CASE(syscall, "syscall", processes, false, 10000,
           "the cheapest system call, by each of so many processes, a CPU each")
SCALE_CASE(
    fault, "pf", threads, true, 1000,
    "the first write to a page, with its share of mmap and munmap of 1024, by each of so many "
    "threads, a CPU each")
SCALE_CASE(
    fault, "pf", processes, false, 1000,
    "the first write to a page, with its share of mmap and munmap of 1024, by each of so many "
    "processes, a CPU each")
SCALE_CASE(mmap, "mmap", threads, true, 1000,
           "mmap of 64 KiB and munmap, untouched, by each of so many threads, a CPU each")
SCALE_CASE(mmap, "mmap", processes, false, 1000,
           "mmap of 64 KiB and munmap, untouched, by each of so many processes, a CPU each")

/* The floor below pf.scale: the machine's exceptions, with as little of a kernel as there can be.
 */
SCALE_CASE(
    trap, "cal.trap", threads, true, 2000,
    "a page fault in a system call, refused with EFAULT, by each of so many threads, a CPU each")
SCALE_CASE(
    trap, "cal.trap", processes, false, 2000,
    "a page fault in a system call, refused with EFAULT, by each of so many processes, a CPU each")
SCALE_CASE(
    int, "cal.int", processes, false, 16384,
    "a software interrupt in ring 0 and the return from it, by each of so many processes, a CPU "
    "each",
    .counts_itself = true)
