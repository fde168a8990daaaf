/* Kernel entries: sys_read(), sys_openat(), ..., one inline function for each line of
 * abi/syscalls.def, and rt_block() for calls that a signal handler must be able to interrupt.
 *
 * A result is >= 0 or a negated error; there is no errno here. Arguments are widened to 64 bits,
 * int with its sign. The kernel keeps what a function keeps under the System V ABI (x86-64, 3.2.3):
 * rbx, rbp, r12-r15, rsp, MXCSR and the x87 control word. The six argument registers, rcx, r11 and
 * the vector registers are lost; the x87 stack is to be empty. */
#ifndef CATHODE_RUNTIME_SYSCALL_H
#define CATHODE_RUNTIME_SYSCALL_H

#include "abi/abi.h"

#ifdef __SSE__
#define RT_LOST_VECTORS                                                                            \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",         \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)",       \
      "st(5)", "st(6)", "st(7)",
#else
#define RT_LOST_VECTORS
#endif
#define RT_LOST RT_LOST_VECTORS "rcx", "r11", "memory"

static inline int64_t rt_enter0(uint64_t nr) {
  int64_t result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"(nr)
                   : "rdi", "rsi", "rdx", "r8", "r9", "r10", RT_LOST);
  return result;
}

static inline int64_t rt_enter1(uint64_t nr, uint64_t a) {
  int64_t result;
  __asm__ volatile("syscall"
                   : "=a"(result), "+D"(a)
                   : "0"(nr)
                   : "rsi", "rdx", "r8", "r9", "r10", RT_LOST);
  return result;
}

static inline int64_t rt_enter2(uint64_t nr, uint64_t a, uint64_t b) {
  int64_t result;
  __asm__ volatile("syscall"
                   : "=a"(result), "+D"(a), "+S"(b)
                   : "0"(nr)
                   : "rdx", "r8", "r9", "r10", RT_LOST);
  return result;
}

static inline int64_t rt_enter3(uint64_t nr, uint64_t a, uint64_t b, uint64_t c) {
  int64_t result;
  __asm__ volatile("syscall"
                   : "=a"(result), "+D"(a), "+S"(b), "+d"(c)
                   : "0"(nr)
                   : "r8", "r9", "r10", RT_LOST);
  return result;
}

static inline int64_t rt_enter4(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  int64_t result;
  register uint64_t r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10)
                   : "0"(nr)
                   : "r8", "r9", RT_LOST);
  return result;
}

static inline int64_t rt_enter5(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                uint64_t e) {
  int64_t result;
  register uint64_t r10 __asm__("r10") = d;
  register uint64_t r8 __asm__("r8") = e;
  __asm__ volatile("syscall"
                   : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
                   : "0"(nr)
                   : "r9", RT_LOST);
  return result;
}

static inline int64_t rt_enter6(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                uint64_t e, uint64_t f) {
  int64_t result;
  register uint64_t r10 __asm__("r10") = d;
  register uint64_t r8 __asm__("r8") = e;
  register uint64_t r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8), "+r"(r9)
                   : "0"(nr)
                   : RT_LOST);
  return result;
}

#define USER_FD int
#define USER_PTR void *
#define USER_CPTR const void *
#define USER_ADDR uint64_t
#define USER_LEN size_t
#define USER_NUM uint64_t
#define USER_OFF int64_t
#define USER_FLAGS uint32_t

#define SYSCALL0(nr, name, block, text)                                                            \
  static inline int64_t sys_##name(void) {                                                         \
    return rt_enter0(nr);                                                                          \
  }
#define SYSCALL1(nr, name, block, k1, a1, text)                                                    \
  static inline int64_t sys_##name(USER_##k1 a1) {                                                 \
    return rt_enter1(nr, (uint64_t)a1);                                                            \
  }
#define SYSCALL2(nr, name, block, k1, a1, k2, a2, text)                                            \
  static inline int64_t sys_##name(USER_##k1 a1, USER_##k2 a2) {                                   \
    return rt_enter2(nr, (uint64_t)a1, (uint64_t)a2);                                              \
  }
#define SYSCALL3(nr, name, block, k1, a1, k2, a2, k3, a3, text)                                    \
  static inline int64_t sys_##name(USER_##k1 a1, USER_##k2 a2, USER_##k3 a3) {                     \
    return rt_enter3(nr, (uint64_t)a1, (uint64_t)a2, (uint64_t)a3);                                \
  }
#define SYSCALL4(nr, name, block, k1, a1, k2, a2, k3, a3, k4, a4, text)                            \
  static inline int64_t sys_##name(USER_##k1 a1, USER_##k2 a2, USER_##k3 a3, USER_##k4 a4) {       \
    return rt_enter4(nr, (uint64_t)a1, (uint64_t)a2, (uint64_t)a3, (uint64_t)a4);                  \
  }
#define SYSCALL5(nr, name, block, k1, a1, k2, a2, k3, a3, k4, a4, k5, a5, text)                    \
  static inline int64_t sys_##name(USER_##k1 a1, USER_##k2 a2, USER_##k3 a3, USER_##k4 a4,         \
                                   USER_##k5 a5) {                                                 \
    return rt_enter5(nr, (uint64_t)a1, (uint64_t)a2, (uint64_t)a3, (uint64_t)a4, (uint64_t)a5);    \
  }
#define SYSCALL6(nr, name, block, k1, a1, k2, a2, k3, a3, k4, a4, k5, a5, k6, a6, text)            \
  static inline int64_t sys_##name(USER_##k1 a1, USER_##k2 a2, USER_##k3 a3, USER_##k4 a4,         \
                                   USER_##k5 a5, USER_##k6 a6) {                                   \
    return rt_enter6(nr, (uint64_t)a1, (uint64_t)a2, (uint64_t)a3, (uint64_t)a4, (uint64_t)a5,     \
                     (uint64_t)a6);                                                                \
  }
#include "abi/syscalls.def"
#undef SYSCALL0
#undef SYSCALL1
#undef SYSCALL2
#undef SYSCALL3
#undef SYSCALL4
#undef SYSCALL5
#undef SYSCALL6

/* Make system call `nr` unless *stop is not 0; then, and when a handler ran before the kernel was
 * reached, answer -ABI_EINTR. The signal trampoline knows the window between the look at *stop and
 * the SYSCALL instruction (rt_block_begin to rt_block_end) and moves a thread that it interrupted
 * there to rt_block_stop: no signal is slept through. */
int64_t rt_block(const volatile uint64_t *stop, uint64_t nr, uint64_t a, uint64_t b, uint64_t c,
                 uint64_t d, uint64_t e, uint64_t f);
extern const char rt_block_begin[], rt_block_end[], rt_block_stop[];

#endif
