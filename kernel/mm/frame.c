/* Physical memory: the boot loader's ranges, then the buddy allocator behind per-CPU magazines.
 *
 * A CPU takes frames from its own magazine, without a lock, and goes to the buddy allocator for
 * half a magazine at a time. A second magazine keeps frames that are known to be zero: page tables
 * come back empty, and idle CPUs may add more.
 *
 * [M2] A frame is in exactly one place: buddy, a magazine, or in use with refs >= 1.
 * Limits: memory above the frame array's reach (16 TiB) is ignored. */
#include "base/panic.h"
#include "lib/string.h"
#include "mm/buddy.h"
#include "mm/mm_priv.h"
#include "mm/ptree_env.h"

#define MAGAZINE_SIZE 64u
#define MAGAZINE_HALF (MAGAZINE_SIZE / 2)
#define POISON 0xd5
#define DEVICE_LEAST (1ul << 20)
#define DEVICE_END (1ul << 36) /* every processor of this kind has as many address lines */
#define BIG_FRAMES (1u << BIG_ORDER)
#define RANGES_MAX (BOOT_MEM_MAX + 4)

struct magazine {
  uint32_t n;
  uint32_t pfns[MAGAZINE_SIZE];
};

struct frame_cpu {
  struct magazine dirty, zeroed;
  int64_t in_use[FRAME_OBJECT + 1]; /* [o/r] allocated minus freed here */
} __attribute__((aligned(64)));

static struct spinlock buddy_lock = SPINLOCK(FRAMES);
static struct buddy buddy; /* [buddy_lock] */
static struct frame_cpu frame_cpus[MAX_CPUS];
struct frame *frame_records; /* [c] */
static uint64_t n_total;     /* [c] */

/* ---- boot --------------------------------------------------------------------------------- */
static struct boot_range free_ranges[RANGES_MAX];
static uint32_t n_free_ranges;

static void range_cut(struct boot_range cut) {
  cut.start = ALIGN_DOWN(cut.start, PAGE_SIZE);
  cut.end = ALIGN_UP(cut.end, PAGE_SIZE);
  uint32_t n = n_free_ranges;
  for (uint32_t i = 0; i < n; i++) {
    struct boot_range *r = &free_ranges[i];
    if (cut.start >= r->end || cut.end <= r->start) {
      continue;
    }
    if (cut.end < r->end && cut.start > r->start) {
      kassert(n_free_ranges < RANGES_MAX);
      free_ranges[n_free_ranges++] = (struct boot_range){cut.end, r->end};
      r->end = cut.start;
    } else if (cut.end < r->end) {
      r->start = cut.end;
    } else {
      r->end = MAX(cut.start, r->start);
    }
  }
}

/* The first fit; before the final map only what the boot tables reach (4 GiB). */
static paddr_t range_take(uint64_t len, uint64_t below) {
  for (uint32_t i = 0; i < n_free_ranges; i++) {
    struct boot_range *r = &free_ranges[i];
    if (r->end - r->start >= len && r->start + len <= below) {
      paddr_t pa = {r->start};
      r->start += len;
      return pa;
    }
  }
  panic("no %lu bytes of memory left during boot", len);
}

static struct boot_range ram[BOOT_MEM_MAX]; /* [c] what the loader calls memory, whole */
static uint32_t n_ram;                      /* [c] */

bool memory_is_device(paddr_t base, uint64_t len) {
  bool apart = len != 0 && IS_ALIGNED(base.v | len, PAGE_SIZE) && base.v >= DEVICE_LEAST &&
               base.v < DEVICE_END && len <= DEVICE_END - base.v;
  for (uint32_t i = 0; i < n_ram && apart; i++) {
    apart = base.v + len <= ALIGN_DOWN(ram[i].start, PAGE_SIZE) ||
            base.v >= ALIGN_UP(ram[i].end, PAGE_SIZE);
  }
  return apart;
}

static paddr_t boot_page(void) {
  return range_take(PAGE_SIZE, 4ul << 30);
}

static void records_create(uint64_t end) {
  uint64_t n = MIN(end >> PAGE_SHIFT, (uint64_t)FRAME_NIL);
  uint64_t bytes = ALIGN_UP(n * sizeof(struct frame), PAGE_SIZE);
  frame_records = ptree_env.frames = direct_map(range_take(bytes, UINT64_MAX));
  memset(frame_records, 0, bytes);
  buddy_init(&buddy, frame_records, (uint32_t)n);
}

void frame_init(const struct boot_info *info) {
  for (uint32_t i = 0; i < info->n_memory; i++) {
    free_ranges[n_free_ranges++] = info->memory[i];
    ram[n_ram++] = info->memory[i];
  }
  range_cut(info->kernel);
  range_cut(info->module);
  arch_boot_map(info, boot_page);
  records_create(info->memory[info->n_memory - 1].end);
  spin_lock(&buddy_lock);
  for (uint32_t i = 0; i < n_free_ranges; i++) {
    const struct boot_range *r = &free_ranges[i];
    if (r->end > r->start) {
      buddy_add_range(&buddy, (uint32_t)(r->start >> PAGE_SHIFT),
                      (uint32_t)((r->end - r->start) >> PAGE_SHIFT));
    }
  }
  n_total = buddy.n_free;
  spin_unlock(&buddy_lock);
}

