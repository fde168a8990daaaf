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
 * has come. Most timers are cancelled long before: a cancel only unlinks, and the bit of a slot
 * that it leaves empty goes when wheel_next() comes by, at most once for each add. Locks: none, the
 * owner provides them. Limits: 14 KiB a wheel. What runs at each arm and cancel is here, for
 * inlining. */
#ifndef CATHODE_SCHED_WHEEL_H
#define CATHODE_SCHED_WHEEL_H

#include "lib/bits.h"
#include "lib/kassert.h"
#include "lib/list.h"

#define WHEEL_TICK_SHIFT 10 /* a tick is 2^10 ns */
#define WHEEL_DIGIT_BITS 6
#define WHEEL_SLOTS 64
#define WHEEL_LEVELS 9 /* 10 + 9 * 6 = 64 bits: every deadline has a place */

struct wheel_timer {
  struct list node;
  uint64_t deadline_ns;
  uint16_t place;   /* level << 6 | slot */
  uint8_t spare[6]; /* for the owner */
};

#define WHEEL_PLACES (WHEEL_LEVELS * WHEEL_SLOTS)

/* [W1] A slot whose list is not empty has its bit set, and a level's bit is set iff one of its
 *      slots' is. Only a cancel leaves a bit without timers.
 * [W2] A timer sits where the rule above puts it; one that was late when added, where a deadline in
 *      the wheel's tick would have put it.
 * [W3] min_ns of a slot is no later than any deadline in it. A cancel may leave it too early. */
struct wheel_slot {
  struct list timers;
  uint64_t min_ns;
};

struct wheel {
  uint64_t tick;                /* positions are relative to this; may lag */
  uint32_t levels;              /* bit: the level has slots in use */
  uint64_t slots[WHEEL_LEVELS]; /* bit: the slot is in use */
  struct wheel_slot at[WHEEL_PLACES];
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

#define WHEEL_BIT(i) (UINT64_C(1) << (i))

static inline uint64_t wheel_tick_of(uint64_t ns) {
  return ns >> WHEEL_TICK_SHIFT;
}

static inline unsigned wheel_digit(uint64_t tick, unsigned level) {
  return (tick >> (level * WHEEL_DIGIT_BITS)) & (WHEEL_SLOTS - 1);
}

/* The level of a tick that is not before the wheel's: its highest differing digit. */
static inline unsigned wheel_level(const struct wheel *w, uint64_t tick) {
  return bit_last((tick ^ w->tick) | 1) / WHEEL_DIGIT_BITS;
}

/* Links an unlinked timer by its deadline. */
static inline void wheel_link(struct wheel *w, struct wheel_timer *t) {
  uint64_t deadline_ns = t->deadline_ns, tick = MAX(wheel_tick_of(deadline_ns), w->tick);
  unsigned level = wheel_level(w, tick), slot = wheel_digit(tick, level);
  unsigned place = level << WHEEL_DIGIT_BITS | slot;
  struct wheel_slot *at = &w->at[place];
  t->place = (uint16_t)place;
  if (deadline_ns < at->min_ns || list_is_empty(&at->timers)) {
    at->min_ns = deadline_ns;
  }
  w->slots[level] |= WHEEL_BIT(slot);
  w->levels |= 1u << level;
  list_push_back(&at->timers, &t->node);
}

/* Makes a timer that is not pending due at `deadline_ns`; one in the past is due at once. O(1). */
static inline void wheel_add(struct wheel *w, struct wheel_timer *t, uint64_t deadline_ns) {
  kassert_debug(!wheel_is_pending(t));
  t->deadline_ns = deadline_ns;
  wheel_link(w, t);
}

/* Answers whether the timer was pending; it is not afterwards. One that has expired but is still on
 * the list of wheel_advance is taken off it. O(1). */
static inline bool wheel_cancel(struct wheel_timer *t) {
  if (!wheel_is_pending(t)) {
    return false;
  }
  list_remove(&t->node);
  return true;
}

/* When wheel_advance must run next: the earliest deadline, or the earlier one of a timer of its
 * slot that has been cancelled since; UINT64_MAX when the wheel is empty. O(1), shared among the
 * adds; at most WHEEL_PLACES steps. */
uint64_t wheel_next(struct wheel *w);

/* Appends the timers with deadline <= now_ns to `expired` (an initialised list), earlier ticks
 * first; the order within a tick, and among timers that were late when added, is not defined. Never
 * one before its deadline, also when the clock steps back. The owner takes them off with
 * list_pop_front. O(timers moved), each at most WHEEL_LEVELS times in its life; empty slots are
 * never visited. */
void wheel_advance(struct wheel *w, uint64_t now_ns, struct list *expired);

/* Whether [W1] to [W3] hold. For tests. */
bool wheel_check(const struct wheel *w);

_Static_assert(sizeof(struct wheel_timer) <= 48, "part of every context");
_Static_assert(WHEEL_TICK_SHIFT + WHEEL_LEVELS * WHEEL_DIGIT_BITS == 64,
               "every deadline has a place");

#endif
