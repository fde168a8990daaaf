/* Memory objects: pages that several address spaces may map, held apart from all of them.
 *
 * FIXED: a run of physical memory that is never freed (the boot image); its pages are not counted.
 * DEVICE: the same of a device's registers; its pages come with the bits that make them uncached.
 * The kernel itself has no mapping of them.
 * ANON: sparse, zero where never touched; a radix tree of frames, one reference each. A mapping
 * takes a reference of its own on every page it maps, so that neither resize nor the object's end
 * hurts it.
 * PAGED: as ANON, but a page that is not there is asked for, from whoever has the bytes
 * (pager_ops). Nobody asks with a lock held: memobj_page() answers ABI_EAGAIN, the caller lets go
 * of everything, memobj_fetch() waits, and the caller looks again. Many may ask for one page; the
 * first answer stays. `version` counts what made pages stale: an answer that was asked for before
 * is thrown away.
 * LOAN: a window on another object, at the same offsets, that its lender can close (loan.c). It has
 * no pages of its own; once it has ended it has none at all. Its source is no loan.
 * LENT: the same on private memory, from offset 0 on: a tree of those of the lender's pages that
 * somebody has touched, brought by memobj_fetch() as a PAGED object's are. */
#include "base/panic.h"
#include "lib/string.h"
#include "mm/mm_priv.h"
#include "mm/rtree.h"

enum memobj_kind {
  MEMOBJ_FIXED,
  MEMOBJ_DEVICE,
  MEMOBJ_ANON,
  MEMOBJ_PAGED,
  MEMOBJ_LOAN,
  MEMOBJ_LENT
};

struct memobj {
  struct refcount refs;
  enum memobj_kind kind;             /* [c] */
  paddr_t base;                      /* [c] FIXED */
  const struct pager_ops *pager_ops; /* [c] PAGED */
  void *pager;                       /* [c] PAGED */
  struct memobj *next_doomed;        /* [doomed_lock] */
  struct loan *loan;                 /* [c] LOAN, LENT */
  uint64_t first;                    /* [c] LOAN: bytes below are not lent */
  struct spinlock lock;              /* MEMOBJ: the fields below */
  uint64_t version;                  /* PAGED */
  struct memobj *source;             /* LOAN; NULL: all that was lent is back */
  bool ended;                        /* LOAN, LENT */
  uint64_t n_bytes;
  struct rtree pages;
};

static struct kcache memobj_cache = KCACHE_OF(struct memobj, "memobj");

static enum abi_error memobj_create(enum memobj_kind kind, paddr_t base, uint64_t n_bytes,
                                    struct memobj **out) {
  struct memobj *o = kcache_alloc_zeroed(&memobj_cache);
  if (o == NULL) {
    return ABI_ENOMEM;
  }
  refcount_init(&o->refs, 1);
  spin_init(&o->lock, RANK_MEMOBJ);
  o->kind = kind;
  o->base = base;
  o->n_bytes = n_bytes;
  *out = o;
  return OK;
}

enum abi_error memobj_create_fixed(paddr_t base, uint64_t n_bytes, struct memobj **out) {
  return memobj_create(MEMOBJ_FIXED, base, n_bytes, out);
}

enum abi_error memobj_create_device(paddr_t base, uint64_t n_bytes, struct memobj **out) {
  return memory_is_device(base, n_bytes) ? memobj_create(MEMOBJ_DEVICE, base, n_bytes, out)
                                         : ABI_EPERM;
}

bool memobj_is_device(const struct memobj *o) {
  return o->kind == MEMOBJ_DEVICE;
}

enum abi_error memobj_create_anon(uint64_t n_bytes, struct memobj **out) {
  return n_bytes > RTREE_PAGES_MOST << PAGE_SHIFT
             ? ABI_EFBIG
             : memobj_create(MEMOBJ_ANON, (paddr_t){0}, n_bytes, out);
}

