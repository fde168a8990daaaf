/* The runqueue of one CPU: who is runnable and in which order, in constant time.
 *
 * 192 priorities, 0 the best: 0 to 127 real-time, 128 to 191 timeshare. Real-time has one array of
 * queues, timeshare two, "active" and "expired": who has used up its slice is pushed to expired,
 * and when active has run dry the two change roles, which begins a round: so nobody waits longer
 * than one. Within a priority: first in, first out.
 *
 *   queues[]       0 ....... 127    128 ..... 191    192 ..... 255
 *   words[]           0 and 1             2                3
 *                    real-time         timeshare; 2 + round % 2 is the active one
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

#define RUNQ_PRIOS 192u
#define RUNQ_FIRST_TIMESHARE 128u
#define RUNQ_NONE RUNQ_PRIOS /* the priority of an empty runqueue: worse than any */
#define RUNQ_QUEUES 256u

struct runq_node {
  struct list link;
  uint8_t prio;     /* as last pushed */
  uint8_t queue;    /* index of queues[] while queued */
  uint8_t spare[6]; /* for the owner */
};

struct runq {
  uint64_t words[4];
  uint32_t n;
  uint32_t round; /* counts the changes of roles */
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

/* The words of the two timeshare arrays. */
static inline uint32_t runq_active(const struct runq *rq) {
  return 2 + (rq->round & 1);
}
static inline uint32_t runq_expired(const struct runq *rq) {
  return 3 - (rq->round & 1);
}

/* Whether a real-time node is queued, and whether a timeshare one is. */
static inline bool runq_has_realtime(const struct runq *rq) {
  return (rq->words[0] | rq->words[1]) != 0;
}
static inline bool runq_has_timeshare(const struct runq *rq) {
  return (rq->words[2] | rq->words[3]) != 0;
}

/* The queue of a priority, in the timeshare array of word `array`. */
static inline uint8_t runq_queue_of(uint32_t prio, uint32_t array) {
  return (uint8_t)(prio < RUNQ_FIRST_TIMESHARE ? prio : (prio & 63u) | array << 6);
}

/* For the three below: marks a node that is about to be linked to the queue answered. */
static inline struct list *runq_enter(struct runq *rq, struct runq_node *node, uint32_t prio,
                                      uint32_t array) {
  kassert_debug(prio < RUNQ_PRIOS && !runq_is_queued(node));
  uint8_t q = runq_queue_of(prio, array);
  node->prio = (uint8_t)prio;
  node->queue = q;
  rq->words[q >> 6] |= UINT64_C(1) << (q & 63);
  rq->n++;
  return &rq->queues[q];
}

/* Behind all others of its priority that are active: on wake-up, on yield. */
static inline void runq_push(struct runq *rq, struct runq_node *node, uint32_t prio) {
  list_push_back(runq_enter(rq, node, prio, runq_active(rq)), &node->link);
}

/* Before all others of its priority that are active: preempted before the end of its slice. */
static inline void runq_push_front(struct runq *rq, struct runq_node *node, uint32_t prio) {
  list_push_front(runq_enter(rq, node, prio, runq_active(rq)), &node->link);
}

/* Into the next round: at the end of a timeshare slice. A real-time priority has no rounds; its
 * node goes behind the others of its priority (round-robin). */
static inline void runq_push_expired(struct runq *rq, struct runq_node *node, uint32_t prio) {
  list_push_back(runq_enter(rq, node, prio, runq_expired(rq)), &node->link);
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
  kassert_debug(runq_is_queued(node));
  runq_unlink(rq, node, node->queue);
}

/* The priority that runq_pop would answer, RUNQ_NONE when empty. */
static inline uint32_t runq_best_prio(const struct runq *rq) {
  if (UNLIKELY(runq_has_realtime(rq))) {
    return rq->words[0] != 0 ? bit_first(rq->words[0]) : 64 + bit_first(rq->words[1]);
  }
  uint64_t word = rq->words[runq_active(rq)];
  if (word == 0) {
    word = rq->words[runq_expired(rq)];
  }
  return word == 0 ? RUNQ_NONE : RUNQ_FIRST_TIMESHARE + bit_first(word);
}

/* The queue to run timeshare from, when there is any. Starts a new round when active is dry. */
static inline uint32_t runq_best_timeshare(struct runq *rq) {
  uint32_t word = runq_active(rq);
  if (rq->words[word] == 0) {
    rq->round++;
    word ^= 1;
  }
  return word << 6 | bit_first(rq->words[word]);
}

/* The queue to run from; n > 0. */
static inline uint32_t runq_best_queue(struct runq *rq) {
  return UNLIKELY(runq_has_realtime(rq)) ? runq_best_prio(rq) : runq_best_timeshare(rq);
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

/* The same, leaving real-time nodes alone: runq_has_timeshare(). */
static inline struct runq_node *runq_pop_timeshare(struct runq *rq) {
  uint32_t q = runq_best_timeshare(rq);
  struct runq_node *node = runq_front(rq, q);
  runq_unlink(rq, node, q);
  return node;
}

/* A yield among equals, in one step: if the best of this round, or of the next when this one has
 * run dry, has the node's own priority, the node goes behind the others of that queue and the first
 * of them is answered. NULL, with nothing done, if it is not so. Timeshare only; no real-time node
 * is queued. */
static inline struct runq_node *runq_rotate(struct runq *rq, struct runq_node *node,
                                            uint32_t prio) {
  kassert_debug(prio >= RUNQ_FIRST_TIMESHARE && !runq_has_realtime(rq) && !runq_is_queued(node));
  uint32_t round = rq->round, level = prio & 63u;
  round += rq->words[2 + (round & 1)] == 0;
  uint32_t word = 2 + (round & 1), q = word << 6 | level;
  if (rq->words[word] << (63 - level) != UINT64_C(1) << 63) {
    return NULL;
  }
  rq->round = round;
  node->prio = (uint8_t)prio;
  node->queue = (uint8_t)q;
  return CONTAINER_OF(list_rotate(&rq->queues[q], &node->link), struct runq_node, link);
}

/* Candidates for another CPU, in the reverse of the order in which this one would run them: whoever
 * would wait longest gains most by moving and has the least left in this CPU's cache. The thief
 * walks until one suits (affinity) and removes that one; the walk ends there. NULL at the end. */
struct runq_node *runq_steal_first(const struct runq *rq);
struct runq_node *runq_steal_next(const struct runq *rq, const struct runq_node *node);

/* All nodes in the order in which this CPU would run them, as they are queued now. */
struct runq_node *runq_turn_first(const struct runq *rq);
struct runq_node *runq_turn_next(const struct runq *rq, const struct runq_node *node);

/* Whether [R1] to [R3] hold. For tests. */
bool runq_check(const struct runq *rq);

_Static_assert(sizeof(struct runq_node) == 24, "part of every context");

#endif
