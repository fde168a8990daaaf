/* Moving threads that wait between CPUs: an idle CPU steals, a busy one pushes. The choice of the
 * other CPU is balance.c's; even.c is what shares need. Who moves a thread takes the lock of the
 * CPU that it waits for, never two at once; between the two CPUs the thread is on its way [S4]. */
#include "sched/balance.h"
#include "sched/sched_priv.h"

/* Threads looked at for one that may move: pinned ones must not make it O(n). */
#define LOOK_MOST 8u

static void view_fill(struct balance_view *v) {
  v->mask = sched_online_mask();
  v->realtime = 0;
  for (uint64_t rest = v->mask; rest != 0; rest &= rest - 1) {
    uint32_t cpu = bit_first(rest);
    const struct cpu_sched *cs = &cpu_scheds[cpu];
    v->waiting[cpu] = cpu_waiting(cs);
    uint32_t prio = atomic_load_explicit(&cs->prio, memory_order_relaxed);
    v->load[cpu] = v->waiting[cpu] + (prio != RUNQ_NONE);
    v->realtime |= (uint64_t)(prio < RUNQ_FIRST_TIMESHARE) << cpu;
  }
}

/* Off cs: one that may run on `to`, of the first few in the order of a walk. */
static struct thread *thread_take(struct cpu_sched *cs, uint32_t to, struct runq_node *first,
                                  struct runq_node *(*next)(const struct runq *,
                                                            const struct runq_node *))
    HOLDS(&cs->lock) {
  struct runq_node *node = first;
  for (uint32_t looked = 0; node != NULL && looked < LOOK_MOST; looked++) {
    struct thread *t = CONTAINER_OF(node, struct thread, rq);
    if (t->affinity >> to & 1) {
      runq_remove(&cs->rq, node);
      cs->weight -= t->weight; /* [E1] */
      return t;
    }
    node = next(&cs->rq, node);
  }
  return NULL;
}

/* The one that would run last: it gains most, and has least left in this CPU's cache. */
static struct thread *take_last(struct cpu_sched *cs, uint32_t to) HOLDS(&cs->lock) {
  return thread_take(cs, to, runq_steal_first(&cs->rq), runq_steal_next);
}

/* The one that would run first: of those whom a real-time thread keeps from running, each is to
 * have its turn elsewhere. The last would be the one that just came back from there. */
static struct thread *take_first(struct cpu_sched *cs, uint32_t to) HOLDS(&cs->lock) {
  return thread_take(cs, to, runq_turn_first(&cs->rq), runq_turn_next);
}

bool sched_steal(struct cpu_sched *cs) {
  struct balance_view view;
  uint32_t least = (uint32_t)SCHED_PARAM_GET(steal_min);
  view_fill(&view);
  uint32_t victim = least != 0 ? balance_victim(&view, cs->id, least) : BALANCE_NONE;
  if (victim == BALANCE_NONE) {
    return false;
  }
  struct cpu_sched *vs = &cpu_scheds[victim];
  uint32_t batch = balance_share(view.waiting[victim], (uint32_t)SCHED_PARAM_GET(steal_batch));
  uint32_t taken = 0;
  for (; taken < batch; taken++) {
    spin_lock(&vs->lock);
    struct thread *t = take_last(vs, cs->id);
    spin_unlock(&vs->lock);
    if (t == NULL) {
      break;
    }
    counter_add(COUNTER_STEALS, 1);
    trace(TRACE_MIGRATE, t->arch.id, victim | (uint64_t)cs->id << 32);
    atomic_store_explicit(&t->cpu, cs->id, memory_order_relaxed);
    spin_lock(&cs->lock); /* a full barrier [S4] */
    runq_push(&cs->rq, &t->rq, t->prio);
    cs->weight += t->weight;
    spin_unlock(&cs->lock);
  }
  return taken > 0;
}

/* Behind a real-time thread. */
static void send_first(struct cpu_sched *cs, uint64_t now) {
  struct balance_view view;
  view_fill(&view);
  uint32_t target = balance_target(&view, cs->id);
  if (target == BALANCE_NONE) {
    return;
  }
  spin_lock(&cs->lock);
  struct thread *t = take_first(cs, target);
  if (t != NULL) {
    t->since = now; /* to wait was not to sleep */
  }
  spin_unlock(&cs->lock);
  if (t != NULL) {
    counter_add(COUNTER_PUSHES, 1);
    trace(TRACE_MIGRATE, t->arch.id, cs->id | (uint64_t)target << 32);
    wake_send(target, t);
  }
}

/* Who runs at a look cannot be moved: were looks regular, that might be the same one each time. */
void sched_push(struct cpu_sched *cs, uint64_t now) {
  cs->balance_at = now + balance_delay(sched_rules.balance, cs->n_looks++);
  if (cs->prio < RUNQ_FIRST_TIMESHARE) {
    send_first(cs, now);
  } else {
    sched_even(cs, now);
  }
}
