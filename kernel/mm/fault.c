/* What a page fault does, once the grant is known: one entry of the page tables is filled, widened,
 * or replaced by a private copy.
 *
 *   entry                     read                          write
 *   empty, anonymous          the zero frame                a zeroed frame
 *   empty, object, private    the object's page (1)         a copy of the object's page
 *   empty, object, shared     the object's page             the object's page
 *   present, private          (spurious)                    last user of a counted frame: W; else a
 *                                                           copy
 *   present, shared           (spurious)                    W
 *
 * A private page that is lent is as one of a shared mapping [M12].
 *
 * (1) and its neighbours, if they are at hand and the mapping is not writable.
 *
 * A page that its object has to be brought first ends the fault with ABI_EAGAIN, before anything
 * has changed; it is fetched with no lock held, and the fault begins again. */
#include "base/panic.h"
#include "lib/hash.h"
#include "mm/mm_priv.h"
#include "sched/sched.h"

#define N_REGION_LOCKS 64u
#define REGION_SHIFT 21 /* what one last-level table maps */
#define AROUND FAULT_AROUND_MOST

_Static_assert(AROUND <= MEMOBJ_RUN, "one run");

/* [c] mapped read-only wherever anonymous memory was only read */
static READ_MOSTLY paddr_t zero_frame;

/* Locks of regions, shared by all spaces by hash: two faults meet when they are in one region, and
 * else once in N_REGION_LOCKS. */
static struct region_lock {
  struct spinlock lock;
} __attribute__((aligned(64))) region_locks[N_REGION_LOCKS];

static void regions_init(void) {
  for (uint32_t i = 0; i < N_REGION_LOCKS; i++) {
    spin_init(&region_locks[i].lock, RANK_REGION);
  }
}

struct spinlock *fault_region(const struct space *s, uint64_t va) {
  return &region_locks[hash_u64((uint64_t)s + (va >> REGION_SHIFT)) % N_REGION_LOCKS].lock;
}

static bool idle_piece(void) {
  return memobj_reap() || frame_prezero_one();
}

void mm_init(void) {
  regions_init();
  sched_set_idle_work(idle_piece);
  if (!frame_alloc_zeroed(FRAME_KERNEL, &zero_frame)) {
    panic("no memory for the zero frame");
  }
}

paddr_t fault_zero_frame(void) {
  return zero_frame;
}

uint64_t grant_leaf_bits(const struct grant *g) {
  uint64_t bits = PTE_U | PTE_A;
  bits |= g->prot != 0 ? PTE_P : 0;
  bits |= g->prot & PROT_ABI_EXEC ? 0 : arch_pte_noexec();
  bits |= g->shared ? PTE_SHARED : 0;
  return bits;
}

uint64_t grant_write_bits(const struct grant *g) {
  return g->prot & PROT_ABI_WRITE ? PTE_W | PTE_D : 0;
}

/* A private frame with the contents of `from` (or zeros), as a leaf that is counted. */
static enum abi_error leaf_copy(const struct grant *g, paddr_t from, uint64_t *leaf) {
  paddr_t pa;
  bool zero = from.v == zero_frame.v;
  if (zero ? !frame_alloc_zeroed(FRAME_ANON, &pa) : !frame_alloc(FRAME_ANON, &pa)) {
    return ABI_ENOMEM;
  }
  if (!zero) {
    arch_page_copy(direct_map(pa), direct_map(from));
  }
  *leaf = pa.v | grant_leaf_bits(g) | grant_write_bits(g) | PTE_COUNTED;
  return OK;
}

/* The first leaf of a page of an object. */
static enum abi_error leaf_of_object(const struct grant *g, uint64_t va, bool write,
                                     uint64_t *leaf) {
  paddr_t pa;
  bool counted;
  enum abi_error e = memobj_page(g->obj, g->offset + (va - g->node.start), &pa, &counted);
  if (e != OK) {
    return e;
  }
  if (write && !g->shared) {
    e = leaf_copy(g, pa, leaf);
    if (counted) {
      frame_put(pa);
    }
    return e;
  }
  *leaf = pa.v | grant_leaf_bits(g) | (counted ? PTE_COUNTED : 0) |
          (g->shared ? grant_write_bits(g) : 0);
  return OK;
}

