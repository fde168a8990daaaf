/* Wait queues: who is to be unparked when something changes. A waiter looks at its condition
 * between waitq_add() and sched_park(), so a wake-up after the add is never lost [S1]. */
#include "sched/sched.h"

void waitq_init(struct waitq *q) {
  spin_init(&q->lock, RANK_WAITQ);
  list_init(&q->waiters);
}

static void waiter_unpark(struct waiter *w) {
  sched_unpark(w->thread);
}

void waitq_add_callback(struct waitq *q, struct waiter *w, void (*wake)(struct waiter *w)) {
  w->thread = thread_current();
  w->wake = wake;
  spin_lock(&q->lock);
  list_push_back(&q->waiters, &w->node);
  spin_unlock(&q->lock);
}

void waitq_add(struct waitq *q, struct waiter *w) {
  waitq_add_callback(q, w, waiter_unpark);
}

void waitq_remove(struct waitq *q, struct waiter *w) {
  spin_lock(&q->lock);
  list_remove(&w->node);
  spin_unlock(&q->lock);
}

/* Of those who sleep, and of those who have a wake() of their own. */
static inline void waiters_tell(struct waitq *q, void (*unpark)(struct thread *)) {
  list_for_each (pos, &q->waiters) {
    struct waiter *w = CONTAINER_OF(pos, struct waiter, node);
    if (LIKELY(w->wake == waiter_unpark)) {
      unpark(w->thread);
    } else {
      w->wake(w);
    }
  }
}

void waitq_wake(struct waitq *q) {
  spin_lock(&q->lock);
  waiters_tell(q, sched_unpark);
  spin_unlock(&q->lock);
}

void waitq_wake_handoff(struct waitq *q) {
  spin_lock(&q->lock);
  waiters_tell(q, sched_unpark_handoff);
  spin_unlock(&q->lock);
}

void waitq_wake_later(struct waitq *q) {
  spin_lock(&q->lock);
  waiters_tell(q, sched_unpark_later);
  spin_unlock(&q->lock);
}

void waitq_wake_second(struct waitq *q) {
  spin_lock_second(&q->lock);
  waiters_tell(q, sched_unpark);
  spin_unlock(&q->lock);
}
