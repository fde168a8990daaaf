/* Kernel stacks: slots of a region of their own, each with unmapped pages below the stack, so that
 * an overflow faults (and, the stack being gone, arrives as #DF on its own stack) instead of
 * corrupting. A stack once mapped stays mapped and is used again: unmapping would need a shootdown
 * of every CPU. */
#include "base/panic.h"
#include "mm/mm.h"

#define STACK_PAGES (KSTACK_SIZE / PAGE_SIZE)
#define TABLES_MOST 2u /* a new slot may need a page directory and a page table */
#define KSTACK_CPU_MAX 8u

struct kstack_cpu {
  uint32_t n;
  uint64_t tops[KSTACK_CPU_MAX];
} __attribute__((aligned(64)));

static struct spinlock kstack_lock = SPINLOCK(KSTACK);
static uint64_t
    free_list; /* [kstack_lock] top of the first free stack; the next is in its top word */
static uint64_t n_slots; /* [kstack_lock] */
static struct kstack_cpu kstack_cpus[MAX_CPUS];
static paddr_t table_reserve[TABLES_MOST]; /* [kstack_lock] */
static uint32_t n_reserve;

static paddr_t reserve_take(void) {
  kassert(n_reserve > 0);
  paddr_t pa = table_reserve[--n_reserve];
  return pa;
}

static bool reserve_fill(void) {
  while (n_reserve < TABLES_MOST) {
    if (!frame_alloc(FRAME_KERNEL, &table_reserve[n_reserve])) {
      return false;
    }
    n_reserve++;
  }
  return true;
}

static bool stack_create(uint64_t *stack_top) {
  paddr_t pages[STACK_PAGES];
  uint32_t n = 0;
  while (n < STACK_PAGES && frame_alloc(FRAME_KERNEL, &pages[n])) {
    n++;
  }
  if (n < STACK_PAGES || !reserve_fill()) {
    while (n > 0) {
      frame_free(pages[--n]);
    }
    return false;
  }
  uint64_t top = KSTACK_REGION_BASE + ++n_slots * KSTACK_SLOT_SIZE;
  for (uint32_t i = 0; i < STACK_PAGES; i++) {
    arch_kernel_map_page(top - KSTACK_SIZE + i * PAGE_SIZE, pages[i], reserve_take);
  }
  *stack_top = top;
  return true;
}

bool kstack_alloc(uint64_t *stack_top) {
  struct kstack_cpu *kc = &kstack_cpus[cpu_id()];
  if (fail_now()) {
    return false;
  }
  if (kc->n > 0) {
    *stack_top = kc->tops[--kc->n];
    return true;
  }
  bool ok = true;
  spin_lock(&kstack_lock);
  if (free_list != 0) {
    *stack_top = free_list;
    free_list = ((uint64_t *)free_list)[-1];
  } else {
    ok = stack_create(stack_top);
  }
  spin_unlock(&kstack_lock);
  return ok;
}

void kstack_free(uint64_t stack_top) {
  struct kstack_cpu *kc = &kstack_cpus[cpu_id()];
  if (kc->n < KSTACK_CPU_MAX) {
    kc->tops[kc->n++] = stack_top;
    return;
  }
  spin_lock(&kstack_lock);
  ((uint64_t *)stack_top)[-1] = free_list;
  free_list = stack_top;
  spin_unlock(&kstack_lock);
}
