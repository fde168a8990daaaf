/* One CPU: its descriptor tables, its features, its registers.
 *
 * Every CPU has a struct cpu_area, found through gs:0: the kernel's per-CPU words, a GDT and a TSS;
 * and interrupt stacks for the vectors that may come at any instruction (NMI, #DF, #MC; SDM vol. 3A
 * 6.14.5). The word at the top of each of these stacks points at the area, so that their entry code
 * needs no trust in gs [A1]. Ring 0 uses vector registers in page.c alone, which keeps what it
 * touches. */
#include "arch/x86_64/x86.h"
#include "lib/string.h"

#define IST_STACK_SIZE 4096u
#define N_IST 3u

struct tss {
  uint32_t reserved0;
  uint64_t rsp[3];
  uint64_t reserved1;
  uint64_t ist[7];
  uint64_t reserved2;
  uint16_t reserved3, io_map;
} __attribute__((packed));

struct cpu_area {
  struct arch_cpu cpu; /* first: gs:0 */
  struct tss tss __attribute__((aligned(16)));
  uint64_t gdt[7];
} __attribute__((aligned(CACHE_PAIR)));

struct idt_gate {
  uint16_t offset_lo, selector;
  uint8_t ist, type;
  uint16_t offset_mid;
  uint32_t offset_hi, zero;
};

struct table_pointer {
  uint16_t limit;
  uint64_t base;
} __attribute__((packed));

_Static_assert(offsetof(struct arch_cpu, counters) == 8, "counter_add()");
_Static_assert(offsetof(struct arch_cpu, user_sp) == 16, "CPU_USER_SP");
_Static_assert(offsetof(struct arch_cpu, current) == 24, "CPU_CURRENT");
_Static_assert(offsetof(struct arch_cpu, id) == 32, "cpu_id()");
_Static_assert(offsetof(struct arch_cpu, x87_foreign) == 36, "CPU_X87_FOREIGN");
_Static_assert(offsetof(struct arch_cpu, sched) == 40, "sched_self()");
_Static_assert(offsetof(struct cpu_area, tss.rsp) == 228, "CPU_RSP0");
_Static_assert(offsetof(struct arch_thread, work) == 0, "THREAD_WORK");
_Static_assert(offsetof(struct arch_thread, mxcsr) == 4, "THREAD_MXCSR");
_Static_assert(offsetof(struct arch_thread, sp) == 8, "THREAD_SP");
_Static_assert(offsetof(struct arch_thread, stack_top) == 16, "THREAD_STACK_TOP");
_Static_assert(offsetof(struct arch_thread, fpu) == 24, "THREAD_FPU");
_Static_assert(offsetof(struct arch_thread, fs_base) == 32, "THREAD_FS");
_Static_assert(offsetof(struct arch_thread, gs_base) == 40, "THREAD_GS");
_Static_assert(offsetof(struct arch_thread, fcw) == 52, "THREAD_FCW");
_Static_assert(offsetof(struct arch_user_frame, cs) == 8, "FRAME_CS");
_Static_assert(sizeof(struct arch_user_frame) == 40, "FRAME_SIZE");
_Static_assert(SEL_USER_CS_CALL == 0x10023 && SEL_NONE == 0, "USER_CS_CALL, NO_CS");
_Static_assert(FPU_X87_FLAGS == 0x3f, "X87_FLAGS");
_Static_assert(offsetof(struct arch_trap_frame, rbp) == 80, "TRAP_RBP");
_Static_assert(offsetof(struct arch_trap_frame, rip) == 136, "TRAP_RIP");
_Static_assert(offsetof(struct arch_trap_frame, cs) == 144, "TRAP_CS");
_Static_assert(sizeof(struct arch_trap_frame) == 176, "TRAP_SIZE");
_Static_assert(SYS_NR_COUNT == 21, "SYS_NR_COUNT of offsets.inc");

static OF_EACH_CPU struct cpu_area cpu_areas[MAX_CPUS];
static uint8_t ist_stacks[MAX_CPUS][N_IST][IST_STACK_SIZE] __attribute__((aligned(16)));
static struct idt_gate idt[256];
READ_MOSTLY struct cpu_features cpu_features;
READ_MOSTLY bool cpu_has_smap;
READ_MOSTLY bool cpu_fast_switch;
static uint8_t trace_unread[sizeof(struct trace_record)]; /* where CPUs without a ring write */

