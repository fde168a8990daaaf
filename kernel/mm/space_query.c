/* Questions to an address space: what is mapped, what is there, and how much. A walk over pages
 * lets go of its locks every WALK_PIECE, so its sums are of no single moment. */
#include "lib/fmt.h"
#include "lib/string.h"
#include "mm/mm_priv.h"
#include "sched/sched.h"

#define WALK_PIECE (4ul << 20) /* bytes of address space */

static enum abi_error object_at(struct space *s, uint64_t addr, uint64_t *len, bool shared_only,
                                struct object_ref *out) {
  enum abi_error e = ABI_EINVAL;
  rw_lock_shared(&s->lock);
  struct gnode *n = gtree_find(&s->grants->tree, addr);
  const struct grant *g = n != NULL ? grant_of(n) : NULL;
  if (g != NULL && IS_ALIGNED(addr, PAGE_SIZE) && *len <= n->end - addr && g->obj != NULL &&
      (g->shared || !shared_only)) {
    struct memobj *o = g->obj;
    if (shared_only) { /* a word has one name for lender and borrower */
      o = memobj_source_get(o);
    } else {
      memobj_get(o);
    }
    *out = (struct object_ref){o, g->offset + (addr - n->start), g->read_only || !g->shared};
    *len = n->end - addr;
    e = OK;
  }
  rw_unlock_shared(&s->lock);
  return e;
}

enum abi_error space_object_at(struct space *s, uint64_t addr, uint64_t *len,
                               struct object_ref *out) {
  return object_at(s, addr, len, false, out);
}

enum abi_error space_shared_at(struct space *s, uint64_t page, struct object_ref *out) {
  uint64_t len = PAGE_SIZE;
  return object_at(s, page, &len, true, out);
}

size_t space_describe(struct space *s, char *out, size_t cap) {
  size_t len = 0;
  rw_lock_shared(&s->lock);
  for (struct gnode *n = gtree_first_from(&s->grants->tree, 0); n != NULL && len < cap;
       n = gtree_next(n)) {
    const struct grant *g = grant_of(n);
    len += fmt_snprintf(out + len, cap - len, "%lx-%lx %c%c%c%c %s\n", n->start, n->end,
                        g->prot & PROT_ABI_READ ? 'r' : '-', g->prot & PROT_ABI_WRITE ? 'w' : '-',
                        g->prot & PROT_ABI_EXEC ? 'x' : '-', g->shared ? 's' : 'p',
                        g->obj     ? "object"
                        : n->grows ? "grows"
                                   : "anonymous");
  }
  rw_unlock_shared(&s->lock);
  return MIN(len, cap);
}

/* ---- pages -------------------------------------------------------------------------------- */

/* What one last-level table costs, seen from the region that it maps; those above it likewise. */
static void tables_count(struct space_stats *st, uint64_t va, uint64_t last, bool big) {
  st->n_tables +=
      (va >> 21 != last >> 21 && !big) + (va >> 30 != last >> 30) + (va >> 39 != last >> 39);
}

static void leaf_count(struct space_stats *st, uint64_t pte) {
  bool counted = (pte & PTE_COUNTED) != 0;
  bool sole = counted && atomic_load_explicit(&frame_counted((paddr_t){pte & PTE_ADDR})->refs,
                                              memory_order_relaxed) == 1;
  st->n_resident++;
  st->n_counted += counted;
  st->n_private += sole;
}

/* Leaves of [va, end), a piece of the space, with its tables kept. */
static uint64_t piece_count(struct space *s, uint64_t va, uint64_t end, uint64_t *last,
                            struct space_stats *st) {
  uint64_t pte;
  rw_lock_shared(&s->lock);
  spin_lock(&s->pt_lock);
  bool more = ptree_next(s->arch.root.v, &va, ABI_USER_END, &pte);
  end = MAX(end, ALIGN_DOWN(va, WALK_PIECE) + WALK_PIECE); /* what is empty goes by at once */
  while (more && va < end) {
    tables_count(st, va, *last, (pte & PTE_PS) != 0);
    leaf_count(st, pte);
    *last = va;
    va += PAGE_SIZE;
    more = ptree_next(s->arch.root.v, &va, ABI_USER_END, &pte);
  }
  spin_unlock(&s->pt_lock);
  rw_unlock_shared(&s->lock);
  return more ? va : ABI_USER_END;
}

void fault_counts(struct space *s, uint64_t n[SPACE_FAULT_KINDS]) {
  for (uint32_t kind = 0; kind < SPACE_FAULT_KINDS; kind++) {
    n[kind] = 0;
    for (uint32_t shard = 0; shard < SPACE_FAULT_SHARDS; shard++) {
      n[kind] += atomic_load_explicit(&s->faults[shard].n[kind], memory_order_relaxed);
    }
  }
}

void space_stats_read(struct space *s, struct space_stats *st) {
  *st = (struct space_stats){.n_tables = 1};
  fault_counts(s, st->n_faults);
  rw_lock_shared(&s->lock);
  st->n_grants = s->grants->tree.n;
  st->bytes_grants = st->n_grants * sizeof(struct grant) + sizeof(struct grants);
  st->bytes_mapped = gtree_bytes(&s->grants->tree);
  st->bytes_data = s->grants->tree.bytes[true];
  memcpy(st->limits, s->limits, sizeof(st->limits));
  rw_unlock_shared(&s->lock);
  uint64_t last = UINT64_MAX;
  for (uint64_t va = 0; va < ABI_USER_END; sched_point()) {
    va = piece_count(s, va, va + WALK_PIECE, &last, st);
  }
}

/* Whether every page of [start, end) is mapped; with the lock. */
static bool range_is_mapped(const struct space *s, uint64_t start, uint64_t end) {
  const struct gnode *n = gtree_find(&s->grants->tree, start);
  while (n != NULL && n->start <= start && n->end < end) {
    start = n->end;
    n = gtree_next(n);
  }
  return n != NULL && n->start <= start;
}

enum abi_error space_resident(struct space *s, uint64_t addr, uint8_t *present, size_t n) {
  if (!IS_ALIGNED(addr, PAGE_SIZE)) {
    return ABI_EINVAL;
  }
  uint64_t end = addr + n * PAGE_SIZE;
  rw_lock_shared(&s->lock);
  bool mapped = range_is_mapped(s, addr, end);
  spin_lock(&s->pt_lock);
  for (size_t i = 0; mapped && i < n; i++) {
    uint64_t pte;
    bool writable;
    ptree_lookup(s->arch.root.v, addr + i * PAGE_SIZE, &pte, &writable);
    present[i] = pte != 0;
  }
  spin_unlock(&s->pt_lock);
  rw_unlock_shared(&s->lock);
  return mapped ? OK : ABI_ENOMEM;
}
