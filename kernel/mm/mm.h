/* Memory: frames, object caches, kernel stacks, memory objects, address spaces. Never asks who is
 * current: the space is always an argument, but for the user copies, which use the loaded one. */
#ifndef CATHODE_MM_MM_H
#define CATHODE_MM_MM_H

#include "base/lock.h"
#include "lib/list.h"
#include "lib/refcount.h"
#include "mm/frame_rec.h"
#include "mm/gtree.h"

/* ---- frames ------------------------------------------------------------------------------- */
/* Takes over the memory that the boot loader left; maps it; must come first. */
void frame_init(const struct boot_info *info);

/* The rest of mm, once page routines are chosen. */
void mm_init(void);

/* One frame of `kind` with one reference; contents undefined, or zero. False: out of memory. */
[[nodiscard]] bool frame_alloc(enum frame_kind kind, paddr_t *pa);
[[nodiscard]] bool frame_alloc_zeroed(enum frame_kind kind, paddr_t *pa);
void frame_free(paddr_t pa);        /* whatever its count */
void frame_free_zeroed(paddr_t pa); /* likewise; all its bytes are 0 */
/* For idle CPUs: zeroes one frame for later. False: there are enough, or no memory is free. */
bool frame_prezero_one(void);
/* 2^order contiguous frames of FRAME_KERNEL, zeroed; for tables of the kernel. */
[[nodiscard]] bool frame_alloc_order(unsigned order, paddr_t *pa);
void frame_free_order(paddr_t pa, unsigned order);
extern struct frame *frame_records; /* of frame 0; constant after boot */
static inline struct frame *frame_of(paddr_t pa) {
  return &frame_records[pa.v >> PAGE_SHIFT];
}
/* The record with the references of a frame in use: those of a block are in its first. */
static inline struct frame *frame_counted(paddr_t pa) {
  struct frame *f = frame_of(pa);
  return UNLIKELY(f->kind == FRAME_PART) ? frame_of((paddr_t){ALIGN_DOWN(pa.v, BIG_SIZE)}) : f;
}
static inline void frame_get(paddr_t pa) {
  atomic_fetch_add_explicit(&frame_counted(pa)->refs, 1, memory_order_relaxed);
}
void frame_put(paddr_t pa); /* frees with the last reference */
/* 512 aligned frames of anonymous memory with one reference; contents undefined. It goes as a
 * whole, by frame_put(), unless the page-table tree has made single frames of it. */
[[nodiscard]] bool frame_alloc_big(paddr_t *pa);
void frame_free_big(paddr_t pa); /* whatever its count */

struct frame_stats {
  uint64_t total, free;
  uint64_t by_kind[FRAME_OBJECT + 1]; /* in use */
};
/* Whole pages that the boot loader did not call memory. */
bool memory_is_device(paddr_t base, uint64_t len);
void frame_stats_read(struct frame_stats *s);

/* Allocations that fail on purpose. fail.alloc=N: the N-th after boot, and with fail.every=1 all
 * that follow. fail_alloc_ask(): those of which `asks` says so; it is called with any lock held. */
extern uint64_t fail_alloc_at;
extern bool fail_alloc_every;
extern bool fail_armed;
void fail_alloc_arm(void);
void fail_alloc_ask(bool (*asks)(void));
bool fail_decide(void);
static inline bool fail_now(void) {
  return UNLIKELY(fail_armed) && fail_decide();
}

/* ---- object caches ------------------------------------------------------------------------ */
#define KCACHE_MAG 16u
struct kcache_cpu {
  uint32_t n;
  int64_t live; /* allocated minus freed here */
  void *objects[KCACHE_MAG];
} __attribute__((aligned(64)));

struct kcache {
  const char *name;
  uint32_t size, align; /* bytes; size <= 4096 */
  struct spinlock lock; /* KCACHE: free_list */
  void *free_list;
  bool registered; /* on kcache_list */
  struct kcache *next_cache;
  struct kcache_cpu cpus[MAX_CPUS];
};

#define KCACHE_OF(type, text)                                                                      \
  { .name = (text), .size = sizeof(type), .align = _Alignof(type), .lock = SPINLOCK(KCACHE) }

