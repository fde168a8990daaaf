/* sys:trace/: the flight recorder (base/trace.h), read from outside. Root alone may.
 *
 *   mask      the events that are recorded, a bit each; writing changes it at once
 *   meta      what a reader must know: clock, CPUs, the table of events
 *   threads   `tid pid name` of every context that lives
 *   cpuN      the records of CPU N, in rounds. The first begins with the oldest that is kept; each
 *             ends, as a file does, with what there was at its first read, and the next goes on:
 *             a reader, who is recorded too, comes to an end. Where records were overwritten before
 *             they were read, one TRACE_LOST stands for them
 *
 * The position of threads and cpuN is the open file's own and cannot be sought: two threads that
 * read one open file at once may get the same records. */
#include "base/clock.h"
#include "base/trace.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "scheme/sys_priv.h"

#define CHUNK 16u /* records that are copied at a time, through the stack */
#define STREAM_THREADS MAX_CPUS
#define THREAD_LINE_MOST 64u
#define CONTEXT_ID_END 65536u

static bool is_root(void) {
  return context_current()->group->euid == 0;
}

/* ---- mask and meta -------------------------------------------------------------------------- */

bool sys_trace_mask_resolve(const char *rest, size_t len, uint32_t *arg) {
  *arg = 0;
  return name_is(rest, len, "mask");
}

int64_t sys_trace_mask_read(uint32_t arg, char *out, size_t cap) {
  (void)arg;
  return (int64_t)fmt_snprintf(out, cap, "0x%x\n", trace_mask);
}

int64_t sys_trace_mask_write(uint32_t arg, const char *text, size_t len) {
  (void)arg;
  uint64_t mask;
  if (!fmt_parse_u64(text, len, &mask) || mask > TRACE_MASK_ALL) {
    return -ABI_EINVAL;
  }
  return trace_mask_set((uint32_t)mask) ? 0 : -ABI_ENODEV;
}

bool sys_trace_meta_resolve(const char *rest, size_t len, uint32_t *arg) {
  *arg = 0;
  return name_is(rest, len, "meta");
}

static const char *const syscall_names[SYS_NR_COUNT] = {
#define SYSCALL0(nr, name, ...) [nr] = #name,
#define SYSCALL1 SYSCALL0
#define SYSCALL2 SYSCALL0
#define SYSCALL3 SYSCALL0
#define SYSCALL4 SYSCALL0
#define SYSCALL5 SYSCALL0
#define SYSCALL6 SYSCALL0
#include "abi/syscalls.def"
};

/* `name value` lines, `event NUMBER NAME FIRST SECOND` and `syscall NUMBER NAME`. */
int64_t sys_trace_meta_read(uint32_t arg, char *out, size_t cap) {
  (void)arg;
  size_t n = fmt_snprintf(out, cap,
                          "version 1\nrecord_bytes %zu\ntsc_hz %lu\nbase_tsc %lu\ncpus %u\n"
                          "ring_bytes %lu\nmask_default 0x%x\nmask_all 0x%x\n",
                          sizeof(struct trace_record), clock_abi.tsc_hz, clock_abi.base_tsc,
                          bit_count(sched_online_mask()), trace_ring_bytes(cpu_id()),
                          TRACE_MASK_DEFAULT, TRACE_MASK_ALL);
  for (size_t i = 0; i < n_trace_events && n < cap; i++) {
    const struct trace_event_info *e = &trace_event_info[i];
    n += fmt_snprintf(out + n, cap - n, "event %u %s %s %s\n", e->number, e->name, e->a, e->b);
  }
  for (uint32_t i = 0; i < SYS_NR_COUNT && n < cap; i++) {
    n += fmt_snprintf(out + n, cap - n, "syscall %u %s\n", i, syscall_names[i]);
  }
  return (int64_t)MIN(n, cap);
}

/* ---- threads ----------------------------------------------------------------------------------
 */

static size_t thread_line(struct context *c, char *line) {
  spin_lock(&c->group->lock);
  size_t n =
      fmt_snprintf(line, THREAD_LINE_MOST, "%u %u %s\n", c->id, c->group->pid, c->group->name);
  spin_unlock(&c->group->lock);
  return n;
}