/* Which of n leaves of one table are empty: a bit each. */
static uint32_t leaves_empty(struct ptree_slot slot, uint32_t n) {
  uint32_t empty = 0;
  for (uint32_t i = 0; i < n; i++, slot.entry++) {
    empty |= (uint32_t)(ptree_leaf_get(&slot) == 0) << i;
  }
  return empty;
}

/* Fault-around: whoever reads one page of a file that it cannot write to mostly reads its
 * neighbours as well. Those of an aligned block of AROUND pages, which lies in one table, that the
 * object has at hand are mapped too. They are not marked as accessed: only the hardware knows.
 * Mappings that may be written to are left out, as there the next fault is often a write, and would
 * undo it. */
static void neighbours_fill(const struct grant *g, uint64_t va, const struct ptree_slot *slot) {
  uint64_t block = ALIGN_DOWN(va, AROUND * PAGE_SIZE);
  uint64_t end = MIN(block + AROUND * PAGE_SIZE, g->node.end), at = MAX(block, g->node.start);
  uint64_t offset = g->offset + (at - g->node.start), bits = grant_leaf_bits(g) & ~PTE_A;
  struct ptree_slot first = ptree_slot_near(slot, (int64_t)(at - va) / (int64_t)PAGE_SIZE);
  struct memobj_run run;
  uint32_t empty = leaves_empty(first, (uint32_t)((end - at) / PAGE_SIZE));
  uint32_t found = memobj_find_run(g->obj, offset, empty, &run);
  bits |= run.counted ? PTE_COUNTED : 0;
  for (; found != 0; found &= found - 1) {
    uint32_t i = bit_first(found);
    struct ptree_slot near = {first.entry + i, first.table};
    ptree_leaf_set(&near, run.pages[i].v | bits);
  }
}

/* How an entry that was empty is filled. */
static enum space_fault_kind fill_kind(const struct grant *g, bool write) {
  if (g->obj != NULL) {
    return write && !g->shared ? SPACE_FAULT_COPY : SPACE_FAULT_FILE;
  }
  return write ? SPACE_FAULT_ZERO : SPACE_FAULT_READ;
}

static enum abi_error page_fill(struct space *s, const struct grant *g, uint64_t va, bool write,
                                struct ptree_slot *slot) {
  uint64_t leaf = zero_frame.v | grant_leaf_bits(g);
  enum abi_error e = OK;
  if (g->obj != NULL) {
    e = leaf_of_object(g, va, write, &leaf);
  } else if (write) {
    e = leaf_copy(g, zero_frame, &leaf);
  }
  if (e != OK) {
    return e;
  }
  ptree_leaf_set(slot, leaf);
  fault_count(s, fill_kind(g, write));
  if (g->obj != NULL && !write && (g->prot & PROT_ABI_WRITE) == 0) {
    neighbours_fill(g, va, slot);
  }
  return OK;
}

/* A write to a leaf that is there: shared ones and last users widen, others copy. */
static enum abi_error page_own(struct space *s, const struct grant *g, uint64_t va,
                               struct ptree_slot *slot, struct ptree_gather *gather) {
  uint64_t old = ptree_leaf_get(slot);
  paddr_t from = {old & PTE_ADDR};
  bool sole = (old & (PTE_COUNTED | PTE_PART)) == PTE_COUNTED &&
              atomic_load_explicit(&frame_of(from)->refs, memory_order_acquire) == 1;
  if ((old & PTE_SHARED) != 0 || sole) {
    fault_count(s, SPACE_FAULT_WIDEN);
    ptree_leaf_widen(slot, grant_write_bits(g) | (g->prot != 0 ? PTE_P : 0));
    return OK;
  }
  uint64_t leaf;
  enum abi_error e = leaf_copy(g, from, &leaf);
  if (e == OK) {
    fault_count(s, SPACE_FAULT_COPY);
    counter_add(COUNTER_FAULTS_COW, 1);
    ptree_leaf_replace(slot, va, leaf, gather);
  }
  return e;
}

/* The slot of a page whose table is missing, or shared, or a big leaf, which is split: only that
 * needs the lock of them all. No slot: a big leaf has resolved the fault. */
static __attribute__((noinline)) enum abi_error slot_make(struct space *s, const struct grant *g,
                                                          uint64_t va, bool write,
                                                          struct ptree_gather *gather,
                                                          struct ptree_slot *slot) {
  enum abi_error done;
  if (s->may_big && fault_big(s, g, va, write, gather, &done)) {
    *slot = (struct ptree_slot){0};
    return done;
  }
  spin_lock(&s->pt_lock);
  enum abi_error e = ptree_slot(s->arch.root.v, va, gather, slot);
  spin_unlock(&s->pt_lock);
  return e;
}

