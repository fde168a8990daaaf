/* Private to mm/: grants, the tree's environment, shootdown. */
#ifndef CATHODE_MM_PRIV_H
#define CATHODE_MM_PRIV_H

#include "base/counter.h"
#include "mm/mm.h"
#include "mm/ptree.h"

enum grant_kind { GRANT_ANON, GRANT_OBJECT };

struct grant {
  struct gnode node;  /* first; start and end */
  uint8_t prot;       /* PROT_ABI_* */
  bool shared;        /* MAP_SHARED */
  bool read_only;     /* shared, and write access can never be given [M6] */
  bool big;           /* private anonymous: by 2 MiB where it can be had */
  struct memobj *obj; /* NULL: private anonymous */
  uint64_t offset;    /* of node.start in obj */
};

static inline struct grant *grant_of(struct gnode *n) {
  return (struct grant *)n;
}

static inline bool grant_allows(const struct grant *g, bool write, bool exec) {
  uint32_t need = write  ? PROT_ABI_WRITE
                  : exec ? PROT_ABI_EXEC
                         : PROT_ABI_READ | PROT_ABI_WRITE | PROT_ABI_EXEC;
  return g->prot & need;
}

/* [G8] what counts as data: private and open to writes, but for stacks. */
static inline bool grant_is_data(const struct grant *g) {
  return !g->shared && (g->prot & PROT_ABI_WRITE) != 0 && !g->node.grows;
}

/* The grants of a space, or of several that were cloned and have not changed since (grants.c). */
struct grants {
  struct refcount refs;
  struct gtree tree;
};

enum abi_error grants_create(struct grants **out);
struct grants *grants_share(struct grants *g); /* one more reference */
void grants_put(struct grants *g);
/* Makes the tree the space's alone [M7]. Nodes found before are not its nodes any more. */
enum abi_error grants_own_slow(struct space *s);
static inline enum abi_error grants_own(struct space *s) {
  if (LIKELY(refcount_read(&s->grants->refs) == 1)) {
    atomic_thread_fence(memory_order_acquire); /* who shared it has read its last */
    return OK;
  }
  return grants_own_slow(s);
}

/* A grant as `like`, whose range is free: a new one, with a reference on the object, or a neighbour
 * that grows [M5]. */
enum abi_error grants_add(struct space *s, const struct grant *like);
/* The same in two steps: the first can fail, the second cannot, once the tree is the space's own.
 */
enum abi_error grant_create(const struct grant *like, struct grant **out);
void grants_place(struct space *s, struct grant *g);
void grant_destroy(struct grant *g); /* one that was not placed */
/* A grant of a tree that is the space's own gets other rights. */
void grants_set_prot(struct space *s, struct grant *g, uint32_t prot);
/* Makes start and end boundaries of grants. */
enum abi_error grants_split(struct space *s, uint64_t start, uint64_t end);
/* Makes one of neighbours in and around the range that are to be one [M5]. */
void grants_merge(struct space *s, uint64_t start, uint64_t end);

/* Cutting a range out, in two steps: the first can fail and changes nothing that shows, the second
 * cannot fail. */
struct grants_cut {
  uint64_t start, end;
  struct gnode *first; /* that overlaps; NULL: there is nothing to cut */
  struct grant *spare; /* for the upper part of a grant that reaches beyond both ends */
};
enum abi_error grants_cut_prepare(struct space *s, uint64_t start, uint64_t end,
                                  struct grants_cut *cut);
void grants_cut(struct space *s, struct grants_cut *cut);
void grants_cut_cancel(struct grants_cut *cut);

/* Whether there may be so many bytes more of data, or of anything. */
static inline bool space_has_data_room(const struct space *s, uint64_t len) {
  return s->grants->tree.bytes[true] + len <= s->limits[SPACE_LIMIT_DATA].soft;
}
static inline bool space_has_room(const struct space *s, uint64_t len, bool data) {
  return LIKELY(!s->limited) ||
         (gtree_bytes(&s->grants->tree) + len <= s->limits[SPACE_LIMIT_MAPPED].soft &&
          (!data || space_has_data_room(s, len)));
}

/* What grows (grow.c). */
/* Where len bytes are free, as high as possible, and not in the way of what grows if that can be.
 */
bool space_hole(struct space *s, uint64_t len, uint64_t *start);
/* What the limit on the stack means for that. With the lock, exclusive. */
void space_room_set(struct space *s);
/* Whether [start, end) is free, and not right below what grows. */
bool space_is_clear(const struct space *s, uint64_t start, uint64_t end);
/* A fault at a page that no grant has: a grant has it when it answers OK. Fails: ABI_EFAULT,
 * ABI_ENOMEM. No lock is held. */
enum abi_error space_grow(struct space *s, uint64_t va, bool write, bool exec);

/* Rights were taken away anywhere in a space, and no table: when this returns no CPU uses what it
 * had cached. */
void shootdown_all(struct space *s);
/* Make every CPU but this one let go of the space: it is about to be destroyed. */
void shootdown_leave(struct space *s);

/* A gather that flushes the space's TLBs when it is full; and its end. */
void gather_begin(struct ptree_gather *g, struct space *s);
void gather_end_slow(struct ptree_gather *g);
static inline void gather_end(struct ptree_gather *g) {
  if (UNLIKELY(ptree_gather_is_pending(g))) { /* most faults leave nothing behind */
    gather_end_slow(g);
  }
}
/* The end in two parts: a flush, under the locks; then, without, the tearing down of whole tables
 * that went, in pieces that each keep interrupts off for no longer than TEARDOWN_PIECE pages take.
 */
