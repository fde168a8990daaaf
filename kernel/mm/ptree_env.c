/* The page-table tree's environment in the kernel: the direct map and the frame records. */
#include "mm/ptree_env.h"
#include "mm/mm_priv.h"

/* frames: frame_init() */
READ_MOSTLY struct ptree_env ptree_env = {.memory = (uint8_t *)DIRECT_MAP_BASE};

bool ptree_env_table_alloc(uint64_t *paddr) {
  paddr_t pa;
  bool ok = frame_alloc_zeroed(FRAME_TABLE, &pa);
  *paddr = pa.v;
  return ok;
}

void ptree_env_table_free(uint64_t paddr) {
  frame_free_zeroed((paddr_t){paddr});
  arch_relax(); /* a large tree goes table by table: others' shootdowns need not wait for all of it
                 */
}

void ptree_env_block_free(uint64_t paddr) {
  frame_free_big((paddr_t){paddr});
}

void ptree_env_leaf_free(uint64_t paddr) {
  frame_free((paddr_t){paddr});
}
