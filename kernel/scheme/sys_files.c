/* The files of sys:. Text is `name value` lines unless said otherwise. */
#include "base/clock.h"
#include "base/counter.h"
#include "base/panic.h"
#include "lib/fmt.h"
#include "lib/hash.h"
#include "lib/string.h"
#include "scheme/sys_priv.h"

static const char *init_command = "";
static struct abi_boot boot_block;
uint64_t layout_seed;

/* ---- boot --------------------------------------------------------------------------------- */

/* Binary: struct abi_boot. */
static int64_t boot_read(uint32_t arg, char *out, size_t cap) {
  (void)arg;
  (void)cap;
  struct abi_boot b = boot_block;
  b.start.clock = clock_abi;
  b.start.n_cpus = bit_count(sched_online_mask());
  b.start.cpu_features = arch_user_has_fsgsbase() ? CPU_FEATURE_FSGSBASE : 0;
  b.start.seed[0] = hash_u64(arch_tsc());
  b.start.seed[1] = hash_u64(b.start.seed[0] + arch_tsc());
  memcpy(out, &b, sizeof(b));
  return sizeof(b);
}

static int64_t command_read(uint32_t arg, char *out, size_t cap) {
  (void)arg;
  return (int64_t)fmt_snprintf(out, cap, "%s", init_command);
}

/* `exit N`: the machine ends with this status of the command. */
static int64_t power_write(uint32_t arg, const char *text, size_t len) {
  (void)arg;
  uint64_t status;
  if (context_current()->group->euid != 0) {
    return -ABI_EPERM;
  }
  if (len < 6 || memcmp(text, "exit ", 5) != 0 || !fmt_parse_u64(text + 5, len - 5, &status) ||
      status > 255) {
    return -ABI_EINVAL;
  }
  log_record("exit %lu", status);
  arch_power_off(false);
}

static int64_t kernel_read(uint32_t arg, char *out, size_t cap) {
  (void)arg;
  char features[256];
  arch_cpu_features(features, sizeof(features));
  return (int64_t)fmt_snprintf(
      out, cap,
      "sysname Cathode\nrelease 0.1\ncpu %s\nfeatures %s\ncpus %u\napic %s\ntsc_hz %lu\n"
      "tsc_source %s\npage_routines %s\ndebug %d\nlayout_seed %lu\n",
      arch_cpu_model(), features, bit_count(sched_online_mask()), arch_apic_mode(), arch_tsc_hz(),
      arch_clock_source(), arch_page_report(), CATHODE_DEBUG, layout_seed);
}

/* ---- memory ------------------------------------------------------------------------------- */

static int64_t mem_read(uint32_t arg, char *out, size_t cap) {
  (void)arg;
  struct frame_stats s;
  frame_stats_read(&s);
  return (int64_t)fmt_snprintf(
      out, cap,
      "total_bytes %lu\nfree_bytes %lu\nkernel_bytes %lu\ntable_bytes %lu\nanon_bytes %lu\n"
      "object_bytes %lu\n",
      s.total * PAGE_SIZE, s.free * PAGE_SIZE, s.by_kind[FRAME_KERNEL] * PAGE_SIZE,
      s.by_kind[FRAME_TABLE] * PAGE_SIZE, s.by_kind[FRAME_ANON] * PAGE_SIZE,
      s.by_kind[FRAME_OBJECT] * PAGE_SIZE);
}

/* What must be the same before and after a program: live objects and user frames. */
static int64_t leaks_read(uint32_t arg, char *out, size_t cap) {
  (void)arg;
  struct frame_stats s;
  frame_stats_read(&s);
  size_t n = fmt_snprintf(out, cap, "frames.anon %lu\nframes.table %lu\n", s.by_kind[FRAME_ANON],
                          s.by_kind[FRAME_TABLE]);
  for (const struct kcache *c = atomic_load(&kcache_list); c != NULL && n < cap;
       c = c->next_cache) {
    n += fmt_snprintf(out + n, cap - n, "%s %ld\n", c->name, kcache_live(c));
  }
  return (int64_t)MIN(n, cap);
}

/* ---- scheduler ------------------------------------------------------------------------------ */

static bool param_resolve(const char *rest, size_t len, uint32_t *arg) {
  for (*arg = 0; *arg < SCHED_PARAM_COUNT; (*arg)++) {
    if (name_is(rest, len, sched_param_info[*arg].name)) {
      return true;
    }
  }
  return false;
}

static int64_t param_read(uint32_t arg, char *out, size_t cap) {
  return (int64_t)fmt_snprintf(out, cap, "%lu\n", atomic_load(&sched_params[arg]));
}

static int64_t param_write(uint32_t arg, const char *text, size_t len) {
  uint64_t value;
  if (!fmt_parse_u64(text, len, &value)) {
    return fmt_is_number(text, len) ? -ABI_ERANGE : -ABI_EINVAL;
  }
  return -(int64_t)sched_param_set((enum sched_param)arg, value);
}

