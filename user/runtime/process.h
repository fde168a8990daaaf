/* Processes as a program sees them: who am I, fork, exec, spawn, threads, wait, kill, exit.
 *
 * The kernel knows contexts, address spaces, file tables and signal actions; a process is what this
 * file makes of them, in batches of steps on context descriptors (abi/proc_ops.def). Kernel
 * entries: fork 1, exec 4 (new space, the file, one batch of mappings, one commit), spawn
 * 5, thread 1, wait for one child 2. Nothing needs libc. All functions answer >= 0 or a negated
 * error.
 *
 * The table of children has a lock. A signal handler that forks or waits would find it held, so
 * whoever handles signals (libc) sets rt_guard: its functions keep handlers away in between. */
#ifndef CATHODE_RUNTIME_PROCESS_H
#define CATHODE_RUNTIME_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/start.h"

struct rt_guard {
  void (*enter)(void); /* no handler runs on this thread ... */
  void (*leave)(void); /* ... until here; those kept away run now */
};
extern struct rt_guard rt_guard;

/* ---- this process ------------------------------------------------------------------------- */

/* Remember the start block, which stays where exec put it. First of all. */
void rt_init(const struct start_block *start);

const struct start_block *rt_start_block(void);

/* Kept here, asked once; rt_set_pid() saves the question. */
uint32_t rt_getpid(void);
void rt_set_pid(uint32_t pid);

/* Steps on the context `fd` (FD_SELF: the caller), all or the first error. */
[[nodiscard]] int64_t rt_apply(int fd, struct proc_op *ops, size_t n);

/* The descriptor of a process or thread by its id, for one use. Fails: ESRCH. */
[[nodiscard]] int rt_context_open(uint32_t id);

/* End all threads of this process; `wstatus` as wait(2) shows it. */
_Noreturn void rt_exit(int wstatus);

/* Send a signal to a process; 0 only asks whether that would be allowed. */
[[nodiscard]] int rt_kill(uint32_t pid, int signal);

/* ---- fork, threads ------------------------------------------------------------------------ */

/* What a new context starts with; all 0 without libc. */
struct rt_context {
  uint64_t fs_base;
  uint64_t control;   /* address of its struct sig_control */
  uint64_t clear_tid; /* see PROC_CLEARTID */
  uint64_t tid;       /* address of a word in its own block that gets its id before it runs */
};

struct rt_ids_new {
  uint32_t pid, tid; /* of the new context; in the child of a fork: its own */
};

/* Answers the child's pid, in the child 0. */
[[nodiscard]] int rt_fork(void);
[[nodiscard]] int rt_fork_as(const struct rt_context *self, struct rt_ids_new *ids);

/* Run function(argument), which must not return, on the stack that ends at `stack`. *tid is written
 * before the thread runs. Answers the thread's id. */
[[nodiscard]] int rt_thread_create(const struct rt_context *context, void (*function)(void *),
                                   void *argument, void *stack, uint32_t *tid);

/* End this thread, unmapping `len` bytes at `addr` (its stack) first; 0 bytes: nothing. */
_Noreturn void rt_thread_exit(uint64_t addr, size_t len);

/* ---- exec, spawn -------------------------------------------------------------------------- */

/* Limits on a space, of those kinds whose bit is set. */
struct rt_limits {
  uint32_t set; /* bit n: of enum space_limit_kind n */
  struct space_limit limits[SPACE_LIMIT_KINDS];
};

struct rt_program {
  const char *path; /* canonical; ignored when fd is a descriptor */
  int fd;           /* FD_NONE, or the open file */
  const char *name; /* as the caller wrote it: AT_EXECFN, and a script's first argument */
  const char *const *argv, *const *envp; /* NULL-terminated */
  const char *cwd;                       /* canonical */
  const struct rt_start *start; /* umask, ids, ignored and pending signals; the rest is filled in */
  const struct rt_limits *limits; /* of its space; NULL: as ours */
};

/* A start block for a program with this environment: clock, CPUs, a fresh seed, our umask and ids.
 * Its addresses follow from a seed: LAYOUT_SEED of the environment (decimal, not 0), which also
 * holds for what it starts; else ours, if that is to hold for what we start; else a fresh one. */
void rt_start_copy(struct rt_start *start, const char *const *envp);

/* Replace this process's program. Comes back only with an error, and then nothing has changed. */
[[nodiscard]] int rt_exec(const struct rt_program *program);

/* The same with our start block and working directory, for programs without libc. */
[[nodiscard]] int rt_execve(const char *path, const char *const *argv, const char *const *envp);

/* Start a program in a new process. `steps` are FILES_*, ACTIONS_SET and SETPGID steps on it, done
 * in order after the file table was copied and before close-on-exec. Answers the pid. */
[[nodiscard]] int rt_spawn(const struct rt_program *program, const struct proc_op *steps,
                           size_t n_steps);
#define RT_SPAWN_STEPS 48u /* at most */

/* ---- wait --------------------------------------------------------------------------------- */

#define RT_WAIT_NOHANG 1u
#define RT_WAIT_STOPPED 2u
#define RT_WAIT_KEEP 4u /* leave it to be waited for again */

/* Wait for a child: pid > 0 that one, -1 any, 0 those of our process group, below -1 those of group
 * -pid. Answers its pid and fills *status; 0 when NOHANG finds none. `stop` as in rt_block().
 * Fails: ECHILD, EINTR. */
[[nodiscard]] int rt_wait(int pid, uint32_t flags, const volatile uint64_t *stop,
                          struct proc_status *status);

/* CPU time of children that were waited for. */
void rt_wait_times(uint64_t *user_ns, uint64_t *system_ns);

/* The descriptor of a child, or FD_NONE when it is none of ours. */
int rt_child_fd(uint32_t pid);

#endif
