/* The scheduler's public face: threads, parking, wait queues, timers, parameters.
 *
 * A thread gives up its CPU by parking and gets one again when somebody unparks it. The word `park`
 * makes this free of lost wake-ups without any lock [S1]:
 *
 *      RUNNING --unpark()--> TOKEN          the next park() returns at once
 *      TOKEN   --park()----> RUNNING
 *      RUNNING --park()----> PARKED         off the CPU, on no queue
 *      PARKED  --unpark()--> RUNNING        pushed to a runqueue by exactly one waker [S2]
 *
 *   CPU0 (waiter)                         CPU1 (waker)
 *   loop: condition false?                condition := true
 *         cmpxchg RUNNING->PARKED         cmpxchg RUNNING->TOKEN     either order of the two works:
 *         switch away                     or PARKED->RUNNING, push   the condition is looked at
 * again
 *
 * Whoever parks looks at its condition in a loop: a token may be left over from an earlier wake-up.
 *
 * [S3] on_cpu is set from before a thread is switched to until it has been switched from, on the
 * CPU that does it. A waker that finds it set leaves the thread to that CPU's wake list, which is
 * drained after the switch: no stack is ever used by two CPUs.
 *
 * [S4] A queued thread is queued on CPU `cpu`, whose lock guards what is marked RUNQ. Whoever moves
 * a thread stores `cpu` first, then passes a full barrier, then reads its priority; whoever changes
 * the priority writes it under the lock of `cpu`, passes a full barrier and looks at `cpu` again.
 * So no change is lost to a thread on its way. */
#ifndef CATHODE_SCHED_SCHED_H
#define CATHODE_SCHED_SCHED_H

#include "base/lock.h"
#include "lib/list.h"
#include "sched/runq.h"
#include "sched/share.h"
#include "sched/wheel.h"

/* ---- timers ------------------------------------------------------------------------------- */
struct timer {
  struct wheel_timer wheel; /* first */
  struct cpu_sched *cs;     /* [WHEEL of cs] the CPU whose wheel it is on, or was last */
  /* Called on that CPU with its wheel locked, after the deadline; may unpark, may not sleep. */
  void (*fire)(struct timer *t);
};

void timer_init(struct timer *t, void (*fire)(struct timer *));
/* Arm on the calling CPU. The timer is not pending. */
void timer_arm(struct timer *t, uint64_t deadline_ns);
/* After this fire() neither runs nor will run. Answers whether it was pending. */
bool timer_cancel(struct timer *t);

/* ---- threads ------------------------------------------------------------------------------ */
enum thread_park { THREAD_RUNNING = 0, THREAD_TOKEN = 1, THREAD_PARKED = 2 };

struct thread {
  struct arch_thread arch;  /* first: entry.asm */
  struct arch_space *space; /* [o] NULL: kernel thread, keeps what is loaded */
  _Atomic uint32_t park;    /* [a] enum thread_park, [S1] */
  _Atomic uint32_t on_cpu;  /* [a] [S3] */
  _Atomic uint32_t cpu;     /* [a] where it is queued, is on its way to, runs or last ran [S4] */
  uint8_t prio;             /* [RUNQ/r] 0 best: its level, or better while it goes before others */
  uint8_t level;            /* [RUNQ/r] what follows from the four below and its credit */
  uint8_t policy;           /* [RUNQ/r] SCHED_ABI_* */
  int8_t nice;              /* [RUNQ/r] */
  uint8_t rt_priority;      /* [RUNQ/r] 1..SCHED_RT_MAX for real-time policies */
  uint32_t weight;          /* [RUNQ] share_weight() of its nice value; 0: real-time, idle */
  uint8_t boost;            /* [RUNQ/r] never worse than this: sched_boost(); RUNQ_NONE for none */
  struct runq_node rq;      /* [RUNQ] */
  struct thread *wake_next; /* [a] link of a wake list */
  uint64_t affinity;        /* [RUNQ/r] CPUs it may use, never 0 */
  int64_t left;             /* [RUNQ] ticks of its quantum, share.h */
  int64_t quantum;          /* [RUNQ] ticks, as last granted */
  uint64_t turn;            /* [RUNQ] `run` when that was, or when its turn was counted as over */
  int64_t least;            /* [RUNQ] ticks that its next slice is long at least [H4] */
  uint64_t credit;          /* [RUNQ] ticks of sleep credit */
  uint64_t since;           /* [RUNQ] TSC: when it last got the CPU, or left it */
  uint64_t run;             /* [o/r] ticks run before that */
  uint64_t slept;           /* [RUNQ] ticks slept, in all */
  uint32_t round;           /* [RUNQ] of its queue, for which it was last given a quantum */
  struct {
    int64_t served;      /* at the last look at its CPU, balance.h */
    uint64_t due, slept; /* what it had had then, and the rest of that round; and slept */
    int64_t owed;        /* ticks that it gets with its next quanta, or gives */
    uint64_t moved;      /* `run` when it was last moved: it runs before it moves again */
  } even;                /* [RUNQ] even.c */
  struct timer timer;    /* [o] of sched_park() */
  void (*entry)(void *); /* [c] first function */
  void *arg;
  void (*reap)(struct thread *t); /* [c] after its last switch away, on another stack */
};

/* Make a thread, of zeroed memory, that will run entry(arg) when first unparked. Its stack and FPU
 * area are the caller's. */
