/* What kernel and user agree on: numbers, flags and structures that cross the boundary.
 *
 * Flags, modes, signal numbers and error numbers have the values of the x86-64 Linux ABI, so that
 * libc translates nothing; what Linux has no word for starts where its values end. All structures
 * are little-endian, naturally aligned, without hidden padding (asserted below). */
#ifndef CATHODE_ABI_H
#define CATHODE_ABI_H

#include <stddef.h>
#include <stdint.h>

/* ---- errors ------------------------------------------------------------------------------- */
// clang-format off
enum [[nodiscard]] abi_error {
  OK = 0,
#define ERROR(number, name, text) ABI_##name = (number),
#include "errors.def"
#undef ERROR
};
// clang-format on

/* ---- system call numbers ------------------------------------------------------------------ */
#define SYSCALL0(nr, name, ...) SYS_NR_##name = (nr),
#define SYSCALL1 SYSCALL0
#define SYSCALL2 SYSCALL0
#define SYSCALL3 SYSCALL0
#define SYSCALL4 SYSCALL0
#define SYSCALL5 SYSCALL0
#define SYSCALL6 SYSCALL0
enum abi_syscall {
#include "syscalls.def"
  SYS_NR_COUNT
};
#undef SYSCALL0
#undef SYSCALL1
#undef SYSCALL2
#undef SYSCALL3
#undef SYSCALL4
#undef SYSCALL5
#undef SYSCALL6

/* ---- layout of user memory ---------------------------------------------------------------- */
#define ABI_PAGE_SIZE 4096ul
#define ABI_USER_BASE 0x10000ul       /* nothing is ever mapped below: null pointers fault */
#define ABI_USER_END 0x7ffffffff000ul /* one page short of the canonical half, see SYSRET */
/* Programs, stacks and mappings usually lie below: one entry of the top page table then covers all
 * that a process touches. What does not fit is mapped above. */
#define ABI_NEAR_END (1ul << 39)
#define ABI_BOOTSTRAP_BASE 0x200000ul /* where the kernel maps the bootstrap blob */
#define ABI_IMAGE_BASE 0x100000000ul  /* where it maps the whole initfs image */

/* ---- descriptors -------------------------------------------------------------------------- */
#define FD_NONE (-1)
#define FD_NS (-100)       /* the caller's namespace: paths are `scheme:/rest` */
#define FD_SELF (-101)     /* the caller's own context */
#define FD_UPPER (1 << 20) /* first number of the upper file table, invisible to POSIX programs */

/* openat, dup: the POSIX ones have Linux's values. */
#define O_ABI_ACCMODE 03u
#define O_ABI_RDONLY 00u
#define O_ABI_WRONLY 01u
#define O_ABI_RDWR 02u
#define O_ABI_CREAT 0100u
#define O_ABI_EXCL 0200u
#define O_ABI_TRUNC 01000u
#define O_ABI_APPEND 02000u
#define O_ABI_NONBLOCK 04000u
#define O_ABI_DIRECTORY 0200000u
#define O_ABI_NOFOLLOW 0400000u
#define O_ABI_CLOEXEC 02000000u
#define O_ABI_PATH 010000000u
#define O_ABI_CLOFORK 0100000000u /* dropped when a file table is copied for a new process */
#define O_ABI_UPPER 0200000000u   /* number it from FD_UPPER on */

#define DUP_EXACT 1u /* dup_into: exactly this number, closing what it named */

enum fdctl_op {
  FDCTL_GET_FD = 1, /* answers O_ABI_CLOEXEC | O_ABI_CLOFORK of the descriptor */
  FDCTL_SET_FD,
  FDCTL_GET_FILE, /* answers access mode | O_ABI_APPEND | O_ABI_NONBLOCK of the open file */
  FDCTL_SET_FILE,
};

#define SEEK_ABI_SET 0
#define SEEK_ABI_CUR 1
#define SEEK_ABI_END 2

