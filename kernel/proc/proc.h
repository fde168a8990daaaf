/* Contexts (threads of execution that ring 3 sees), the processes they form, and what they hold:
 * open files, file tables, signal actions, futexes. Fork, exec, wait and kill are not here: user
 * space builds them from these objects through `proc:` (scheme/proc_*.c).
 *
 *   context state:   NEW --start--> RUNNING <--stop/continue--> STOPPED
 *                     \--last handle dropped--\      \--exit, kill--> DEAD
 *
 * Killing and stopping are requests: a bit in the thread's work word. The thread acts on it at one
 * safe point, on its way to ring 3 (context_work()), or when an interruptible wait ends with EINTR
 * [P1]. */
#ifndef CATHODE_PROC_PROC_H
#define CATHODE_PROC_PROC_H

#include "base/clock.h"
#include "mm/mm.h"
#include "sched/sched.h"

/* ---- open files --------------------------------------------------------------------------- */
struct file;

/* A call system call, decoded; in and out are user memory of the caller, and usually the same. */
struct file_call {
  uint32_t op; /* enum scheme_op */
  uaddr_t in, out;
  size_t in_len, out_cap;
  uint64_t arg;
};

/* What an open file does. Each answers as a system call does: >= 0, or a negated error. A NULL
 * member means that the file cannot do it. Context: may sleep, no lock held. */
struct file_ops {
  int64_t (*read)(struct file *f, uaddr_t buf, size_t len, uint64_t offset);
  int64_t (*write)(struct file *f, uaddr_t buf, size_t len, uint64_t offset);
  int64_t (*open)(struct file *dir, const char *path, size_t len, uint32_t flags, uint32_t mode,
                  struct file **out);
  int64_t (*dup)(struct file *f, const char *name, size_t len, struct file **out);
  int64_t (*call)(struct file *f, const struct file_call *c);
  int64_t (*map)(struct file *f, uint64_t offset, uint64_t len, struct object_ref *out);
  /* All of a regular file below a directory: stat->size bytes, not 0, may be mapped. */
  int64_t (*map_at)(struct file *dir, uaddr_t path, size_t len, struct abi_stat *stat,
                    struct object_ref *out);
  uint32_t (*poll)(struct file *f, uint32_t events); /* POLL_ABI_* that hold now; does not sleep */
  struct waitq *(*waitq)(struct file *f);            /* woken when that may have changed */
  int64_t (*size)(struct file *f);                   /* bytes, for SEEK_END and appending */
  void (*close)(struct file *f);                     /* the last reference has gone */
  bool (*stays)(struct file *f); /* not copied to another table: a context that is NEW */
  bool seekable;
};

struct file {
  struct refcount refs;
  const struct file_ops *ops; /* [c] */
  _Atomic uint32_t flags;     /* [a] O_ABI_* access mode, APPEND, NONBLOCK */
  _Atomic uint64_t pos;       /* [a] bytes */
  void *object;               /* [c] the scheme's */
  uint64_t id;                /* [c] the scheme's */
  struct list watches;        /* [WATCH] of event queues, which hold no reference */
  bool watched;               /* [o] by whoever holds a reference: it ever had one */
};

/* Set by the event scheme: the last reference to a watched file has gone. */
extern void (*file_unwatch)(struct file *f);

[[nodiscard]] struct file *file_create(const struct file_ops *ops, uint32_t flags, void *object,
                                       uint64_t id);
void file_get(struct file *f);
void file_put(struct file *f);

static inline bool file_may_read(const struct file *f) {
  return (atomic_load_explicit(&f->flags, memory_order_relaxed) & O_ABI_ACCMODE) != O_ABI_WRONLY;
}
static inline bool file_may_write(const struct file *f) {
  return (atomic_load_explicit(&f->flags, memory_order_relaxed) & O_ABI_ACCMODE) != O_ABI_RDONLY;
}
static inline bool file_is_nonblock(const struct file *f) {
  return atomic_load_explicit(&f->flags, memory_order_relaxed) & O_ABI_NONBLOCK;
}

/* ---- file tables -------------------------------------------------------------------------- */
#define CHUNK_SLOTS 64u
#define RANGE_CHUNKS 64u

struct fd_slot {
  struct file *file;
  uint32_t flags; /* O_ABI_CLOEXEC, O_ABI_CLOFORK */
};

struct fd_chunk {
  uint64_t used; /* bit: slot */
  struct fd_slot slots[CHUNK_SLOTS];
};

