/* The timer wheel's colder part: start, advance, the invariants. See wheel.h.
 *
 * The wheel's tick moves only in two places. wheel_turn() takes it to the start of the first slot
 * in use, which empties that slot or leaves in it what the tick itself still holds. wheel_advance()
 * takes it to the clock's tick when the first slot lies beyond. Neither passes a slot in use, and
 * between the old and the new tick no timer's highest differing digit changes: so [W2] survives. */
#include "sched/wheel.h"

/* The first tick of a slot: the wheel's digits above, the slot's own, zeros below. */
static uint64_t slot_first_tick(const struct wheel *w, unsigned level, unsigned slot) {
  unsigned shift = level * WHEEL_DIGIT_BITS;
  uint64_t above = (w->tick >> shift) & ~(uint64_t)(WHEEL_SLOTS - 1);
  return (above | slot) << shift;
}

void wheel_init(struct wheel *w, uint64_t now_ns) {
  w->tick = wheel_tick_of(now_ns);
  w->levels = 0;
  for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
    w->slots[level] = 0;
  }
  for (unsigned place = 0; place < WHEEL_PLACES; place++) {
    list_init(&w->at[place].timers);
    w->at[place].min_ns = UINT64_MAX;
  }
}

static void wheel_slot_clear(struct wheel *w, unsigned level, unsigned slot) {
  w->slots[level] &= ~WHEEL_BIT(slot);
  if (w->slots[level] == 0) {
    w->levels &= ~(1u << level);
  }
}

uint64_t wheel_next(struct wheel *w) {
  while (w->levels != 0) {
    unsigned level = bit_first(w->levels), slot = bit_first(w->slots[level]);
    const struct wheel_slot *at = &w->at[level << WHEEL_DIGIT_BITS | slot];
    if (!list_is_empty(&at->timers)) {
      return at->min_ns;
    }
    wheel_slot_clear(w, level, slot);
  }
  return UINT64_MAX;
}

/* Empties the first slot in use, whose time has come: what is due expires, the rest goes where it
 * belongs now. From a level above 0 that is a lower one: the tick now shares the slot's digit. */
static void wheel_turn(struct wheel *w, uint64_t now_ns, struct list *expired) {
  unsigned level = bit_first(w->levels), slot = bit_first(w->slots[level]);
  struct list moving;
  list_init(&moving);
  list_splice_back(&moving, &w->at[level << WHEEL_DIGIT_BITS | slot].timers);
  wheel_slot_clear(w, level, slot);
  w->tick = slot_first_tick(w, level, slot);
  struct list *node;
  while ((node = list_pop_front(&moving)) != NULL) {
    struct wheel_timer *t = CONTAINER_OF(node, struct wheel_timer, node);
    if (level == 0 && t->deadline_ns <= now_ns) {
      list_push_back(expired, &t->node);
    } else {
      wheel_link(w, t);
    }
  }
}

void wheel_advance(struct wheel *w, uint64_t now_ns, struct list *expired) {
  while (wheel_next(w) <= now_ns && w->levels != 0) {
    wheel_turn(w, now_ns, expired);
  }
  uint64_t tick = wheel_tick_of(now_ns);
  if (w->levels != 0) {
    unsigned level = bit_first(w->levels);
    if (slot_first_tick(w, level, bit_first(w->slots[level])) <= tick) {
      return;
    }
  }
  w->tick = MAX(w->tick, tick);
}

/* [W1] to [W3] of one slot. */
static bool slot_check(const struct wheel *w, unsigned level, unsigned slot) {
  unsigned place = level << WHEEL_DIGIT_BITS | slot;
  const struct list *head = &w->at[place].timers;
  uint64_t min_ns = w->at[place].min_ns;
  bool ok = list_is_empty(head) || w->slots[level] & WHEEL_BIT(slot);
  list_for_each (node, head) {
    const struct wheel_timer *t = CONTAINER_OF(node, struct wheel_timer, node);
    uint64_t tick = MAX(wheel_tick_of(t->deadline_ns), w->tick);
    ok = ok && t->place == place;
    ok = ok && wheel_level(w, tick) == level && wheel_digit(tick, level) == slot;
    ok = ok && min_ns <= t->deadline_ns;
  }
  return ok;
}

bool wheel_check(const struct wheel *w) {
  bool ok = (w->levels >> WHEEL_LEVELS) == 0;
  for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
    ok = ok && !(w->levels & (1u << level)) == (w->slots[level] == 0);
    for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
      ok = ok && slot_check(w, level, slot);
    }
  }
  return ok;
}