/* ---- memory ------------------------------------------------------------------------------- */
#define PROT_ABI_READ 1u
#define PROT_ABI_WRITE 2u
#define PROT_ABI_EXEC 4u
#define MAP_ABI_SHARED 0x01u
#define MAP_ABI_PRIVATE 0x02u
#define MAP_ABI_FIXED 0x10u
#define MAP_ABI_ANONYMOUS 0x20u
#define MAP_ABI_GROWSDOWN 0x100u /* private anonymous: a fault below it makes it longer */
#define MAP_ABI_POPULATE 0x8000u
#define ADVISE_ABI_WILLNEED 3u
#define ADVISE_ABI_DONTNEED 4u
#define ADVISE_ABI_HUGEPAGE 14u
#define ADVISE_ABI_NOHUGEPAGE 15u
#define ADVISE_ABI_POPULATE_READ 22u
#define ADVISE_ABI_POPULATE_WRITE 23u
#define MAP_ABI_FIXED_NOREPLACE 0x100000u
#define GROW_ABI_GUARD (1u << 20) /* bytes: no nearer to what lies below does anything grow */

/* ---- files -------------------------------------------------------------------------------- */
#define S_ABI_IFMT 0170000u
#define S_ABI_IFIFO 0010000u
#define S_ABI_IFCHR 0020000u
#define S_ABI_IFDIR 0040000u
#define S_ABI_IFREG 0100000u
#define S_ABI_IFLNK 0120000u

struct abi_stat {
  uint64_t dev, ino;
  uint32_t mode, nlink;
  uint32_t uid, gid;
  uint64_t size;                        /* bytes */
  uint64_t blocks;                      /* of 512 bytes */
  int64_t atime_ns, mtime_ns, ctime_ns; /* since 1970, UTC */
};

/* OP_GETDENTS answers these one after the other; `next` is the position after the record. */
struct abi_dirent {
  uint64_t ino;
  int64_t next;
  uint16_t reclen; /* bytes of this record, a multiple of 8 */
  uint8_t type;    /* mode >> 12: 4 directory, 8 file, 10 link, 2 character device, 1 pipe */
  char name[5];    /* NUL-terminated, continues to the end of the record */
};
#define ABI_DIRENT_HEAD 19u /* bytes before the name */
#define ABI_NAME_MAX 255u
#define ABI_PATH_MAX 4096u

#define POLL_ABI_IN 0x01u
#define POLL_ABI_PRI 0x02u /* a context: it is stopped */
#define POLL_ABI_OUT 0x04u
#define POLL_ABI_ERR 0x08u
#define POLL_ABI_HUP 0x10u
#define POLL_ABI_NVAL 0x20u

struct poll_fd {
  int32_t fd; /* negative: ignored */
  uint16_t events, revents;
};

/* event: write registers (events = 0 removes), read answers what has become ready (level). */
struct event_watch {
  int32_t fd;
  uint32_t events; /* POLL_ABI_* */
  uint64_t data;   /* given back with each event */
};
struct event_ready {
  uint64_t data;
  uint32_t events;
  uint32_t zero;
};

/* ---- time --------------------------------------------------------------------------------- */
#define NO_DEADLINE UINT64_MAX
enum clock_id {
  CLOCK_ID_MONOTONIC = 1,
  CLOCK_ID_REALTIME = 2,
  CLOCK_ID_CPU_CONTEXT = 3,
  CLOCK_ID_CPU_GROUP = 4
};

/* ns = base_ns + (((tsc - base_tsc) * mult) >> 32), 128-bit product; constant after boot. */
struct abi_clock {
  uint64_t base_tsc, base_ns;
  uint64_t mult; /* 2^32 * 10^9 / tsc_hz */
  uint64_t tsc_hz;
  int64_t realtime_offset_ns; /* realtime = monotonic + this */
};

/* time: a timer. The first expiry and the distance of the following ones, 0 for none. Reading takes
 * uint64_t: the expiries since the last read; it waits for the first (EAGAIN when not to block). */
struct time_setting {
  uint64_t value_ns; /* 0: disarm */
  uint64_t interval_ns;
};
#define TIME_ABSOLUTE 1u

