/* Which address spaces a CPU's TLB still knows, and how well: pure, one struct a CPU, its owner
 * alone changes it.
 *
 * A CPU tags what it caches with the number of a slot (PCID: SDM vol. 3A 4.10.1). A slot names a
 * space, by a number that is never given twice, and a generation of it: how many times the space's
 * tables have taken something away.
 *
 * [T1] What is cached under a slot's tag does not contradict the slot's space as it was at the
 * slot's generation, or later.
 *
 * So a space whose generation is its slot's can be used as it is; one that is behind is flushed and
 * brought up; one that is unknown takes the slot of another, flushed likewise. A CPU that cannot
 * tag has one slot, and forgets all with each load. */
#ifndef CATHODE_ARCH_ASID_H
#define CATHODE_ARCH_ASID_H

#include <stdbool.h>
#include <stdint.h>

#define ASID_SLOTS 6u /* few: who has not run for so long has little left in the TLB */

struct asid_slot {
  uint64_t space; /* 0: none */
  uint64_t generation;
};

struct asids {
  uint32_t n;       /* [c] slots in use, 1 to ASID_SLOTS */
  uint32_t current; /* of the space that is loaded, or was last */
  uint32_t next;    /* to be taken from its space, in turn */
  struct asid_slot slots[ASID_SLOTS];
};

static inline void asid_init(struct asids *a, uint32_t n) {
  *a = (struct asids){.n = n};
}

/* The loaded space's slot is brought up to a generation; answers whether it was behind. */
static inline bool asid_catch_up(struct asids *a, uint64_t generation) {
  struct asid_slot *slot = &a->slots[a->current];
  bool behind = slot->generation != generation;
  slot->generation = generation;
  return behind;
}

/* The slot of a space becomes the current one, at this generation; answers whether what is cached
 * under its tag must go. */
static inline bool asid_choose(struct asids *a, uint64_t space, uint64_t generation) {
  for (uint32_t i = 0; a->n > 1 && i < a->n; i++) {
    if (a->slots[i].space == space) {
      a->current = i;
      return asid_catch_up(a, generation);
    }
  }
  a->current = a->next; /* of one slot, that one */
  a->next = a->next + 1 < a->n ? a->next + 1 : 0;
  a->slots[a->current] = (struct asid_slot){space, generation};
  return true;
}

/* What one change, the `generation`th of the loaded space, asks for. */
enum asid_need { ASID_NOTHING, ASID_RANGE, ASID_ALL };

static inline enum asid_need asid_need(const struct asids *a, uint64_t generation) {
  uint64_t have = a->slots[a->current].generation;
  return have >= generation ? ASID_NOTHING : have + 1 == generation ? ASID_RANGE : ASID_ALL;
}

#endif