enum abi_error memobj_create_paged(const struct pager_ops *ops, void *pager, struct memobj **out) {
  enum abi_error e = memobj_create(MEMOBJ_PAGED, (paddr_t){0}, RTREE_PAGES_MOST << PAGE_SHIFT, out);
  if (e == OK) {
    (*out)->pager_ops = ops;
    (*out)->pager = pager;
  }
  return e;
}

enum abi_error memobj_create_loan(struct memobj *source, uint64_t first, uint64_t end,
                                  struct loan *loan, struct memobj **out) {
  if (source->kind == MEMOBJ_LOAN || source->kind == MEMOBJ_LENT || source->kind == MEMOBJ_DEVICE) {
    return ABI_EINVAL;
  }
  enum abi_error e = memobj_create(MEMOBJ_LOAN, (paddr_t){0}, end, out);
  if (e == OK) {
    (*out)->loan = loan;
    (*out)->first = first;
    (*out)->source = source;
    memobj_get(source);
  }
  return e;
}

enum abi_error memobj_create_lent(uint64_t n_bytes, struct loan *loan, struct memobj **out) {
  enum abi_error e = memobj_create(MEMOBJ_LENT, (paddr_t){0}, n_bytes, out);
  if (e == OK) {
    (*out)->loan = loan;
  }
  return e;
}

void memobj_get(struct memobj *o) {
  refcount_get(&o->refs);
}

bool memobj_get_unless_zero(struct memobj *o) {
  return refcount_get_unless_zero(&o->refs);
}

uint64_t memobj_size(const struct memobj *o) {
  return o->n_bytes;
}

/* ---- what is left behind --------------------------------------------------------------------
 * Paged objects that nobody has any more, whose pagers must hear of it, and what is left of trees
 * (rtree.c). They go in pieces, by whoever has just let go of its locks, or by idle CPUs. */
static struct spinlock doomed_lock = SPINLOCK(MEMOBJ);
static struct memobj *doomed_objects; /* [doomed_lock] */
_Atomic uint32_t memobj_n_doomed;

static void object_doom(struct memobj *o) {
  spin_lock(&doomed_lock);
  o->next_doomed = doomed_objects;
  doomed_objects = o;
  spin_unlock(&doomed_lock);
  atomic_fetch_add_explicit(&memobj_n_doomed, 1, memory_order_relaxed);
}

static struct memobj *doomed_take(void) {
  spin_lock(&doomed_lock);
  struct memobj *o = doomed_objects;
  if (o != NULL) {
    doomed_objects = o->next_doomed;
  }
  spin_unlock(&doomed_lock);
  return o;
}

static void object_end(struct memobj *o);
static void loan_return(struct memobj *o);

bool memobj_reap(void) {
  if (LIKELY(atomic_load_explicit(&memobj_n_doomed, memory_order_relaxed) == 0)) {
    return false;
  }
  struct memobj *o = doomed_take();
  if (o == NULL) {
    return rtree_reap();
  }
  atomic_fetch_sub_explicit(&memobj_n_doomed, 1, memory_order_relaxed);
  o->pager_ops->drop(o->pager);
  object_end(o);
  return true;
}

static void object_end(struct memobj *o) {
  if (o->kind == MEMOBJ_LOAN || o->kind == MEMOBJ_LENT) {
    loan_forget(o->loan);
    loan_return(o);
  }
  rtree_destroy(&o->pages);
  kcache_free(&memobj_cache, o);
}

/* A pager takes locks that rank above those that may be held here: it hears of it later. */
void memobj_put(struct memobj *o) {
  if (!refcount_put(&o->refs)) {
    return;
  }
  if (o->kind == MEMOBJ_PAGED) {
    object_doom(o);
  } else {
    object_end(o);
  }
}

/* ---- loans -------------------------------------------------------------------------------- */

struct loan *memobj_loan(const struct memobj *o) {
  return o->loan;
}

bool memobj_is_lent(const struct memobj *o) {
  return o->kind == MEMOBJ_LENT;
}

