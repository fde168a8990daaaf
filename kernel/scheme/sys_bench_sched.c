/* sys:bench/wake, timer, timer-N: what the scheduler's own steps cost, without the system call
 * around them. sys_bench.c lets one measurement run at a time.
 *
 * wake: a kernel thread that does nothing but park is woken on the calling CPU; the switch to it
 * and back comes after the clock has been read. It is made at the first measurement and stays.
 *
 * timer: armed and cancelled. timer-N: the same beside N other timers of the same wheel, with
 * deadlines spread over minutes, so that they are on several levels and none fires meanwhile. */
#include "base/clock.h"
#include "scheme/sys_priv.h"

#define NS_PER_S 1000000000ul
#define SPREAD_NS (1ul << 38) /* deadlines: from 60 s to 335 s from now */
#define STEP_NS 7368787ul     /* odd, so that no two of the first 2^38 are the same */

/* ---- waking ------------------------------------------------------------------------------- */

static struct thread sleeper;

static void sleeper_run(void *arg) {
  _Atomic uint64_t *turns = arg;
  for (;;) {
    atomic_fetch_add(turns, 1);
    sched_park(NO_DEADLINE);
  }
}

/* Lets the sleeper run until it sleeps again: true once it has had the turn. */
static bool sleeper_settle(const _Atomic uint64_t *turns, uint64_t turn) {
  for (uint32_t i = 0; i < 1000; i++) {
    if (atomic_load(turns) == turn && atomic_load(&sleeper.park) == THREAD_PARKED &&
        !atomic_load(&sleeper.on_cpu)) {
      return true;
    }
    sched_yield();
  }
  return false;
}

static bool sleeper_make(_Atomic uint64_t *turns) {
  uint64_t stack;
  if (sleeper.entry != NULL) {
    return true;
  }
  if (!kstack_alloc(&stack)) {
    return false;
  }
  thread_init(&sleeper, stack, NULL, sleeper_run, turns);
  return true;
}

uint64_t bench_wake(uint32_t n) {
  static _Atomic uint64_t turns;
  uint64_t ticks = 0, mask = thread_current()->affinity, here = 1ul << cpu_id();
  if (!sleeper_make(&turns)) {
    return 0;
  }
  sched_set_affinity(thread_current(), here);
  sched_set_affinity(&sleeper, here);
  bool good = true;
  for (uint32_t i = 0; i <= n && good; i++) { /* the first is to bring it here: not counted */
    uint64_t turn = atomic_load(&turns) + 1, start = arch_tsc();
    sched_unpark(&sleeper);
    ticks += i > 0 ? arch_tsc() - start : 0;
    good = sleeper_settle(&turns, turn);
  }
  sched_set_affinity(thread_current(), mask);
  return good ? ticks : 0;
}

/* ---- timers ------------------------------------------------------------------------------- */

/* Armed timers, a frame full each. */
struct timer_page {
  struct timer_page *next;
  struct timer timers[(PAGE_SIZE - sizeof(void *)) / sizeof(struct timer)];
};
_Static_assert(sizeof(struct timer_page) <= PAGE_SIZE, "one frame");

static void timer_nothing(struct timer *t) {
  (void)t;
}

static uint64_t deadline_of(uint64_t from, uint64_t i) {
  return from + 60 * NS_PER_S + (i * STEP_NS & (SPREAD_NS - 1));
}

static void timers_disarm(struct timer_page *p) {
  while (p != NULL) {
    struct timer_page *next = p->next;
    for (uint32_t i = 0; i < ARRAY_LEN(p->timers); i++) {
      timer_cancel(&p->timers[i]);
    }
    frame_free(direct_unmap(p));
    p = next;
  }
}

static struct timer_page *timers_arm(uint32_t n) {
  struct timer_page *pages = NULL;
  uint64_t from = clock_now();
  paddr_t pa;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = i % ARRAY_LEN(pages->timers);
    if (at == 0) {
      if (!frame_alloc(FRAME_KERNEL, &pa)) {
        timers_disarm(pages);
        return NULL;
      }
      struct timer_page *p = direct_map(pa);
      p->next = pages;
      pages = p;
      for (uint32_t k = 0; k < ARRAY_LEN(p->timers); k++) {
        timer_init(&p->timers[k], timer_nothing);
      }
    }
    timer_arm(&pages->timers[at], deadline_of(from, i));
  }
  return pages;
}

uint64_t bench_timer(uint32_t n) {
  struct timer t;
  uint64_t from = clock_now();
  timer_init(&t, timer_nothing);
  uint64_t start = arch_tsc();
  for (uint32_t i = 0; i < n; i++) {
    timer_arm(&t, deadline_of(from, i));
    timer_cancel(&t);
  }
  return arch_tsc() - start;
}

/* Those beside which samples are taken, on this CPU. */
static struct timer_page *crowd;

bool bench_crowd_arm(uint32_t n) {
  crowd = timers_arm(n);
  return n == 0 || crowd != NULL;
}

void bench_crowd_disarm(void) {
  timers_disarm(crowd);
  crowd = NULL;
}