/* ---- futex -------------------------------------------------------------------------------- */
enum futex_op {
  FUTEX_OP_WAIT = 0,    /* sleep while *word == value; EAGAIN when it is not, ETIMEDOUT, EINTR */
  FUTEX_OP_WAKE = 1,    /* wake at most value waiters; answers how many */
  FUTEX_OP_REQUEUE = 2, /* wake value, move at most value2 others to word2 */
  /* The word is a lock with priority inheritance: 0, or the owner's thread id and FUTEX_PI_*. */
  FUTEX_OP_LOCK_PI = 3,   /* EDEADLK, ETIMEDOUT, EINTR; ESRCH: the owner is gone */
  FUTEX_OP_UNLOCK_PI = 4, /* the best waiter owns it then. EPERM: it is not the caller's */
};
#define FUTEX_PI_WAITERS 0x80000000u    /* only the kernel can unlock it */
#define FUTEX_PI_OWNER_DIED 0x40000000u /* kept by whoever locks it next */
#define FUTEX_PI_TID 0x3fffffffu

/* PROC_ROBUST: the locks that a thread has, a ring of pointers in its own memory. Each word is as
 * one of FUTEX_OP_LOCK_PI; when the thread ends or execs, its id there becomes FUTEX_PI_OWNER_DIED,
 * and a waiter is woken. */
struct robust_list {
  uint64_t first;   /* the last entry points back here */
  int64_t offset;   /* of a lock's word from its entry, bytes */
  uint64_t pending; /* the entry that is just being put in or taken out, 0: none */
};
#define FUTEX_OP_SHARED 0x100u /* the word may lie in memory shared between spaces */

/* ---- scheme operations: see scheme_ops.def ------------------------------------------------ */
enum scheme_op {
#define SCHEME_OP(number, name, text) OP_##name = (number),
#include "scheme_ops.def"
#undef SCHEME_OP
};

/* ---- rings: the one way in which a server gets its requests ------------------------------- */
#define RING_WAIT 1u
#define RING_MAGIC 0x676e6972u
#define RING_TAGS 64u              /* requests in flight at one server */
#define RING_SLOT_SIZE (32u << 10) /* buffer bytes of each tag */

/* Free-running indices, entry i is [i & (n - 1)], each index on a cache line of its own. The kernel
 * fills sq and drains cq, the server the other way round. */
struct ring_header {
  uint32_t magic, n_sqes, n_cqes, slot_size;
  uint32_t sq_offset, cq_offset, slots_offset, total_size; /* bytes from the start of the mapping */
  uint8_t pad0[32];
  uint32_t sq_tail; /* kernel writes */
  uint8_t pad1[60];
  uint32_t sq_head; /* server writes */
  uint8_t pad2[60];
  uint32_t cq_tail; /* server writes */
  uint8_t pad3[60];
  uint32_t cq_head; /* kernel writes */
  uint8_t pad4[60];
};

struct ring_sqe {
  uint32_t op;       /* enum scheme_op */
  uint32_t tag;      /* < RING_TAGS: the answer's tag, and the buffer slot */
  uint64_t file;     /* what the server answered to the open, 0 for the scheme's root */
  uint64_t arg;      /* the call's scalar: offset for READ and WRITE, flags | mode << 32 for OPEN */
  uint64_t arg2;     /* READ, WRITE: flags of the open file; MMAP: length in bytes; PAGE: object */
  uint32_t in_len;   /* bytes in the slot */
  uint32_t out_cap;  /* bytes that the answer may have in the slot */
  uint32_t pid, uid; /* of the caller's process */
  uint64_t caller;   /* context id */
  uint64_t reserved;
};

/* `extra` of an answer to OPEN or DUP: with this bit the file tells its readiness, its level now in
 * the other bits (POLL_ABI_*) and later by CQE_EVENT, each time the whole level; other files count
 * as always ready. */
#define CQE_EXTRA_POLLABLE 0x8000u

enum ring_cqe_kind {
  CQE_DONE = 0,  /* result: bytes in the slot or a value, or a negated error */
  CQE_FD = 1,    /* OPEN, DUP: result is one of the server's descriptors, handed on to the client */
  CQE_EVENT = 2, /* no request: file `result` is now ready for just `extra` (POLL_ABI_*) */
  CQE_PAGED = 3, /* MMAP: result (> 0) is the server's name for an object, the same for whoever is
                    to share its pages. They are mapped to be read or copied, never to be written;
                    OP_PAGE asks for each at its first touch, through a file of this scheme */
  CQE_STALE = 4, /* no request: pages of object `result` have changed. All are out of every shared
                    mapping when ring_enter() returns, and are asked for again */
};

