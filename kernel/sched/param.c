/* The scheduler's parameters, all from abi/sched_params.def. */
#include "sched/sched_priv.h"

const struct sched_param_info sched_param_info[SCHED_PARAM_COUNT] = {
#define SCHED_PARAM(name, unit, initial, least, most, text)                                        \
  {#name, unit, initial, least, most, text},
#include "abi/sched_params.def"
#undef SCHED_PARAM
};

READ_MOSTLY _Atomic uint64_t sched_params[SCHED_PARAM_COUNT] = {
#define SCHED_PARAM(name, unit, initial, least, most, text) initial,
#include "abi/sched_params.def"
#undef SCHED_PARAM
};

static struct spinlock param_lock = SPINLOCK(PARAMS);

enum abi_error sched_param_set(enum sched_param p, uint64_t value) {
  if (value < sched_param_info[p].least || value > sched_param_info[p].most) {
    return ABI_ERANGE;
  }
  spin_lock(&param_lock);
  atomic_store_explicit(&sched_params[p], value, memory_order_relaxed);
  sched_rules_update();
  cpus_resched(); /* the slice that one goes on with may have no end under the old value */
  spin_unlock(&param_lock);
  return OK;
}
