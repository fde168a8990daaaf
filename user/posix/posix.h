/* What the files of this folder share: the thread's own block, kernel entries that signals
 * interrupt, user pointers that may be wild, paths.
 *
 * Everything here runs in the program's own thread. A call_NAME() function may trust no pointer of
 * its caller: it reads and writes them by user_get(), user_put(), user_string(), or hands them to
 * the kernel, which answers EFAULT itself. It touches no errno; libc makes that from the result. */
#ifndef CATHODE_POSIX_H
#define CATHODE_POSIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/abi.h"
#include "lib/string.h"
#include "posix/calls.h"
#include "posix/point.h"
#include "runtime/lock.h"
#include "runtime/probe.h"
#include "runtime/start.h"
#include "runtime/syscall.h"

/* For arrays that mostly stay untouched: out of the page that fork copies (state.ld). */
#define LARGE __attribute__((section(".bss.large")))

/* ---- the thread's own block --------------------------------------------------------------- */

/* Offsets up to alt_size are known to trampoline.S. */
struct posix_thread {
  struct sig_control control; /* the kernel's, see abi.h */
  union {
    uint64_t stop; /* what rt_block() looks at: either of these */
    struct {
      uint32_t interrupted; /* a handler without SA_RESTART ran */
      uint32_t cancelled;   /* pthread_cancel() came during a cancellation point */
    };
  };
  uint64_t handled;                  /* any handler ran: what sigsuspend() waits for */
  uint64_t scratch_rax, scratch_rcx; /* the trampoline's */
  uint64_t alt_base, alt_size;       /* sigaltstack(), size 0: none */
  uint64_t wait_set;  /* signals that sigtimedwait() takes, 0 while it does not run */
  uint64_t wait_mask; /* what was blocked before */
  uint64_t wait_over; /* what stays blocked since one has come, until sigtimedwait() ends */
  uint32_t wait_signal;
  uint64_t wait_info[16]; /* siginfo_t of the one that came */
  uint32_t tid;
  uint32_t guards;    /* nested posix_guard_enter() */
  uint64_t clear_tid; /* the address that the kernel clears when this thread ends */
};

extern __thread struct posix_thread posix_self __asm__("__cathode_thread");

/* Handlers stay away between these two; what was kept away runs in the second. They nest. */
void posix_guard_enter(void);
void posix_guard_leave(void);

/* A lock of libc's own tables: its holder is not diverted to a handler that wants it, too. */
static inline void posix_lock_take(struct rt_lock *lock) {
  posix_guard_enter();
  rt_lock_take(lock);
}

static inline void posix_lock_drop(struct rt_lock *lock) {
  rt_lock_drop(lock);
  posix_guard_leave();
}

/* Ask the kernel again for pending signals that are not blocked now. After every change of the
 * mask. */
void posix_unblocked(void);

/* ---- kernel entries that wait ------------------------------------------------------------- */

/* Once; EINTR when a handler ran first or meanwhile, whatever its SA_RESTART: rt_block() with its
 * arguments where the kernel wants them. */
static inline int64_t posix_wait(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  int64_t result;
  posix_self.interrupted = 0;
  register uint64_t r10 __asm__("r10") = d;
  register const volatile uint64_t *stop __asm__("r11") = &posix_self.stop;
  __asm__ volatile("call rt_block_begin"
                   : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(stop)
                   : "0"(nr)
                   : RT_LOST_VECTORS "r8", "r9", "rcx", "cc", "memory");
  return result;
}

/* Again after handlers with SA_RESTART: retry.S. */
static inline int64_t posix_retry3(uint64_t nr, uint64_t a, uint64_t b, uint64_t c) {
  int64_t result;
  __asm__ volatile("call posix_retry_enter"
                   : "=a"(result), "+D"(a), "+S"(b), "+d"(c)
                   : "0"(nr)
                   : "r8", "r9", "r10", "cc", RT_LOST);
  return result;
}

static inline int64_t posix_retry6(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                   uint64_t e, uint64_t f) {
  int64_t result;
  register uint64_t r10 __asm__("r10") = d;
  register uint64_t r8 __asm__("r8") = e;
  register uint64_t r9 __asm__("r9") = f;
  __asm__ volatile("call posix_retry_enter"
                   : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8), "+r"(r9)
                   : "0"(nr)
                   : "cc", RT_LOST);
  return result;
}

extern const char posix_retry_begin[], posix_retry_end[], posix_retry_stop[];

/* ---- user pointers ------------------------------------------------------------------------ */

[[nodiscard]] static inline int64_t user_get(void *value, const void *user, size_t n) {
  return rt_probe_copy(value, user, n);
}

[[nodiscard]] static inline int64_t user_put(void *user, const void *value, size_t n) {
  return rt_probe_copy(user, value, n);
}

/* ---- paths -------------------------------------------------------------------------------- */

/* A path as the kernel takes it. The text is the buffer of the operation, too: what comes out
 * replaces the path that went in. */
struct posix_path {
  int dir;        /* FD_NS, or the directory that the text is relative to */
  bool directory; /* written so that only a directory will do: "x/" */
  size_t len;
  union {
    char text[ABI_PATH_MAX];
    struct abi_stat stat;
  };
};

/* Take the user's path. Fails: EFAULT, ENOENT when empty, ENAMETOOLONG. */
[[nodiscard]] int64_t posix_path_take(int dir, const char *user, struct posix_path *path);

/* A scheme operation on it, with the path as input. Answers the operation's result. */
[[nodiscard]] int64_t posix_path_call(struct posix_path *path, enum scheme_op op, size_t out_cap,
                                      uint64_t arg);

/* An open. */
[[nodiscard]] int64_t posix_path_open(struct posix_path *path, uint32_t flags, uint32_t mode);

/* The canonical working directory; the mask. */
const char *posix_cwd(void);
uint32_t posix_umask(void);
void posix_path_init(const char *cwd, uint32_t umask);

/* ---- identity ----------------------------------------------------------------------------- */

/* The limits on memory that a child of vfork() has set for its next program; NULL: none. */
const struct rt_limits *limits_next(void);
/* In a child of fork(): what its parent had set so is its own space's. */
void limits_settle(void);
extern struct rt_ids posix_ids; /* as the kernel knows them: every change goes through us */

/* What a program that we start begins with: our umask, ids, mask, ignored signals. */
void posix_start_fill(struct rt_start *start, const char *const *envp);

/* ---- time --------------------------------------------------------------------------------- */

uint64_t posix_now(void); /* monotonic, nanoseconds */

/* Monotonic deadline `wanted` from now; NO_DEADLINE for a NULL one. Fails: EFAULT, EINVAL. */
[[nodiscard]] int64_t posix_deadline(const struct timespec *wanted, uint64_t *deadline);
uint64_t posix_deadline_ms(int timeout_ms);
/* The same for an absolute time of the real clock. */
[[nodiscard]] int64_t posix_deadline_real(const struct timespec *until, uint64_t *deadline);

/* ---- signals ------------------------------------------------------------------------------ */

/* Signal n is bit n - 1 in every set here. */
uint64_t posix_ignored(void);
uint64_t posix_pending(void);
void posix_signals_init(uint64_t ignored);
uint64_t posix_caught_now(void); /* what the kernel is to divert for */

/* Replace the mask, answering the old one; the same and back, around a wait. */
uint64_t posix_mask_swap(uint64_t mask);

extern const char posix_trampoline[] __asm__("__cathode_trampoline");

#endif