/* The position is the next id to tell of. */
static int64_t threads_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  char line[THREAD_LINE_MOST];
  size_t done = 0;
  uint64_t id = MAX(atomic_load(&f->pos), 1ul);
  if (len < sizeof(line)) {
    return -ABI_EINVAL;
  }
  for (; id < CONTEXT_ID_END && len - done >= sizeof(line); id++) {
    struct context *c = context_find((uint32_t)id);
    if (c != NULL) {
      size_t n = thread_line(c, line);
      context_put(c);
      enum abi_error e = user_copy_out(uaddr_add(buf, done), line, n);
      if (e != OK) {
        return -(int64_t)e;
      }
      done += n;
    }
    if (id % 1024 == 0) {
      sched_point();
    }
  }
  atomic_store(&f->pos, id);
  return (int64_t)done;
}

/* ---- records ----------------------------------------------------------------------------------
 */

struct reader {
  uint32_t cpu;         /* [c] */
  _Atomic uint64_t pos; /* [a] bytes, as trace_head(): the next record */
  _Atomic uint64_t end; /* [a] of this round, 0: the next read begins one */
};

static struct kcache reader_cache = KCACHE_OF(struct reader, "trace_reader");

/* The next records, with one that says what is missing before them. Answers how many. */
static size_t chunk_read(const struct reader *r, uint64_t *pos, uint64_t end,
                         struct trace_record *chunk, size_t room) {
  uint64_t lost;
  size_t n = trace_read(r->cpu, pos, end, chunk + 1, MIN(room, (size_t)CHUNK) - 1, &lost);
  if (lost == 0) {
    memmove(chunk, chunk + 1, n * sizeof(chunk[0]));
    return n;
  }
  chunk[0] = (struct trace_record){.event = TRACE_LOST, .a = lost};
  return n + 1;
}

static int64_t records_copy(const struct reader *r, uint64_t *pos, uint64_t end, uaddr_t buf,
                            size_t room) {
  struct trace_record chunk[CHUNK];
  size_t done = 0;
  while (*pos < end && room - done >= 2) {
    size_t n = chunk_read(r, pos, end, chunk, room - done);
    enum abi_error e =
        user_copy_out(uaddr_add(buf, done * sizeof(chunk[0])), chunk, n * sizeof(chunk[0]));
    if (e != OK) {
      return -(int64_t)e;
    }
    done += n;
    sched_point();
  }
  return (int64_t)(done * sizeof(chunk[0]));
}

static int64_t records_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  struct reader *r = f->object;
  size_t room = len / sizeof(struct trace_record);
  uint64_t pos = atomic_load(&r->pos), end = atomic_load(&r->end);
  if (room < 2) {
    return -ABI_EINVAL;
  }
  if (end == 0) {
    end = trace_head(r->cpu);
  }
  int64_t n = records_copy(r, &pos, end, buf, room);
  if (n >= 0) {
    atomic_store(&r->pos, pos);
    atomic_store(&r->end, n > 0 ? end : 0);
  }
  return n;
}

static void records_close(struct file *f) {
  kcache_free(&reader_cache, f->object);
}

static int64_t stream_call(struct file *f, const struct file_call *c) {
  return c->op == OP_STAT ? stat_out(c, S_ABI_IFREG | 0400, f->id + 1, 0) : -ABI_ENOTTY;
}

static const struct file_ops threads_ops = {.read = threads_read, .call = stream_call};
static const struct file_ops records_ops = {
    .read = records_read, .call = stream_call, .close = records_close};

/* ---- both -------------------------------------------------------------------------------------
 */

bool sys_trace_stream_resolve(const char *rest, size_t len, uint32_t *arg) {
  uint64_t cpu;
  *arg = STREAM_THREADS;
  if (name_is(rest, len, "threads")) {
    return true;
  }
  if (len < 4 || memcmp(rest, "cpu", 3) != 0 || !fmt_parse_u64(rest + 3, len - 3, &cpu) ||
      cpu >= MAX_CPUS || trace_ring_bytes((uint32_t)cpu) == 0) {
    return false;
  }
  *arg = (uint32_t)cpu;
  return true;
}

static int64_t records_open(uint32_t cpu, uint32_t flags, struct file **out) {
  struct reader *r = kcache_alloc_zeroed(&reader_cache);
  if (r == NULL) {
    return -ABI_ENOMEM;
  }
  r->cpu = cpu;
  *out = file_create(&records_ops, flags, r, cpu);
  if (*out == NULL) {
    kcache_free(&reader_cache, r);
    return -ABI_ENOMEM;
  }
  return 0;
}

int64_t sys_trace_stream_open(uint32_t arg, uint32_t flags, struct file **out) {
  if (!is_root()) {
    return -ABI_EACCES;
  }
  if (arg != STREAM_THREADS) {
    return records_open(arg, flags, out);
  }
  *out = file_create(&threads_ops, flags, NULL, arg);
  return *out != NULL ? 0 : -ABI_ENOMEM;
}
