/* sys:bench/NAME: what the machine's own operations cost, and the scheduler's (sys_bench_sched.c).
 * Opening a file measures; its text is one line a sample: `iterations cycles`. The samples are
 * taken on the calling CPU with interrupts disabled, by one thread at a time: others get EBUSY. Of
 * what is marked `together` any number may be taken, so that CPUs can be measured side by side. */
#include "lib/fmt.h"
#include "scheme/sys_priv.h"

#define SAMPLES 31u
#define ITERATIONS 64u

static void *scratch_page(uint32_t which) {
  static void *pages[2];
  paddr_t pa;
  if (pages[which] == NULL && frame_alloc(FRAME_KERNEL, &pa)) {
    pages[which] = direct_map(pa);
  }
  return pages[which];
}

static uint64_t bench_zero(uint32_t n) {
  uint64_t start = arch_tsc();
  for (uint32_t i = 0; i < n; i++) {
    arch_page_zero(scratch_page(0));
  }
  return arch_tsc() - start;
}

static uint64_t bench_copy(uint32_t n) {
  uint64_t start = arch_tsc();
  for (uint32_t i = 0; i < n; i++) {
    arch_page_copy(scratch_page(0), scratch_page(1));
  }
  return arch_tsc() - start;
}

/* #PF on an address that is never mapped, the failed lookup, the fix-up, IRET. */
static uint64_t bench_pagefault(uint32_t n) {
  uint32_t value;
  uint64_t start = arch_tsc();
  for (uint32_t i = 0; i < n; i++) {
    if (arch_load_user_u32(ABI_USER_BASE - PAGE_SIZE, &value)) {
      return 0;
    }
  }
  return arch_tsc() - start;
}

/* To the next CPU and back. */
static uint64_t bench_ipi(uint32_t n) {
  uint64_t others = sched_online_mask() & ~(1ul << cpu_id());
  return others != 0 ? shootdown_bench(bit_first(others), n) : 0;
}

static const struct {
  const char *name;
  uint64_t (*run)(uint32_t iterations); /* answers ticks, 0: it failed */
  uint32_t crowd;                       /* so many timers are armed meanwhile */
  bool together;                        /* it keeps nothing from one reading to the next */
} benches[] = {
    {"int", arch_bench_int, 0, true},
    {"cr3", arch_bench_cr3, 0, true},
    {"invlpg", arch_bench_invlpg, 0, true},
    {"pagefault", bench_pagefault, 0, true},
    {"zero4k", bench_zero, 0, false},
    {"copy4k", bench_copy, 0, false},
    {"ipi", bench_ipi, 0, false},
    {"wake", bench_wake, 0, false},
    {"timer", bench_timer, 0, false},
    {"timer-10", bench_timer, 10, false},
    {"timer-100", bench_timer, 100, false},
    {"timer-1000", bench_timer, 1000, false},
    {"timer-10000", bench_timer, 10000, false},
    {"timer-100000", bench_timer, 100000, false},
};
#define ROUTINES ARRAY_LEN(benches) /* the number of the file that names the page routines */

bool sys_bench_resolve(const char *rest, size_t len, uint32_t *arg) {
  for (*arg = 0; *arg < ARRAY_LEN(benches); (*arg)++) {
    if (name_is(rest, len, benches[*arg].name)) {
      return true;
    }
  }
  return name_is(rest, len, "routines");
}

static int64_t samples_take(uint32_t which, char *out, size_t cap) {
  size_t n = 0;
  uint64_t ticks = benches[which].run(ITERATIONS); /* to warm up */
  for (uint32_t i = 0; ticks != 0 && i < SAMPLES && n < cap; i++) {
    ticks = benches[which].run(ITERATIONS);
    n += fmt_snprintf(out + n, cap - n, "%u %lu\n", ITERATIONS, ticks);
  }
  return ticks != 0 ? (int64_t)MIN(n, cap) : -ABI_ENOMEM;
}

static int64_t bench_measure(uint32_t which, char *out, size_t cap) {
  if (scratch_page(0) == NULL || scratch_page(1) == NULL ||
      !bench_crowd_arm(benches[which].crowd)) {
    return -ABI_ENOMEM;
  }
  int64_t n = samples_take(which, out, cap);
  bench_crowd_disarm();
  return n;
}

int64_t sys_bench_read(uint32_t arg, char *out, size_t cap) {
  if (arg == ROUTINES) {
    const char *zero, *copy;
    arch_page_names(&zero, &copy);
    return (int64_t)fmt_snprintf(out, cap, "zero %s\ncopy %s\n", zero, copy);
  }
  if (benches[arg].run == bench_ipi && bit_count(sched_online_mask()) < 2) {
    return -ABI_ENODEV;
  }
  if (benches[arg].together) {
    return samples_take(arg, out, cap);
  }
  static _Atomic bool busy;
  if (atomic_exchange(&busy, true)) {
    return -ABI_EBUSY;
  }
  int64_t n = bench_measure(arg, out, cap);
  atomic_store(&busy, false);
  return n;
}
