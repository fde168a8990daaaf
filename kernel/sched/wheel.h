/* A hierarchical timer wheel: constant-time add and cancel, and no interrupt but for a timer.
 *
 * Time is cut into ticks of 1024 ns and a tick number into digits of 6 bits. A timer lives on the
 * level of the highest digit in which its tick differs from the wheel's, in the slot that this
 * digit names:
 *
 *   level  a slot spans  the level spans      level  a slot spans  the level spans
 *     0       1.024 us        65.5 us           5        18.3 min       19.5 h
 *     1        65.5 us        4.19 ms           6          19.5 h       52.1 d
 *     2        4.19 ms         268 ms           7          52.1 d        9.1 y
 *     3         268 ms         17.2 s           8           9.1 y        585 y (all of 64 bits)
 *     4         17.2 s       18.3 min
 *
 * So all timers of a level are due before those of the next, and those of a slot before those of
 * the next slot: the first set bit of the lowest level in use names the slot with the earliest
 * timer. Each slot keeps its earliest deadline, and its timers move down ("cascade") only when that
 * has come. Locks: none, the owner provides them. Limits: 14 KiB a wheel. */
#ifndef CATHODE_SCHED_WHEEL_H
#define CATHODE_SCHED_WHEEL_H

#include "lib/bits.h"
#include "lib/list.h"

#define WHEEL_TICK_SHIFT 10 /* a tick is 2^10 ns */
#define WHEEL_DIGIT_BITS 6
#define WHEEL_SLOTS 64
#define WHEEL_LEVELS 9 /* 10 + 9 * 6 = 64 bits: every deadline has a place */

struct wheel_timer {
  struct list node;
  uint64_t deadline_ns;
  uint8_t level; /* WHEEL_EXPIRED on the list of wheel_advance */
  uint8_t slot;
  uint8_t spare[6]; /* for the owner */
};

#define WHEEL_EXPIRED 0xff

/* [W1] A slot's bit is set iff its list is not empty, a level's bit iff it has such a slot.
 * [W2] A timer sits where the rule above puts it; one that was late when added, where a deadline in
 *      the wheel's tick would have put it.
 * [W3] min_ns of a slot is no later than any deadline in it. A cancel may leave it too early. */
struct wheel {
  uint64_t tick;                              /* positions are relative to this; may lag */
  uint32_t levels;                            /* bit: the level has timers */
  uint32_t n;                                 /* [W4] the number of timers */
  uint64_t slots[WHEEL_LEVELS];               /* bit: the slot has timers */
  uint64_t min_ns[WHEEL_LEVELS][WHEEL_SLOTS]; /* of slots with timers */
  struct list timers[WHEEL_LEVELS][WHEEL_SLOTS];
};

/* An empty wheel. */
void wheel_init(struct wheel *w, uint64_t now_ns);

/* Once before the first wheel_add, wheel_cancel or wheel_is_pending of a timer. */
static inline void wheel_timer_init(struct wheel_timer *t) {
  list_init(&t->node);
}

/* From wheel_add until wheel_cancel or until the owner takes it off the list of wheel_advance. */
static inline bool wheel_is_pending(const struct wheel_timer *t) {
  return list_is_linked(&t->node);
}

/* Makes a timer that is not pending due at `deadline_ns`; one in the past is due at once. O(1). */
void wheel_add(struct wheel *w, struct wheel_timer *t, uint64_t deadline_ns);

/* Answers whether the timer was pending; it is not afterwards. One that has expired but is still on
 * the list of wheel_advance is taken off it. O(1). */
bool wheel_cancel(struct wheel *w, struct wheel_timer *t);

/* When wheel_advance must run next: the earliest deadline, or the earlier one of a timer that has
 * been cancelled since; UINT64_MAX when the wheel is empty. O(1). */
static inline uint64_t wheel_next(const struct wheel *w) {
  if (w->levels == 0) {
    return UINT64_MAX;
  }
  unsigned level = bit_first(w->levels);
  return w->min_ns[level][bit_first(w->slots[level])];
}

/* Appends the timers with deadline <= now_ns to `expired` (an initialised list), earlier ticks
 * first; the order within a tick, and among timers that were late when added, is not defined. Never
 * one before its deadline, also when the clock steps back. The owner takes them off with
 * list_pop_front. O(timers moved), each at most WHEEL_LEVELS times in its life; empty slots are
 * never visited. */
void wheel_advance(struct wheel *w, uint64_t now_ns, struct list *expired);

/* Whether [W1] to [W4] hold. For tests. */
bool wheel_check(const struct wheel *w);

_Static_assert(sizeof(struct wheel_timer) <= 48, "part of every context");
_Static_assert(WHEEL_TICK_SHIFT + WHEEL_LEVELS * WHEEL_DIGIT_BITS == 64,
               "every deadline has a place");

#endif