struct fd_range {
  uint64_t present; /* bit: chunk that exists */
  uint64_t full;    /* bit: chunk without a free slot */
  struct fd_chunk *chunks[RANGE_CHUNKS];
};

/* filetable.c */
struct filetable {
  struct refcount refs;
  struct spinlock lock;
  struct fd_range ranges[2]; /* lower, upper */
};

[[nodiscard]] enum abi_error filetable_create(struct filetable **out);
[[nodiscard]] enum abi_error filetable_copy(struct filetable *src,
                                            struct filetable **out); /* without CLOFORK */
void filetable_get(struct filetable *t);
void filetable_put(struct filetable *t);
/* The lowest free number >= from (FD_UPPER for the upper table). Takes over the reference on
 * success. */
[[nodiscard]] int64_t filetable_add(struct filetable *t, struct file *f, uint32_t from,
                                    uint32_t flags);
/* Exactly fd; what was there is closed. */
[[nodiscard]] int64_t filetable_put_at(struct filetable *t, struct file *f, uint32_t fd,
                                       uint32_t flags);
[[nodiscard]] int64_t filetable_close(struct filetable *t, int fd);
void filetable_remove(struct filetable *t, int fd,
                      const struct file *f); /* close fd if it still is f */
void filetable_sweep(struct filetable *t);   /* close what is CLOEXEC */
[[nodiscard]] int64_t filetable_flags(struct filetable *t, int fd, bool set, uint32_t flags);
bool filetable_is_shared(const struct filetable *t);

/* A descriptor in use by one system call. A table that nobody shares needs no count: only its own
 * context changes it. */
struct fd_ref {
  struct file *file;
  bool counted;
};
enum abi_error fd_get_slow(struct filetable *t, int fd, struct fd_ref *out);
/* In place for POSIX's numbers in a table of one's own, which most are. */
static inline enum abi_error fd_get(struct filetable *t, int fd, struct fd_ref *out) {
  const struct fd_range *r = &t->ranges[0];
  uint32_t n = (uint32_t)fd / CHUNK_SLOTS, slot = (uint32_t)fd % CHUNK_SLOTS;
  if (LIKELY(n < RANGE_CHUNKS && (r->present >> n & 1) && refcount_read(&t->refs) == 1)) {
    const struct fd_chunk *c = r->chunks[n];
    if (LIKELY(c->used >> slot & 1)) {
      *out = (struct fd_ref){c->slots[slot].file, false};
      return OK;
    }
  }
  return fd_get_slow(t, fd, out);
}
static inline void fd_put(struct fd_ref *r) {
  if (r->counted) {
    file_put(r->file);
  }
}

/* ---- signal actions ----------------------------------------------------------------------- */
struct actions {
  struct refcount refs;
  _Atomic uint64_t ignore, catch; /* [a] signal n is bit n - 1 */
};
[[nodiscard]] enum abi_error actions_create(const struct actions *from, struct actions **out);
void actions_put(struct actions *a);

#define SIG_BIT(n) (1ul << ((n)-1))
enum signal_number {
  SIGNAL_ILL = 4,
  SIGNAL_TRAP = 5,
  SIGNAL_BUS = 7,
  SIGNAL_FPE = 8,
  SIGNAL_KILL = 9,
  SIGNAL_SEGV = 11,
  SIGNAL_PIPE = 13,
  SIGNAL_CHLD = 17,
  SIGNAL_CONT = 18,
  SIGNAL_STOP = 19,
  SIGNAL_TSTP = 20,
  SIGNAL_TTIN = 21,
  SIGNAL_TTOU = 22,
  SIGNAL_URG = 23,
  SIGNAL_WINCH = 28,
  SIGNAL_MAX = 64,
};

/* ---- processes ---------------------------------------------------------------------------- */
/* The contexts that live and die together: what a signal, a wait or a kill is addressed to.
 * Outlives its contexts while somebody holds a descriptor of one (that is a zombie, and all of it).
 */