/* Contents undefined. NULL: out of memory. Frames given to a cache stay with it. */
[[nodiscard]] void *kcache_alloc(struct kcache *c);
[[nodiscard]] void *kcache_alloc_zeroed(struct kcache *c);
void kcache_free(struct kcache *c, void *object);
int64_t kcache_live(const struct kcache *c);
extern _Atomic(struct kcache *) kcache_list; /* every cache that was used */

/* ---- kernel stacks ------------------------------------------------------------------------ */
[[nodiscard]] bool kstack_alloc(uint64_t *stack_top);
void kstack_free(uint64_t stack_top);

/* ---- memory objects: pages that several spaces may map -------------------------------------- */
struct memobj;
/* n_bytes of physical memory that is never freed: the boot image. */
[[nodiscard]] enum abi_error memobj_create_fixed(paddr_t base, uint64_t n_bytes,
                                                 struct memobj **out);
/* n_bytes of registers of a device: uncached, to be mapped shared only. ABI_EPERM: some of it is
 * memory, or below 1 MiB, or beyond 64 GiB. */
[[nodiscard]] enum abi_error memobj_create_device(paddr_t base, uint64_t n_bytes,
                                                  struct memobj **out);
bool memobj_is_device(const struct memobj *o);
/* Anonymous, sparse, zero until written; pages appear at first touch. */
[[nodiscard]] enum abi_error memobj_create_anon(uint64_t n_bytes, struct memobj **out);
/* Where a paged object's pages come from. No lock is held; both may sleep. */
struct pager_ops {
  /* Fills a page of zeros with the bytes at a page-aligned offset. ABI_EIO: there are none, or they
   * cannot be had. ABI_EINTR: the caller has a signal to take; a patient one waits until it is
   * killed. */
  enum abi_error (*page_in)(void *pager, uint64_t offset, void *page, bool patient);
  void (*drop)(void *pager); /* nobody has the object any more */
};
[[nodiscard]] enum abi_error memobj_create_paged(const struct pager_ops *ops, void *pager,
                                                 struct memobj **out);
/* Bytes [first, end) of another object, for as long as they are lent. Fails: ABI_EINVAL for a loan,
 * or registers; ABI_ENOMEM. */
struct loan;
[[nodiscard]] enum abi_error memobj_create_loan(struct memobj *source, uint64_t first, uint64_t end,
                                                struct loan *loan, struct memobj **out);
/* n_bytes of a space's private memory, likewise; its pages are those that memobj_keep_lent() was
 * given. */
[[nodiscard]] enum abi_error memobj_create_lent(uint64_t n_bytes, struct loan *loan,
                                                struct memobj **out);
bool memobj_is_lent(const struct memobj *o);
/* The object whose pages these are, with a reference: a loan's source, else itself. */
struct memobj *memobj_source_get(struct memobj *o);
/* Whether o (or NULL) is `source`, or a loan of it. */
bool memobj_is_of(struct memobj *o, const struct memobj *source);
/* Out of every space when it answers OK, and never to be had again. Fails as memobj_resize(); to be
 * tried again. No lock is held. */
[[nodiscard]] enum abi_error memobj_end_loan(struct memobj *o);
void memobj_get(struct memobj *o);
/* For who finds an object in a list that holds no reference, under the lock that its pager's drop()
 * takes to take it off. */
[[nodiscard]] bool memobj_get_unless_zero(struct memobj *o);
void memobj_put(struct memobj *o);
uint64_t memobj_size(const struct memobj *o);
/* Pages wholly beyond the new size are let go, and out of every space when it answers.
 * Fails: ABI_EINVAL, ABI_EFBIG; ABI_ENOMEM: it has its new size, but some mapping may have kept
 * pages that are the object's no more. Context: may sleep. */
[[nodiscard]] enum abi_error memobj_resize(struct memobj *o, uint64_t n_bytes);
/* A paged object's pages are stale: out of every shared mapping when it answers, and asked for
 * again at the next touch. Private mappings keep theirs. Fails as memobj_resize(). */
