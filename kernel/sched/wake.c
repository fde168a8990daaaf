/* Waking: which CPU, and how the thread gets there.
 *
 * A thread for this CPU is pushed to its runqueue. A thread for another CPU goes on that CPU's wake
 * list, a lock-free stack that only its owner empties, and an interrupt tells the owner, once for
 * each time the list was empty. No CPU takes another's runqueue lock to wake; only a thief does
 * (core.c). */
#include "arch/upcall.h"
#include "sched/sched_priv.h"

_Atomic uint64_t sched_idle_mask; /* CPUs in the idle loop */

bool wake_list_is_empty(struct cpu_sched *cs) {
  return atomic_load_explicit(&cs->wake_list, memory_order_acquire) == NULL;
}

/* Runnable on this CPU now: queue it, and let it preempt. */
static void wake_push(struct cpu_sched *cs, struct thread *t) HOLDS(&cs->lock) {
  atomic_store_explicit(&t->cpu, cpu_id(), memory_order_relaxed);
  runq_push(&cs->rq, &t->rq, t->prio);
  struct thread *current = cs->current;
  if (current == cs->idle || (t->prio < current->prio && SCHED_PARAM_GET(wake_preempt))) {
    atomic_fetch_or_explicit(&current->arch.work, ARCH_WORK_RESCHED, memory_order_relaxed);
  } else if (cs->slice_end_ns == UINT64_MAX) {
    cs->slice_end_ns = current->since_ns + current->slice_ns; /* it is no longer alone */
    timer_program(cs, cs->slice_end_ns);
  }
}

void wake_list_drain(struct cpu_sched *cs) {
  if (LIKELY(wake_list_is_empty(cs))) {
    return;
  }
  struct thread *list = atomic_exchange_explicit(&cs->wake_list, NULL, memory_order_acquire);
  struct thread *in_order = NULL;
  while (list != NULL) {
    struct thread *next = list->wake_next;
    list->wake_next = in_order;
    in_order = list;
    list = next;
  }
  while (in_order != NULL) {
    struct thread *next = in_order->wake_next;
    wake_push(cs, in_order);
    in_order = next;
  }
}

static void wake_send(uint32_t cpu, struct thread *t) {
  struct cpu_sched *cs = &cpu_scheds[cpu];
  struct thread *head = atomic_load_explicit(&cs->wake_list, memory_order_relaxed);
  do {
    t->wake_next = head;
  } while (!atomic_compare_exchange_weak_explicit(&cs->wake_list, &head, t, memory_order_release,
                                                  memory_order_relaxed));
  counter_add(COUNTER_WAKE_REMOTE, 1);
  if (head == NULL) {
    counter_add(COUNTER_IPIS, 1);
    trace(TRACE_IPI, cpu, ARCH_IPI_WAKE);
    arch_ipi_send(cpu, ARCH_IPI_WAKE);
  }
}

/* The last CPU when idle or when no other is, for its cache; else an idle one, this one first. */
static uint32_t wake_choose(const struct thread *t) {
  uint32_t last = atomic_load_explicit(&t->cpu, memory_order_relaxed);
  uint64_t allowed = t->affinity & sched_online_mask();
  uint64_t idle = atomic_load_explicit(&sched_idle_mask, memory_order_relaxed) & allowed;
  if (allowed >> last & 1 && (idle == 0 || idle >> last & 1 || !SCHED_PARAM_GET(wake_idle))) {
    return last;
  }
  uint64_t from = idle != 0 ? idle : allowed;
  return from >> cpu_id() & 1 ? cpu_id() : bit_first(from);
}

void wake_place(struct thread *t) {
  if (atomic_load_explicit(&t->on_cpu, memory_order_acquire)) {
    uint32_t busy = atomic_load_explicit(&t->cpu, memory_order_relaxed);
    if (busy != cpu_id()) {
      trace(TRACE_WAKE, t->arch.id, busy);
      wake_send(busy, t); /* [S3] */
      return;
    }
  }
  uint32_t cpu = wake_choose(t);
  trace(TRACE_WAKE, t->arch.id, cpu);
  if (cpu != cpu_id()) {
    wake_send(cpu, t);
    return;
  }
  struct cpu_sched *cs = sched_self();
  counter_add(COUNTER_WAKE_LOCAL, 1);
  spin_lock(&cs->lock);
  wake_push(cs, t);
  spin_unlock(&cs->lock);
}

void sched_unpark(struct thread *t) {
  uint32_t park = atomic_load_explicit(&t->park, memory_order_relaxed);
  for (;;) {
    if (park == THREAD_PARKED) {
      if (atomic_compare_exchange_weak(&t->park, &park, THREAD_RUNNING)) {
        wake_place(t);
        return;
      }
    } else if (atomic_compare_exchange_weak(&t->park, &park, THREAD_TOKEN)) {
      return;
    }
  }
}

void thread_set_work(struct thread *t, uint32_t work) {
  atomic_fetch_or(&t->arch.work, work);
  sched_unpark(t);
  uint32_t cpu = atomic_load(&t->cpu);
  if (atomic_load(&t->on_cpu) && cpu != cpu_id()) {
    trace(TRACE_IPI, cpu, ARCH_IPI_WAKE);
    arch_ipi_send(cpu, ARCH_IPI_WAKE);
  }
}

void upcall_ipi_wake(void) {
  struct cpu_sched *cs = sched_self();
  trace(TRACE_IPI_TAKEN, ARCH_IPI_WAKE, 0);
  spin_lock(&cs->lock);
  wake_list_drain(cs);
  spin_unlock(&cs->lock);
}
