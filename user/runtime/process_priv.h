/* Between process.c, load.c, exec.c, spawn.c and wait.c. */
#ifndef CATHODE_RUNTIME_PROCESS_PRIV_H
#define CATHODE_RUNTIME_PROCESS_PRIV_H

#include "runtime/process.h"

/* Descriptors of the runtime's own: out of the program's sight, gone after exec and fork. */
#define RT_PRIVATE (O_ABI_UPPER | O_ABI_CLOEXEC | O_ABI_CLOFORK)

/* entry.asm: one OP_PROC_CREATE whose child also returns, 0, from it. Fills regs->a and regs->b. */
int64_t rt_fork_enter(struct proc_op *ops, size_t in_len, struct proc_op *regs, uint64_t flags);
void rt_thread_enter(void);

/* Around making a child: nobody else makes or reaps one meanwhile, no handler runs. */
void children_lock(void);
void children_unlock(void);

/* In the child of a fork, which has the lock: it has no children. Drops the lock. */
void children_reset(void);

/* This process has none; the memory of a table that was grown is somebody else's. */
void children_forget(void);

/* Remember a child, under the lock. Fails: ENOMEM, and then the descriptor is closed. */
[[nodiscard]] int children_adopt(uint32_t pid, int fd);

/* A new address space with a program in it, ready to be entered. */
struct rt_loaded {
  int space;
  uint64_t ip, sp;
  uint64_t signals; /* address of its sig_control in the new space, 0: no need */
  char name[32];
};

/* Build it. Fails as execve(2), with nothing left behind. Owns: the caller, loaded->space. */
[[nodiscard]] int rt_load(const struct rt_program *program, struct rt_loaded *loaded);

#endif
