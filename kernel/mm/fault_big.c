/* Faults on 2 MiB of private anonymous memory at once.
 *
 *   entry of the directory   read           write
 *   empty, wanted big        one page (1)   512 zeroed frames
 *   big leaf                 (spurious)     last user: W; else a copy of all 512
 *
 * (1) the zero frame: memory that is only read costs nothing.
 * Where no block of 512 frames is free, and where the grant has only a part of the 2 MiB, one page
 * is filled or copied as ever, and a big leaf is split for it. A big leaf is never widened for a
 * grant that does not have all of it: its pages may have rights of several grants.
 *
 * Locks: as fault_page(). The entry is the region's, and its lock is held throughout; entries of
 * one directory belong to many regions, so filling one, which the directory counts, takes pt_lock
 * too. Limits: 512 pages are zeroed or copied under the region's lock, answering shootdowns between
 * two of them. */
#include "base/panic.h"
#include "mm/mm_priv.h"

/* `from` 0: zeros. */
static bool block_create(paddr_t from, paddr_t *pa) {
  if (!frame_alloc_big(pa)) {
    return false;
  }
  for (uint64_t at = 0; at < BIG_SIZE; at += PAGE_SIZE) {
    void *page = direct_map((paddr_t){pa->v + at});
    if (from.v == 0) {
      arch_page_zero(page);
    } else {
      arch_page_copy(page, direct_map((paddr_t){from.v + at}));
    }
    arch_relax();
  }
  return true;
}

static uint64_t big_leaf(const struct grant *g, paddr_t pa) {
  return pa.v | grant_leaf_bits(g) | grant_write_bits(g) | PTE_COUNTED | PTE_PS;
}

static bool big_fill(struct space *s, const struct grant *g, struct ptree_slot *slot) {
  paddr_t pa;
  if (!g->big || !block_create((paddr_t){0}, &pa)) {
    return false;
  }
  fault_count(s, SPACE_FAULT_ZERO);
  atomic_fetch_add_explicit(&s->n_big, 1, memory_order_relaxed);
  spin_lock(&s->pt_lock);
  ptree_leaf_set(slot, big_leaf(g, pa));
  spin_unlock(&s->pt_lock);
  return true;
}

static bool big_own(struct space *s, const struct grant *g, uint64_t va, struct ptree_slot *slot,
                    struct ptree_gather *gather) {
  paddr_t pa;
  if (ptree_leaf_is_sole(slot)) {
    fault_count(s, SPACE_FAULT_WIDEN);
    ptree_leaf_widen(slot, grant_write_bits(g));
    return true;
  }
  if (!g->big || !block_create((paddr_t){ptree_leaf_get(slot) & PTE_ADDR}, &pa)) {
    return false;
  }
  fault_count(s, SPACE_FAULT_COPY);
  atomic_fetch_add_explicit(&s->n_big, 1, memory_order_relaxed);
  counter_add(COUNTER_FAULTS_COW, 1);
  ptree_leaf_replace(slot, va, big_leaf(g, pa), gather);
  return true;
}

/* The entry is as the fault needs it when it answers true. */
static bool big_resolve(struct space *s, const struct grant *g, uint64_t va, bool write,
                        struct ptree_slot *slot, struct ptree_gather *gather) {
  uint64_t leaf = ptree_leaf_get(slot);
  if (leaf == 0) {
    return write && big_fill(s, g, slot);
  }
  if ((leaf & PTE_PS) == 0) {
    return false;
  }
  return !write || (leaf & PTE_W) != 0 || big_own(s, g, va, slot, gather);
}

static bool grant_has_all(const struct grant *g, uint64_t va) {
  uint64_t start = ALIGN_DOWN(va, BIG_SIZE);
  return g->node.start <= start && start + BIG_SIZE <= g->node.end;
}

bool fault_big(struct space *s, const struct grant *g, uint64_t va, bool write,
               struct ptree_gather *gather, enum abi_error *e) {
  if (g->obj != NULL || !grant_has_all(g, va) || (write && (g->prot & PROT_ABI_WRITE) == 0)) {
    return false;
  }
  struct ptree_slot slot;
  spin_lock(&s->pt_lock);
  *e = ptree_slot_big(s->arch.root.v, va, gather, &slot);
  spin_unlock(&s->pt_lock);
  if (*e != OK) {
    return true;
  }
  return big_resolve(s, g, va, write, &slot, gather);
}
