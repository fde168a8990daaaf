/* The floating point and vector registers of ring 3. Saved at each switch away from a user thread;
 * not restored when the CPU still holds them. XSAVE with x87, SSE and AVX (SDM vol. 1, chapter 13);
 * AVX-512 stays off, which keeps a thread's area under 1 KiB. FXSAVE on CPUs without XSAVE. */
#include "arch/x86_64/x86.h"
#include "lib/string.h"

#define XCR0_X87 1u
#define XCR0_SSE 2u
#define XCR0_AVX 4u
#define FCW_DEFAULT 0x37fu
#define MXCSR_DEFAULT 0x1f80u

static size_t area_size = 512;
uint32_t fpu_xcr0;

void fpu_cpu_init(void) {
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

void arch_fpu_init_area(void *area) {
  memset(area, 0, area_size);
  *(uint16_t *)area = FCW_DEFAULT;
  *(uint32_t *)((uint8_t *)area + 24) = MXCSR_DEFAULT;
}

void fpu_save_slow(void *area) {
  if (cpu_features.xsave) {
    __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(fpu_xcr0), "d"(0) : "memory");
  } else {
    __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
  }
}

void fpu_restore_slow(const void *area) {
  __asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}
