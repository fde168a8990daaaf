/* proc:PID/mem-stat: what memory a process has, as `name value` lines, counted when it is read.
 *
 *   mapped_bytes         of address space; limit_bytes is the most that may be (none: no limit)
 *   data_bytes           of these, private and open to writes, but for stacks; data_limit_bytes,
 *                        stack_limit_bytes likewise
 *   counted_bytes        that are there, but for the zero frame and the boot image: what
 *                        resident_limit_bytes is about
 *   resident_bytes       that are there: private_bytes that nobody else has, and shared_bytes
 *   table_bytes, grant_bytes, stack_bytes   of the kernel, for it: page tables and grants, its own
 *                        or shared with clones; kernel stacks of its threads
 *   faults_*             pages by how they came (enum space_fault_kind)
 *
 * A sum of pages is of no single moment while the process runs. A process that has ended has no
 * memory: ESRCH. */
#include "lib/fmt.h"
#include "scheme/proc_priv.h"

#define TEXT_MAX 896u

static size_t limits_print(const struct space_limit *limits, char *out, size_t cap) {
  static const char *const names[SPACE_LIMIT_KINDS] = {[SPACE_LIMIT_MAPPED] = "",
                                                       [SPACE_LIMIT_STACK] = "stack_",
                                                       [SPACE_LIMIT_DATA] = "data_",
                                                       [SPACE_LIMIT_RESIDENT] = "resident_"};
  size_t len = 0;
  for (uint32_t kind = 0; kind < SPACE_LIMIT_KINDS && len < cap; kind++) {
    uint64_t soft = limits[kind].soft;
    len += soft == UINT64_MAX
               ? fmt_snprintf(out + len, cap - len, "%slimit_bytes none\n", names[kind])
               : fmt_snprintf(out + len, cap - len, "%slimit_bytes %lu\n", names[kind], soft);
  }
  return len;
}

static size_t faults_print(const uint64_t *n, char *out, size_t cap) {
  static const char *const names[SPACE_FAULT_KINDS] = {
      [SPACE_FAULT_ZERO] = "zero", [SPACE_FAULT_READ] = "read",   [SPACE_FAULT_FILE] = "file",
      [SPACE_FAULT_COPY] = "copy", [SPACE_FAULT_WIDEN] = "widen", [SPACE_FAULT_MAJOR] = "major",
  };
  size_t len = 0;
  for (uint32_t kind = 0; kind < SPACE_FAULT_KINDS && len < cap; kind++) {
    len += fmt_snprintf(out + len, cap - len, "faults_%s %lu\n", names[kind], n[kind]);
  }
  return len;
}

static size_t stat_print(const struct space_stats *st, uint32_t n_threads, char *out, size_t cap) {
  size_t len = fmt_snprintf(out, cap,
                            "grants %lu\nmapped_bytes %lu\ndata_bytes %lu\nresident_bytes %lu\n"
                            "counted_bytes %lu\nprivate_bytes %lu\nshared_bytes %lu\n"
                            "table_bytes %lu\ngrant_bytes %lu\nstack_bytes %lu\n",
                            st->n_grants, st->bytes_mapped, st->bytes_data,
                            st->n_resident * PAGE_SIZE, st->n_counted * PAGE_SIZE,
                            st->n_private * PAGE_SIZE, (st->n_resident - st->n_private) * PAGE_SIZE,
                            st->n_tables * PAGE_SIZE, st->bytes_grants, n_threads * KSTACK_SIZE);
  len += limits_print(st->limits, out + len, cap - len);
  return len + faults_print(st->n_faults, out + len, cap - len);
}

static int64_t mem_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  struct context *t = f->object;
  char text[TEXT_MAX];
  struct space *s = context_space_get(t);
  if (s == NULL) {
    return -ABI_ESRCH;
  }
  struct space_stats st;
  space_stats_read(s, &st);
  space_put(s);
  uint32_t n_threads = __atomic_load_n(&t->group->n_started, __ATOMIC_RELAXED);
  return text_read(text, stat_print(&st, n_threads, text, sizeof(text)), buf, len, offset);
}

static void mem_close(struct file *f) {
  context_put(f->object);
}

static int64_t mem_call(struct file *f, const struct file_call *c) {
  const struct context *t = f->object;
  return c->op == OP_STAT ? stat_out(c, S_ABI_IFREG | 0400, t->id, 0) : -ABI_ENOTTY;
}

int64_t mem_file_create(struct context *target, struct file **out) {
  static const struct file_ops mem_ops = {
      .read = mem_read, .call = mem_call, .close = mem_close, .seekable = true};
  *out = file_create(&mem_ops, O_ABI_RDONLY, target, 0);
  if (*out == NULL) {
    return -ABI_ENOMEM;
  }
  context_get(target);
  return 0;
}