[[nodiscard]] enum abi_error memobj_forget(struct memobj *o);
/* The page at a byte offset, with PTE_PCD and PTE_PWT if it is a device's; *counted: it has a
 * reference count, of which the caller got one. Fails: ABI_EIO beyond the end; ABI_EAGAIN:
 * memobj_fetch() must come first; ABI_ENOMEM. */
[[nodiscard]] enum abi_error memobj_page(struct memobj *o, uint64_t offset, paddr_t *pa,
                                         bool *counted);
/* The same for several pages from there on, at most MEMOBJ_RUN: those of `wanted`, a bit each, that
 * are there already. Makes none; answers which it has found. */
#define MEMOBJ_RUN 16u
struct memobj_run {
  paddr_t pages[MEMOBJ_RUN];
  bool counted;
};
uint32_t memobj_find_run(struct memobj *o, uint64_t offset, uint32_t wanted,
                         struct memobj_run *run);
/* Copy to or from the object's bytes, making pages; within the size. */
[[nodiscard]] enum abi_error memobj_write(struct memobj *o, uint64_t offset, const void *src,
                                          size_t len);

/* ---- address spaces ------------------------------------------------------------------------- */
struct grants;
/* Faults are counted where fewer CPUs meet: neighbours do not. */
#define SPACE_FAULT_SHARDS 2u
struct space_faults {
  _Atomic uint64_t n[SPACE_FAULT_KINDS]; /* [a] */
} __attribute__((aligned(64)));
extern bool mm_big_default; /* 2 MiB pages where nobody said otherwise; a boot argument */
struct space {
  struct arch_space arch;
  struct refcount refs;
  struct list spaces_node;       /* [SPACES] all that live */
  struct rwlock lock;            /* SPACE: grants, and which tables are shared (shared: faults) */
  struct spinlock pt_lock;       /* PTREE: tables above the last level */
  uint64_t ceiling;              /* [lock] where mappings go: below, if there is room */
  struct grants *grants;         /* [lock] perhaps shared with clones */
  bool may_big;                  /* [lock] there may be big leaves, or grants that want them */
  bool lends;                    /* [lock] something was lent: `loans` is a list; stays set */
  bool limited;                  /* [lock] on mapped bytes, or on data */
  uint32_t n_takers;             /* [lock] calls that take back what was lent: none is lent anew */
  uint64_t lent_start, lent_end; /* [lock] marked leaves of private memory are in here [M12] */
  struct list loans;             /* [LOANS] */
  struct groom room;             /* [lock] below what grows */
  struct space_limit limits[SPACE_LIMIT_KINDS]; /* [lock] */
  struct space_faults faults[SPACE_FAULT_SHARDS];
  bool watched;               /* [lock/r] there is a limit on resident pages */
  _Atomic uint64_t n_big;     /* [a] faults that brought 2 MiB */
  _Atomic uint64_t next_look; /* [a] when so many pages have come [M13] */
};

[[nodiscard]] enum abi_error space_create(struct space **out);
/* A copy-on-write clone: grants and page tables are shared until one side changes them. */
[[nodiscard]] enum abi_error space_clone(struct space *src, struct space **out);
void space_get(struct space *s);
/* Somebody else holds it too, for now. */
bool space_is_shared(struct space *s);
/* The last reference tears it down; the calling CPU leaves it first. */
void space_put(struct space *s);
/* Spaces that are being torn down, and how many have been: who finds no memory asks before and
 * after. */
extern _Atomic uint32_t space_n_ending;
extern _Atomic uint64_t space_n_ended;

/* Bytes of an object, with a reference on it. */
struct object_ref {
  struct memobj *obj; /* NULL: none */
  uint64_t offset;
  bool read_only; /* who got it this way may not write to it */
};

struct map_request {
  uint64_t addr; /* hint, or exact with MAP_ABI_FIXED; the result */
  uint64_t len;  /* bytes, rounded up to pages */
  uint32_t prot, flags;
  bool read_only;     /* a shared mapping of obj may never be written through */
  struct memobj *obj; /* NULL: anonymous; a reference is taken on success */
  uint64_t offset;    /* into obj, page-aligned */
};