struct group {
  struct refcount refs;
  uint32_t pid;                /* [c] id of the first context */
  struct spinlock lock;        /* GROUP: the fields marked [L] */
  struct list contexts;        /* [L/r] */
  uint32_t n_started;          /* [L/r] contexts that were started and are not dead */
  struct context *leader;      /* [L] the first, kept with its id until the process has ended */
  struct context *alone;       /* [L] who is ending the others, for exec */
  uint32_t state;              /* [L/r] enum proc_state */
  bool dying;                  /* [L/r] all contexts are asked to die */
  bool execed;                 /* [o/r] it has entered another space since it began */
  int32_t wstatus;             /* [L/r] */
  struct group *parent;        /* [L] holds a reference; NULL: orphan */
  uint32_t pgid, sid;          /* [L/r] */
  struct pi_domain *pi_domain; /* [PI/r] whose lock guards its locks with inheritance */
  uint32_t uid, gid, euid, egid;
  _Atomic uint64_t sig_pending; /* [a] */
  uint32_t sig_sender[64];      /* [GROUP/r] pid of who last sent signal n, at n - 1 */
  struct waitq status;          /* woken when it has died */
  uint64_t run_ns;              /* [L/r] of its dead contexts */
  uint64_t start_ns;            /* [c] */
  char name[32];                /* [L/r] */
};

void group_get(struct group *g);
void group_put(struct group *g);
/* All contexts die; the first status stays. */
void group_kill(struct group *g, int32_t wstatus);
/* True: the process, whose space is watched, was found to have more memory than it may, and is
 * killed, with a message. Context: may be preempted; no lock is held. */
bool memory_over(struct context *c);
void group_status_read(struct group *g, struct proc_status *st);
/* sender: a pid, 0 for the kernel. */
[[nodiscard]] enum abi_error signal_post(struct group *g, uint32_t signo, uint32_t sender);
struct context;
[[nodiscard]] enum abi_error signal_post_thread(struct context *c, uint32_t signo, uint32_t sender);
[[nodiscard]] int64_t signal_post_pgid(const struct context *sender, uint32_t pgid, uint32_t signo);
void group_stop(struct group *g);
/* Ids that a process may take on or give: its own, real or effective; root has all. */
bool group_has_uid(const struct group *own, uint32_t id);
bool group_has_gid(const struct group *own, uint32_t id);
/* Signals, as POSIX has it: root, itself, or the receiver's real user is the sender's real or
 * effective one. */
bool group_may_signal(const struct context *c, const struct group *g);
/* Everything else: root, itself, or a process whose user and group ids, real and effective, are all
 * among the caller's: it has no right that the caller could not take on. */
bool group_may_control(const struct context *c, const struct group *g);
/* Some process of g's session, alive or not yet waited for, is in this process group. */
bool group_session_has(const struct group *g, uint32_t pgid);

/* ---- contexts ----------------------------------------------------------------------------- */
/* Of cache lines of its own: its CPU writes to it at each switch. */
struct __attribute__((aligned(64))) context {
  struct thread thread; /* first */
  struct refcount refs;
  uint32_t id;                  /* [c] */
  struct group *group;          /* [c] */
  struct list group_node;       /* [GROUP] */
  uint32_t state;               /* [GROUP/r] enum proc_state */
  _Atomic bool claimed;         /* [a] while NEW: who works on what it holds, context_claim() */
  struct space *space;          /* [GROUP/r] changed by its owner; others: context_space_get() */
  struct filetable *files;      /* [o] or stopped */
  struct actions *actions;      /* [o] or stopped */
  struct arch_user_regs regs;   /* where it starts, while NEW */
  uint64_t sigctl;              /* [o] address of struct sig_control, 0 for none */
  uint64_t cleartid;            /* [o] */
  uint64_t robust;              /* [o] address of its struct robust_list, 0 for none */
  _Atomic uint64_t sig_pending; /* [a] for this context alone */
  struct {
    uint32_t signo, code;
    uint64_t addr;
  } forced;                            /* [o] a fault of its own */
  struct list pi_waiters;              /* [PI] who waits for locks that it owns */
  struct pi_waiter *pi_blocked;        /* [PI/r] what it waits with itself */
  uint8_t pi_boost;                    /* [PI] as last told to the scheduler */
  uint64_t exit_unmap, exit_unmap_len; /* [o] its stack, which it unmaps last */
};

static inline struct context *context_current(void) {
  return (struct context *)thread_current();
}

/* A new context, state NEW, holding nothing yet; in a new process unless `join`. One reference. */
[[nodiscard]] enum abi_error context_create(struct context *creator, bool join,
                                            struct context **out);
void context_get(struct context *c);
void context_put(struct context *c);
/* By id; a reference. */
struct context *context_find(uint32_t id);
/* The right to change, copy or start what a context holds: always one's own, and of a NEW one if
 * nobody else has it just now. ABI_EBUSY. Not held across anything that sleeps. */