void thread_init(struct thread *t, uint64_t stack_top, void *fpu, void (*entry)(void *), void *arg);

static inline struct thread *thread_current(void) {
  struct thread *t;
  __asm__("movq %%gs:24, %0" : "=r"(t));
  return t;
}

/* CPU time so far, with what it has used since it last got its CPU. */
uint64_t thread_run_ns(const struct thread *t);

/* Ask a thread to do something before it next enters ring 3, and make it come there soon. */
void thread_set_work(struct thread *t, uint32_t work);

/* ---- sleeping and waking ------------------------------------------------------------------ */
/* Leave the CPU until unparked or until the deadline (absolute, NO_DEADLINE for none). May return
 * early for no reason: callers loop. Context: no lock held [B2]. */
void sched_park(uint64_t deadline_ns);
/* Wake-up; any context, any CPU. The caller guarantees that t is alive. */
void sched_unpark(struct thread *t);
/* The same, of a thread that gets what the caller sent and the caller is about to wait for: if this
 * CPU has nothing else to do, t runs here as soon as the caller waits, past the queue (handoff). */
void sched_unpark_handoff(struct thread *t);
/* The same, of a thread that nobody waits for: on this CPU it preempts no timeshare thread. */
void sched_unpark_later(struct thread *t);
int64_t sched_yield(void); /* answers 0, so that the system call can end in it */
void sched_preempt(void);  /* somebody better waits, or the slice is over: ARCH_WORK_RESCHED */
/* Leave for ever; t->reap() runs when the stack is no longer in use. */
_Noreturn void sched_exit(void);
/* Between bounded pieces of long work: lets interrupts in and better threads run. No lock held. */
void sched_point(void);

/* Of any thread in any state, from any CPU; in effect at once. mask & online must not be 0. The
 * calling thread has moved when it returns. */
void sched_set_affinity(struct thread *t, uint64_t mask);
void sched_set_policy(struct thread *t, uint8_t policy, uint8_t rt_priority, int8_t nice);
/* The length of a whole slice; SCHED_ABI_FIFO has none. */
uint64_t sched_slice_ns(const struct thread *t);
/* Priority inheritance: t counts as at least this good until the next call; RUNQ_NONE ends it. */
void sched_boost(struct thread *t, uint8_t prio);
/* A new thread (never unparked) starts as its creator, the caller, who shares its quantum with it:
 * whoever creates many gets no more than one. */
void sched_inherit(struct thread *t);

/* ---- wait queues -------------------------------------------------------------------------- */
struct waitq {
  struct spinlock lock;
  struct list waiters;
};

struct waiter {
  struct list node;
  struct thread *thread;
  void (*wake)(struct waiter *w); /* with the queue locked: unpark, or note it (event queues) */
};

void waitq_init(struct waitq *q);
/* On behalf of the calling thread, which wake() unparks. */
void waitq_add(struct waitq *q, struct waiter *w);
/* With a wake() of the caller's own. */
void waitq_add_callback(struct waitq *q, struct waiter *w, void (*wake)(struct waiter *w));
void waitq_remove(struct waitq *q, struct waiter *w);
/* Tells every waiter, under the queue's lock: none can leave its stack meanwhile. */
void waitq_wake(struct waitq *q);
/* The same by sched_unpark_handoff(), for a queue whose waiter the caller will wait for. */
void waitq_wake_handoff(struct waitq *q);
/* The same by sched_unpark_later(), of what has time until the caller waits or its slice is over.
 */
void waitq_wake_later(struct waitq *q);
/* From a wake() callback of another queue, which is locked: queues form no cycles (event.c). */
void waitq_wake_second(struct waitq *q);

/* ---- the CPUs ----------------------------------------------------------------------------- */
void sched_init(void);
/* Makes the caller, on the stack that this CPU was started with, its idle thread; from now on
 * threads may be woken to this CPU. */
void sched_cpu_init(void);
/* Runs what is runnable, else halts. */
_Noreturn void sched_cpu_run(void);
extern _Atomic uint64_t sched_online; /* [a] CPUs that run threads */
static inline uint64_t sched_online_mask(void) {
  return atomic_load_explicit(&sched_online, memory_order_relaxed);
}
uint32_t sched_n_runnable(uint32_t cpu);

/* ---- parameters --------------------------------------------------------------------------- */
enum sched_param {
#define SCHED_PARAM(name, unit, initial, least, most, text) SCHED_PARAM_##name,
#include "abi/sched_params.def"
#undef SCHED_PARAM
  SCHED_PARAM_COUNT
};

struct sched_param_info {
  const char *name, *unit;
  uint64_t initial, least, most;
  const char *text;
};

extern const struct sched_param_info sched_param_info[SCHED_PARAM_COUNT];
extern _Atomic uint64_t sched_params[SCHED_PARAM_COUNT]; /* [a] */

#define SCHED_PARAM_GET(name)                                                                      \
  atomic_load_explicit(&sched_params[SCHED_PARAM_##name], memory_order_relaxed)
/* ABI_ERANGE outside [least, most]. In effect on every CPU at once. */
enum abi_error sched_param_set(enum sched_param p, uint64_t value);

/* What idle CPUs do before they halt, a piece a call, each as short as a page is zeroed; false when
 * nothing is left. Set once, by a layer above. */
void sched_set_idle_work(bool (*piece)(void));

#endif
