/* The floating point and vector registers of ring 3: x87, SSE and AVX. AVX-512 stays off.
 *
 * [F1] A system call is a call. Under the System V ABI (x86-64, 3.2.3) a function keeps the control
 * words, and no vector register; so does the kernel, and the stubs that enter it tell the compiler.
 * A thread that waits in a call has 6 bytes of such state instead of some 800, and a switch between
 * two that wait, as nearly all do, saves and loads no more. XSAVE and XRSTOR would cost hundreds of
 * cycles, more than all else in a switch. The exceptions that were raised stay raised, as C wants
 * it (C11 F.8.6): those of x87 are moved to MXCSR, where fetestexcept() looks as well.
 *
 * [F2] A thread that was interrupted in ring 3 keeps everything: XSAVE when it is left, XRSTOR when
 * it goes on. Its frame's cs tells the two apart (entry.asm [A3]). Not XSAVEOPT, which may leave
 * out what has not changed since an XRSTOR from the same address (SDM vol. 1, 13.9): between the
 * two, another CPU may have written there.
 *
 * [F3] Who is left leaves nothing behind that works on: x87 is empty and without flags, so that no
 * EMMS or FLDCW of ours meets a pending exception, and the vector registers are zero. What stays is
 * data in empty x87 registers, which MMX can read, and x87's pointers. Threads of one process may
 * see that; at the first switch with other page tables loaded, x87 is set to its first state. */
#include "arch/x86_64/x86.h"
#include "lib/string.h"

#define XCR0_X87 1u
#define XCR0_SSE 2u
#define XCR0_AVX 4u
#define XSAVE_HEADER 512u /* behind the FXSAVE image (SDM vol. 1, 13.4) */
#define XSAVE_HEADER_SIZE 64u

/* Of XSAVE or FXSAVE: registers as a program finds them. XSTATE_BV is 0, so that XRSTOR initializes
 * all but MXCSR, which it reads (SDM vol. 1, 13.8.1). */
const struct fpu_image fpu_clean = {.fcw = FPU_FCW_DEFAULT, .mxcsr = FPU_MXCSR_DEFAULT};
static size_t area_size = XSAVE_HEADER;
READ_MOSTLY uint32_t fpu_xcr0;

void fpu_cpu_init(void) {
  __asm__ volatile("fninit"); /* RESET leaves x87 with exceptions enabled (SDM vol. 3A 9.1.1) */
  if (!cpu_features.xsave) {
    return;
  }
  fpu_xcr0 = XCR0_X87 | XCR0_SSE | (cpu_features.avx ? XCR0_AVX : 0);
  __asm__ volatile("xsetbv" ::"c"(0), "a"(fpu_xcr0), "d"(0));
  area_size = cpuid(0xd, 0).ebx;
}

size_t arch_fpu_size(void) {
  return (area_size + 63) & ~63ul;
}

/* XRSTOR wants zeros in the header where XSAVE writes none. */
void arch_fpu_init_area(void *area) {
  if (cpu_features.xsave) {
    memset((uint8_t *)area + XSAVE_HEADER, 0, XSAVE_HEADER_SIZE);
  }
}

static void area_save(void *area) {
  if (cpu_features.xsave) {
    __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(fpu_xcr0), "d"(0) : "memory");
  } else {
    __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
  }
}

static void area_load(const void *area) {
  if (cpu_features.xsave) {
    __asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"(fpu_xcr0), "d"(0) : "memory");
  } else {
    __asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
  }
}

void fpu_start(void) {
  __asm__ volatile("fnclex"); /* FXRSTOR leaves the pointers of exceptions that are not pending */
  area_load(&fpu_clean);
}

/* ---- the switch, for CPUs without all that thread_switch (entry.asm) counts on ----------------
 */

static void call_leave(struct arch_thread *t) {
  uint16_t status;
  __asm__ volatile("stmxcsr %0\n\tfnstcw %1\n\tfnstsw %2"
                   : "=m"(t->mxcsr), "=m"(t->fcw), "=a"(status));
  t->mxcsr |= status & FPU_X87_FLAGS;
}

static void call_enter(const struct arch_thread *t) {
  __asm__ volatile("ldmxcsr %0\n\tfldcw %1" ::"m"(t->mxcsr), "m"(t->fcw));
}

void fpu_leave(struct arch_thread *t) {
  if (arch_user_frame(t)->cs == SEL_USER_CS_CALL) {
    call_leave(t);
  } else {
    area_save(t->fpu);
  }
  fpu_start(); /* [F3], and more */
}

void fpu_enter(const struct arch_thread *t) {
  if (arch_user_frame((struct arch_thread *)t)->cs == SEL_USER_CS_CALL) {
    call_enter(t);
  } else {
    area_load(t->fpu);
  }
}
