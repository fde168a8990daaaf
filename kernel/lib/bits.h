/* Bit scans, alignment and the small macros that every file wants.
 *
 * Each bit function is one or two instructions; the argument of bit_first and bit_last must not be
 * 0 (BSF and BSR leave their destination undefined then, SDM vol. 2A). */
#ifndef CATHODE_LIB_BITS_H
#define CATHODE_LIB_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the linker puts a variable (kernel.ld), so that what is used together shares pages, and
 * what is seldom written no cache line with what is written often. */
#ifdef __ELF__
#define READ_MOSTLY __attribute__((section(".data.read_mostly")))
#define OF_EACH_CPU __attribute__((section(".bss.cpus")))
#endif

/* Two cache lines: where one is fetched, the other of an aligned pair often comes along (Intel
 * Optimization Reference Manual, spatial prefetcher). */
#define CACHE_PAIR 128

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* The compiler moves no memory access across this; the CPU may. */
#define BARRIER() __asm__ volatile("" ::: "memory")

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Arguments are evaluated once and must have one type. */
#define MIN(a, b)                                                                                  \
  __extension__({                                                                                  \
    __typeof__(a) min_a_ = (a);                                                                    \
    __typeof__(b) min_b_ = (b);                                                                    \
    (void)(&min_a_ == &min_b_);                                                                    \
    min_a_ < min_b_ ? min_a_ : min_b_;                                                             \
  })
#define MAX(a, b)                                                                                  \
  __extension__({                                                                                  \
    __typeof__(a) max_a_ = (a);                                                                    \
    __typeof__(b) max_b_ = (b);                                                                    \
    (void)(&max_a_ == &max_b_);                                                                    \
    max_a_ > max_b_ ? max_a_ : max_b_;                                                             \
  })

/* `to` is a power of two. ALIGN_UP wraps to 0 when the result has no room in x's type. */
#define ALIGN_DOWN(x, to) ((x) & ~((__typeof__(x))(to)-1))
#define ALIGN_UP(x, to) ALIGN_DOWN((x) + ((__typeof__(x))(to)-1), to)
#define IS_ALIGNED(x, to) (((x) & ((__typeof__(x))(to)-1)) == 0)

/* The number of the lowest set bit. */
static inline unsigned bit_first(uint64_t word) {
  return (unsigned)__builtin_ctzll(word);
}

/* The number of the highest set bit. */
static inline unsigned bit_last(uint64_t word) {
  return 63u ^ (unsigned)__builtin_clzll(word);
}

/* How many bits are set. Arithmetic, because POPCNT is not in the x86-64 baseline and the
 * compiler's fallback is a library call, which a kernel lacks. Hacker's Delight, section 5-1. */
static inline unsigned bit_count(uint64_t word) {
  word -= (word >> 1) & 0x5555555555555555u;
  word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return (unsigned)((word * 0x0101010101010101u) >> 56);
}

static inline bool bit_is_power_of_two(uint64_t word) {
  return word != 0 && (word & (word - 1)) == 0;
}

#endif
