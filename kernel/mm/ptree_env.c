/* The page-table tree's environment in the kernel: the direct map and the frame records. */
#include "mm/ptree_env.h"
#include "mm/mm_priv.h"

_Atomic uint64_t *ptree_env_table(uint64_t paddr) {
  return direct_map((paddr_t){paddr});
}

struct frame *ptree_env_frame(uint64_t paddr) {
  return frame_of((paddr_t){paddr});
}

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

void ptree_env_leaf_free(uint64_t paddr) {
  frame_free((paddr_t){paddr});
}
