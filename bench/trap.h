/* Exceptions with next to no kernel behind them: what a page fault cannot be cheaper than. On CPUs
 * that take them at the same time they show what the machine itself makes of that: an emulator may
 * deliver one exception at a time, whatever the kernel does. Any thread. */
#ifndef BENCH_TRAP_H
#define BENCH_TRAP_H

#include "case.h"

/* n times: the kernel faults on a page without rights, which it was told to read, and says so. It
 * looks for the page, at most, among those of the process. Answers how often it was refused. */
bool trap_prepare(struct run *run);
uint64_t trap_work(uint64_t n);

/* That the page was looked at: null, or what is wrong. */
const char *trap_refute(void);

/* At least n times: INT in ring 0 and IRETQ, by sys:/bench/int, which no lock and no memory is
 * behind. Answers how many; 0 when something went wrong. */
bool trap_int_prepare(struct run *run);
uint64_t trap_int_work(uint64_t n);

#endif