[[nodiscard]] enum abi_error context_claim(struct context *c);
void context_unclaim(struct context *c);
/* NEW -> RUNNING (once it has a space, files, actions), STOPPED -> RUNNING. */
[[nodiscard]] enum abi_error context_start(struct context *c);
void context_set_space(struct context *c,
                       struct space *s); /* takes over the reference; c is NEW or the caller */
/* Its space, with a reference, or NULL. */
struct space *context_space_get(struct context *c);
/* The calling context leaves; EXIT_THREAD. */
_Noreturn void context_exit(void);
/* Tell who waits for the caller to die or to leave its space: set_tid_address(2)'s contract. Makes
 * room like a fault if a page has to be copied for it; for a caller that is dying there may be
 * none: then who is left in the space ends too, rather than wait for ever. */
void context_clear_tid(struct context *self);
/* The safe point [P1]. */
void context_work(struct arch_user_frame *frame);
/* What ends an interruptible wait, or might, as of now. */
static inline uint32_t context_work_pending(const struct context *c) {
  uint32_t work = atomic_load_explicit(&c->thread.arch.work, memory_order_acquire);
  return work & (ARCH_WORK_DIE | ARCH_WORK_SIGNAL | ARCH_WORK_STOP);
}
bool context_interrupted_by(uint32_t work);
/* In interruptible waits: true when the wait must end with EINTR. */
static inline bool context_interrupted(void) {
  uint32_t work = context_work_pending(context_current());
  return UNLIKELY(work != 0) && context_interrupted_by(work);
}
/* The same without a look at the caller's memory, which may have to be fetched: true also for a
 * signal that turns out to be blocked, and for a stop. Who leaves for it must begin again. */
bool context_has_work(void);
/* In waits that no signal ends: true when the caller was killed. */
bool context_is_dying(void);
/* Exec's last step: every other context of the process is gone when it answers true; false: this
 * one was killed instead. */
bool context_be_alone(void);
/* In a wait's loop, before it parks: why it must end now. ABI_EINTR, ABI_ETIMEDOUT, or OK: go on.
 */
static inline enum abi_error wait_over(uint64_t deadline_ns) {
  if (context_interrupted()) {
    return ABI_EINTR;
  }
  return deadline_ns != NO_DEADLINE && clock_now() >= deadline_ns ? ABI_ETIMEDOUT : OK;
}
/* Wait on a queue until cond(arg) holds. ABI_EINTR, ABI_ETIMEDOUT. */
[[nodiscard]] enum abi_error wait_until(struct waitq *q, bool (*cond)(void *), void *arg,
                                        uint64_t deadline_ns);

/* Bootstrap: the first context, built by main.c. */
void proc_init(void);
void context_for_each(void (*visit)(struct context *c, void *arg), void *arg);

/* ---- faults on purpose -------------------------------------------------------------------- */
enum inject_kind { INJECT_KILL, INJECT_ALLOC };
extern bool inject_armed; /* somebody is */

/* Where a kill may arrive. No lock held. */
void inject_pass(const char *where);
static inline void inject_point(const char *where) {
  if (UNLIKELY(inject_armed)) {
    inject_pass(where);
  }
}
/* The caller's nth step from now kills it, or its nth allocation from now fails. ABI_EBUSY. */
[[nodiscard]] enum abi_error inject_arm(enum inject_kind kind, uint64_t nth);
void inject_off(const struct context *c); /* if it is c that is armed */
void inject_note(const char *where);      /* what came of the caller's failed allocation */
/* What the last arming has come to. */
struct inject_report {
  uint64_t seen;
  bool fired;
  const char *where;
};
struct inject_report inject_read(void);

/* ---- futex -------------------------------------------------------------------------------- */
void futex_init(void);
int64_t futex_wait(struct space *s, uaddr_t word, uint32_t expected, bool shared,
                   uint64_t deadline_ns);
int64_t futex_wake(struct space *s, uaddr_t word, uint32_t n, bool shared);
int64_t futex_requeue(struct space *s, uaddr_t word, uint32_t n_wake, uaddr_t word2,
                      uint32_t n_move, bool shared);
int64_t futex_lock_pi(struct space *s, uaddr_t word, bool shared, uint64_t deadline_ns);
int64_t futex_unlock_pi(struct space *s, uaddr_t word, bool shared);
/* The caller leaves its space, dead or by exec: its locks tell who waits for them. */
void futex_leave_space(struct context *self);
/* The context's own priority has changed: whom it boosts hears of it. */
void futex_pi_refresh(struct context *c);

#endif