bool memobj_is_ended(struct memobj *o) {
  spin_lock(&o->lock);
  bool ended = o->ended;
  spin_unlock(&o->lock);
  return ended;
}

static void loan_return(struct memobj *o) {
  spin_lock(&o->lock);
  struct memobj *source = o->source;
  o->source = NULL;
  rtree_trim(&o->pages, 0);
  spin_unlock(&o->lock);
  if (source != NULL) {
    memobj_put(source); /* is no loan: this goes no deeper */
  }
}

struct memobj *memobj_source_get(struct memobj *o) {
  struct memobj *source = o;
  if (LIKELY(o->kind != MEMOBJ_LOAN)) {
    memobj_get(o);
    return o;
  }
  spin_lock(&o->lock);
  source = o->source != NULL ? o->source : o;
  memobj_get(source);
  spin_unlock(&o->lock);
  return source;
}

bool memobj_is_of(struct memobj *o, const struct memobj *source) {
  if (o == source || o == NULL || o->kind != MEMOBJ_LOAN) {
    return o == source;
  }
  spin_lock(&o->lock);
  bool is = o->source == source;
  spin_unlock(&o->lock);
  return is;
}

enum abi_error memobj_end_loan(struct memobj *o) {
  kassert(o->kind == MEMOBJ_LOAN || o->kind == MEMOBJ_LENT);
  spin_lock(&o->lock);
  o->ended = true;
  spin_unlock(&o->lock);
  enum abi_error e = spaces_take_back(o, 0, true);
  if (e == OK) {
    loan_return(o); /* only now: until then a cut of the source finds its pages by it */
  }
  return e;
}

/* What a loan shows at an offset, with a reference; NULL: nothing. */
static struct memobj *loan_source(struct memobj *o, uint64_t offset) {
  spin_lock(&o->lock);
  bool lent = !o->ended && offset >= o->first && offset < o->n_bytes;
  struct memobj *source = lent ? o->source : NULL;
  if (source != NULL) {
    memobj_get(source);
  }
  spin_unlock(&o->lock);
  return source;
}

/* ---- size --------------------------------------------------------------------------------- */

static void size_set(struct memobj *o, uint64_t n_bytes) {
  uint64_t keep = ALIGN_UP(n_bytes, PAGE_SIZE) >> PAGE_SHIFT;
  if (n_bytes < o->n_bytes) {
    rtree_trim(&o->pages, keep);
  }
  if (n_bytes < o->n_bytes && n_bytes % PAGE_SIZE != 0) {
    uint64_t *slot = rtree_slot(&o->pages, keep - 1, false);
    if (slot != NULL && *slot != 0) {
      memset((uint8_t *)direct_map((paddr_t){*slot}) + n_bytes % PAGE_SIZE, 0,
             PAGE_SIZE - n_bytes % PAGE_SIZE);
    }
  }
  o->n_bytes = n_bytes;
}

enum abi_error memobj_resize(struct memobj *o, uint64_t n_bytes) {
  if (o->kind != MEMOBJ_ANON) {
    return ABI_EINVAL;
  }
  if (n_bytes > RTREE_PAGES_MOST << PAGE_SHIFT) {
    return ABI_EFBIG;
  }
  spin_lock(&o->lock);
  bool cut = ALIGN_UP(n_bytes, PAGE_SIZE) < o->n_bytes;
  size_set(o, n_bytes);
  spin_unlock(&o->lock);
  bool mapped = refcount_read(&o->refs) > 1; /* else all that there is is the caller's */
  return cut && mapped ? spaces_take_back(o, ALIGN_UP(n_bytes, PAGE_SIZE), true) : OK;
}

enum abi_error memobj_forget(struct memobj *o) {
  kassert(o->kind == MEMOBJ_PAGED);
  spin_lock(&o->lock);
  o->version++;
  rtree_trim(&o->pages, 0);
  spin_unlock(&o->lock);
  return spaces_take_back(o, 0, false);
}

