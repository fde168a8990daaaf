/* Zeroing and copying a page: several routines, measured at boot, the quickest kept. Which one that
 * is differs by machine: on hardware with ERMS it is often `rep stosb`, under emulation each
 * repetition costs an instruction and the widest moves win. The vector routines keep the one
 * register that they use. */
#include "arch/x86_64/x86.h"
#include "lib/fmt.h"

#define ROUNDS 9u

struct page_routine {
  const char *name;
  void (*zero)(void *page);
  void (*copy)(void *dst, const void *src);
  const bool *usable; /* NULL: always */
  uint64_t zero_cycles, copy_cycles;
};

static void zero_stosq(void *page) {
  uint64_t n = PAGE_SIZE / 8;
  __asm__ volatile("rep stosq" : "+D"(page), "+c"(n) : "a"(0) : "memory");
}

static void copy_movsq(void *dst, const void *src) {
  uint64_t n = PAGE_SIZE / 8;
  __asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(n)::"memory");
}

static void zero_stosb(void *page) {
  uint64_t n = PAGE_SIZE;
  __asm__ volatile("rep stosb" : "+D"(page), "+c"(n) : "a"(0) : "memory");
}

static void copy_movsb(void *dst, const void *src) {
  uint64_t n = PAGE_SIZE;
  __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n)::"memory");
}

static void zero_mov(void *page) {
  for (uint64_t *p = page, *end = p + PAGE_SIZE / 8; p != end; p += 8) {
    p[0] = p[1] = p[2] = p[3] = p[4] = p[5] = p[6] = p[7] = 0;
    __asm__ volatile("" ::: "memory");
  }
}

static void copy_mov(void *dst, const void *src) {
  uint64_t *d = dst;
  const uint64_t *s = src;
  for (const uint64_t *end = s + PAGE_SIZE / 8; s != end; s += 4, d += 4) {
    uint64_t a = s[0], b = s[1], c = s[2], e = s[3];
    d[0] = a;
    d[1] = b;
    d[2] = c;
    d[3] = e;
    __asm__ volatile("" ::: "memory");
  }
}

#define STORE8(insn, reg, w)                                                                       \
  insn " " reg ", (%0)\n\t" insn " " reg ", " #w "(%0)\n\t" insn " " reg ", 2*" #w "(%0)\n\t" insn \
       " " reg ", 3*" #w "(%0)\n\t" insn " " reg ", 4*" #w "(%0)\n\t" insn " " reg ", 5*" #w       \
       "(%0)\n\t" insn " " reg ", 6*" #w "(%0)\n\t" insn " " reg ", 7*" #w "(%0)\n\t"

static void zero_sse(void *page) {
  uint8_t saved[16] __attribute__((aligned(16)));
  void *end = (uint8_t *)page + PAGE_SIZE;
  __asm__ volatile("movaps %%xmm0, (%2)\n\txorps %%xmm0, %%xmm0\n"
                   "1:\t" STORE8("movaps", "%%xmm0",
                                 16) "addq $128, %0\n\tcmpq %1, %0\n\tjne 1b\n\tmovaps (%2), %%xmm0"
                   : "+r"(page)
                   : "r"(end), "r"(saved)
                   : "memory", "cc");
}

static void zero_avx(void *page) {
  uint8_t saved[32] __attribute__((aligned(32)));
  void *end = (uint8_t *)page + PAGE_SIZE;
  __asm__ volatile(
      "vmovups %%ymm0, (%2)\n\tvpxor %%xmm0, %%xmm0, %%xmm0\n"
      "1:\t" STORE8("vmovaps", "%%ymm0",
                    32) "addq $256, %0\n\tcmpq %1, %0\n\tjne 1b\n\tvmovups (%2), %%ymm0"
      : "+r"(page)
      : "r"(end), "r"(saved)
      : "memory", "cc");
}

#define COPY1(insn, reg, at) insn " " at "(%1), " reg "\n\t" insn " " reg ", " at "(%0)\n\t"
#define COPY4(insn, reg, a, b, c, d)                                                               \
  COPY1(insn, reg, a) COPY1(insn, reg, b) COPY1(insn, reg, c) COPY1(insn, reg, d)
