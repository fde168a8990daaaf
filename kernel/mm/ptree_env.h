/* What the page-table tree asks of its environment: the kernel answers from the direct map and the
 * frame records, a host test from arrays. Physical addresses of tables are page aligned. */
#ifndef CATHODE_MM_PTREE_ENV_H
#define CATHODE_MM_PTREE_ENV_H

#include <stdbool.h>
#include <stdint.h>

#include "mm/frame_rec.h"

/* Where physical memory can be read, and the record of frame 0. Data rather than functions, as each
 * step of a walk asks for both. Set before the first tree is made, and constant from then on. */
struct ptree_env {
  uint8_t *memory;
  struct frame *frames;
};

extern struct ptree_env ptree_env;

/* The 512 entries of the table at paddr. */
static inline _Atomic uint64_t *ptree_env_table(uint64_t paddr) {
  return (_Atomic uint64_t *)(void *)(ptree_env.memory + paddr);
}

/* The record of the frame at paddr, of tables and of PTE_COUNTED leaves. */
static inline struct frame *ptree_env_frame(uint64_t paddr) {
  return &ptree_env.frames[paddr >> FRAME_SHIFT];
}

/* A frame of 512 zero entries. The tree fills in its record. False: no memory. */
bool ptree_env_table_alloc(uint64_t *paddr);

/* Takes back a table. All its entries are 0 again, so it can be given out as it is: a stock of
 * freed tables saves the zeroing. */
void ptree_env_table_free(uint64_t paddr);

/* The last reference to the frame of a PTE_COUNTED leaf has gone: free it. */
void ptree_env_leaf_free(uint64_t paddr);

/* The last reference to a block of 512 frames that was never divided. */
void ptree_env_block_free(uint64_t paddr);

#endif