enum abi_error fault_page(struct space *s, const struct grant *g, uint64_t va, bool write,
                          struct ptree_gather *gather) {
  struct ptree_slot slot;
  enum abi_error e = OK;
  if (UNLIKELY(!ptree_slot_ready(s->arch.root.v, va, &slot))) {
    e = slot_make(s, g, va, write, gather, &slot);
    if (e != OK || slot.entry == NULL) {
      return e;
    }
  }
  uint64_t leaf = ptree_leaf_get(&slot);
  if (leaf == 0) {
    e = page_fill(s, g, va, write, &slot);
  } else if (write && (!(leaf & PTE_W) || (g->prot & PROT_ABI_WRITE) == 0)) {
    e = page_own(s, g, va, &slot, gather);
  }
  return e;
}

/* A block of 2 MiB is split: what is lent is counted page by page. */
enum abi_error fault_lend(struct space *s, const struct grant *g, uint64_t va,
                          struct ptree_gather *gather, paddr_t *pa) {
  struct ptree_slot slot;
  spin_lock(&s->pt_lock);
  enum abi_error e = ptree_slot(s->arch.root.v, va, gather, &slot);
  spin_unlock(&s->pt_lock);
  e = e == OK ? fault_page(s, g, va, true, gather) : e; /* has its table, and so takes this slot */
  if (e == OK) {
    ptree_leaf_widen(&slot, PTE_SHARED);
    pa->v = ptree_leaf_get(&slot) & PTE_ADDR;
  }
  return e;
}

void fault_note_missing(const struct grant *g, uint64_t va, struct object_ref *missing) {
  *missing = (struct object_ref){memobj_source_get(g->obj), g->offset + (va - g->node.start), true};
}

/* *outside: no grant has the page. */
static inline __attribute__((always_inline)) enum abi_error fault_try(struct space *s, uint64_t va,
                                                                      bool write, bool exec,
                                                                      struct object_ref *missing,
                                                                      bool *outside) {
  enum abi_error e = ABI_EFAULT;
  rw_lock_shared(&s->lock);
  struct gnode *node = gtree_find(&s->grants->tree, va);
  if (LIKELY(node != NULL) && grant_allows(grant_of(node), write, exec)) {
    struct ptree_gather gather;
    gather_begin(&gather, s);
    struct spinlock *region = fault_region(s, va);
    spin_lock(region);
    e = fault_page(s, grant_of(node), va, write, &gather);
    gather_end(&gather);
    spin_unlock(region);
    if (UNLIKELY(e == ABI_EAGAIN)) {
      fault_count(s, SPACE_FAULT_MAJOR);
      fault_note_missing(grant_of(node), va, missing);
    }
  }
  rw_unlock_shared(&s->lock);
  *outside = node == NULL;
  return e;
}

/* Perhaps one can grow. */
static __attribute__((noinline)) enum abi_error
fault_outside(struct space *s, uint64_t va, bool write, bool exec, struct object_ref *missing) {
  bool outside = true;
  enum abi_error e = OK;
  while (outside) { /* unmapped again in between: once more */
    e = space_grow(s, va, write, exec);
    if (e != OK) {
      return e;
    }
    e = fault_try(s, va, write, exec, missing, &outside);
  }
  return e;
}

enum abi_error space_fault_now(struct space *s, uint64_t addr, bool write, bool exec,
                               struct object_ref *missing) {
  uint64_t va = ALIGN_DOWN(addr, PAGE_SIZE);
  bool outside;
  counter_add(COUNTER_FAULTS, 1);
  enum abi_error e = fault_try(s, va, write, exec, missing, &outside);
  return LIKELY(!outside) ? e : fault_outside(s, va, write, exec, missing);
}

enum abi_error space_fault(struct space *s, uint64_t addr, bool write, bool exec) {
  for (;;) {
    struct object_ref missing;
    enum abi_error e = space_fault_now(s, addr, write, exec, &missing);
    if (e != ABI_EAGAIN) {
      return e;
    }
    e = memobj_fetch(&missing, true);
    if (e != OK) {
      return e;
    }
  }
}
