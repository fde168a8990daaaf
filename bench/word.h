/* A word that one thread sets and another takes, by futexes of one process. Nobody spins: who finds
 * it empty waits in the kernel. (musl's semaphores spin first, and under emulation each turn of
 * that costs more than a switch.) */
#ifndef BENCH_WORD_H
#define BENCH_WORD_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FUTEX_WAIT_HERE = 128, FUTEX_WAKE_HERE = 129 }; /* futex(2), of one process */
enum { WORD_EMPTY = 0 };

static inline void word_set(_Atomic uint32_t *word, uint32_t value) {
  atomic_store(word, value);
  syscall(SYS_futex, word, FUTEX_WAKE_HERE, 1, NULL, NULL, 0);
}

/* Takes what is in the word, once there is something. */
static inline uint32_t word_take(_Atomic uint32_t *word) {
  uint32_t value;
  while ((value = atomic_exchange(word, WORD_EMPTY)) == WORD_EMPTY) {
    syscall(SYS_futex, word, FUTEX_WAIT_HERE, WORD_EMPTY, NULL, NULL, 0);
  }
  return value;
}

#endif
