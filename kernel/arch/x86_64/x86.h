/* Instructions, registers and structures of the machine; private to arch/x86_64. Register layouts
 * are from the Intel SDM (vol. 3A and 4) and the AMD APM (vol. 2) where noted. */
#ifndef CATHODE_ARCH_X86_H
#define CATHODE_ARCH_X86_H

#include "arch/arch.h"
#include "arch/upcall.h"
#include "lib/bits.h"

#define KERNEL_BASE 0xffffffff80000000ul

/* Segment selectors; the order is SYSRET's (SDM vol. 2, SYSRET). */
#define SEL_KERNEL_CS 0x08
#define SEL_KERNEL_SS 0x10
#define SEL_USER_SS 0x1b
#define SEL_USER_CS 0x23
#define SEL_USER_CS_CALL 0x10023 /* in the frame of a system call: entry.asm [A3] */
#define SEL_NONE 0               /* in that of a thread that never sees ring 3 */
#define SEL_TSS 0x28

#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_SFMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u

#define RFLAGS_FIXED 0x2ul
#define RFLAGS_IF (1ul << 9)
#define RFLAGS_AC (1ul << 18)
/* What ring 3 may have set: CF PF AF ZF SF DF OF RF AC ID. */
#define RFLAGS_USER 0x250cd5ul
/* Cleared by SYSCALL: TF IF DF NT AC. */
#define RFLAGS_MASK_SYSCALL 0x44700ul

#define VECTOR_NMI 2
#define VECTOR_DOUBLE_FAULT 8
#define VECTOR_PAGE_FAULT 14
#define VECTOR_MACHINE_CHECK 18
#define VECTOR_IPI_BASE 0xe0
#define VECTOR_TIMER 0xe8
#define VECTOR_SERIAL 0xe9
#define VECTOR_BENCH 0xf0
#define VECTOR_SPURIOUS 0xff

/* What the stubs of entry.asm leave on the stack. */
struct arch_trap_frame {
  uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
  uint64_t vector, error;
  uint64_t rip, cs, rflags, rsp, ss;
};

/* The features that this kernel uses when the CPU has them. */
struct cpu_features {
  bool nx, smep, smap, umip, fsgsbase, pge, pcid, xsave, avx, x2apic, tsc_deadline, page_1g, erms;
};
extern struct cpu_features cpu_features; /* [c] after the first CPU's arch_cpu_init() */
extern bool cpu_has_smap;
extern bool cpu_fast_switch; /* thread_switch need not ask what the CPU has */

struct cpuid {
  uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf) {
  struct cpuid r;
  __asm__ volatile("cpuid"
                   : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                   : "a"(leaf), "c"(subleaf));
  return r;
}

static inline uint64_t rdmsr(uint32_t msr) {
  uint32_t lo, hi;
  __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
  return ((uint64_t)hi << 32) | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t value) {
  __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                   : "memory");
}

