/* From the boot loader's tables to one struct boot_info, and the start of further CPUs.
 *
 * Runs on the tables of start.asm: 4 GiB direct map. PVH: struct hvm_start_info (Xen public
 * headers, arch-x86/hvm/start_info.h). Multiboot2: tags 1 command line, 3 module, 6 memory map,
 * 14/15 RSDP (specification 3.6). Both may be hostile or odd: ranges are clipped, sorted and made
 * disjoint. */
#include "arch/x86_64/x86.h"
#include "lib/string.h"

#define CMDLINE_MAX 2048u
#define LOW_MEMORY_END 0x100000ul
#define MEMORY_MOST (512ul << 30) /* one entry of the top table maps this much */
#define PVH_MAGIC 0x336ec578u
#define MEMORY_RAM 1u

struct pvh_info {
  uint32_t magic, version, flags, n_modules;
  uint64_t modules, cmdline, rsdp, memmap;
  uint32_t n_memmap, reserved;
};

struct pvh_module {
  uint64_t base, size, cmdline, reserved;
};

struct pvh_memory {
  uint64_t base, size;
  uint32_t type, reserved;
};

struct mb2_tag {
  uint32_t type, size;
};

extern const uint8_t kernel_phys_start[], kernel_phys_end[];

static uint32_t boot_kind;
static uint64_t boot_table;
static char cmdline[CMDLINE_MAX];
static uint8_t rsdp_copy[36] __attribute__((aligned(16)));
static _Atomic uint32_t cpus_started;

static const void *boot_ptr(uint64_t pa) {
  return direct_map((paddr_t){pa});
}

static void memory_add(struct boot_info *info, uint64_t base, uint64_t size) {
  uint64_t start = (base + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  uint64_t end = (base + size) & ~(PAGE_SIZE - 1);
  start = start < LOW_MEMORY_END ? LOW_MEMORY_END : start;
  end = end > MEMORY_MOST ? MEMORY_MOST : end;
  if (base + size < base || start >= end || info->n_memory == BOOT_MEM_MAX) {
    return;
  }
  uint32_t i = info->n_memory++;
  for (; i > 0 && info->memory[i - 1].start > start; i--) {
    info->memory[i] = info->memory[i - 1];
  }
  info->memory[i] = (struct boot_range){start, end};
}

static void memory_make_disjoint(struct boot_info *info) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < info->n_memory; i++) {
    struct boot_range r = info->memory[i];
    if (n > 0 && r.start <= info->memory[n - 1].end) {
      info->memory[n - 1].end = r.end > info->memory[n - 1].end ? r.end : info->memory[n - 1].end;
    } else {
      info->memory[n++] = r;
    }
  }
  info->n_memory = n;
}

static void cmdline_copy(const char *text) {
  strlcpy(cmdline, text, sizeof(cmdline));
}

static void pvh_read(struct boot_info *info) {
  const struct pvh_info *p = boot_ptr(boot_table);
  info->loader = "pvh";
  if (p->magic != PVH_MAGIC) {
    return;
  }
  if (p->cmdline != 0) {
    cmdline_copy(boot_ptr(p->cmdline));
  }
  info->rsdp.v = p->rsdp;
  if (p->n_modules > 0) {
    const struct pvh_module *m = boot_ptr(p->modules);
    info->module = (struct boot_range){m->base, m->base + m->size};
  }
  const struct pvh_memory *map = boot_ptr(p->memmap);
  for (uint32_t i = 0; p->version >= 1 && i < p->n_memmap; i++) {
    if (map[i].type == MEMORY_RAM) {
      memory_add(info, map[i].base, map[i].size);
    }
  }
}

static void mb2_memory_read(struct boot_info *info, const struct mb2_tag *tag) {
  const uint32_t *head = (const uint32_t *)(tag + 1);
  uint32_t entry_size = head[0];
  const uint8_t *e = (const uint8_t *)(head + 2);
  for (; entry_size >= 24 && e + entry_size <= (const uint8_t *)tag + tag->size; e += entry_size) {
    const struct pvh_memory *m = (const struct pvh_memory *)e;
    if (m->type == MEMORY_RAM) {
      memory_add(info, m->base, m->size);
    }
  }
}

