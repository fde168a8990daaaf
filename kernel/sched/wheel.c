/* The timer wheel, see wheel.h for the structure and its invariants.
 *
 * The wheel's tick moves only in two places. wheel_turn() takes it to the start of the first slot
 * in use, which empties that slot or leaves in it what the tick itself still holds. wheel_advance()
 * takes it to the clock's tick when the first slot lies beyond. Neither passes a timer, and between
 * the old and the new tick no timer's highest differing digit changes: so [W2] survives. */
#include "sched/wheel.h"

#include "lib/kassert.h"

#define BIT(i) (UINT64_C(1) << (i))

static inline uint64_t tick_of(uint64_t ns) {
  return ns >> WHEEL_TICK_SHIFT;
}

static inline unsigned tick_digit(uint64_t tick, unsigned level) {
  return (tick >> (level * WHEEL_DIGIT_BITS)) & (WHEEL_SLOTS - 1);
}

/* The level of a tick that is not before the wheel's: its highest differing digit. */
static inline unsigned tick_level(const struct wheel *w, uint64_t tick) {
  uint64_t differing = tick ^ w->tick;
  return differing == 0 ? 0 : bit_last(differing) / WHEEL_DIGIT_BITS;
}

/* The first tick of a slot: the wheel's digits above, the slot's own, zeros below. */
static uint64_t slot_first_tick(const struct wheel *w, unsigned level, unsigned slot) {
  unsigned shift = level * WHEEL_DIGIT_BITS;
  uint64_t above = (w->tick >> shift) & ~(uint64_t)(WHEEL_SLOTS - 1);
  return (above | slot) << shift;
}

void wheel_init(struct wheel *w, uint64_t now_ns) {
  w->tick = tick_of(now_ns);
  w->levels = 0;
  w->n = 0;
  for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
    w->slots[level] = 0;
    for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
      list_init(&w->timers[level][slot]);
    }
  }
}

/* Links an unlinked timer by its deadline. */
static void wheel_link(struct wheel *w, struct wheel_timer *t) {
  uint64_t tick = MAX(tick_of(t->deadline_ns), w->tick);
  unsigned level = tick_level(w, tick), slot = tick_digit(tick, level);
  uint64_t *min_ns = &w->min_ns[level][slot];
  t->level = (uint8_t)level;
  t->slot = (uint8_t)slot;
  if (!(w->slots[level] & BIT(slot)) || t->deadline_ns < *min_ns) {
    *min_ns = t->deadline_ns;
  }
  w->slots[level] |= BIT(slot);
  w->levels |= 1u << level;
  list_push_back(&w->timers[level][slot], &t->node);
}

/* After the last timer of a slot has gone. */
static void slot_clear(struct wheel *w, unsigned level, unsigned slot) {
  w->slots[level] &= ~BIT(slot);
  if (w->slots[level] == 0) {
    w->levels &= ~(1u << level);
  }
}

void wheel_add(struct wheel *w, struct wheel_timer *t, uint64_t deadline_ns) {
  kassert(!wheel_is_pending(t));
  t->deadline_ns = deadline_ns;
  w->n++;
  wheel_link(w, t);
}

bool wheel_cancel(struct wheel *w, struct wheel_timer *t) {
  if (!wheel_is_pending(t)) {
    return false;
  }
  list_remove(&t->node);
  if (t->level != WHEEL_EXPIRED) {
    w->n--;
    if (list_is_empty(&w->timers[t->level][t->slot])) {
      slot_clear(w, t->level, t->slot);
    }
  }
  return true;
}

static void wheel_expire(struct wheel *w, struct wheel_timer *t, struct list *expired) {
  w->n--;
  t->level = WHEEL_EXPIRED;
  list_push_back(expired, &t->node);
}

/* Empties the first slot in use, whose time has come: what is due expires, the rest goes where it
 * belongs now. From a level above 0 that is a lower one: the tick now shares the slot's digit. */
static void wheel_turn(struct wheel *w, uint64_t now_ns, struct list *expired) {
  unsigned level = bit_first(w->levels), slot = bit_first(w->slots[level]);
  struct list moving;
  list_init(&moving);
  list_splice_back(&moving, &w->timers[level][slot]);
  slot_clear(w, level, slot);
  w->tick = slot_first_tick(w, level, slot);
  struct list *node;
  while ((node = list_pop_front(&moving)) != NULL) {
    struct wheel_timer *t = CONTAINER_OF(node, struct wheel_timer, node);
    if (level == 0 && t->deadline_ns <= now_ns) {
      wheel_expire(w, t, expired);
    } else {
      wheel_link(w, t);
    }
  }
}

void wheel_advance(struct wheel *w, uint64_t now_ns, struct list *expired) {
  while (w->levels != 0 && wheel_next(w) <= now_ns) {
    wheel_turn(w, now_ns, expired);
  }
  uint64_t tick = tick_of(now_ns);
  if (w->levels != 0) {
    unsigned level = bit_first(w->levels);
    if (slot_first_tick(w, level, bit_first(w->slots[level])) <= tick) {
      return;
    }
  }
  w->tick = MAX(w->tick, tick);
}

/* [W1] to [W3] of one slot; adds its timers to *n. */
static bool slot_check(const struct wheel *w, unsigned level, unsigned slot, uint32_t *n) {
  const struct list *head = &w->timers[level][slot];
  bool ok = list_is_empty(head) == !(w->slots[level] & BIT(slot));
  list_for_each (node, head) {
    const struct wheel_timer *t = CONTAINER_OF(node, struct wheel_timer, node);
    uint64_t tick = MAX(tick_of(t->deadline_ns), w->tick);
    ok = ok && t->level == level && t->slot == slot;
    ok = ok && tick_level(w, tick) == level && tick_digit(tick, level) == slot;
    ok = ok && w->min_ns[level][slot] <= t->deadline_ns;
    ++*n;
  }
  return ok;
}

bool wheel_check(const struct wheel *w) {
  uint32_t n = 0;
  bool ok = (w->levels >> WHEEL_LEVELS) == 0;
  for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
    ok = ok && !(w->levels & (1u << level)) == (w->slots[level] == 0);
    for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
      ok = ok && slot_check(w, level, slot, &n);
    }
  }
  return ok && n == w->n; /* [W4] */
}