static void idt_set(uint32_t vector, const void *handler, uint8_t ist, uint8_t dpl) {
  uint64_t a = (uint64_t)handler;
  idt[vector] = (struct idt_gate){.offset_lo = (uint16_t)a,
                                  .selector = SEL_KERNEL_CS,
                                  .ist = ist,
                                  .type = (uint8_t)(0x8e | (dpl << 5)),
                                  .offset_mid = (uint16_t)(a >> 16),
                                  .offset_hi = (uint32_t)(a >> 32)};
}

static void idt_fill(void) {
  for (uint32_t v = 0; v < 256; v++) {
    idt_set(v, trap_stubs + 16 * v, 0, 0);
  }
  idt_set(VECTOR_NMI, trap_stubs + 16 * VECTOR_NMI, 1, 0);
  idt_set(VECTOR_DOUBLE_FAULT, trap_stubs + 16 * VECTOR_DOUBLE_FAULT, 2, 0);
  idt_set(VECTOR_MACHINE_CHECK, trap_stubs + 16 * VECTOR_MACHINE_CHECK, 3, 0);
  idt_set(3, trap_stubs + 16 * 3, 0, 3); /* int3 and into are open to ring 3 */
  idt_set(4, trap_stubs + 16 * 4, 0, 3);
  idt_set(VECTOR_BENCH, bench_int_handler, 0, 0);
}

static void gdt_fill(struct cpu_area *a) {
  uint64_t tss = (uint64_t)&a->tss;
  uint64_t limit = sizeof(a->tss) - 1;
  a->gdt[0] = 0;
  a->gdt[1] = 0x00af9b000000ffff; /* kernel code, 64-bit */
  a->gdt[2] = 0x00cf93000000ffff; /* kernel data */
  a->gdt[3] = 0x00cff3000000ffff; /* user data */
  a->gdt[4] = 0x00affb000000ffff; /* user code, 64-bit */
  a->gdt[5] = limit | ((tss & 0xffffff) << 16) | (0x89ul << 40) | ((tss >> 24 & 0xff) << 56);
  a->gdt[6] = tss >> 32;
}

static void ist_fill(uint32_t cpu, struct cpu_area *a) {
  for (uint32_t i = 0; i < N_IST; i++) {
    uint64_t *top = (uint64_t *)(ist_stacks[cpu][i] + IST_STACK_SIZE - 16);
    top[0] = (uint64_t)a;
    a->tss.ist[i] = (uint64_t)top;
  }
  a->tss.io_map = sizeof(a->tss);
}

static void load_tables(struct cpu_area *a) {
  struct table_pointer gdtr = {sizeof(a->gdt) - 1, (uint64_t)a->gdt};
  struct table_pointer idtr = {sizeof(idt) - 1, (uint64_t)idt};
  __asm__ volatile("lgdt %0\n\tlidt %1\n\t"
                   "pushq %2\n\tleaq 1f(%%rip), %%rax\n\tpushq %%rax\n\tlretq\n1:\n\t"
                   "movl %3, %%eax\n\tmovl %%eax, %%ds\n\tmovl %%eax, %%es\n\tmovl %%eax, %%ss\n\t"
                   "xorl %%eax, %%eax\n\tmovl %%eax, %%fs\n\tmovl %%eax, %%gs\n\t"
                   "movl %4, %%eax\n\tltr %%ax" ::"m"(gdtr),
                   "m"(idtr), "i"(SEL_KERNEL_CS), "i"(SEL_KERNEL_SS), "i"(SEL_TSS)
                   : "rax", "memory");
}

/* Called before anything that may fault, and again by nothing: one call a CPU. */
void cpu_set_tables(uint32_t cpu) {
  struct cpu_area *a = &cpu_areas[cpu];
  if (cpu == 0) {
    idt_fill();
  }
  gdt_fill(a);
  ist_fill(cpu, a);
  load_tables(a);
  a->cpu = (struct arch_cpu){
      .self = &a->cpu, .id = cpu, .space = &arch_kernel_space, .trace = {.records = trace_unread}};
  asid_init(&a->cpu.asids, cpu_features.pcid ? ASID_SLOTS : 1);
  wrmsr(MSR_GS_BASE, (uint64_t)a);
  wrmsr(MSR_KERNEL_GS_BASE, 0);
}

struct arch_cpu *cpu_of(uint32_t cpu) {
  return &cpu_areas[cpu].cpu;
}

