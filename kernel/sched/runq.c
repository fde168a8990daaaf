/* The runqueue's colder part: start, the walks of movers, the invariants. See runq.h. */
#include "sched/runq.h"

void runq_init(struct runq *rq) {
  for (unsigned word = 0; word < RUNQ_QUEUES / 64; word++) {
    rq->words[word] = 0;
  }
  rq->n = 0;
  rq->round = 0;
  for (unsigned q = 0; q < RUNQ_QUEUES; q++) {
    list_init(&rq->queues[q]);
  }
}

/* The last node of the worst queue among `bits` of a word, NULL when there is none. */
static struct runq_node *word_last(const struct runq *rq, uint32_t word, uint64_t bits) {
  if (bits == 0) {
    return NULL;
  }
  struct list *node = list_back(&rq->queues[word << 6 | bit_last(bits)]);
  return CONTAINER_OF(node, struct runq_node, link);
}

/* The word that runs next before `word`: expired, active, 1, 0. RUNQ_QUEUES / 64: none. */
static uint32_t word_before(const struct runq *rq, uint32_t word) {
  if (word == runq_expired(rq)) {
    return runq_active(rq);
  }
  return word == runq_active(rq) ? 1 : word == 1 ? 0 : RUNQ_QUEUES / 64;
}

/* The last node of `word` within `bits`, and failing that of the words that run before it. */
static struct runq_node *runq_last_within(const struct runq *rq, uint32_t word, uint64_t bits) {
  struct runq_node *node = word_last(rq, word, bits);
  while (!node && (word = word_before(rq, word)) < RUNQ_QUEUES / 64) {
    node = word_last(rq, word, rq->words[word]);
  }
  return node;
}

struct runq_node *runq_steal_first(const struct runq *rq) {
  uint32_t expired = runq_expired(rq);
  return runq_last_within(rq, expired, rq->words[expired]);
}

struct runq_node *runq_steal_next(const struct runq *rq, const struct runq_node *node) {
  uint32_t q = node->queue, word = q >> 6;
  if (node->link.prev != &rq->queues[q]) {
    return CONTAINER_OF(node->link.prev, struct runq_node, link);
  }
  uint64_t better = rq->words[word] & ((UINT64_C(1) << (q & 63)) - 1);
  return runq_last_within(rq, word, better);
}

/* The word that runs next after `word`: 0, 1, active, expired. RUNQ_QUEUES / 64: none. */
static uint32_t word_after(const struct runq *rq, uint32_t word) {
  return word == 0                 ? 1
         : word == 1               ? runq_active(rq)
         : word == runq_active(rq) ? runq_expired(rq)
                                   : RUNQ_QUEUES / 64;
}

/* The first node of `word` within `bits`, and failing that of the words that run after it. */
static struct runq_node *runq_first_within(const struct runq *rq, uint32_t word, uint64_t bits) {
  while (bits == 0 && (word = word_after(rq, word)) < RUNQ_QUEUES / 64) {
    bits = rq->words[word];
  }
  return bits == 0 ? NULL : runq_front(rq, word << 6 | bit_first(bits));
}

struct runq_node *runq_turn_first(const struct runq *rq) {
  return runq_first_within(rq, 0, rq->words[0]);
}

struct runq_node *runq_turn_next(const struct runq *rq, const struct runq_node *node) {
  uint32_t q = node->queue, word = q >> 6;
  if (node->link.next != &rq->queues[q]) {
    return CONTAINER_OF(node->link.next, struct runq_node, link);
  }
  uint64_t worse = rq->words[word] & (UINT64_MAX << (q & 63) << 1);
  return runq_first_within(rq, word, worse);
}

/* [R1] and [R2] of one queue; adds its nodes to *n. */
static bool queue_check(const struct runq *rq, unsigned q, uint32_t *n) {
  const struct list *head = &rq->queues[q];
  bool ok = list_is_empty(head) == !(rq->words[q >> 6] & (UINT64_C(1) << (q & 63)));
  list_for_each (link, head) {
    const struct runq_node *node = CONTAINER_OF(link, struct runq_node, link);
    ok = ok && node->queue == q && runq_queue_of(node->prio, q >> 6) == q;
    ok = ok && link->next->prev == link;
    ++*n;
  }
  return ok;
}

bool runq_check(const struct runq *rq) {
  uint32_t n = 0;
  bool ok = true;
  for (unsigned q = 0; q < RUNQ_QUEUES; q++) {
    ok = ok && queue_check(rq, q, &n);
  }
  return ok && n == rq->n; /* [R3] */
}
