/* The scheduler's parameters, all from abi/sched_params.def. */
#include "sched/sched.h"

const struct sched_param_info sched_param_info[SCHED_PARAM_COUNT] = {
#define SCHED_PARAM(name, unit, initial, least, most, text)                                        \
  {#name, unit, initial, least, most, text},
#include "abi/sched_params.def"
#undef SCHED_PARAM
};

_Atomic uint64_t sched_params[SCHED_PARAM_COUNT] = {
#define SCHED_PARAM(name, unit, initial, least, most, text) initial,
#include "abi/sched_params.def"
#undef SCHED_PARAM
};

enum abi_error sched_param_set(enum sched_param p, uint64_t value) {
  if (value < sched_param_info[p].least || value > sched_param_info[p].most) {
    return ABI_ERANGE;
  }
  atomic_store_explicit(&sched_params[p], value, memory_order_relaxed);
  return OK;
}
