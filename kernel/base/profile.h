/* Samples of what CPUs do, for sys:/profile: a ring for each CPU, filled by its NMIs.
 *
 * A ring has one writer, the CPU's NMI, and one reader at a time, on any CPU. The writer never
 * overwrites what was not read: it counts the loss instead.
 *
 *   CPU0, in an NMI                     CPU1, the reader
 *   tail (acquire): is there room?      head (acquire): samples below are whole
 *   fill slot head                      copy slots tail .. head
 *   head + 1 (release)                  tail + n (release): the slots are free
 *
 * Until the first start there is neither a ring nor an NMI: profiling that is not used costs
 * nothing. */
#ifndef CATHODE_BASE_PROFILE_H
#define CATHODE_BASE_PROFILE_H

#include "arch/arch.h"

/* Tells of the calling CPU's thread: pid and name. Called in an NMI: may read only what does not go
 * away while that thread runs. Set before the first start. */
extern void (*profile_who)(struct profile_sample *s);

/* This CPU has a ring of `n` samples, a power of two, for ever. Before the first start. */
void profile_ring_give(uint32_t cpu, struct profile_sample *samples, uint32_t n);
bool profile_ring_exists(uint32_t cpu);

/* From now on samples are kept, or dropped. */
void profile_keep(bool keep);

/* Samples of a CPU that can be read, in one piece; 0: none. profile_free() gives them back. */
uint32_t profile_peek(uint32_t cpu, const struct profile_sample **first);
void profile_free(uint32_t cpu, uint32_t n);

/* Samples that found no room, since boot. */
uint64_t profile_lost(void);

#endif
