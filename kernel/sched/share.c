/* The rules' derivation from the parameters, see share.h. */
#include "sched/share.h"

#define ONE (UINT64_C(1) << 32)                     /* a weight of 1 */
#define TICKS_MOST (UINT64_C(1) << 47)              /* times SHARE_SCALE_ONE, it fits 64 bits */
#define SCALE_MOST (UINT64_C(16) * SHARE_SCALE_ONE) /* so does the longest quantum times this */

const uint32_t share_weights[NICE_COUNT] = {
    5684342, 4547474, 3637979, 2910383, 2328306, 1862645, 1490116, 1192093, 953674, 762939,
    610352,  488281,  390625,  312500,  250000,  200000,  160000,  128000,  102400, 81920,
    65536,   52429,   41943,   33554,   26844,   21475,   17180,   13744,   10995,  8796,
    7037,    5629,    4504,    3603,    2882,    2306,    1845,    1476,    1181,   944,
};

/* slice x weight, rounded; at least one tick. */
static int64_t weighted(uint64_t slice, uint64_t weight) {
  unsigned __int128 quantum = ((unsigned __int128)slice * weight + ONE / 2) >> 32;
  return quantum == 0 ? 1 : (int64_t)quantum;
}

void share_rules_set(struct share_rules *r, const struct share_lengths *l, uint64_t bonus,
                     uint64_t decay) {
  uint64_t weight = ONE;
  for (int nice = 0; nice >= NICE_LEAST; nice--) {
    r->quantum[nice - NICE_LEAST] = weighted(l->slice, weight);
    weight += weight / 4;
  }
  weight = ONE;
  for (int nice = 0; nice <= NICE_MOST; nice++) {
    r->quantum[nice - NICE_LEAST] = weighted(l->slice, weight);
    weight -= weight / 5;
  }
  r->round = l->round;
  r->slice_min = l->slice_min;
  uint64_t tenth = MAX(l->slice_min / 10, 1ul);
  r->slice_least = (int64_t)MAX(tenth, l->floor);
  r->credit_most = l->sleep;
  r->levels_per_credit = (bonus << 32) / l->sleep;
  r->decay = (decay << 8) / 100;
}

void share_round_begin(const struct share_rules *r, struct share_round *round) {
  uint64_t quanta = round->quanta, longest = r->round, scale = SHARE_SCALE_ONE;
  uint64_t wanted = MAX(MIN(quanta, longest), r->slice_min * round->n);
  if (quanta != 0) {
    scale = MIN(wanted, TICKS_MOST) * SHARE_SCALE_ONE / quanta;
  }
  *round = (struct share_round){.scale = (uint32_t)MIN(MAX(scale, 1ul), SCALE_MOST)};
}
