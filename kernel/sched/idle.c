/* The idle loop: steal, poll, halt. */
#include "sched/sched_priv.h"

static bool idle_has_work(struct cpu_sched *cs) {
  return cpu_waiting(cs) > 0 || !wake_list_is_empty(cs);
}

static bool (*_Atomic idle_work)(void);

void sched_set_idle_work(bool (*piece)(void)) {
  atomic_store_explicit(&idle_work, piece, memory_order_release);
}

/* Work of others that only idle CPUs do, piece by piece. */
static void idle_work_do(struct cpu_sched *cs) {
  bool (*piece)(void) = atomic_load_explicit(&idle_work, memory_order_acquire);
  while (piece != NULL && !idle_has_work(cs) && piece()) {
    arch_irq_window();
  }
}

/* Whoever sends work while we poll sends no interrupt. */
static void idle_poll(struct cpu_sched *cs) {
  uint64_t ticks = sched_rules.idle_poll;
  if (ticks == 0) {
    return;
  }
  atomic_store_explicit(&cs->idle_state, CPU_POLLING, memory_order_relaxed);
  for (uint64_t start = arch_tsc(); arch_tsc() - start < ticks && !idle_has_work(cs);) {
    arch_relax();
    arch_irq_window();
  }
}

/* CPU0 (idle)                           CPU1 (waker)
 * state := HALTED (locked exchange)     push to CPU0's list (locked)
 * list empty?                           state POLLING?
 *   yes: HLT                              yes: done
 *                                         no: interrupt CPU0
 *
 * If CPU1 still reads POLLING, its push came before CPU0's exchange, and CPU0's look finds it. If
 * not, the interrupt ends the HLT, which lets it in only after the look (arch_idle). */
static void idle_halt(struct cpu_sched *cs) {
  atomic_exchange(&cs->idle_state, CPU_HALTED);
  if (!idle_has_work(cs)) {
    trace(TRACE_IDLE, 1, 0);
    arch_idle();
    trace(TRACE_IDLE, 0, 0);
  }
}

_Noreturn void idle_loop(struct cpu_sched *cs) {
  uint64_t bit = 1ul << cs->id;
  for (;;) {
    if (!idle_has_work(cs)) {
      sched_steal(cs);
    }
    atomic_fetch_or(&sched_idle_mask, bit);
    idle_work_do(cs);
    idle_poll(cs);
    idle_halt(cs);
    atomic_store_explicit(&cs->idle_state, CPU_BUSY, memory_order_relaxed);
    atomic_fetch_and(&sched_idle_mask, ~bit);
    if (idle_has_work(cs)) {
      schedule_idle();
    }
  }
}
