/* A simulated processor for host tests of the page-table tree: page walks, a TLB, and a cache of
 * ways to page tables. Both forget only what they are told to, and replace entries at random, so
 * that a flush that is missing shows sooner or later. What is cached counts in `sim_cached`. */
#ifndef CATHODE_MM_PTREE_SIM_CPU_H
#define CATHODE_MM_PTREE_SIM_CPU_H

#include "lib/rng.h"
#include "mm/ptree_sim.h"

#define SIM_N_TLB 24u
#define SIM_N_WAYS 6u

struct sim_tlb {
  bool valid, writable, big; /* big: a part of a big leaf */
  uint64_t va;
  uint32_t pfn;
};

/* A way to a page table: its own frame and those above it. */
struct sim_way {
  bool valid, writable;
  uint64_t region; /* va >> 21 */
  uint32_t tables[3];
};

struct sim_cpu {
  uint64_t root;
  struct rng *rng;
  struct sim_tlb tlb[SIM_N_TLB];
  struct sim_way ways[SIM_N_WAYS];
};

static inline void sim_tlb_drop(struct sim_tlb *e) {
  if (e->valid) {
    sim_cached[e->pfn]--;
  }
  e->valid = false;
}

static inline void sim_way_drop(struct sim_way *w) {
  for (unsigned i = 0; w->valid && i < 3; i++) {
    sim_cached[w->tables[i]]--;
  }
  w->valid = false;
}

/* INVLPG of each page of [lo, hi): leaves only there, paging structures everywhere. */
static inline void sim_cpu_invalidate(struct sim_cpu *cpu, uint64_t lo, uint64_t hi) {
  for (unsigned i = 0; i < SIM_N_TLB; i++) {
    if (cpu->tlb[i].va >= lo && cpu->tlb[i].va < hi) {
      sim_tlb_drop(&cpu->tlb[i]);
    }
  }
  for (unsigned i = 0; i < SIM_N_WAYS; i++) {
    sim_way_drop(&cpu->ways[i]);
  }
}

/* Walks the upper levels. False: not present. */
static inline bool sim_way_fill(const struct sim_cpu *cpu, uint64_t va, struct sim_way *w) {
  uint64_t pte = cpu->root, rights = PTE_W;
  for (int level = 3; level > 0; level--) {
    pte = sim_memory[sim_pfn(pte)][va >> (12 + 9 * level) & 511];
    if ((pte & PTE_P) == 0 || (pte & PTE_PS) != 0) {
      return false;
    }
    TAP_REQUIRE((pte & PTE_U) != 0);
    rights &= pte;
    w->tables[level - 1] = sim_pfn(pte);
  }
  w->valid = true;
  w->writable = rights != 0;
  w->region = va >> 21;
  for (unsigned i = 0; i < 3; i++) {
    sim_cached[w->tables[i]]++;
  }
  return true;
}

static inline struct sim_way *sim_way_find(struct sim_cpu *cpu, uint64_t va) {
  for (unsigned i = 0; i < SIM_N_WAYS; i++) {
    if (cpu->ways[i].valid && cpu->ways[i].region == va >> 21) {
      return &cpu->ways[i];
    }
  }
  struct sim_way *w = &cpu->ways[rng_below(cpu->rng, SIM_N_WAYS)];
  sim_way_drop(w);
  return sim_way_fill(cpu, va, w) ? w : NULL;
}

static inline struct sim_tlb *sim_tlb_find(struct sim_cpu *cpu, uint64_t va) {
  for (unsigned i = 0; i < SIM_N_TLB; i++) {
    if (cpu->tlb[i].valid && cpu->tlb[i].va == va) {
      return &cpu->tlb[i];
    }
  }
  struct sim_tlb *e = &cpu->tlb[rng_below(cpu->rng, SIM_N_TLB)];
  sim_tlb_drop(e);
  return e;
}

/* The same for a page of a big leaf, of which a processor may keep parts. */
static inline bool sim_tlb_fill_big(struct sim_cpu *cpu, uint64_t va, bool write,
                                    struct sim_tlb *e) {
  uint64_t pte = cpu->root, rights = PTE_W;
  _Atomic uint64_t *entry = NULL;
  for (int level = 3; level > 0; level--) {
    entry = &sim_memory[sim_pfn(pte)][va >> (12 + 9 * level) & 511];
    pte = *entry;
    if ((pte & PTE_P) == 0) {
      return false;
    }
    rights &= pte;
  }
  if ((pte & PTE_PS) == 0 || (write && rights == 0)) {
    return false;
  }
  atomic_fetch_or(entry, write ? PTE_A | PTE_D : PTE_A);
  *e = (struct sim_tlb){true, rights != 0, true, va, sim_pfn(pte) + (va >> 12 & 511)};
  sim_cached[e->pfn]++;
  return true;
}

/* A page walk into a TLB entry. A fault forgets the way that led to it, as hardware does (SDM vol.
 * 3A, 4.10.4.1). */
static inline bool sim_tlb_fill(struct sim_cpu *cpu, uint64_t va, bool write, struct sim_tlb *e) {
  struct sim_way *way = sim_way_find(cpu, va);
  if (way == NULL) {
    return sim_tlb_fill_big(cpu, va, write, e);
  }
  _Atomic uint64_t *entry = &sim_memory[way->tables[0]][va >> 12 & 511];
  uint64_t pte = *entry;
  bool writable = way->writable && (pte & PTE_W) != 0;
  if ((pte & PTE_P) == 0 || (write && !writable)) {
    sim_way_drop(way);
    return false;
  }
  atomic_fetch_or(entry, write ? PTE_A | PTE_D : PTE_A);
  *e = (struct sim_tlb){true, writable, false, va, sim_pfn(pte)};
  sim_cached[e->pfn]++;
  return true;
}

/* One access to the page at va; answers its frame, 0 for a page fault. A fault that stale knowledge
 * causes does not come twice. */
static inline uint32_t sim_cpu_access(struct sim_cpu *cpu, uint64_t va, bool write) {
  struct sim_tlb *e = sim_tlb_find(cpu, va);
  if (write && !e->writable) {
    sim_tlb_drop(e);
  }
  return e->valid || sim_tlb_fill(cpu, va, write, e) ? e->pfn : 0;
}

/* [P8] Where the TLB has a part of a big leaf, a walk must not find a small page. To be asked at
 * each flush, before it: that is when a TLB and the tables differ. */
static inline void sim_cpu_verify_sizes(const struct sim_cpu *cpu) {
  for (unsigned i = 0; i < SIM_N_TLB; i++) {
    struct sim_way way;
    if (cpu->tlb[i].valid && cpu->tlb[i].big && sim_way_fill(cpu, cpu->tlb[i].va, &way)) {
      TAP_REQUIRE((sim_memory[way.tables[0]][cpu->tlb[i].va >> 12 & 511] & PTE_P) == 0);
      sim_way_drop(&way);
    }
  }
}

/* The TLB allows nothing that the tables do not. */
static inline void sim_cpu_verify(const struct sim_cpu *cpu) {
  for (unsigned i = 0; i < SIM_N_TLB; i++) {
    const struct sim_tlb *e = &cpu->tlb[i];
    uint64_t pte;
    bool writable;
    if (e->valid) {
      ptree_lookup(cpu->root, e->va, &pte, &writable);
      TAP_REQUIRE((pte & PTE_P) != 0 && sim_pfn(pte) == e->pfn && (writable || !e->writable));
    }
  }
}

#endif