/* CPUID only; once, before anything asks. */
void cpu_features_read(void) {
  struct cpu_features *f = &cpu_features;
  uint32_t most = cpuid(0, 0).eax;
  struct cpuid l1 = cpuid(1, 0);
  f->pge = l1.edx >> 13 & 1;
  f->pcid = l1.ecx >> 17 & 1;
  f->x2apic = l1.ecx >> 21 & 1;
  f->tsc_deadline = l1.ecx >> 24 & 1;
  f->xsave = l1.ecx >> 26 & 1;
  f->avx = f->xsave && (l1.ecx >> 28 & 1);
  if (most >= 7) {
    struct cpuid l7 = cpuid(7, 0);
    f->fsgsbase = l7.ebx & 1;
    f->smep = l7.ebx >> 7 & 1;
    f->erms = l7.ebx >> 9 & 1;
    f->smap = l7.ebx >> 20 & 1;
    f->umip = l7.ecx >> 2 & 1;
  }
  struct cpuid e1 = cpuid(0x80000001, 0);
  f->nx = e1.edx >> 20 & 1;
  f->page_1g = e1.edx >> 26 & 1;
  cpu_has_smap = f->smap;
  cpu_fast_switch = f->xsave && f->avx && f->fsgsbase;
}

/* CR4 bits: MCE 6, PGE 7, OSFXSR 9, OSXMMEXCPT 10, UMIP 11, FSGSBASE 16, PCIDE 17, OSXSAVE 18,
 * SMEP 20, SMAP 21 (SDM vol. 3A 2.5); PCIDE asks for long mode and tag 0 in CR3 (4.10.1). CR0: MP 1
 * set, EM 2 and TS 3 clear, NE 5, WP 16. */
static void control_registers_set(void) {
  const struct cpu_features *f = &cpu_features;
  uint64_t cr4 = read_cr4() | (1ul << 6) | (1ul << 9) | (1ul << 10);
  cr4 |= (uint64_t)f->pge << 7 | (uint64_t)f->umip << 11 | (uint64_t)f->fsgsbase << 16 |
         (uint64_t)f->pcid << 17 | (uint64_t)f->xsave << 18 | (uint64_t)f->smep << 20 |
         (uint64_t)f->smap << 21;
  write_cr4(cr4);
  uint64_t cr0;
  __asm__ volatile("movq %%cr0, %0" : "=r"(cr0));
  cr0 = (cr0 & ~0xcul) | 0x2 | 0x20 | (1ul << 16);
  __asm__ volatile("movq %0, %%cr0" ::"r"(cr0) : "memory");
}

static void syscall_registers_set(void) {
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
  wrmsr(MSR_STAR, (uint64_t)(SEL_KERNEL_SS | 3) << 48 | (uint64_t)SEL_KERNEL_CS << 32);
  wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
  wrmsr(MSR_SFMASK, RFLAGS_MASK_SYSCALL);
}

void arch_cpu_init(uint32_t cpu) {
  (void)cpu;
  control_registers_set();
  syscall_registers_set();
  fpu_cpu_init();
  apic_cpu_init();
}

bool arch_user_has_fsgsbase(void) {
  return cpu_features.fsgsbase;
}

uint64_t arch_pte_noexec(void) {
  return cpu_features.nx ? PTE_NOEXEC : 0;
}

const char *arch_cpu_model(void) {
  static char model[49];
  if (cpuid(0x80000000, 0).eax < 0x80000004) {
    return "unknown x86-64";
  }
  for (uint32_t i = 0; i < 3; i++) {
    struct cpuid r = cpuid(0x80000002 + i, 0);
    memcpy(model + 16 * i, &r, sizeof(r));
  }
  return model;
}

void arch_cpu_features(char *out, size_t cap) {
  const struct cpu_features *f = &cpu_features;
  const struct {
    const char *name;
    bool on;
  } names[] = {{"nx", f->nx},
               {"smep", f->smep},
               {"smap", f->smap},
               {"umip", f->umip},
               {"fsgsbase", f->fsgsbase},
               {"pge", f->pge},
               {"pcid", f->pcid},
               {"xsave", f->xsave},
               {"avx", f->avx},
               {"x2apic", f->x2apic},
               {"tsc-deadline", f->tsc_deadline},
               {"1g-pages", f->page_1g},
               {"erms", f->erms}};
  size_t n = 0;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    size_t len = strlen(names[i].name);
    if (!names[i].on || n + len + 2 > cap) {
      continue;
    }
    memcpy(out + n, names[i].name, len);
    n += len;
    out[n++] = ' ';
  }
  out[n ? n - 1 : 0] = '\0';
}

_Noreturn void arch_halt(void) {
  for (;;) {
    __asm__ volatile("cli; hlt");
  }
}
