/* The runqueue of one CPU: who is runnable and in which order, in constant time.
 *
 * 128 priorities, 0 the best: 0 to 63 real-time, 64 to 127 timeshare. Real-time has one array of
 * queues, timeshare two, "active" and "expired": who has used up its slice is pushed to expired,
 * and when active has run dry the two change roles, so that nobody waits longer than one round.
 * Within a priority: first in, first out.
 *
 *   queues[]       0 ........ 63   64 ...... 127   128 ...... 191
 *   words[]             0                1                2
 *                   real-time         timeshare, one of the two is active
 *
 * Invariants, asserted by runq_check():
 * [R1] bit q of words[] is set iff queues[q] is not empty;
 * [R2] a node on queues[q] has queue == q, and prio belongs to q;
 * [R3] n is the number of nodes. A node on no queue is unlinked.
 *
 * Locks: none; the owner provides them. The functions that run at each context switch are here, for
 * inlining: push is about 30 instructions and pop about 35. */
#ifndef CATHODE_SCHED_RUNQ_H
#define CATHODE_SCHED_RUNQ_H

#include "lib/bits.h"
#include "lib/kassert.h"
#include "lib/list.h"

#define RUNQ_PRIOS 128u
#define RUNQ_FIRST_TIMESHARE 64u
#define RUNQ_NONE RUNQ_PRIOS /* the priority of an empty runqueue: worse than any */
#define RUNQ_QUEUES 192u

struct runq_node {
  struct list link;
  uint8_t prio;     /* as last pushed */
  uint8_t queue;    /* index of queues[] while queued */
  uint8_t spare[6]; /* for the owner */
};

struct runq {
  uint64_t words[3];
  uint32_t n;
  uint32_t active; /* word of the active timeshare array: 1 or 2 */
  struct list queues[RUNQ_QUEUES];
};

void runq_init(struct runq *rq);

/* Once before anything else is done with a node. */
static inline void runq_node_init(struct runq_node *node) {
  list_init(&node->link);
}

static inline bool runq_is_queued(const struct runq_node *node) {
  return list_is_linked(&node->link);
}

static inline uint32_t runq_count(const struct runq *rq) {
  return rq->n;
}

/* The queue of a priority, in the timeshare array of word `array`. */
static inline uint8_t runq_queue_of(uint32_t prio, uint32_t array) {
  return (uint8_t)(prio < RUNQ_FIRST_TIMESHARE ? prio : (prio & 63u) | array << 6);
}

/* For the three below: marks a node that is about to be linked to the queue answered. */
static inline struct list *runq_enter(struct runq *rq, struct runq_node *node, uint32_t prio,
                                      uint32_t array) {
  kassert(prio < RUNQ_PRIOS && !runq_is_queued(node));
  uint8_t q = runq_queue_of(prio, array);
  node->prio = (uint8_t)prio;
  node->queue = q;
  rq->words[q >> 6] |= UINT64_C(1) << (q & 63);
  rq->n++;
  return &rq->queues[q];
}

/* Behind all others of its priority that are active: on wake-up, on yield. */
static inline void runq_push(struct runq *rq, struct runq_node *node, uint32_t prio) {
  list_push_back(runq_enter(rq, node, prio, rq->active), &node->link);
}

/* Before all others of its priority that are active: preempted before the end of its slice. */
static inline void runq_push_front(struct runq *rq, struct runq_node *node, uint32_t prio) {
  list_push_front(runq_enter(rq, node, prio, rq->active), &node->link);
}

/* Into the next round: at the end of a timeshare slice. A real-time priority has no rounds; its
 * node goes behind the others of its priority (round-robin). */
static inline void runq_push_expired(struct runq *rq, struct runq_node *node, uint32_t prio) {
  list_push_back(runq_enter(rq, node, prio, 3 - rq->active), &node->link);
}

/* Takes a node off queue q. */
static inline void runq_unlink(struct runq *rq, struct runq_node *node, uint32_t q) {
  list_remove(&node->link);
  rq->n--;
  if (list_is_empty(&rq->queues[q])) {
    rq->words[q >> 6] &= ~(UINT64_C(1) << (q & 63));
  }
}

/* Takes a queued node off. */
static inline void runq_remove(struct runq *rq, struct runq_node *node) {
  kassert(runq_is_queued(node));
  runq_unlink(rq, node, node->queue);
}

/* The priority that runq_pop would answer, RUNQ_NONE when empty. */
static inline uint32_t runq_best_prio(const struct runq *rq) {
  if (UNLIKELY(rq->words[0] != 0)) {
    return bit_first(rq->words[0]);
  }
  uint64_t word = rq->words[rq->active];
  if (word == 0) {
    word = rq->words[3 - rq->active];
  }
  return word == 0 ? RUNQ_NONE : RUNQ_FIRST_TIMESHARE + bit_first(word);
}

/* The queue to run from; n > 0. Starts a new round when nothing else is left. */
static inline uint32_t runq_best_queue(struct runq *rq) {
  uint32_t word = 0;
  if (LIKELY(rq->words[0] == 0)) {
    if (rq->words[rq->active] == 0) {
      rq->active = 3 - rq->active;
    }
    word = rq->active;
  }
  return word << 6 | bit_first(rq->words[word]);
}

static inline struct runq_node *runq_front(const struct runq *rq, uint32_t q) {
  return CONTAINER_OF(rq->queues[q].next, struct runq_node, link);
}

/* The node to run next, NULL when empty. Starts a new round when nothing else is left. */
static inline struct runq_node *runq_peek(struct runq *rq) {
  return rq->n == 0 ? NULL : runq_front(rq, runq_best_queue(rq));
}

/* Takes off what runq_peek answers. */
static inline struct runq_node *runq_pop(struct runq *rq) {
  if (rq->n == 0) {
    return NULL;
  }
  uint32_t q = runq_best_queue(rq);
  struct runq_node *node = runq_front(rq, q);
  runq_unlink(rq, node, q);
  return node;
}

/* Candidates for another CPU, in the reverse of the order in which this one would run them: whoever
 * would wait longest gains most by moving and has the least left in this CPU's cache. The thief
 * walks until one suits (affinity) and removes that one; the walk ends there. NULL at the end. */
struct runq_node *runq_steal_first(const struct runq *rq);
struct runq_node *runq_steal_next(const struct runq *rq, const struct runq_node *node);

/* Whether [R1] to [R3] hold. For tests. */
bool runq_check(const struct runq *rq);

_Static_assert(sizeof(struct runq_node) == 24, "part of every context");

#endif
