/* The kernel's own page tables: the image with its sections' rights, all memory in the direct map,
 * single pages for stacks and device registers. The user half belongs to mm; what is here is shared
 * by every space, because the upper 256 entries of each top table are copies of this one's and
 * never change after boot. */
#include "arch/x86_64/x86.h"

#define ENTRIES 512u
#define PAGE_2M (2ul << 20)
#define PAGE_1G (1ul << 30)

extern const uint8_t kernel_data_start[], kernel_text_start[], kernel_text_end[];
extern const uint8_t kernel_rodata_end[], kernel_end[];

static uint64_t kernel_root[ENTRIES] __attribute__((aligned(4096)));
struct arch_space arch_kernel_space;

static paddr_t image_paddr(const void *va) {
  return (paddr_t){(uint64_t)va - KERNEL_BASE};
}

/* The table below an entry, made when absent. Boot time: memory must suffice. */
static uint64_t *table_below(uint64_t *entry, paddr_t (*alloc_page)(void)) {
  if (!(*entry & PTE_PRESENT)) {
    paddr_t pa = alloc_page();
    uint64_t *table = direct_map(pa);
    for (uint32_t i = 0; i < ENTRIES; i++) {
      table[i] = 0;
    }
    *entry = pa.v | PTE_PRESENT | PTE_WRITE;
  }
  return direct_map((paddr_t){*entry & PTE_ADDR_MASK});
}

/* Map one page of size 4 KiB (level 0), 2 MiB (1) or 1 GiB (2). */
static void map_one(uint64_t va, uint64_t pa, uint32_t level, uint64_t rights,
                    paddr_t (*alloc_page)(void)) {
  uint64_t *table = kernel_root;
  for (uint32_t l = 3; l > level; l--) {
    table = table_below(&table[va >> (PAGE_SHIFT + 9 * l) & (ENTRIES - 1)], alloc_page);
  }
  uint64_t large = level > 0 ? PTE_LARGE : 0;
  uint64_t global = cpu_features.pge ? PTE_GLOBAL : 0;
  table[va >> (PAGE_SHIFT + 9 * level) & (ENTRIES - 1)] = pa | rights | large | global |
                                                          PTE_PRESENT | PTE_ACCESSED |
                                                          (rights & PTE_WRITE ? PTE_DIRTY : 0);
}

static uint32_t level_for(uint64_t va, uint64_t pa, uint64_t len) {
  if (cpu_features.page_1g && ((va | pa) & (PAGE_1G - 1)) == 0 && len >= PAGE_1G) {
    return 2;
  }
  return ((va | pa) & (PAGE_2M - 1)) == 0 && len >= PAGE_2M ? 1 : 0;
}

static void map_range(uint64_t va, uint64_t pa, uint64_t len, uint64_t rights,
                      paddr_t (*alloc_page)(void)) {
  while (len > 0) {
    uint32_t level = level_for(va, pa, len);
    uint64_t size = PAGE_SIZE << (9 * level);
    map_one(va, pa, level, rights, alloc_page);
    va += size;
    pa += size;
    len -= size;
  }
}

static void map_image(const uint8_t *start, const uint8_t *end, uint64_t rights,
                      paddr_t (*alloc_page)(void)) {
  map_range((uint64_t)start, image_paddr(start).v, (uint64_t)(end - start), rights, alloc_page);
}

void arch_kernel_map_page(uint64_t va, paddr_t pa, paddr_t (*alloc_page)(void)) {
  uint64_t device = va >= MMIO_REGION_BASE ? PTE_NOCACHE : 0;
  map_one(va, pa.v, 0, PTE_WRITE | arch_pte_noexec() | device, alloc_page);
}

void arch_boot_map(const struct boot_info *info, paddr_t (*alloc_page)(void)) {
  uint64_t nx = arch_pte_noexec();
  map_image(kernel_data_start, kernel_text_start, PTE_WRITE | nx, alloc_page);
  map_image(kernel_text_start, kernel_text_end, 0, alloc_page);
  map_image(kernel_text_end, kernel_rodata_end, nx, alloc_page);
  map_image(kernel_rodata_end, kernel_end, PTE_WRITE | nx, alloc_page);
  for (uint32_t i = 0; i < info->n_memory; i++) {
    const struct boot_range *r = &info->memory[i];
    map_range(DIRECT_MAP_BASE + r->start, r->start, r->end - r->start, PTE_WRITE | nx, alloc_page);
  }
  map_range(DIRECT_MAP_BASE + TRAMPOLINE_PAGE, TRAMPOLINE_PAGE, PAGE_SIZE, PTE_WRITE | nx,
            alloc_page);
  apic_map(alloc_page);
  table_below(&kernel_root[KSTACK_REGION_BASE >> 39 & (ENTRIES - 1)], alloc_page);
  arch_kernel_space.root = image_paddr(kernel_root);
  for (uint32_t i = ENTRIES / 2; i < ENTRIES; i++) {
    boot_pml4[i] = kernel_root[i]; /* starting CPUs pass through these tables */
  }
  write_cr3(arch_kernel_space.root.v);
}

/* ---- checking ------------------------------------------------------------------------------ */