struct ring_cqe {
  uint32_t tag;
  uint16_t kind;
  uint16_t extra;
  int64_t result;
};

/* ---- proc: -------------------------------------------------------------------------------- */
enum proc_op_code {
#define PROC_OP(number, name, text) PROC_##name = (number),
#include "proc_ops.def"
#undef PROC_OP
};

/* One step of OP_PROC_CREATE or OP_PROC_APPLY; fields as proc_ops.def says. */
struct proc_op {
  uint32_t code;
  int32_t fd;
  uint64_t a, b, c, d, e;
};
#define PROC_OPS_MAX 64u

#define PROC_THREAD 1u /* OP_PROC_CREATE: join the caller's process instead of starting one */

enum space_op_code {
#define SPACE_OP(number, name, text) SPACE_##name = (number),
#include "space_ops.def"
#undef SPACE_OP
};

/* One step of OP_SPACE_APPLY; fields as space_ops.def says. MAP writes the address back. */
struct space_op {
  uint32_t code;
  int32_t fd;
  uint32_t prot, flags;
  uint64_t addr, len, off;
};
#define SPACE_OPS_MAX 64u

/* Pages that were made present or writable at their first touch, by the program or for it. */
enum space_fault_kind {
  SPACE_FAULT_ZERO,  /* anonymous memory written for the first time: a zeroed frame */
  SPACE_FAULT_READ,  /* anonymous memory only read: the zero frame, shared by all */
  SPACE_FAULT_FILE,  /* an object's own page */
  SPACE_FAULT_COPY,  /* copy-on-write */
  SPACE_FAULT_WIDEN, /* a page that was there may be written to, uncopied */
  SPACE_FAULT_MAJOR, /* not there yet: a server is asked for the object's page */
  SPACE_FAULT_KINDS
};

/* SPACE_STAT. Pages are of 4 KiB. */
struct space_stat {
  uint64_t n_grants, mapped_bytes;
  uint64_t resident_pages, private_pages; /* that are there; that nobody else has */
  uint64_t table_pages;                   /* page tables, its own or shared */
  uint64_t grant_bytes;                   /* of the kernel, for grants, its own or shared */
  uint64_t faults[SPACE_FAULT_KINDS];     /* by enum space_fault_kind */
};

/* SPACE_MAP_PATH. */
struct space_file {
  uint64_t path, path_len; /* of `scheme:/rest`, in the caller's memory */
  struct abi_stat stat;    /* out */
};

/* SPACE_LIMIT: what there is a limit on, in bytes. */
enum space_limit_kind {
  SPACE_LIMIT_MAPPED,   /* all grants */
  SPACE_LIMIT_STACK,    /* how long one gets by growing */
  SPACE_LIMIT_DATA,     /* grants that are private and may be written to, but for what grows */
  SPACE_LIMIT_RESIDENT, /* pages that are there: who is found to have more is killed */
  SPACE_LIMIT_KINDS
};
struct space_limit {
  uint64_t soft, hard; /* UINT64_MAX: none */
};

enum proc_state {
  PROC_STATE_NEW = 0,
  PROC_STATE_RUNNING = 1,
  PROC_STATE_STOPPED = 2,
  PROC_STATE_DEAD = 3
};

/* Reading a context descriptor: waits until the process is dead (EAGAIN when not to block). */
struct proc_status {
  uint32_t pid, state;
  int32_t wstatus; /* as wait(2): exit code << 8, or the signal */
  uint32_t zero;
  uint64_t user_ns, system_ns;
};

/* OP_PROC_ATTR. */
struct proc_attr {
  uint32_t pid, ppid, pgid, sid;
  uint32_t uid, gid, euid, egid;
  uint32_t tid, n_threads;
  uint32_t state, cpu;
  uint64_t affinity; /* CPU n is bit n */
  int32_t nice;
  uint32_t policy; /* SCHED_ABI_* */
  uint32_t rt_priority;
  uint32_t slice_us;              /* before others of its priority get their turn */
  uint64_t sig_ignore, sig_catch; /* signal n is bit n - 1 */
  char name[32];
};

#define SCHED_ABI_OTHER 0u
#define SCHED_ABI_FIFO 1u
#define SCHED_ABI_RR 2u
#define SCHED_ABI_RT_MOST 99u /* priorities of the latter two: 1, the worst, to this */

