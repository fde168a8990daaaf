/* The rules' derivation from the parameters, see share.h. */
#include "sched/share.h"

#define ONE (UINT64_C(1) << 32) /* a weight of 1 */

/* slice x weight, rounded; at least one tick. */
static int64_t weighted(uint64_t slice, uint64_t weight) {
  unsigned __int128 quantum = ((unsigned __int128)slice * weight + ONE / 2) >> 32;
  return quantum == 0 ? 1 : (int64_t)quantum;
}

void share_rules_set(struct share_rules *r, uint64_t slice, uint64_t slice_min, uint64_t bonus,
                     uint64_t sleep, uint64_t decay) {
  uint64_t weight = ONE;
  for (int nice = 0; nice >= NICE_LEAST; nice--) {
    r->quantum[nice - NICE_LEAST] = weighted(slice, weight);
    weight += weight / 4;
  }
  weight = ONE;
  for (int nice = 0; nice <= NICE_MOST; nice++) {
    r->quantum[nice - NICE_LEAST] = weighted(slice, weight);
    weight -= weight / 5;
  }
  r->slice_min = (int64_t)slice_min;
  r->credit_most = sleep;
  r->levels_per_credit = (bonus << 32) / sleep;
  r->decay = (decay << 8) / 100;
}