[[nodiscard]] enum abi_error space_map(struct space *s, struct map_request *r);
/* Mappings that name no place go below. Fails: ABI_EINVAL for what is no page of user memory. */
[[nodiscard]] enum abi_error space_set_ceiling(struct space *s, uint64_t addr);
/* What is there stays, whatever the limit. Fails: ABI_EINVAL when soft is above hard, ABI_EPERM
 * when hard would rise and may not. */
[[nodiscard]] enum abi_error space_set_limit(struct space *s, enum space_limit_kind kind,
                                             struct space_limit limit, bool may_rise);
struct space_limit space_get_limit(struct space *s, enum space_limit_kind kind);
/* All of them, for a space that nobody else has yet. */
void space_copy_limits(struct space *dst, struct space *src);
[[nodiscard]] enum abi_error space_unmap(struct space *s, uint64_t addr, uint64_t len);
[[nodiscard]] enum abi_error space_protect(struct space *s, uint64_t addr, uint64_t len,
                                           uint32_t prot);
[[nodiscard]] enum abi_error space_remap(struct space *s, uint64_t *addr, uint64_t old_len,
                                         uint64_t new_len, bool may_move);
/* What one grant has at [from, from + len) moves to `to`, in the place of what is mapped there, and
 * has new_len >= len bytes then. Fails: ABI_EINVAL (also when the two overlap), ABI_EFAULT: not one
 * grant; ABI_ENOMEM: it did not move, but what was at `to` may have gone. */
[[nodiscard]] enum abi_error space_move(struct space *s, uint64_t from, uint64_t len, uint64_t to,
                                        uint64_t new_len);
/* The grants of [from, from + len) move to `to` in dst, which must be free there. */
[[nodiscard]] enum abi_error space_transfer(struct space *dst, uint64_t to, struct space *src,
                                            uint64_t from, uint64_t len, uint32_t prot);
/* [addr, addr + len), which one shared grant has, as an object that ends with that grant or with
 * the space; a reference for the caller. Fails: ABI_EINVAL: not such a grant, borrowed itself, or
 * registers; ABI_EACCES: the grant has not these rights, or cannot be read; ABI_EAGAIN: the space
 * takes something back at the moment; ABI_ENOMEM. */
[[nodiscard]] enum abi_error space_lend(struct space *s, uint64_t addr, uint64_t len, uint32_t prot,
                                        struct object_ref *out);
/* Nothing of [addr, addr + len) is lent when it answers OK, and no borrower has a page of it.
 * Fails: ABI_EINVAL, and as memobj_end_loan(). */
[[nodiscard]] enum abi_error space_revoke(struct space *s, uint64_t addr, uint64_t len);
/* The object that a shared or read-only grant at addr maps, for a server that answers MMAP with an
 * address of its own; a reference for the caller. ABI_EINVAL when [addr, addr + *len) is not one
 * such grant; else *len becomes what the grant has from there on. */
[[nodiscard]] enum abi_error space_object_at(struct space *s, uint64_t addr, uint64_t *len,
                                             struct object_ref *out);

/* The object of a shared mapping at this page, if it is one: what names a futex word in shared
 * memory. */
[[nodiscard]] enum abi_error space_shared_at(struct space *s, uint64_t page,
                                             struct object_ref *out);

/* Resolve a page fault. ABI_EFAULT: no grant there, or not these rights. ABI_EIO: the object has no
 * such page. ABI_ENOMEM. ABI_EAGAIN: `missing` must be fetched first, and the fault then tried
 * again. */
[[nodiscard]] enum abi_error space_fault_now(struct space *s, uint64_t addr, bool write, bool exec,
                                             struct object_ref *missing);
/* The same, waiting for pages until they come or the caller is killed (ABI_EINTR). */
[[nodiscard]] enum abi_error space_fault(struct space *s, uint64_t addr, bool write, bool exec);
/* Has a page that is missing brought, and drops the reference. Fails: as page_in(), ABI_ENOMEM.
 * Context: may sleep; no lock is held. */
