/* Simulated physical memory for host tests of the page-table tree: implements ptree_env.h.
 *
 * Included by one file of a program. Frames come from a stack under a spin lock. The first word of
 * a frame that is not a table stands for its content. `sim_cached` counts what TLBs are supposed to
 * hold: freeing such a frame ends the test, and so does freeing a table that is not zero again. */
#ifndef CATHODE_MM_PTREE_SIM_H
#define CATHODE_MM_PTREE_SIM_H

#include "lib/tap.h"
#include "mm/ptree.h"
#include "mm/ptree_env.h"

#define SIM_N_SMALL 4096u /* single frames; above them blocks of 512 */
#define SIM_N_BLOCKS 6u
#define SIM_N_FRAMES (SIM_N_SMALL + SIM_N_BLOCKS * PTREE_N_ENTRIES)

static struct {
  atomic_flag lock; /* the stack and the counters */
  uint32_t stack[SIM_N_FRAMES];
  uint32_t n_free;
  uint32_t block_used[SIM_N_BLOCKS]; /* frames in use */
  uint64_t n_tables_made;
  uint64_t fail_at; /* the allocation with this number fails, counted down; 0: none */
  bool failed;      /* an allocation was made to fail */
} sim = {.lock = ATOMIC_FLAG_INIT};

static struct frame sim_frames[SIM_N_FRAMES];
static _Atomic uint32_t sim_cached[SIM_N_FRAMES];
static _Alignas(4096) _Atomic uint64_t sim_memory[SIM_N_FRAMES][PTREE_N_ENTRIES];

static inline void sim_lock(void) {
  while (atomic_flag_test_and_set_explicit(&sim.lock, memory_order_acquire)) {
  }
}

static inline void sim_unlock(void) {
  atomic_flag_clear_explicit(&sim.lock, memory_order_release);
}

static inline void sim_init(void) {
  sim.n_free = 0;
  for (uint32_t pfn = SIM_N_SMALL - 1; pfn > 0; pfn--) { /* frame 0 is nobody's */
    sim.stack[sim.n_free++] = pfn;
  }
}

static inline uint32_t sim_pfn(uint64_t pte) {
  uint64_t pfn = (pte & PTE_ADDR) >> FRAME_SHIFT;
  TAP_REQUIRE(pfn > 0 && pfn < SIM_N_FRAMES);
  return (uint32_t)pfn;
}

/* Answers 0 when there is no frame or the allocation has to fail. */
static inline uint32_t sim_frame_alloc(enum frame_kind kind) {
  uint32_t pfn = 0;
  sim_lock();
  bool fails = sim.fail_at != 0 && --sim.fail_at == 0;
  sim.failed = sim.failed || fails;
  if (!fails && sim.n_free > 0) {
    pfn = sim.stack[--sim.n_free];
    sim.n_tables_made += kind == FRAME_TABLE;
  }
  sim_unlock();
  if (pfn != 0) {
    sim_frames[pfn].kind = (uint8_t)kind;
    sim_frames[pfn].refs = 1;
  }
  return pfn;
}

static inline void sim_frame_free(uint32_t pfn) {
  TAP_REQUIRE(sim_frames[pfn].refs == 0 && sim_frames[pfn].kind != FRAME_FREE);
  TAP_REQUIRE(sim_cached[pfn] == 0);
  sim_frames[pfn].kind = FRAME_FREE;
  atomic_store_explicit(&sim_memory[pfn][0], 0, memory_order_relaxed);
  sim_lock();
  if (pfn < SIM_N_SMALL) {
    sim.stack[sim.n_free++] = pfn;
  } else {
    sim.block_used[(pfn - SIM_N_SMALL) / PTREE_N_ENTRIES]--;
  }
  sim_unlock();
}

/* A block of 512 frames, as one; 0: none, or the allocation has to fail. One thread only. */
static inline uint32_t sim_block_alloc(void) {
  bool fails = sim.fail_at != 0 && --sim.fail_at == 0;
  sim.failed = sim.failed || fails;
  for (uint32_t b = 0; b < SIM_N_BLOCKS && !fails; b++) {
    if (sim.block_used[b] == 0) {
      uint32_t pfn = SIM_N_SMALL + b * PTREE_N_ENTRIES;
      sim.block_used[b] = PTREE_N_ENTRIES;
      for (uint32_t i = 0; i < PTREE_N_ENTRIES; i++) {
        sim_frames[pfn + i].kind = i == 0 ? FRAME_BIG : FRAME_PART;
        sim_frames[pfn + i].refs = i == 0;
      }
      return pfn;
    }
  }
  return 0;
}

static inline void sim_block_free(uint32_t pfn) {
  for (uint32_t i = 0; i < PTREE_N_ENTRIES; i++) {
    TAP_REQUIRE(sim_frames[pfn + i].kind == (i == 0 ? FRAME_BIG : FRAME_PART));
    sim_frame_free(pfn + i);
  }
}

struct ptree_env ptree_env = {(uint8_t *)sim_memory, sim_frames};

bool ptree_env_table_alloc(uint64_t *paddr) {
  uint32_t pfn = sim_frame_alloc(FRAME_TABLE);
  sim_frames[pfn].n_used = 99; /* the tree must not rely on the record */
  *paddr = (uint64_t)pfn << FRAME_SHIFT;
  return pfn != 0;
}

void ptree_env_table_free(uint64_t paddr) {
  uint32_t pfn = sim_pfn(paddr);
  TAP_REQUIRE(sim_frames[pfn].kind == FRAME_TABLE);
  for (unsigned i = 0; i < PTREE_N_ENTRIES; i++) {
    TAP_REQUIRE(atomic_load_explicit(&sim_memory[pfn][i], memory_order_relaxed) == 0);
  }
  sim_frame_free(pfn);
}

void ptree_env_block_free(uint64_t paddr) {
  sim_block_free(sim_pfn(paddr));
}

void ptree_env_leaf_free(uint64_t paddr) {
  uint32_t pfn = sim_pfn(paddr);
  TAP_REQUIRE(sim_frames[pfn].kind == FRAME_ANON);
  sim_frame_free(pfn);
}

#endif
