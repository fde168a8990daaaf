/* A region of address space, mapped and unmapped: what the mmap cases measure, and the proof that
 * both took effect. Any thread. */
#ifndef BENCH_REGION_H
#define BENCH_REGION_H

#include "case.h"

enum { REGION_BYTES = 64 << 10 };

/* Anonymous memory, untouched; MAP_FAILED when there is none. */
void *region_map(void);
bool region_unmap(void *base);

/* That map makes memory and unmap takes it away, at both ends: null, or what is wrong. `pipe_fds`
 * are an empty pipe's, through which the kernel is asked whether it can read there. */
const char *region_refute(const int pipe_fds[2]);

#endif