/* ---- pages -------------------------------------------------------------------------------- */

static bool anon_present(struct memobj *o, uint64_t offset, paddr_t *pa) {
  uint64_t *slot = rtree_slot(&o->pages, offset >> PAGE_SHIFT, false);
  if (slot == NULL || *slot == 0) {
    return false;
  }
  pa->v = *slot;
  frame_get(*pa);
  return true;
}

static enum abi_error anon_page(struct memobj *o, uint64_t offset, paddr_t *pa) {
  uint64_t *slot = rtree_slot(&o->pages, offset >> PAGE_SHIFT, true);
  if (slot == NULL) {
    return ABI_ENOMEM;
  }
  if (*slot == 0) {
    paddr_t fresh;
    if (!frame_alloc_zeroed(FRAME_OBJECT, &fresh)) {
      return ABI_ENOMEM;
    }
    *slot = fresh.v;
  }
  pa->v = *slot;
  frame_get(*pa);
  return OK;
}

static __attribute__((noinline)) enum abi_error loan_page(struct memobj *o, uint64_t offset,
                                                          paddr_t *pa, bool *counted) {
  struct memobj *source = loan_source(o, offset);
  if (source == NULL) {
    return ABI_EIO;
  }
  enum abi_error e = memobj_page(source, offset, pa, counted);
  memobj_put(source);
  return e;
}

enum abi_error memobj_page(struct memobj *o, uint64_t offset, paddr_t *pa, bool *counted) {
  if (o->kind == MEMOBJ_FIXED) {
    *counted = false;
    pa->v = o->base.v + ALIGN_DOWN(offset, PAGE_SIZE);
    return offset < o->n_bytes ? OK : ABI_EIO;
  }
  if (o->kind == MEMOBJ_DEVICE) {
    *counted = false;
    pa->v = (o->base.v + ALIGN_DOWN(offset, PAGE_SIZE)) | PTE_PCD | PTE_PWT;
    return offset < o->n_bytes ? OK : ABI_EIO;
  }
  if (UNLIKELY(o->kind == MEMOBJ_LOAN)) {
    return loan_page(o, offset, pa, counted);
  }
  *counted = true;
  spin_lock(&o->lock);
  enum abi_error e = ABI_EIO;
  if (offset < ALIGN_UP(o->n_bytes, PAGE_SIZE) && !o->ended) {
    e = o->kind == MEMOBJ_ANON        ? anon_page(o, offset, pa)
        : anon_present(o, offset, pa) ? OK
                                      : ABI_EAGAIN;
  }
  spin_unlock(&o->lock);
  return e;
}

/* Keeps a page that was asked for at `version`; the object takes it over, or it stays as it is. */
static enum abi_error page_keep(struct memobj *o, uint64_t offset, uint64_t version, paddr_t *pa) {
  enum abi_error e = OK;
  spin_lock(&o->lock);
  uint64_t *slot = version == o->version ? rtree_slot(&o->pages, offset >> PAGE_SHIFT, true) : NULL;
  if (slot != NULL && *slot == 0) {
    *slot = pa->v;
    pa->v = 0;
  } else if (slot == NULL && version == o->version) {
    e = ABI_ENOMEM;
  }
  spin_unlock(&o->lock);
  return e;
}

enum abi_error memobj_keep_lent(struct memobj *o, uint64_t offset, paddr_t pa) {
  enum abi_error e = ABI_EIO;
  spin_lock(&o->lock);
  if (!o->ended) {
    uint64_t *slot = rtree_slot(&o->pages, offset >> PAGE_SHIFT, true);
    e = slot != NULL ? OK : ABI_ENOMEM;
    if (slot != NULL && *slot == 0) {
      frame_get(pa);
      *slot = pa.v;
    }
  }
  spin_unlock(&o->lock);
  return e;
}