#define TEARDOWN_PIECE 512u
void gather_settle(struct ptree_gather *g);

/* Frees a piece of what objects have left behind; false when there is nothing. No lock is held. */
bool memobj_reap(void);
extern _Atomic uint32_t memobj_n_doomed;

void gather_drain_slow(struct ptree_gather *g);
static inline void gather_drain(struct ptree_gather *g) {
  if (g->dead != FRAME_NIL || atomic_load_explicit(&memobj_n_doomed, memory_order_relaxed) != 0) {
    gather_drain_slow(g);
  }
}

/* Pages that one fault brings, but for those of 2 MiB; a power of two. */
#define FAULT_AROUND_MOST 16u
static inline void fault_count(struct space *s, enum space_fault_kind kind) {
  struct space_faults *shard = &s->faults[cpu_id() % SPACE_FAULT_SHARDS];
  atomic_fetch_add_explicit(&shard->n[kind], 1, memory_order_relaxed);
}

void fault_counts(struct space *s, uint64_t n[SPACE_FAULT_KINDS]);

/* The limit on resident pages (resident.c). The next fault is to look; a clone goes on from where
 * its source is, with the source's lock exclusive. */
void space_resident_look(struct space *s);
void space_resident_inherit(struct space *clone, struct space *src);

/* Leaf bits for a grant's rights, without W for copy-on-write to decide. */
uint64_t grant_leaf_bits(const struct grant *g);
paddr_t fault_zero_frame(void); /* mapped read-only wherever anonymous memory was only read */
/* The lock of the 2 MiB around va: whoever reads or changes its leaves, with the space's lock
 * shared, holds it. With the space's lock exclusive nobody else is there. */
struct spinlock *fault_region(const struct space *s, uint64_t va);
/* Empties the page tables of [start, end) with the lock exclusive, and has all CPUs forget them.
 * What went is torn down by the caller, with gather_drain(), when it has let go of the lock. */
enum abi_error space_tables_unmap(struct space *s, uint64_t start, uint64_t end,
                                  struct ptree_gather *gather);

/* The same, and takes the grants. */
enum abi_error space_unmap_locked(struct space *s, uint64_t start, uint64_t end,
                                  struct ptree_gather *gather);

/* All spaces (spaces.c), the young ones last. */
void spaces_add(struct space *s);
void spaces_remove(struct space *s);
/* No space maps pages of the object from `offset` on when it answers OK, and none will but by a new
 * fault; private mappings only if told. No lock is held. Fails: ABI_ENOMEM, having gone on. */
enum abi_error spaces_take_back(const struct memobj *o, uint64_t offset, bool also_private);

/* Loans (loan.c). */
struct loan *memobj_loan(const struct memobj *o); /* of a loan's object */
bool memobj_is_ended(struct memobj *o);           /* or is about to */
/* Has a page of the lender's private memory brought into the loan's object [M12]. Fails: ABI_EIO
 * when the loan has ended, ABI_ENOMEM. No lock is held. */
enum abi_error loan_fetch(struct loan *l, uint64_t offset);
/* The object takes a reference of its own, if it has no page there yet. Fails: as loan_fetch(). */
enum abi_error memobj_keep_lent(struct memobj *o, uint64_t offset, paddr_t pa);
void loan_forget(struct loan *l);   /* nobody has its object any more */
void loans_orphan(struct space *s); /* the lender goes */
/* Nothing of [start, end) is lent when it answers OK: what was has ended [M10], and private pages
 * have no marks of it [M12]. With the lock, exclusive, of which it lets go in between. Fails as
 * memobj_end_loan(). */
enum abi_error loans_end_slow(struct space *s, uint64_t start, uint64_t end) HOLDS(&s->lock);
/* The same for what is lent of private memory alone. */
enum abi_error loans_end_private(struct space *s, uint64_t start, uint64_t end) HOLDS(&s->lock);
static inline enum abi_error loans_end(struct space *s, uint64_t start, uint64_t end)
    HOLDS(&s->lock) {
  return LIKELY(!s->lends) ? OK : loans_end_slow(s, start, end);
}
/* Nothing is lent anew in between, so that it stays as loans_end() has left it also when the lock
 * is let go of. Each with the lock, exclusive. */
static inline void lending_stop(struct space *s) {
  s->n_takers++;
}
static inline void lending_resume(struct space *s) {
  s->n_takers--;
}

/* A fault where there is no page table yet, in a space that may have big leaves: true when it is
 * done, with *e; false: it is a matter of one small page. With the region's lock. */
bool fault_big(struct space *s, const struct grant *g, uint64_t va, bool write,
               struct ptree_gather *gather, enum abi_error *e);
uint64_t grant_write_bits(const struct grant *g); /* W and D, if the grant has W */
/* What a grant's object lacks at va, with a reference, for memobj_fetch() without locks. */
void fault_note_missing(const struct grant *g, uint64_t va, struct object_ref *missing);
/* The same for a page of private anonymous memory that is to be lent: a frame of its own, whatever
 * the rights, and its leaf is marked [M12]. */
enum abi_error fault_lend(struct space *s, const struct grant *g, uint64_t va,
                          struct ptree_gather *gather, paddr_t *pa);
/* One page of a grant, made present (and writable), with its region's lock. Fails: as
 * memobj_page(). */
enum abi_error fault_page(struct space *s, const struct grant *g, uint64_t va, bool write,
                          struct ptree_gather *gather);

#endif
