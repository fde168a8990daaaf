/* One CPU's share of the scheduler; private to sched/. */
#ifndef CATHODE_SCHED_PRIV_H
#define CATHODE_SCHED_PRIV_H

#include "base/clock.h"
#include "base/counter.h"
#include "base/trace.h"
#include "sched/sched.h"

#define NEVER UINT64_MAX

/* What an idle CPU does, so that a waker knows whether it needs an interrupt. */
enum cpu_idle { CPU_BUSY, CPU_POLLING, CPU_HALTED };

/* What becomes of the thread that was switched from. */
enum from_then {
  FROM_STAYS,
  FROM_EXITS, /* it never comes back */
  FROM_MOVES, /* it may no longer run here: place it again */
};

struct cpu_sched {
  struct spinlock lock;   /* RUNQ: rq, handoff, and the fields of their threads */
  uint32_t id;            /* [c] */
  struct thread *current; /* [RUNQ/r] */
  struct thread *idle;    /* [c] */
  _Atomic uint32_t prio;  /* [RUNQ/r] current's, for who looks from another CPU */
  struct thread *from;    /* [o] who was switched away from, until finish_switch() */
  uint32_t from_then;     /* [o] enum from_then */
  struct thread *handoff; /* [RUNQ] runs next, past the queue; NULL */
  uint64_t slice_end;     /* [o] TSC: current's slice ends; NEVER: nobody waits */
  uint64_t handoff_end;   /* [o] TSC: handoff has waited long enough; NEVER */
  uint64_t armed;         /* [o] TSC that the hardware timer is set to */
  uint64_t wheel_ns; /* [o] no timer of the wheel is earlier, nor is the hardware timer set later */
  uint64_t expired_since; /* [RUNQ] TSC: somebody has waited for the next round since */
  uint64_t balance_at;    /* [o] TSC */
  uint32_t n_looks;       /* [o] */
  uint64_t weight;        /* [RUNQ/r] of current and all that wait here [E1] */
  struct {
    int64_t served;               /* mean of the threads here by weight, balance.h */
    uint64_t at;                  /* TSC of that */
    uint64_t heaviest;            /* weight of one of them then */
  } even;                         /* [RUNQ/r] */
  struct share_round share_round; /* [RUNQ] of round share_round_id */
  uint32_t share_round_id;        /* [RUNQ] rq.round when it began */
  struct {
    uint64_t start; /* TSC of the period */
    uint64_t used;  /* ticks of it used by real-time threads */
    uint64_t since; /* TSC: no other thread has run after */
  } rt;             /* [RUNQ] */
  struct runq rq;
  _Atomic(struct thread *) wake_list __attribute__((aligned(64))); /* [a] pushed by other CPUs */
  _Atomic uint32_t idle_state;                                     /* [a] enum cpu_idle */
  struct spinlock wheel_lock __attribute__((aligned(64)));         /* WHEEL: wheel */
  struct wheel wheel;
  struct thread idle_thread;
} __attribute__((aligned(CACHE_PAIR)));

extern struct cpu_sched cpu_scheds[MAX_CPUS];

static inline struct cpu_sched *sched_self(void) {
  struct cpu_sched *cs;
  __asm__ volatile("movq %%gs:40, %0" : "=r"(cs)); /* arch_cpu.sched */
  return cs;
}

/* Threads that wait for this CPU, not counting those on their way. */
static inline uint32_t cpu_waiting(const struct cpu_sched *cs) {
  return runq_count(&cs->rq) + (cs->handoff != NULL);
}

/* Parameters as this code wants them: lengths in TSC ticks. */
struct sched_rules {
  struct share_rules share;
  _Atomic int64_t rr_quantum; /* [a] this and the rest: ticks */
  _Atomic uint64_t starve, handoff;
  _Atomic uint64_t rt_period, rt_budget; /* budget NEVER: no throttle */
  _Atomic uint64_t balance, idle_poll;   /* 0: never */
  _Atomic uint64_t lag;
  _Atomic uint64_t look_floor; /* [a] between two looks of a CPU */
};
extern struct sched_rules sched_rules;
void sched_rules_update(void); /* after a change of parameters; serialised by param.c */

/* timer.c: set the hardware timer, if that is earlier than what it is set to. One that fires early
 * is set again then, which costs less than a register write a switch. */
static inline void timer_program(struct cpu_sched *cs, uint64_t tsc) {
  if (tsc < cs->armed) {
    cs->armed = tsc;
    arch_timer_set(tsc);
  }
}

/* policy.c */
void thread_prio_update(struct thread *t);
/* A quantum of this round, less its debt [H1], unless t has had it. */
void thread_grant(struct cpu_sched *cs, struct thread *t) HOLDS(&cs->lock);
/* t joins the next round, with what it has left or with a new quantum. */
void push_late(struct cpu_sched *cs, struct thread *t, uint64_t now) HOLDS(&cs->lock);
/* Whether t may run in this round: nobody who waits for the next starves, and t has some of its
 * quantum left, or gets a new one: the thread that runs alone here has had its turn meanwhile; or t
 * has slept so much that it gets the next round's now. */