[[nodiscard]] enum abi_error memobj_fetch(struct object_ref *missing, bool patient);
/* Bytes into a space that need not be the loaded one; rights are not asked for (exec). src NULL:
 * zeros. */
[[nodiscard]] enum abi_error space_write_user(struct space *s, uint64_t addr, uaddr_t src,
                                              size_t len);

/* Bytes of a space that need not be the loaded one; rights are not asked for, nothing is faulted
 * in. */
[[nodiscard]] enum abi_error space_read_user(struct space *s, uint64_t addr, uaddr_t dst,
                                             size_t len);

/* present[i] becomes 1 for each of n pages from addr that is there. Fails: ABI_ENOMEM when one is
 * not mapped, ABI_EINVAL. */
[[nodiscard]] enum abi_error space_resident(struct space *s, uint64_t addr, uint8_t *present,
                                            size_t n);
/* madvise(2): how a range will be used. Fails: ABI_ENOMEM when some of it is not mapped (the rest
 * is done), ABI_EINVAL. */
[[nodiscard]] enum abi_error space_advise(struct space *s, uint64_t addr, uint64_t len,
                                          uint32_t advice);

/* One line of text a grant; answers the length. */
size_t space_describe(struct space *s, char *out, size_t cap);
struct space_stats {
  uint64_t n_grants, bytes_mapped, bytes_data, bytes_grants;
  struct space_limit limits[SPACE_LIMIT_KINDS];
  uint64_t n_faults[SPACE_FAULT_KINDS];
  uint64_t n_resident; /* pages that are there */
  uint64_t n_counted;  /* of these, frames with a count, as SPACE_LIMIT_RESIDENT has it */
  uint64_t n_private;  /* of these, frames that nobody else maps: what its end would free */
  uint64_t n_tables;   /* page tables on its ways, its own or shared */
};
/* O(resident), preemptibly. Context: may be preempted; no lock is held. */
void space_stats_read(struct space *s, struct space_stats *st);

/* True, for one caller, when the space is found to have more pages than it may, and how many. Most
 * calls only compare two numbers; of use only if it is `watched`. Context: as space_stats_read().
 */
bool space_resident_over(struct space *s, uint64_t *n_pages);

/* Cycles of `iterations` interrupts to another CPU, each answered by its handler (sys:bench/ipi).
 */
uint64_t shootdown_bench(uint32_t cpu, uint32_t iterations);

/* ---- user memory of the loaded space: no lock held ------------------------------------------ */
static inline bool user_range_ok(uaddr_t at, size_t len) {
  return at.v - ABI_USER_BASE < ABI_USER_END - ABI_USER_BASE && len <= ABI_USER_END - at.v;
}
/* A range is checked against the user half here; whether it is mapped, the copy finds out by
 * faulting (arch_copy_*, upcall_page_fault). No lock held. */
static inline enum abi_error user_copy_in(void *dst, uaddr_t src, size_t len) {
  if (CATHODE_DEBUG) {
    lock_debug_none_held("user_copy_in");
  }
  bool ok = len == 0 || (user_range_ok(src, len) && arch_copy_from_user(dst, src.v, len) == 0);
  return LIKELY(ok) ? OK : ABI_EFAULT;
}
static inline enum abi_error user_copy_out(uaddr_t dst, const void *src, size_t len) {
  if (CATHODE_DEBUG) {
    lock_debug_none_held("user_copy_out");
  }
  bool ok = len == 0 || (user_range_ok(dst, len) && arch_copy_to_user(dst.v, src, len) == 0);
  return LIKELY(ok) ? OK : ABI_EFAULT;
}
/* Of a range that is known to be right, under a lock, too: only what is mapped already; false, and
 * some of it may be copied, where a page is not. */
static inline bool user_copy_in_now(void *dst, uaddr_t src, size_t len) {
  return arch_copy_user_now(dst, (const void *)src.v, len) == 0;
}
static inline bool user_copy_out_now(uaddr_t dst, const void *src, size_t len) {
  return arch_copy_user_now((void *)dst.v, src, len) == 0;
}

static inline uaddr_t uaddr_add(uaddr_t a, uint64_t n) {
  return (uaddr_t){a.v + n};
}

#endif
