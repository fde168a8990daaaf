/* sys:ktest: tests that must run inside the kernel, in TAP. Opening the file runs them on the
 * calling CPU and leaves everything as it was; t_kernel passes the lines on. What can be tested on
 * the host is tested there. */
#include "base/clock.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "scheme/sys_priv.h"

#define MANY 200u

struct tap {
  char *out;
  size_t len, cap;
  uint32_t n;
};

static void tap_ok(struct tap *t, bool ok, const char *name) {
  t->n++;
  t->len += fmt_snprintf(t->out + MIN(t->len, t->cap), t->cap - MIN(t->len, t->cap),
                         "%sok %u - %s\n", ok ? "" : "not ", t->n, name);
}

/* ---- memory ------------------------------------------------------------------------------- */

static void test_frames(struct tap *t) {
  static paddr_t pages[MANY];
  struct frame_stats before, after;
  bool fresh = true, zero = true;
  frame_stats_read(&before);
  for (uint32_t i = 0; i < MANY; i++) {
    fresh = frame_alloc_zeroed(FRAME_KERNEL, &pages[i]) && fresh;
    const uint64_t *words = direct_map(pages[i]);
    zero = words[0] == 0 && words[PAGE_SIZE / 8 - 1] == 0 && zero;
    memset(direct_map(pages[i]), 0xa5, PAGE_SIZE);
    fresh = atomic_load(&frame_of(pages[i])->refs) == 1 && fresh;
  }
  for (uint32_t i = 0; i < MANY; i++) {
    frame_put(pages[i]);
  }
  frame_stats_read(&after);
  tap_ok(t, fresh, "a new frame has one reference");
  tap_ok(t, zero, "a zeroed frame is zero, also when it was not before");
  tap_ok(t, before.free == after.free, "all frames come back");
}

static void test_orders(struct tap *t) {
  struct frame_stats before, after;
  bool aligned = true;
  frame_stats_read(&before);
  for (unsigned order = 0; order <= 6; order++) {
    paddr_t pa;
    aligned = frame_alloc_order(order, &pa) && pa.v % (PAGE_SIZE << order) == 0 && aligned;
    frame_free_order(pa, order);
  }
  frame_stats_read(&after);
  tap_ok(t, aligned && before.free == after.free, "blocks are aligned and come back");
}

static void test_page_routines(struct tap *t) {
  paddr_t a, b;
  if (!frame_alloc(FRAME_KERNEL, &a) || !frame_alloc(FRAME_KERNEL, &b)) {
    tap_ok(t, false, "memory for two pages");
    return;
  }
  uint8_t *from = direct_map(a), *to = direct_map(b);
  for (uint32_t i = 0; i < PAGE_SIZE; i++) {
    from[i] = (uint8_t)(i * 7 + (i >> 8));
  }
  arch_page_copy(to, from);
  tap_ok(t, memcmp(from, to, PAGE_SIZE) == 0, "the page copy routine copies all");
  arch_page_zero(to);
  bool zero = true;
  for (uint32_t i = 0; i < PAGE_SIZE; i++) {
    zero = to[i] == 0 && zero;
  }
  tap_ok(t, zero, "the page zero routine zeroes all");
  frame_put(a);
  frame_put(b);
}

static void test_kernel_map(struct tap *t) {
  uint64_t wrong, n_pages = arch_kernel_map_check(&wrong);
  tap_ok(t, n_pages > 0 && wrong == 0,
         "the kernel's map: text alone executes, is not written to, nothing is open to ring 3");
}

static void test_space(struct tap *t) {
  struct space *s = NULL, *clone = NULL;
  struct map_request r = {.addr = 0x400000,
                          .len = 16 * PAGE_SIZE,
                          .prot = PROT_ABI_READ | PROT_ABI_WRITE,
                          .flags = MAP_ABI_PRIVATE | MAP_ABI_FIXED};
  bool ok = space_create(&s) == OK && space_map(s, &r) == OK &&
            space_fault(s, 0x405000, true, false) == OK && space_clone(s, &clone) == OK;
  tap_ok(t, ok, "a space is made, mapped, touched and cloned");
  if (!ok) {
    return;
  }
  tap_ok(t, space_fault(clone, 0x405000, true, false) == OK, "a write in the clone gets its page");
  tap_ok(t, space_fault(s, 0x405000, false, true) == ABI_EFAULT, "data cannot be executed");
  tap_ok(t, space_fault(s, 0x3ff000, false, false) == ABI_EFAULT, "nothing below the mapping");
  ok = space_protect(s, 0x404000, 2 * PAGE_SIZE, PROT_ABI_READ) == OK &&
       space_fault(s, 0x405000, true, false) == ABI_EFAULT &&
       space_fault(clone, 0x405000, true, false) == OK;
  tap_ok(t, ok, "a right taken away is taken from one space alone");
  ok = space_unmap(s, 0x400000, 16 * PAGE_SIZE) == OK &&
       space_fault(s, 0x405000, false, false) == ABI_EFAULT;
  tap_ok(t, ok, "unmapped is unmapped");
  space_put(clone);
  space_put(s);
}

static void test_objects(struct tap *t) {
  struct memobj *o;
  paddr_t one = {0}, again;
  bool counted;
  bool ok = memobj_create_anon(1ul << 40, &o) == OK;
  tap_ok(t, ok, "a sparse object of a tebibyte");
  if (!ok) {
    return;
  }
  ok = memobj_write(o, (1ul << 40) - 3, "abc", 3) == OK &&
       memobj_page(o, (1ul << 40) - 1, &one, &counted) == OK &&
       memcmp((uint8_t *)direct_map(one) + PAGE_SIZE - 3, "abc", 3) == 0;
  tap_ok(t, ok, "its last bytes hold what was written");
  tap_ok(t, memobj_page(o, 1ul << 40, &again, &counted) == ABI_EIO, "and nothing is behind them");
  frame_put(one);
  memobj_put(o);
}

/* ---- time --------------------------------------------------------------------------------- */

static void test_clock(struct tap *t) {
  uint64_t last = clock_now();
  bool forward = true;
  for (uint32_t i = 0; i < 1000; i++) {
    uint64_t now = clock_now();
    forward = now >= last && forward;
    last = now;
  }
  tap_ok(t, forward, "the clock does not run backwards");
  bool inverse = true;
  for (uint64_t ns = last; ns < last + 1000000; ns += 9973) {
    inverse = clock_from_tsc(clock_to_tsc(ns)) >= ns && inverse;
  }
  tap_ok(t, inverse, "a timer is never set too early");
}

static void timer_note(struct timer *timer) {
  (void)timer;
}

static void test_timers(struct tap *t) {
  static struct timer timer;
  timer_init(&timer, timer_note);
  timer_arm(&timer, clock_now() + 1000000000);
  bool first = timer_cancel(&timer);
  tap_ok(t, first && !timer_cancel(&timer), "a timer is cancelled once");
}

int64_t sys_ktest_read(uint32_t arg, char *out, size_t cap) {
  static const struct {
    void (*run)(struct tap *t);
  } tests[] = {{test_frames}, {test_orders},  {test_page_routines}, {test_kernel_map},
               {test_space},  {test_objects}, {test_clock},         {test_timers}};
  (void)arg;
  if (context_current()->group->euid != 0) {
    return -ABI_EPERM;
  }
  struct tap t = {.out = out, .cap = cap};
  for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
    tests[i].run(&t);
  }
  t.len += fmt_snprintf(out + MIN(t.len, cap), cap - MIN(t.len, cap), "1..%u\n", t.n);
  return (int64_t)MIN(t.len, cap);
}