static void mb2_tag_read(struct boot_info *info, const struct mb2_tag *tag) {
  const uint32_t *words = (const uint32_t *)(tag + 1);
  if (tag->type == 1) {
    cmdline_copy((const char *)words);
  } else if (tag->type == 3 && info->module.end == 0) {
    info->module = (struct boot_range){words[0], words[1]};
  } else if (tag->type == 6) {
    mb2_memory_read(info, tag);
  } else if (tag->type == 14 || tag->type == 15) {
    uint32_t len = tag->size - sizeof(*tag);
    memcpy(rsdp_copy, words, len < sizeof(rsdp_copy) ? len : sizeof(rsdp_copy));
    info->rsdp.v = (uint64_t)rsdp_copy - KERNEL_BASE;
  }
}

static void mb2_read(struct boot_info *info) {
  const uint8_t *p = boot_ptr(boot_table);
  const uint8_t *end = p + *(const uint32_t *)p;
  info->loader = "multiboot2";
  for (p += 8; p + sizeof(struct mb2_tag) <= end;) {
    const struct mb2_tag *tag = (const struct mb2_tag *)p;
    if (tag->type == 0 || tag->size < sizeof(*tag)) {
      break;
    }
    mb2_tag_read(info, tag);
    p += (tag->size + 7) & ~7u;
  }
}

void arch_boot_read(struct boot_info *info) {
  *info = (struct boot_info){.cmdline = cmdline};
  info->kernel = (struct boot_range){(uint64_t)kernel_phys_start, (uint64_t)kernel_phys_end};
  if (boot_kind == 0) {
    pvh_read(info);
  } else {
    mb2_read(info);
  }
  memory_make_disjoint(info);
  acpi_read(info->rsdp);
  info->n_cpus = acpi.n_cpus;
}

_Noreturn void arch_entry(uint32_t kind, uint32_t table) {
  boot_kind = kind;
  boot_table = table;
  uart_init();
  cpu_features_read();
  cpu_set_tables(0);
  kernel_main();
}

/* INIT, 10 ms, STARTUP twice with 200 us between (SDM vol. 3A 9.4.4.1). The trampoline's page is
 * below 1 MiB, which the kernel never allocates. */
bool arch_cpu_start(uint32_t cpu, void *stack_top) {
  uint8_t *page = (uint8_t *)direct_map((paddr_t){TRAMPOLINE_PAGE});
  memcpy(page, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
  *(uint64_t *)(page + ((const uint8_t *)&ap_cr3 - ap_trampoline)) = (uint64_t)boot_pml4;
  *(uint64_t *)(page + ((const uint8_t *)&ap_stack - ap_trampoline)) = (uint64_t)stack_top;
  *(uint64_t *)(page + ((const uint8_t *)&ap_cpu - ap_trampoline)) = cpu;
  uint32_t before = atomic_load(&cpus_started);
  apic_send_init(acpi.apic_ids[cpu]);
  tsc_delay_us(10000);
  for (uint32_t attempt = 0; attempt < 2; attempt++) {
    apic_send_startup(acpi.apic_ids[cpu], TRAMPOLINE_PAGE >> PAGE_SHIFT);
    for (uint32_t i = 0; i < 5000; i++) {
      if (atomic_load(&cpus_started) != before) {
        return true;
      }
      tsc_delay_us(i < 10 ? 20 : 100);
    }
  }
  return false;
}

_Noreturn void arch_ap_entry(uint32_t cpu) {
  write_cr3(arch_kernel_space.root.v);
  cpu_set_tables(cpu);
  arch_cpu_init(cpu);
  atomic_fetch_add(&cpus_started, 1);
  upcall_cpu_online(cpu);
}