#define COPY8(insn, reg, w)                                                                        \
  COPY4(insn, reg, "", #w, "2*" #w, "3*" #w)                                                       \
  COPY4(insn, reg, "4*" #w, "5*" #w, "6*" #w, "7*" #w)

static void copy_sse(void *dst, const void *src) {
  uint8_t saved[16] __attribute__((aligned(16)));
  const void *end = (const uint8_t *)src + PAGE_SIZE;
  __asm__ volatile(
      "movaps %%xmm0, (%3)\n"
      "1:\t" COPY8(
          "movaps", "%%xmm0",
          16) "subq $-128, %0\n\tsubq $-128, %1\n\tcmpq %2, %1\n\tjne 1b\n\tmovaps (%3), %%xmm0"
      : "+r"(dst), "+r"(src)
      : "r"(end), "r"(saved)
      : "memory", "cc");
}

static void copy_avx(void *dst, const void *src) {
  uint8_t saved[32] __attribute__((aligned(32)));
  const void *end = (const uint8_t *)src + PAGE_SIZE;
  __asm__ volatile(
      "vmovups %%ymm0, (%3)\n"
      "1:\t" COPY8(
          "vmovaps", "%%ymm0",
          32) "addq $256, %0\n\taddq $256, %1\n\tcmpq %2, %1\n\tjne 1b\n\tvmovups (%3), %%ymm0"
      : "+r"(dst), "+r"(src)
      : "r"(end), "r"(saved)
      : "memory", "cc");
}

static struct page_routine routines[] = {
    {"mov", zero_mov, copy_mov, NULL, 0, 0},
    {"rep-q", zero_stosq, copy_movsq, NULL, 0, 0},
    {"rep-b", zero_stosb, copy_movsb, &cpu_features.erms, 0, 0},
    {"sse", zero_sse, copy_sse, NULL, 0, 0},
    {"avx", zero_avx, copy_avx, &cpu_features.avx, 0, 0},
};
#define N_ROUTINES (sizeof(routines) / sizeof(routines[0]))

READ_MOSTLY void (*arch_page_zero)(void *page) = zero_mov;
READ_MOSTLY void (*arch_page_copy)(void *dst, const void *src) = copy_mov;
static const char *zero_name = "mov", *copy_name = "mov";
static char report[256];

void arch_page_names(const char **zero, const char **copy) {
  *zero = zero_name;
  *copy = copy_name;
}

static void routine_measure(struct page_routine *r, void *a, void *b) {
  r->zero_cycles = r->copy_cycles = UINT64_MAX;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    uint64_t t0 = arch_tsc();
    r->zero(a);
    uint64_t t1 = arch_tsc();
    r->copy(b, a);
    uint64_t t2 = arch_tsc();
    r->zero_cycles = t1 - t0 < r->zero_cycles ? t1 - t0 : r->zero_cycles;
    r->copy_cycles = t2 - t1 < r->copy_cycles ? t2 - t1 : r->copy_cycles;
  }
}

void arch_page_select(void *a, void *b) {
  const struct page_routine *zero = &routines[0], *copy = &routines[0];
  for (size_t i = 0; i < N_ROUTINES; i++) {
    struct page_routine *r = &routines[i];
    if (r->usable != NULL && !*r->usable) {
      continue;
    }
    routine_measure(r, a, b);
    zero = r->zero_cycles < zero->zero_cycles ? r : zero;
    copy = r->copy_cycles < copy->copy_cycles ? r : copy;
  }
  arch_page_zero = zero->zero;
  arch_page_copy = copy->copy;
  zero_name = zero->name;
  copy_name = copy->name;
  size_t n = fmt_snprintf(report, sizeof(report), "zero=%s copy=%s (zero/copy cycles:", zero->name,
                          copy->name);
  for (size_t i = 0; i < N_ROUTINES; i++) {
    if (routines[i].zero_cycles != 0) {
      n += fmt_snprintf(report + n, sizeof(report) - n, " %s %lu/%lu", routines[i].name,
                        routines[i].zero_cycles, routines[i].copy_cycles);
    }
  }
  fmt_snprintf(report + n, sizeof(report) - n, ")");
}

const char *arch_page_report(void) {
  return report;
}
