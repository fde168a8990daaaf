/* The boot order, every step listed; and the first context, which runs bootstrap. */
#include "arch/upcall.h"
#include "base/bootargs.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/panic.h"
#include "base/stress.h"
#include "base/trace.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "scheme/scheme.h"
#include "syscall/syscall.h"

#define IMAGE_MAGIC 0x0145444f48544143ul /* "CATHODE\1", little-endian */

#define TRACE_KIB_MOST 4096u /* the largest block of the frame allocator */

/* Called by arch once the boot stack and the first tables are there. */
_Noreturn void kernel_main(void);

static struct boot_info boot;
static uint64_t max_cpus = MAX_CPUS;
static bool cpu_online[MAX_CPUS];
static uint64_t trace_kib = 64, trace_mask_first = TRACE_MASK_DEFAULT;

/* ---- boot arguments ------------------------------------------------------------------------ */

static uint64_t sched_values[SCHED_PARAM_COUNT];

static const struct bootarg bootarg_table[] = {
    {"cpus", BOOTARG_U64, &max_cpus, 1, MAX_CPUS, NULL, "CPUs to start"},
    {"trace.syscalls", BOOTARG_BOOL, &trace_syscalls, 0, 1, NULL,
     "log every system call (debug build)"},
    {"trace.kib", BOOTARG_U64, &trace_kib, 0, TRACE_KIB_MOST, NULL,
     "trace ring of each CPU, rounded down to a power of two; 0: no tracing"},
    {"trace.mask", BOOTARG_U64, &trace_mask_first, 0, TRACE_MASK_ALL, NULL,
     "events that are traced, a bit each (abi/trace_events.def)"},
    {"mm.big", BOOTARG_BOOL, &mm_big_default, 0, 1, NULL,
     "2 MiB pages for all private anonymous memory, not only where madvise asks"},
    {"fail.alloc", BOOTARG_U64, &fail_alloc_at, 0, UINT64_MAX, NULL,
     "make this allocation after boot fail"},
    {"fail.every", BOOTARG_BOOL, &fail_alloc_every, 0, 1, NULL, "and all that follow"},
    {"layout_seed", BOOTARG_U64, &layout_seed, 0, UINT64_MAX, NULL,
     "lay out every program's addresses by this seed; 0: each by its own"},
    {"stress", BOOTARG_U64, &stress_seed, 0, UINT64_MAX, NULL,
     "delays and preemptions after unlocks, by this seed (debug build)"},
#define SCHED_PARAM(name, unit, initial, least, most, text)                                        \
  {"sched." #name, BOOTARG_U64, &sched_values[SCHED_PARAM_##name], least, most, NULL, text},
#include "abi/sched_params.def"
#undef SCHED_PARAM
};

static void bootarg_report(void *ctx, const char *line) {
  (void)ctx;
  log_printf("boot argument: %s\n", line);
}

static const char *arguments_read(const char *line) {
  for (uint32_t i = 0; i < SCHED_PARAM_COUNT; i++) {
    sched_values[i] = sched_param_info[i].initial;
  }
  const struct bootargs args = {bootarg_table, ARRAY_LEN(bootarg_table), bootarg_report, NULL};
  unsigned n_bad;
  const char *command = bootargs_parse(&args, line, &n_bad);
  for (uint32_t i = 0; i < SCHED_PARAM_COUNT; i++) {
    enum abi_error e = sched_param_set((enum sched_param)i, sched_values[i]);
    kassert(e == OK);
  }
  trace_mask_boot((uint32_t)trace_mask_first);
  return command;
}

/* ---- the first context ----------------------------------------------------------------------- */

/* What the boot loader brought is wrong: say so, and end with status 1. Our own mistakes panic. */
_Noreturn static void boot_fail(const char *why) {
  arch_port_write(ARCH_PORT_STDERR, "boot: ", 6);
  arch_port_write(ARCH_PORT_STDERR, why, strlen(why));
  arch_port_write(ARCH_PORT_STDERR, "\n", 1);
  log_printf("boot: %s\n", why);
  log_record("exit 1");
  arch_power_off(false);
}

static void bootstrap_map(struct space *s, struct memobj *image, uint64_t at, uint64_t offset,
                          uint64_t len, uint32_t prot) {
  struct map_request r = {.addr = at,
                          .len = len,
                          .prot = prot,
                          .flags = MAP_ABI_PRIVATE | MAP_ABI_FIXED_NOREPLACE,
                          .obj = image,
                          .offset = offset};
  enum abi_error e = space_map(s, &r);
  if (e != OK) {
    boot_fail("the initfs image cannot be mapped");
  }
}

/* Two words of the image's header say where bootstrap lies; nothing else of it is the kernel's
 * business. */
static void image_read(uint64_t *offset, uint64_t *len) {
  uint64_t size = boot.module.end - boot.module.start;
  if (boot.module.end == 0 || size < PAGE_SIZE || boot.module.start % PAGE_SIZE != 0) {
    boot_fail("there is no initfs image: boot with -initrd build/initfs.img");
  }
  const uint64_t *words = direct_map((paddr_t){boot.module.start});
  *offset = words[1];
  *len = words[2];
  if (words[0] != IMAGE_MAGIC || *offset % PAGE_SIZE != 0 || *offset >= size || *len == 0 ||
      *len > size - *offset) {
    boot_fail("the initfs image is malformed: make it with tools/mkinitfs.py");
  }
}

static void bootstrap_start(void) {
  uint64_t offset, len;
  image_read(&offset, &len);
  uint64_t size = boot.module.end - boot.module.start;
  struct context *c;
  struct memobj *image;
  struct space *s;
  if (context_create(NULL, false, &c) != OK || filetable_create(&c->files) != OK ||
      actions_create(NULL, &c->actions) != OK || space_create(&s) != OK ||
      memobj_create_fixed((paddr_t){boot.module.start}, size, &image) != OK) {
    panic("no memory for the first context");
  }
  bootstrap_map(s, image, ABI_BOOTSTRAP_BASE, offset, len, PROT_ABI_READ | PROT_ABI_EXEC);
  bootstrap_map(s, image, ABI_IMAGE_BASE, 0, size, PROT_ABI_READ);
  context_set_space(c, s);
  c->regs = (struct arch_user_regs){.ip = ABI_BOOTSTRAP_BASE, .arg = ABI_IMAGE_BASE};
  strlcpy(c->group->name, "bootstrap", sizeof(c->group->name));
  log_record("boot ok");
  log_printf("bootstrap starts %lu us after boot\n", clock_now() / 1000);
  fail_alloc_arm();
  stress_arm();
  enum abi_error e = context_start(c);
  kassert(e == OK);
}

/* ---- CPUs --------------------------------------------------------------------------------- */

static uint64_t cpu_stack(void) {
  uint64_t top;
  if (!kstack_alloc(&top)) {
    panic("no memory for a CPU's stack");
  }
  return top;
}

/* The calling CPU records from now on. Without memory for a ring it runs all the same. */
static void trace_start(void) {
  paddr_t pa;
  if (trace_kib < PAGE_SIZE >> 10) {
    return;
  }
  unsigned order = bit_last(trace_kib << 10 >> PAGE_SHIFT);
  if (!frame_alloc_order(order, &pa)) {
    log_printf("cpu %u: no memory for a trace ring of %lu KiB\n", cpu_id(), trace_kib);
    return;
  }
  trace_ring_give(direct_map(pa), PAGE_SIZE << order);
}

_Noreturn void upcall_cpu_online(uint32_t cpu) {
  counter_cpu_init();
  cpu_online[cpu] = true;
  panic_cpu_online();
  sched_cpu_init();
  trace_start();
  sched_cpu_run();
}

static void cpus_start(void) {
  uint32_t wanted = (uint32_t)MIN((uint64_t)boot.n_cpus, max_cpus);
  uint32_t n = 1;
  for (uint32_t cpu = 1; cpu < wanted; cpu++) {
    if (arch_cpu_start(cpu, (void *)cpu_stack())) {
      n++;
    } else {
      log_printf("cpu %u does not start; going on without it\n", cpu);
    }
  }
  log_printf("cpus: %u of %u, %s\n", n, boot.n_cpus, arch_apic_mode());
}

/* ---- boot --------------------------------------------------------------------------------- */

static void machine_report(void) {
  char features[256];
  struct frame_stats mem;
  frame_stats_read(&mem);
  arch_cpu_features(features, sizeof(features));
  log_printf("cathode: booted by %s, %lu MiB of memory%s\n", boot.loader, mem.total >> 8,
             CATHODE_DEBUG ? ", debug build" : "");
  log_printf("cpu: %s (%s)\n", arch_cpu_model(), features);
  log_printf("clock: tsc %lu kHz, %s\n", arch_tsc_hz() / 1000, arch_clock_source());
  log_printf("pages: %s\n", arch_page_report());
}

static void page_routines_select(void) {
  paddr_t a, b;
  if (!frame_alloc(FRAME_KERNEL, &a) || !frame_alloc(FRAME_KERNEL, &b)) {
    panic("no memory");
  }
  arch_page_select(direct_map(a), direct_map(b));
  frame_free(a);
  frame_free(b);
}

/* On the boot stack, with interrupts disabled; it becomes the idle thread of CPU 0. */
_Noreturn void kernel_main(void) {
  arch_boot_read(&boot);
  const char *command = arguments_read(boot.cmdline);
  frame_init(&boot);
  arch_cpu_init(0);
  counter_cpu_init();
  arch_clock_init();
  clock_init();
  page_routines_select();
  mm_init();
  machine_report();
  sched_init();
  sched_cpu_init();
  syscall_init();
  trace_start();
  proc_init();
  scheme_init(&boot, command);
  arch_irq_init();
  cpus_start();
  bootstrap_start();
  sched_cpu_run();
}