/* ---- failing on purpose ------------------------------------------------------------------- */
uint64_t fail_alloc_at;
bool fail_alloc_every;
bool fail_armed;
static _Atomic uint64_t fail_count;
static bool (*fail_asks)(void);

void fail_alloc_arm(void) {
  fail_armed = fail_alloc_at != 0;
}

void fail_alloc_ask(bool (*asks)(void)) {
  __atomic_store_n(&fail_asks, asks, __ATOMIC_RELEASE);
  fail_armed = fail_alloc_at != 0 || asks != NULL;
}

bool fail_decide(void) {
  bool (*asks)(void) = __atomic_load_n(&fail_asks, __ATOMIC_ACQUIRE);
  if (asks != NULL && asks()) {
    return true;
  }
  uint64_t n = fail_alloc_at != 0 ? atomic_fetch_add(&fail_count, 1) + 1 : 0;
  return n != 0 && (fail_alloc_every ? n >= fail_alloc_at : n == fail_alloc_at);
}

/* ---- allocation --------------------------------------------------------------------------- */
static paddr_t frame_take(struct frame_cpu *fc, uint32_t pfn, enum frame_kind kind) {
  struct frame *f = &frame_records[pfn];
  f->kind = (uint8_t)kind;
  atomic_store_explicit(&f->refs, 1, memory_order_relaxed);
  fc->in_use[kind]++;
  return (paddr_t){(uint64_t)pfn << PAGE_SHIFT};
}

static bool magazine_refill(struct magazine *m) {
  spin_lock(&buddy_lock);
  m->n = buddy_alloc_bulk(&buddy, m->pfns, MAGAZINE_HALF);
  spin_unlock(&buddy_lock);
  return m->n > 0;
}

static void magazine_push(struct magazine *m, uint32_t pfn) {
  if (m->n == MAGAZINE_SIZE) {
    m->n -= MAGAZINE_HALF;
    spin_lock(&buddy_lock);
    buddy_free_bulk(&buddy, m->pfns + m->n, MAGAZINE_HALF);
    spin_unlock(&buddy_lock);
  }
  m->pfns[m->n++] = pfn;
}

static bool frame_get_any(enum frame_kind kind, paddr_t *pa) {
  struct frame_cpu *fc = &frame_cpus[cpu_id()];
  if (LIKELY(fc->dirty.n > 0) || magazine_refill(&fc->dirty)) {
    *pa = frame_take(fc, fc->dirty.pfns[--fc->dirty.n], kind);
    return true;
  }
  if (fc->zeroed.n > 0) {
    *pa = frame_take(fc, fc->zeroed.pfns[--fc->zeroed.n], kind);
    return true;
  }
  return false;
}

bool frame_alloc(enum frame_kind kind, paddr_t *pa) {
  return !fail_now() && frame_get_any(kind, pa);
}

bool frame_alloc_zeroed(enum frame_kind kind, paddr_t *pa) {
  struct frame_cpu *fc = &frame_cpus[cpu_id()];
  if (fail_now()) {
    return false;
  }
  if (fc->zeroed.n > 0) {
    *pa = frame_take(fc, fc->zeroed.pfns[--fc->zeroed.n], kind);
    return true;
  }
  if (!frame_get_any(kind, pa)) {
    return false;
  }
  arch_page_zero(direct_map(*pa));
  return true;
}

bool frame_prezero_one(void) {
  struct frame_cpu *fc = &frame_cpus[cpu_id()];
  if (fc->zeroed.n >= MAGAZINE_SIZE || (fc->dirty.n == 0 && !magazine_refill(&fc->dirty))) {
    return false;
  }
  uint32_t pfn = fc->dirty.pfns[--fc->dirty.n];
  arch_page_zero(direct_map((paddr_t){(uint64_t)pfn << PAGE_SHIFT}));
  fc->zeroed.pfns[fc->zeroed.n++] = pfn;
  counter_add(COUNTER_PREZEROED, 1);
  return true;
}

/* ---- freeing ------------------------------------------------------------------------------ */

/* Debug builds fill what is freed, so that a byte that reaches user memory without having been
 * written, or a frame used after its end, shows in a test. */
static void frame_poison(paddr_t pa) {
  if (CATHODE_DEBUG) {
    memset(direct_map(pa), POISON, PAGE_SIZE);
  }
}

/* Debug builds believe nobody who says that a page is zero. */
static void frame_check_zero(paddr_t pa) {
  const uint64_t *words = direct_map(pa);
  for (uint32_t i = 0; CATHODE_DEBUG && i < PAGE_SIZE / 8; i++) {
    kassert(words[i] == 0);
  }
}