static inline void outb(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline uint64_t read_cr4(void) {
  uint64_t v;
  __asm__ volatile("movq %%cr4, %0" : "=r"(v));
  return v;
}

static inline void write_cr4(uint64_t v) {
  __asm__ volatile("movq %0, %%cr4" ::"r"(v) : "memory");
}

static inline uint64_t read_cr3(void) {
  uint64_t v;
  __asm__ volatile("movq %%cr3, %0" : "=r"(v));
  return v;
}

static inline void write_cr3(uint64_t v) {
  __asm__ volatile("movq %0, %%cr3" ::"r"(v) : "memory");
}

static inline void invlpg(uint64_t va) {
  __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}

static inline uint64_t rdfsbase(void) {
  uint64_t v;
  __asm__ volatile("rdfsbase %0" : "=r"(v));
  return v;
}

static inline void wrfsbase(uint64_t v) {
  __asm__ volatile("wrfsbase %0" ::"r"(v));
}

/* The user's gs base, which waits behind swapgs while the kernel runs. */
static inline uint64_t read_user_gsbase(void) {
  uint64_t v;
  __asm__ volatile("swapgs; rdgsbase %0; swapgs" : "=r"(v));
  return v;
}

static inline void write_user_gsbase(uint64_t v) {
  __asm__ volatile("swapgs; wrgsbase %0; swapgs" ::"r"(v));
}

static inline void cpu_pause(void) {
  __asm__ volatile("pause" ::: "memory");
}

#define TRAMPOLINE_PAGE                                                                            \
  0x8000ul /* where starting CPUs begin: below 1 MiB, which is never allocated */

/* start.asm */
extern uint64_t boot_pml4[512];
extern const uint8_t ap_trampoline[], ap_trampoline_end[];
extern const uint64_t ap_cr3, ap_stack, ap_cpu;

/* entry.asm */
extern const uint8_t trap_stubs[], bench_int_handler[];
extern const uint8_t user_copy_start[], user_copy_end[], user_copy_fault[];
extern const uint8_t user_copy_now_start[], user_copy_now_end[];
void syscall_entry(void);
void thread_start(void);
void bench_int_loop(uint32_t n);
_Noreturn void arch_user_enter_asm(struct arch_user_frame *frame, uint64_t arg);

/* C called from assembly. */
_Noreturn void arch_entry(uint32_t kind, uint32_t info);
_Noreturn void arch_ap_entry(uint32_t cpu);
void trap_dispatch(struct arch_trap_frame *f);
void trap_paranoid(struct arch_trap_frame *f);
/* sampler.c, within an NMI: the other CPUs' turn, and what this one was doing. */
void sampler_relay(void);
void sampler_stack(const struct arch_trap_frame *f, struct profile_sample *s);
_Noreturn void kernel_main(void);

/* acpi.c: what the MADT says. */
struct acpi_info {
  uint32_t apic_ids[MAX_CPUS]; /* index: CPU number; [0] is the booting CPU */
  uint32_t n_cpus;
  uint64_t lapic_base;
  uint64_t ioapic_base;
  uint32_t ioapic_gsi_base;
  uint32_t isa_gsi[16];   /* ISA interrupt -> global system interrupt */
  uint16_t isa_flags[16]; /* MPS INTI flags */
};
extern struct acpi_info acpi;
void acpi_read(paddr_t rsdp);

/* apic.c */
void apic_cpu_init(void);
uint32_t apic_id(void);
void apic_map(paddr_t (*alloc_page)(void));
void apic_eoi(void);
void apic_send_init(uint32_t dest);
/* Deliver an ISA interrupt to the booting CPU as NMI, or mask it. False without an I/O APIC. */
bool apic_isa_nmi(uint32_t isa, bool on);
/* To all other CPUs; from within an NMI. */
void apic_nmi_relay(void);
void apic_send_startup(uint32_t dest, uint8_t page);
void apic_timer_calibrate_start(void);
void apic_timer_calibrate_end(uint64_t tsc_cycles, bool keep);

/* cpu.c */
void cpu_set_tables(uint32_t cpu);
void cpu_features_read(void);
struct arch_cpu *cpu_of(uint32_t cpu);
/* thread.c */
void thread_state_switch(struct arch_thread *prev, struct arch_thread *next);
/* fpu.c */
#define FPU_MXCSR_DEFAULT 0x1f80u /* all exceptions masked (SDM vol. 1, 10.2.3) */
#define FPU_FCW_DEFAULT 0x37fu    /* what FNINIT sets (SDM vol. 2A, FINIT) */
#define FPU_X87_FLAGS 0x3fu       /* raised exceptions: the same bits in FSW and in MXCSR */
struct fpu_image {
  uint16_t fcw, fsw, ftw, fop;
  uint64_t fip, fdp;
  uint32_t mxcsr, mxcsr_mask;
  uint8_t registers[480], header[64], avx[256];
} __attribute__((aligned(64))); /* SDM vol. 1, 13.4 */
extern const struct fpu_image fpu_clean;
extern uint32_t fpu_xcr0; /* what XSAVE saves */
void fpu_cpu_init(void);
void fpu_start(void); /* as a program finds the registers (System V ABI, x86-64, 3.4.1) */
void fpu_leave(struct arch_thread *t);
void fpu_enter(const struct arch_thread *t);
/* tsc.c */
void tsc_delay_us(uint64_t us);
/* uart.c */
void uart_init(void);
void uart_irq_enable(void);
void uart_drain(void);

#endif