/* All parameters: name value unit least most. */
static int64_t params_read(uint32_t arg, char *out, size_t cap) {
  (void)arg;
  size_t n = 0;
  for (uint32_t i = 0; i < SCHED_PARAM_COUNT && n < cap; i++) {
    const struct sched_param_info *p = &sched_param_info[i];
    n += fmt_snprintf(out + n, cap - n, "%s %lu %s %lu %lu\n", p->name,
                      atomic_load(&sched_params[i]), p->unit, p->least, p->most);
  }
  return (int64_t)MIN(n, cap);
}

static bool cpu_resolve(const char *rest, size_t len, uint32_t *arg) {
  const char *slash = memchr(rest, '/', len);
  uint64_t cpu;
  if (slash == NULL || !name_is(slash + 1, len - (size_t)(slash + 1 - rest), "stat") ||
      !fmt_parse_u64(rest, (size_t)(slash - rest), &cpu) || cpu >= MAX_CPUS ||
      !(sched_online_mask() >> cpu & 1)) {
    return false;
  }
  *arg = (uint32_t)cpu;
  return true;
}

static int64_t cpu_read(uint32_t arg, char *out, size_t cap) {
  size_t n = fmt_snprintf(out, cap, "runnable %u\n", sched_n_runnable(arg));
  for (uint32_t i = 0; i < COUNTER_COUNT && n < cap; i++) {
    n += fmt_snprintf(out + n, cap - n, "%s %lu\n", counter_names[i], counters[arg].n[i]);
  }
  return (int64_t)MIN(n, cap);
}

/* ---- contexts ----------------------------------------------------------------------------- */

struct context_listing {
  char *out;
  size_t len, cap;
};

static void context_list_one(struct context *c, void *arg) {
  struct context_listing *l = arg;
  static const char *const states[] = {"new", "run", "stop", "dead"};
  if (l->len < l->cap) {
    l->len += fmt_snprintf(l->out + l->len, l->cap - l->len, "%u %u %u %s %lu %s\n", c->id,
                           c->group->pid, atomic_load(&c->thread.cpu), states[c->state],
                           thread_run_ns(&c->thread) / 1000, c->group->name);
  }
}

/* tid pid cpu state run_us name */
static int64_t context_read_all(uint32_t arg, char *out, size_t cap) {
  (void)arg;
  struct context_listing l = {out, 0, cap};
  context_for_each(context_list_one, &l);
  return (int64_t)MIN(l.len, cap);
}

/* ---- faults on purpose ---------------------------------------------------------------------- */

static int64_t inject_text(uint32_t arg, char *out, size_t cap) {
  (void)arg;
  struct inject_report r = inject_read();
  return (int64_t)fmt_snprintf(out, cap, "armed %d\nseen %lu\nfired %d\nat %s\n", inject_armed,
                               r.seen, r.fired, r.where);
}

/* `kill N`, `alloc N`, `off`: of who writes it. */
static int64_t inject_write(uint32_t arg, const char *text, size_t len) {
  (void)arg;
  uint64_t nth;
  if (name_is(text, len, "off")) {
    inject_off(context_current());
    return 0;
  }
  if (len > 5 && memcmp(text, "kill ", 5) == 0 && fmt_parse_u64(text + 5, len - 5, &nth)) {
    return -(int64_t)inject_arm(INJECT_KILL, nth);
  }
  if (len > 6 && memcmp(text, "alloc ", 6) == 0 && fmt_parse_u64(text + 6, len - 6, &nth)) {
    return -(int64_t)inject_arm(INJECT_ALLOC, nth);
  }
  return -ABI_EINVAL;
}

/* ---- the table ------------------------------------------------------------------------------ */

const struct sys_entry sys_entries[] = {
    {"boot", NULL, boot_read, NULL, NULL},
    {"command", NULL, command_read, NULL, NULL},
    {"power", NULL, NULL, power_write, NULL},
    {"kernel", NULL, kernel_read, NULL, NULL},
    {"mem", NULL, mem_read, NULL, NULL},
    {"leaks", NULL, leaks_read, NULL, NULL},
    {"sched", NULL, params_read, NULL, NULL},
    {"sched", param_resolve, param_read, param_write, NULL},
    {"cpu", cpu_resolve, cpu_read, NULL, NULL},
    {"context", NULL, context_read_all, NULL, NULL},
    {"inject", NULL, inject_text, inject_write, NULL},
    {"trace", sys_trace_mask_resolve, sys_trace_mask_read, sys_trace_mask_write, NULL},
    {"trace", sys_trace_meta_resolve, sys_trace_meta_read, NULL, NULL},
    {"trace", sys_trace_stream_resolve, NULL, NULL, sys_trace_stream_open},
    {"profile", sys_profile_resolve, sys_profile_read, sys_profile_write, NULL},
    {"profile", sys_profile_samples_resolve, NULL, NULL, sys_profile_samples_open},
    {"ktest", NULL, sys_ktest_read, NULL, NULL},
    {"bench", sys_bench_resolve, sys_bench_read, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

void sys_files_init(const struct boot_info *boot, const char *command) {
  init_command = command;
  boot_block.image_base = ABI_IMAGE_BASE;
  boot_block.image_len = boot->module.end - boot->module.start;
  boot_block.start.size = sizeof(boot_block.start);
  boot_block.start.umask = 022;
  boot_block.start.layout = layout_seed;
  boot_block.start.layout_stays = layout_seed != 0;
}