/* ---- signals ------------------------------------------------------------------------------ */
/* One per thread, in its own memory, registered with PROC_SIGCTL. The thread changes `blocked` with
 * a plain store. The kernel sets `pending` bits that it could not deliver, and diverts the thread,
 * on its way back to ring 3, to `entry` with rip, rsp and rflags saved here, `inhibit` set and all
 * other registers as they were. */
struct sig_control {
  uint64_t blocked; /* signal n is bit n - 1 */
  uint64_t pending; /* [a] set by the kernel; after unblocking, PROC_RESIGNAL asks for them again */
  uint32_t inhibit; /* while not 0 nothing is delivered; the kernel sets it when it diverts */
  uint32_t signo;   /* what is being delivered */
  uint64_t saved_rip, saved_rsp, saved_rflags;
  uint64_t fault_addr; /* SIGSEGV, SIGBUS */
  uint32_t code;       /* si_code */
  uint32_t sender_pid;
  uint64_t entry;
};

/* ---- tracing: see trace_events.def -------------------------------------------------------- */
enum trace_event {
#define TRACE_EVENT(number, name, a, b, text) TRACE_##name = (number),
#include "trace_events.def"
#undef TRACE_EVENT
};
#define TRACE_BIT(name) (1u << TRACE_##name)
/* What is on unless told otherwise: all that a ring can hold but the ends of system calls. */
#define TRACE_MASK_DEFAULT (TRACE_BIT(LOST) - 1 - TRACE_BIT(SYSCALL_EXIT))
#define TRACE_MASK_ALL (TRACE_BIT(LOST) - 1)

/* Why a thread left its CPU (TRACE_SWITCH); after the first two it is still runnable. */
enum trace_why {
  TRACE_WHY_PREEMPT = 0,
  TRACE_WHY_YIELD = 1,
  TRACE_WHY_BLOCK = 2,
  TRACE_WHY_EXIT = 3,
};

/* sys:/trace/cpuN is read as these. */
struct trace_record {
  uint64_t tsc;
  uint32_t event;  /* enum trace_event */
  uint32_t thread; /* context id of who ran, 0: idle */
  uint64_t a, b;   /* as trace_events.def says */
};

/* ---- profiling: sys:/profile/samples is read as these -------------------------------------- */
#define PROFILE_DEPTH 28u

/* Where a CPU was: addresses of the kernel, innermost first, then of the program, innermost first.
 */
struct profile_sample {
  uint64_t tsc;
  uint32_t pid; /* 0: the CPU was idle */
  uint16_t cpu;
  uint8_t n_kernel, n_user;
  char name[16]; /* of the process, not terminated when it is as long */
  uint64_t at[PROFILE_DEPTH];
};

/* ---- the start-up block, made by exec, found through auxv AT_CATHODE_START ---------------- */
#define AT_CATHODE_START 4096
struct start_block {
  uint64_t size; /* bytes, for later growth */
  uint32_t pid, ppid;
  uint32_t n_cpus, cpu_features; /* CPU_FEATURE_* */
  struct abi_clock clock;
  uint64_t cwd; /* address of a NUL-terminated path */
  uint32_t umask;
  uint32_t layout_stays; /* programs that this one starts get its layout */
  uint64_t seed[2];      /* random, for AT_RANDOM and stack protectors */
  uint64_t layout;       /* what the addresses of this program follow from */
};
#define CPU_FEATURE_FSGSBASE 1u

/* sys:boot answers this to bootstrap, the only program that no exec has started. */
struct abi_boot {
  uint64_t image_base, image_len;
  struct start_block start;
};

_Static_assert(sizeof(struct ring_sqe) == 64, "one cache line");
_Static_assert(sizeof(struct ring_cqe) == 16, "four a cache line");
_Static_assert(sizeof(struct ring_header) == 320, "five cache lines");
_Static_assert(sizeof(struct trace_record) == 32, "two a cache line");
_Static_assert(sizeof(struct profile_sample) == 256, "no padding");
_Static_assert(sizeof(struct proc_op) == 48 && sizeof(struct space_op) == 40, "no padding");
_Static_assert(sizeof(struct space_file) == 88, "no padding");
_Static_assert(sizeof(struct abi_dirent) == 24, "Linux's record");

#endif