bool round_join(struct cpu_sched *cs, struct thread *t, uint64_t now) HOLDS(&cs->lock);
/* Of a thread that woke up: what its sleep earned, and the quantum of a round it has not seen. */
void thread_wake_credit(struct cpu_sched *cs, struct thread *t, uint64_t now) HOLDS(&cs->lock);
/* The best real-time thread of those queued; NULL while they are throttled, for another waits. */
struct thread *rt_pick(struct cpu_sched *cs, uint64_t now) HOLDS(&cs->lock);
uint64_t rt_slice_end(const struct cpu_sched *cs, const struct thread *t) HOLDS(&cs->lock);

/* Somebody has waited for the next round for so long that nobody may join this one. */
static inline bool cpu_starves(const struct cpu_sched *cs, uint64_t now) HOLDS(&cs->lock) {
  return cs->rq.words[runq_expired(&cs->rq)] != 0 && now - cs->expired_since > sched_rules.starve;
}

/* Charge the running thread. Time that nobody else wanted is free, and FIFO has no quantum: it must
 * not leave debts to what it becomes, or to the threads that it makes. */
static inline void account(struct cpu_sched *cs, struct thread *t, uint64_t now) HOLDS(&cs->lock) {
  uint64_t ran = now - t->since;
  t->since = now;
  t->run += ran;
  t->left -= cs->slice_end != NEVER && t->policy != SCHED_ABI_FIFO ? (int64_t)ran : 0;
  if (t->credit != 0) {
    t->credit = share_credit_after_run(&sched_rules.share, t->credit, ran);
  }
  if (UNLIKELY(t->prio < RUNQ_FIRST_TIMESHARE)) {
    cs->rt.used += ran;
  }
}

/* The current thread, charged until now, begins or goes on with its slice. The timer runs for it
 * only when somebody waits for its end. */
static inline void slice_begin(struct cpu_sched *cs, struct thread *t) HOLDS(&cs->lock) {
  if (cpu_waiting(cs) == 0 || t == cs->idle) {
    cs->slice_end = NEVER;
    return;
  }
  if (LIKELY(t->prio >= RUNQ_FIRST_TIMESHARE && !runq_has_realtime(&cs->rq))) {
    cs->slice_end = t->since + (uint64_t)MAX(t->left, t->least);
  } else {
    cs->slice_end = rt_slice_end(cs, t);
  }
  timer_program(cs, cs->slice_end);
}

/* t has the CPU from now on. */
static inline void prio_publish(struct cpu_sched *cs, const struct thread *t, uint64_t now)
    HOLDS(&cs->lock) {
  if (UNLIKELY(t->prio < RUNQ_FIRST_TIMESHARE) && cs->prio >= RUNQ_FIRST_TIMESHARE) {
    cs->rt.since = now;
  }
  atomic_store_explicit(&cs->prio, t->prio, memory_order_relaxed);
}

/* wake.c */
void wake_list_take(struct cpu_sched *cs) HOLDS(&cs->lock);
void wake_place(struct thread *t); /* a runnable thread goes to the CPU that suits it */
void wake_send(uint32_t cpu, struct thread *t); /* ... to that one, another */
void wake_settle(struct thread *t);             /* ... to this one */
void cpu_resched(struct cpu_sched *cs) HOLDS(&cs->lock);
void cpus_resched(void);                 /* every CPU is to look again */
extern _Atomic uint64_t sched_idle_mask; /* CPUs in the idle loop */

static inline bool wake_list_is_empty(struct cpu_sched *cs) {
  return atomic_load_explicit(&cs->wake_list, memory_order_acquire) == NULL;
}

/* Queue those that other CPUs have sent. */
static inline void wake_list_drain(struct cpu_sched *cs) HOLDS(&cs->lock) {
  if (UNLIKELY(!wake_list_is_empty(cs))) {
    wake_list_take(cs);
  }
}

/* even.c: a look whether this CPU and another can share more evenly; threads are moved then. The
 * CPU has timeshare threads that wait. */
void sched_even(struct cpu_sched *cs, uint64_t now);
/* t has given away that much of what it had left: that counts as had. */
void sched_even_gift(struct thread *t, int64_t ticks);
/* Another weight or policy: what t had had, by its old weight, stays as it is; it had so much left.
 * Who was real-time is new. */
void sched_even_change(struct thread *t, int64_t left, bool realtime);

/* move.c */
bool sched_steal(struct cpu_sched *cs);
/* A look for a CPU that suits a thread that waits here better; it is sent there. */
void sched_push(struct cpu_sched *cs, uint64_t now);

/* idle.c */
_Noreturn void idle_loop(struct cpu_sched *cs);

/* core.c */
void schedule_idle(void); /* the idle thread gives the CPU to who waits */

#endif
