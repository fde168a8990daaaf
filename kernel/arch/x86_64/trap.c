/* Exceptions and interrupts, sorted: page faults, other exceptions of ring 3, interrupts, and the
 * kernel's own mistakes. Page faults inside the user copy routines that cannot be resolved end the
 * copy. */
#include "arch/x86_64/x86.h"
#include "lib/fmt.h"
#include "lib/kassert.h"

static const char *const exception_names[32] = {
    "divide error",
    "debug",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "no FPU",
    "double fault",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "reserved",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD error",
    "virtualization",
    "control protection",
};

_Noreturn static void kernel_fault(const struct arch_trap_frame *f, uint64_t addr) {
  char text[128];
  const char *name =
      f->vector < 32 && exception_names[f->vector] ? exception_names[f->vector] : "exception";
  fmt_snprintf(text, sizeof(text), "%s in the kernel (error 0x%lx, address 0x%lx)", name, f->error,
               addr);
  upcall_panic(text, f->rip, f->rbp, f->rsp);
}

static bool rip_in(const struct arch_trap_frame *f, const uint8_t *start, const uint8_t *end) {
  return f->rip >= (uint64_t)start && f->rip < (uint64_t)end;
}

static void page_fault(struct arch_trap_frame *f) {
  struct arch_fault fault = {.present = f->error & 1,
                             .write = f->error >> 1 & 1,
                             .user = f->error >> 2 & 1,
                             .exec = f->error >> 4 & 1};
  __asm__ volatile("movq %%cr2, %0" : "=r"(fault.addr));
  bool now = !fault.user && rip_in(f, user_copy_now_start, user_copy_now_end);
  if (!fault.user && !now && !rip_in(f, user_copy_start, user_copy_end)) {
    kernel_fault(f, fault.addr);
  }
  if (now || !upcall_page_fault(&fault)) {
    f->rip = (uint64_t)user_copy_fault;
  }
}

static void interrupt(uint64_t vector) {
  if (vector == VECTOR_SPURIOUS) {
    return; /* no EOI (SDM vol. 3A 11.9) */
  }
  apic_eoi();
  if (vector == VECTOR_TIMER) {
    upcall_timer();
  } else if (vector == VECTOR_IPI_BASE + ARCH_IPI_WAKE) {
    upcall_ipi_wake();
  } else if (vector == VECTOR_IPI_BASE + ARCH_IPI_TLB) {
    upcall_ipi_tlb();
  } else if (vector == VECTOR_SERIAL) {
    upcall_irq_serial();
  }
}

/* Whatever was interrupted, a handler may sleep, and does not leave user memory open to others. */
static bool smap_is_shut(void) {
  return !cpu_has_smap || (__builtin_ia32_readeflags_u64() & RFLAGS_AC) == 0;
}

void trap_dispatch(struct arch_trap_frame *f) {
  kassert_debug(smap_is_shut());
  if (f->vector == VECTOR_PAGE_FAULT) {
    page_fault(f);
  } else if (f->vector >= 32) {
    interrupt(f->vector);
  } else if (f->cs & 3) {
    upcall_user_exception((uint32_t)f->vector, f->error, f->rip);
  } else {
    kernel_fault(f, 0);
  }
}

static void nmi(const struct arch_trap_frame *f) {
  bool ours;
  struct profile_sample *s = upcall_nmi_sample(&ours);
  if (!ours) {
    upcall_nmi_stop(f->rip, f->rbp);
  }
  sampler_relay();
  if (s != NULL) {
    sampler_stack(f, s);
    upcall_nmi_sampled(s);
  }
}

void trap_paranoid(struct arch_trap_frame *f) {
  if (f->vector == VECTOR_NMI) {
    nmi(f);
    return;
  }
  kernel_fault(f, 0);
}

/* A frame of the kernel: [rbp] = caller's rbp, [rbp + 8] = return address; both in the kernel half.
 */
size_t arch_backtrace(uint64_t rbp, uint64_t *out, size_t cap) {
  size_t n = 0;
  while (n < cap && rbp >= DIRECT_MAP_BASE && (rbp & 7) == 0) {
    const uint64_t *frame = (const uint64_t *)rbp;
    if (frame[1] < KERNEL_BASE) {
      break;
    }
    out[n++] = frame[1];
    if (frame[0] <= rbp || frame[0] - rbp > KSTACK_SIZE) {
      break;
    }
    rbp = frame[0];
  }
  return n;
}

uint64_t arch_bench_int(uint32_t iterations) {
  uint64_t start = arch_tsc();
  bench_int_loop(iterations);
  return arch_tsc() - start;
}

uint64_t arch_bench_cr3(uint32_t iterations) {
  uint64_t start = arch_tsc();
  for (uint32_t i = 0; i < iterations; i++) {
    write_cr3(read_cr3());
  }
  return arch_tsc() - start;
}

uint64_t arch_bench_invlpg(uint32_t iterations) {
  uint64_t start = arch_tsc();
  for (uint32_t i = 0; i < iterations; i++) {
    invlpg((uint64_t)&arch_kernel_space);
  }
  return arch_tsc() - start;
}