static enum abi_error page_ask(struct memobj *o, uint64_t offset, bool patient) {
  enum abi_error e = ABI_ENOMEM;
  paddr_t fresh;
  spin_lock(&o->lock);
  uint64_t version = o->version;
  spin_unlock(&o->lock);
  if (frame_alloc_zeroed(FRAME_OBJECT, &fresh)) {
    e = o->pager_ops->page_in(o->pager, offset, direct_map(fresh), patient);
    e = e == OK ? page_keep(o, offset, version, &fresh) : e;
    if (fresh.v != 0) {
      frame_put(fresh);
    }
  }
  return e;
}

enum abi_error memobj_fetch(struct object_ref *missing, bool patient) {
  struct memobj *o = missing->obj;
  uint64_t offset = ALIGN_DOWN(missing->offset, PAGE_SIZE);
  kassert(o->kind == MEMOBJ_PAGED || o->kind == MEMOBJ_LENT);
  enum abi_error e =
      o->kind == MEMOBJ_LENT ? loan_fetch(o->loan, offset) : page_ask(o, offset, patient);
  memobj_put(o);
  return e;
}

/* ---- runs --------------------------------------------------------------------------------- */

/* Those of `wanted` that begin below the end. */
static uint32_t run_below(uint64_t offset, uint64_t end, uint32_t wanted) {
  uint64_t n = offset < end ? (end - 1 - offset) / PAGE_SIZE + 1 : 0;
  return n < MEMOBJ_RUN ? wanted & ((1u << n) - 1) : wanted;
}

static uint32_t fixed_run(const struct memobj *o, uint64_t offset, uint32_t wanted,
                          struct memobj_run *run) {
  uint32_t found = run_below(offset, o->n_bytes, wanted);
  run->counted = false;
  for (uint32_t rest = found; rest != 0; rest &= rest - 1) {
    uint32_t i = bit_first(rest);
    run->pages[i].v = o->base.v + offset + i * PAGE_SIZE;
  }
  return found;
}

static __attribute__((noinline)) uint32_t loan_run(struct memobj *o, uint64_t offset,
                                                   uint32_t wanted, struct memobj_run *run) {
  uint32_t lent = run_below(offset, o->n_bytes, wanted) & ~run_below(offset, o->first, wanted);
  run->counted = false;
  struct memobj *source = lent != 0 ? loan_source(o, offset + bit_first(lent) * PAGE_SIZE) : NULL;
  uint32_t found = source != NULL ? memobj_find_run(source, offset, lent, run) : 0;
  if (source != NULL) {
    memobj_put(source);
  }
  return found;
}

uint32_t memobj_find_run(struct memobj *o, uint64_t offset, uint32_t wanted,
                         struct memobj_run *run) {
  if (o->kind == MEMOBJ_FIXED) {
    return fixed_run(o, offset, wanted, run);
  }
  if (UNLIKELY(o->kind == MEMOBJ_LOAN)) {
    return loan_run(o, offset, wanted, run);
  }
  run->counted = true;
  spin_lock(&o->lock);
  uint32_t inside = o->ended ? 0 : run_below(offset, o->n_bytes, wanted);
  uint32_t found =
      rtree_run(&o->pages, offset >> PAGE_SHIFT, inside, run); /* a device has no tree */
  spin_unlock(&o->lock);
  return found;
}

enum abi_error memobj_write(struct memobj *o, uint64_t offset, const void *src, size_t len) {
  const uint8_t *from = src;
  while (len > 0) {
    paddr_t pa;
    bool counted;
    enum abi_error e = memobj_page(o, offset, &pa, &counted);
    if (e != OK) {
      return e;
    }
    size_t n = MIN(len, PAGE_SIZE - offset % PAGE_SIZE);
    memcpy((uint8_t *)direct_map(pa) + offset % PAGE_SIZE, from, n);
    if (counted) {
      frame_put(pa);
    }
    from += n;
    offset += n;
    len -= n;
  }
  return OK;
}
