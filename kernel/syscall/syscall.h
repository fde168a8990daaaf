/* The system calls: one handler each, typed by abi/syscalls.def. A handler decodes, checks, makes
 * one call down, and answers a value or a negated error. */
#ifndef CATHODE_SYSCALL_SYSCALL_H
#define CATHODE_SYSCALL_SYSCALL_H

#include "scheme/scheme.h"

/* Boot argument trace.syscalls, debug builds: each call and its result go to the log. */
extern bool trace_syscalls;

/* Before the first trace ring is given. */
void syscall_init(void);

#define KIND_FD int
#define KIND_PTR uaddr_t
#define KIND_CPTR uaddr_t
#define KIND_ADDR uint64_t
#define KIND_LEN size_t
#define KIND_NUM uint64_t
#define KIND_OFF int64_t
#define KIND_FLAGS uint32_t

#define SYSCALL0(nr, name, block, text) int64_t sys_##name(void);
#define SYSCALL1(nr, name, block, k0, a0, text) int64_t sys_##name(KIND_##k0 a0);
#define SYSCALL2(nr, name, block, k0, a0, k1, a1, text)                                            \
  int64_t sys_##name(KIND_##k0 a0, KIND_##k1 a1);
#define SYSCALL3(nr, name, block, k0, a0, k1, a1, k2, a2, text)                                    \
  int64_t sys_##name(KIND_##k0 a0, KIND_##k1 a1, KIND_##k2 a2);
#define SYSCALL4(nr, name, block, k0, a0, k1, a1, k2, a2, k3, a3, text)                            \
  int64_t sys_##name(KIND_##k0 a0, KIND_##k1 a1, KIND_##k2 a2, KIND_##k3 a3);
#define SYSCALL5(nr, name, block, k0, a0, k1, a1, k2, a2, k3, a3, k4, a4, text)                    \
  int64_t sys_##name(KIND_##k0 a0, KIND_##k1 a1, KIND_##k2 a2, KIND_##k3 a3, KIND_##k4 a4);
#define SYSCALL6(nr, name, block, k0, a0, k1, a1, k2, a2, k3, a3, k4, a4, k5, a5, text)            \
  int64_t sys_##name(KIND_##k0 a0, KIND_##k1 a1, KIND_##k2 a2, KIND_##k3 a3, KIND_##k4 a4,         \
                     KIND_##k5 a5);
#include "abi/syscalls.def"
#undef SYSCALL0
#undef SYSCALL1
#undef SYSCALL2
#undef SYSCALL3
#undef SYSCALL4
#undef SYSCALL5
#undef SYSCALL6

#endif