static uint32_t frame_release(struct frame_cpu *fc, paddr_t pa) {
  uint32_t pfn = (uint32_t)(pa.v >> PAGE_SHIFT);
  struct frame *f = &frame_records[pfn];
  kassert(f->kind > FRAME_FREE && f->kind <= FRAME_OBJECT);
  fc->in_use[f->kind]--;
  f->kind = FRAME_RESERVED;
  atomic_store_explicit(&f->refs, 0, memory_order_relaxed);
  return pfn;
}

void frame_free_big(paddr_t pa) {
  struct frame_cpu *fc = &frame_cpus[cpu_id()];
  struct frame *f = frame_of(pa);
  for (uint32_t i = 0; i < BIG_FRAMES; i++) {
    frame_poison((paddr_t){pa.v + i * PAGE_SIZE});
    f[i].kind = FRAME_RESERVED;
  }
  atomic_store_explicit(&f->refs, 0, memory_order_relaxed);
  fc->in_use[FRAME_ANON] -= BIG_FRAMES;
  spin_lock(&buddy_lock);
  buddy_free(&buddy, (uint32_t)(pa.v >> PAGE_SHIFT), BIG_ORDER);
  spin_unlock(&buddy_lock);
}

void frame_free(paddr_t pa) {
  frame_poison(pa);
  struct frame_cpu *fc = &frame_cpus[cpu_id()];
  magazine_push(&fc->dirty, frame_release(fc, pa));
}

void frame_free_zeroed(paddr_t pa) {
  frame_check_zero(pa);
  struct frame_cpu *fc = &frame_cpus[cpu_id()];
  magazine_push(fc->zeroed.n < MAGAZINE_SIZE ? &fc->zeroed : &fc->dirty, frame_release(fc, pa));
}

void frame_put(paddr_t pa) {
  struct frame *f = frame_counted(pa);
  if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) {
    paddr_t first = {(uint64_t)(f - frame_records) << PAGE_SHIFT};
    f->kind == FRAME_BIG ? frame_free_big(first) : frame_free(first);
  }
}

bool frame_alloc_big(paddr_t *pa) {
  uint32_t pfn;
  if (fail_now()) {
    return false;
  }
  spin_lock(&buddy_lock);
  bool ok = buddy_alloc(&buddy, BIG_ORDER, &pfn);
  spin_unlock(&buddy_lock);
  if (!ok) {
    return false;
  }
  struct frame_cpu *fc = &frame_cpus[cpu_id()];
  *pa = frame_take(fc, pfn, FRAME_ANON);
  fc->in_use[FRAME_ANON] += BIG_FRAMES - 1;
  struct frame *f = frame_of(*pa);
  f->kind = FRAME_BIG;
  for (uint32_t i = 1; i < BIG_FRAMES; i++) {
    f[i].kind = FRAME_PART;
  }
  return true;
}

bool frame_alloc_order(unsigned order, paddr_t *pa) {
  uint32_t pfn;
  if (fail_now()) {
    return false;
  }
  spin_lock(&buddy_lock);
  bool ok = buddy_alloc(&buddy, order, &pfn);
  spin_unlock(&buddy_lock);
  if (!ok) {
    return false;
  }
  struct frame_cpu *fc = &frame_cpus[cpu_id()];
  *pa = frame_take(fc, pfn, FRAME_KERNEL);
  fc->in_use[FRAME_KERNEL] += (1ll << order) - 1;
  for (uint64_t i = 0; i < 1ul << order; i++) {
    arch_page_zero(direct_map((paddr_t){pa->v + i * PAGE_SIZE}));
  }
  return true;
}

void frame_free_order(paddr_t pa, unsigned order) {
  struct frame_cpu *fc = &frame_cpus[cpu_id()];
  uint32_t pfn = frame_release(fc, pa);
  fc->in_use[FRAME_KERNEL] -= (1ll << order) - 1;
  spin_lock(&buddy_lock);
  buddy_free(&buddy, pfn, order);
  spin_unlock(&buddy_lock);
}

void frame_stats_read(struct frame_stats *s) {
  memset(s, 0, sizeof(*s));
  s->total = n_total;
  int64_t sums[FRAME_OBJECT + 1] = {0};
  int64_t used = 0;
  for (uint32_t cpu = 0; cpu < MAX_CPUS; cpu++) {
    for (uint32_t kind = FRAME_KERNEL; kind <= FRAME_OBJECT; kind++) {
      sums[kind] += frame_cpus[cpu].in_use[kind];
      used += frame_cpus[cpu].in_use[kind];
    }
  }
  for (uint32_t kind = FRAME_KERNEL; kind <= FRAME_OBJECT; kind++) {
    s->by_kind[kind] = (uint64_t)sums[kind];
  }
  s->free = n_total - (uint64_t)used;
}