static bool page_is_right(uint64_t va, uint64_t pte) {
  bool text = va >= (uint64_t)kernel_text_start && va < (uint64_t)kernel_text_end;
  bool constant = va >= (uint64_t)kernel_text_end && va < (uint64_t)kernel_rodata_end;
  bool executes = cpu_features.nx && !(pte & PTE_NOEXEC);
  return !(pte & PTE_USER) && (text || !executes) && (!(text || constant) || !(pte & PTE_WRITE));
}

/* A table of `level`, whose first entry maps va. It recurses at most once a level. */
static uint64_t table_check(const uint64_t *table, uint32_t level, uint64_t va, uint64_t *wrong) {
  uint64_t n = 0;
  for (uint32_t i = level == 3 ? ENTRIES / 2 : 0; i < ENTRIES; i++) {
    uint64_t at = va | (uint64_t)i << (PAGE_SHIFT + 9 * level);
    at = level == 3 ? at | 0xfffful << 48 : at;
    if (!(table[i] & PTE_PRESENT)) {
      continue;
    }
    if (level > 0 && !(table[i] & PTE_LARGE)) {
      n += table_check(direct_map((paddr_t){table[i] & PTE_ADDR_MASK}), level - 1, at, wrong);
      continue;
    }
    n++;
    if (*wrong == 0 && !page_is_right(at, table[i])) {
      *wrong = at;
    }
  }
  return n;
}

uint64_t arch_kernel_map_check(uint64_t *wrong) {
  *wrong = 0;
  return table_check(kernel_root, 3, 0, wrong);
}

void arch_space_init(struct arch_space *s, paddr_t root, void *root_table) {
  uint64_t *table = root_table;
  table[DIRECT_MAP_BASE >> 39 & (ENTRIES - 1)] = kernel_root[DIRECT_MAP_BASE >> 39 & (ENTRIES - 1)];
  table[KSTACK_REGION_BASE >> 39 & (ENTRIES - 1)] =
      kernel_root[KSTACK_REGION_BASE >> 39 & (ENTRIES - 1)];
  table[ENTRIES - 1] = kernel_root[ENTRIES - 1];
  struct arch_cpu *cpu = arch_cpu_self();
  s->root = root;
  s->id = cpu->n_spaces++ * MAX_CPUS + cpu->id + 1;
  atomic_store_explicit(&s->generation, 0, memory_order_relaxed);
  atomic_store_explicit(&s->cpus, 0, memory_order_relaxed);
}

/* ---- what is loaded ------------------------------------------------------------------------
 * shootdown.c has the other side of this, and the order in which both look. */

#define CR3_KEEP (1ul << 63) /* what is cached under the new tag stays (SDM vol. 3A 4.10.4.1) */
#define RANGE_PAGES_MOST 32u /* beyond this many INVLPG a full flush is cheaper */

/* CR3 for the current slot. Tag 0 is the kernel's own space, which has no user half and whose
 * tables take nothing away: nothing of it ever goes stale. Without PCID every load flushes. */
static uint64_t cr3_of(const struct arch_cpu *cpu, const struct arch_space *s, bool keep) {
  if (!cpu_features.pcid) {
    return s->root.v;
  }
  uint64_t tag = s->id == 0 ? 0 : cpu->asids.current + 1;
  return s->root.v | tag | (keep ? CR3_KEEP : 0);
}

/* All that the current tag has but global pages, which only the kernel has. INVPCID could name
 * other tags; their generations spare us that (README). */
static void tag_flush(void) {
  write_cr3(read_cr3());
}

void arch_space_enter(struct arch_space *s) {
  struct arch_cpu *cpu = arch_cpu_self();
  struct arch_space *old = cpu->space;
  if (old == s) {
    arch_space_resume();
    return;
  }
  uint64_t bit = 1ul << cpu->id;
  atomic_store_explicit(&cpu->rests, false, memory_order_relaxed);
  atomic_fetch_or(&s->cpus, bit); /* before the generation is read [M1] */
  bool keep = s->id == 0 || !asid_choose(&cpu->asids, s->id, atomic_load(&s->generation));
  cpu->space = s;
  cpu->x87_foreign = true;
  write_cr3(cr3_of(cpu, s, keep));
  atomic_fetch_and(&old->cpus, ~bit);
}

void arch_space_resume(void) {
  struct arch_cpu *cpu = arch_cpu_self();
  atomic_exchange(&cpu->rests, false); /* before the generation is read [M1] */
  if (asid_catch_up(&cpu->asids, atomic_load(&cpu->space->generation))) {
    tag_flush();
  }
}

bool arch_cpu_rests(uint32_t cpu) {
  return atomic_load(&cpu_of(cpu)->rests);
}

void arch_space_flush_slow(uint64_t lo, uint64_t hi, uint64_t generation) {
  struct arch_cpu *cpu = arch_cpu_self();
  enum asid_need need = asid_need(&cpu->asids, generation);
  if (need == ASID_NOTHING) {
    return;
  }
  if (need == ASID_ALL || (hi - lo) >> PAGE_SHIFT > RANGE_PAGES_MOST) {
    asid_catch_up(&cpu->asids, atomic_load(&cpu->space->generation)); /* read before the flush */
    tag_flush();
    return;
  }
  asid_catch_up(&cpu->asids, generation);
  for (uint64_t va = lo; va < hi; va += PAGE_SIZE) {
    invlpg(va);
  }
}
