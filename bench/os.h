/* The little that differs between systems. os_linux.c or os_cathode.c implements it; the makefile
 * chooses. Everything else in this folder is POSIX. */
#ifndef BENCH_OS_H
#define BENCH_OS_H

#include <stdint.h>

#include "case.h"

/* The cheapest system call that the kernel has, by the bare instruction. The same answer every
 * time, and not an error. */
long os_null_call(void);

/* A system call with a number that no kernel knows: entry, refusal, exit. Answers a negated error.
 * */
long os_unknown_call(void);

/* poll() of one entry, without waiting, by the bare instruction: the first thing that a kernel does
 * is read the entry. Answers how many are ready, or a negated error. */
long os_poll_one(void *entry);

/* What a scheduler owes to those who have slept (time in which they run before others) is made
 * small for the calling thread, where that is much and can be. */
void os_credit_forgo(void);

/* Ticks a second of the time stamp counter, as exactly as the system knows or as it can be
 * measured. */
uint64_t os_tsc_hz(void);

/* What the system has counted, for the calling thread at least, which runs on CPU 0. */
struct os_counts {
  uint64_t switches; /* one for each time that it lost its CPU */
  uint64_t faults;   /* page faults that it took */
};

/* False after run_fail(). */
bool os_counts_read(struct run *run, struct os_counts *counts);

/* A scheme of our own, served by another process: each read of its file answers the next number, a
 * uint64_t, starting with 1. Answers an open file, or -1 after run_absent() or run_fail(). */
int os_counter_open(struct run *run);

/* Closes the file and ends the server. */
void os_counter_close(struct run *run, int fd);

#endif
