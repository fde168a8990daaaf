/* One CPU's share of the scheduler; private to sched/. */
#ifndef CATHODE_SCHED_PRIV_H
#define CATHODE_SCHED_PRIV_H

#include "base/clock.h"
#include "base/counter.h"
#include "base/trace.h"
#include "sched/sched.h"

struct cpu_sched {
  struct spinlock lock; /* RUNQ: rq, and the queue fields of its threads */
  struct runq rq;
  struct thread *current; /* [o/r] */
  struct thread *idle;    /* [c] */
  struct thread *from;    /* [o] who was switched away from, until finish_switch() */
  bool from_exits;        /* [o] it never comes back */
  bool from_moves;        /* [o] it may no longer run here: place it again */
  uint64_t slice_end_ns;  /* [o] when current's slice ends; UINT64_MAX: it is alone */
  uint64_t armed_ns;      /* [o] what the hardware timer is set to */
  _Atomic(struct thread *) wake_list __attribute__((aligned(64))); /* [a] pushed by other CPUs */
  struct spinlock wheel_lock __attribute__((aligned(64)));         /* WHEEL: wheel */
  struct wheel wheel;
  struct thread idle_thread;
} __attribute__((aligned(64)));

extern struct cpu_sched cpu_scheds[MAX_CPUS];

static inline struct cpu_sched *sched_self(void) {
  return &cpu_scheds[cpu_id()];
}

/* Set the hardware timer to the next of slice end and wheel, if that is earlier than what it is set
 * to: a timer that fires early is set again then, which costs less than a register write a switch.
 */
void timer_program(struct cpu_sched *cs, uint64_t wanted_ns);
/* Fire what is due; answers when the wheel wants to run next. */
uint64_t timer_run(struct cpu_sched *cs, uint64_t now_ns);

/* wake.c */
void wake_list_drain(struct cpu_sched *cs) HOLDS(&cs->lock);
void wake_place(struct thread *t); /* push a runnable thread to the CPU that suits it */
bool wake_list_is_empty(struct cpu_sched *cs);
extern _Atomic uint64_t sched_idle_mask;

/* core.c */
uint64_t sched_slice_ns(const struct thread *t);
bool sched_steal(struct cpu_sched *cs);

#endif
