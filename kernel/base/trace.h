/* The flight recorder: every CPU notes what it does in a ring of its own, always.
 *
 * A ring is a power of two of bytes and holds the last records of fixed size (struct trace_record).
 * Only its CPU writes it, with interrupts disabled, so that no lock and no atomic instruction is
 * needed; the oldest record is overwritten. Readers on any CPU copy, and drop what may have been
 * overwritten meanwhile [T1]:
 *
 *   CPU0 (writes)                      CPU1 (reads at pos)
 *   fill slot (head & mask)            h1 = head          acquire: records below h1 are whole
 *   head += 32       (release)         copy pos .. h1
 *   fill slot ...                      fence, h2 = head   slots written meanwhile are those of
 *                                      keep what is above h2 - size: the slot at h2 may be half new
 *
 * [T2] An event costs a test of its bit and some dozen instructions; one that is masked, the test.
 *
 * [T3] What is as frequent as system calls does not look at the clock: the record has the time of
 * the one before it, and happened between that and the next. Order is exact in each ring.
 *
 * Events and their arguments are in abi/trace_events.def. Times are TSC values, in order in each
 * ring; between CPUs they agree as far as the TSCs do. */
#ifndef CATHODE_BASE_TRACE_H
#define CATHODE_BASE_TRACE_H

#include "arch/arch.h"
#include "lib/bits.h"

/* Bit n: event n is recorded. Plain, since a value that is old by an event does no harm. Written by
 * trace_mask_set() only. */
extern uint32_t trace_mask;

/* Context of all: interrupts disabled, after arch_cpu_init() has run here. */
static inline void trace_put(uint64_t tsc, enum trace_event event, uint64_t a, uint64_t b) {
  struct trace_record *r = arch_trace_slot();
  *r = (struct trace_record){
      .tsc = tsc, .event = event, .thread = arch_trace_thread(), .a = a, .b = b};
  arch_trace_publish();
}

/* Note an event that happens at `now`, a TSC value read on this CPU since its last event. Reading
 * it once for all that happens at a time is not only shorter: emulators keep it under a lock. */
static inline void trace_at(uint64_t now, enum trace_event event, uint64_t a, uint64_t b) {
  if (LIKELY(trace_mask & 1u << event)) {
    arch_trace_latest_set(now);
    trace_put(now, event, a, b);
  }
}

/* Note an event of the calling CPU, if it is in the mask. */
static inline void trace(enum trace_event event, uint64_t a, uint64_t b) {
  if (LIKELY(trace_mask & 1u << event)) {
    trace_at(arch_tsc(), event, a, b);
  }
}

/* Note an event, whatever the mask, without a look at the clock [T3]. */
static inline void trace_undated(enum trace_event event, uint64_t a, uint64_t b) {
  trace_put(arch_trace_latest(), event, a, b);
}

/* A process has this name (n bytes, zero-padded to a multiple of 8): as many records as it takes.
 */
void trace_name(uint32_t pid, const char *name, size_t n_bytes);

/* From now on the calling CPU records into this buffer: a power of two of bytes, zeroed, for ever.
 * The first ring that is given switches recording on, with the mask that was set before. */
void trace_ring_give(void *buffer, size_t n_bytes);

/* What the mask is from the first ring on; boot argument trace.mask. */
void trace_mask_boot(uint32_t mask);
/* False: no CPU has a ring, or a bit that is no event. Every CPU follows within an event or two. */
bool trace_mask_set(uint32_t mask);
/* Called after each change of the mask with its new value: the system call table has a form for
 * each (syscall/dispatch.c). May be called twice with one value, and by several CPUs at once. */
extern void (*trace_mask_changed)(uint32_t mask);

/* Bytes of a CPU's ring; 0: it has none. */
uint64_t trace_ring_bytes(uint32_t cpu);
/* Bytes that a CPU with a ring has recorded since boot: where its next record will be. */
uint64_t trace_head(uint32_t cpu);
/* Up to n of the records of a CPU from *pos to end (bytes since boot, end <= trace_head()), oldest
 * first; *pos goes behind them. *lost: how many from *pos on had been overwritten before these. */
size_t trace_read(uint32_t cpu, uint64_t *pos, uint64_t end, struct trace_record *out, size_t n,
                  uint64_t *lost);

/* One row of the table of events. */
struct trace_event_info {
  uint32_t number;
  const char *name, *a, *b, *text;
};
extern const struct trace_event_info trace_event_info[];
extern const size_t n_trace_events;

/* The last events of every CPU, to the log. For the end of the machine: all CPUs have stopped. */
void trace_print_last(void);

#endif
