/* Stress: delays and preemptions after unlocks, see stress.h. */
#include "base/stress.h"

#include "arch/arch.h"
#include "base/panic.h"
#include "lib/bits.h"
#include "lib/rng.h"

#define DELAY_ONE_IN 8u        /* unlocks */
#define DELAY_LONG_ONE_IN 64u  /* delays */
#define DELAY_LOOPS 16u        /* at most, each arch_relax() */
#define DELAY_LONG_LOOPS 1000u /* long enough for another CPU to take an interrupt and a fault */
#define PREEMPT_ONE_IN 6u      /* unlocks, and all of them in every other spell */
#define SPELL 4096u            /* unlocks */

uint64_t stress_seed;
bool stress_armed;

static struct {
  struct rng rng;
  uint32_t n_unlocks;
} __attribute__((aligned(64))) stress_cpus[MAX_CPUS]; /* [o] each CPU its own */

void stress_arm(void) {
  if (stress_seed == 0) {
    return;
  }
  if (!CATHODE_DEBUG) {
    log_printf("boot argument: stress needs the debug build; there is none\n");
    return;
  }
  for (uint32_t cpu = 0; cpu < MAX_CPUS; cpu++) {
    rng_seed(&stress_cpus[cpu].rng, stress_seed + cpu);
  }
  stress_armed = true;
}

/* arch_relax() as in every wait: somebody may be waiting for an answer of this CPU [B1]. */
static void stress_delay(struct rng *rng) {
  uint32_t most = rng_one_in(rng, DELAY_LONG_ONE_IN) ? DELAY_LONG_LOOPS : DELAY_LOOPS;
  for (uint32_t loops = rng_below(rng, most); loops > 0; loops--) {
    arch_relax();
  }
}

void stress_unlocked(void) {
  uint32_t cpu = cpu_id();
  struct rng *rng = &stress_cpus[cpu].rng;
  bool always = stress_cpus[cpu].n_unlocks++ / SPELL % 2 == 1;
  if (rng_one_in(rng, DELAY_ONE_IN)) {
    stress_delay(rng);
  }
  if (always || rng_one_in(rng, PREEMPT_ONE_IN)) {
    atomic_fetch_or_explicit(&arch_cpu_self()->current->work, ARCH_WORK_RESCHED,
                             memory_order_relaxed);
  }
}
