/* The choice of balance.h. Both look at the CPUs in the order self + 1, self + 2, ... round. */
#include "sched/balance.h"

/* The CPUs of the mask but self, rotated so that bit 0 is self + 1. */
static uint64_t others_after(uint64_t mask, uint32_t self) {
  uint64_t others = mask & ~(UINT64_C(1) << self);
  uint32_t by = (self + 1) & 63;
  return by == 0 ? others : others >> by | others << (64 - by);
}

uint32_t balance_victim(const struct balance_view *v, uint32_t self, uint32_t least) {
  uint32_t victim = BALANCE_NONE, most = least - 1;
  for (uint64_t rest = others_after(v->mask, self); rest != 0; rest &= rest - 1) {
    uint32_t cpu = (self + 1 + bit_first(rest)) & 63;
    if (v->waiting[cpu] > most) {
      most = v->waiting[cpu];
      victim = cpu;
    }
  }
  return victim;
}

/* Of the CPUs in `others`, as others_after() has them. */
static uint32_t least_loaded(const struct balance_view *v, uint32_t self, uint64_t others) {
  uint32_t target = BALANCE_NONE, fewest = UINT32_MAX;
  for (uint64_t rest = others; rest != 0; rest &= rest - 1) {
    uint32_t cpu = (self + 1 + bit_first(rest)) & 63;
    if (v->load[cpu] < fewest) {
      fewest = v->load[cpu];
      target = cpu;
    }
  }
  return target;
}

uint32_t balance_target(const struct balance_view *v, uint32_t self, uint32_t least) {
  bool behind = v->realtime >> self & 1;
  uint64_t others = others_after(v->mask & ~v->realtime, self);
  if (behind && others == 0) {
    others = others_after(v->mask, self);
    behind = false;
  }
  uint32_t target = least_loaded(v, self, others);
  if (target == BALANCE_NONE || behind) {
    return target;
  }
  return v->load[self] >= v->load[target] + least ? target : BALANCE_NONE;
}
