/* How fast is memory, read, written and copied by the program alone? No kernel takes part: between
 * two systems on one machine the ratio is 1, and how far it is from 1 is what a ratio is worth. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../cases.h"

enum { BLOCK_WORDS = (1 << 20) / sizeof(uint64_t), BLOCKS = 16, STEP = 4 };

static uint64_t *memory; /* two halves of BLOCKS blocks */

static uint64_t *block_of(uint64_t i) {
  return memory + i % BLOCKS * BLOCK_WORDS;
}

static uint64_t *block_opposite(uint64_t i) {
  return block_of(i) + (size_t)BLOCKS * BLOCK_WORDS;
}

/* All of it is there, and all ones, before anything is measured. */
static bool memory_setup(struct run *run) {
  size_t n_words = 2 * (size_t)BLOCKS * BLOCK_WORDS, n_bytes = n_words * sizeof(memory[0]);
  memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return run_fail(run, "mapping %zu bytes: %s", n_bytes, strerror(errno));
  }
  madvise(memory, n_bytes, MADV_NOHUGEPAGE); /* where there are none, it may be refused */
  for (size_t i = 0; i < n_words; i++) {
    memory[i] = 1;
  }
  return true;
}

static void memory_teardown(struct run *run) {
  (void)run;
  munmap(memory, 2 * (size_t)BLOCKS * BLOCK_WORDS * sizeof(memory[0]));
}

/* The three loops are ours and not libc's, so that both systems run the same instructions. */
static uint64_t block_sum(const uint64_t *block) {
  uint64_t sums[STEP] = {0};
  for (size_t i = 0; i < BLOCK_WORDS; i += STEP) {
    for (size_t j = 0; j < STEP; j++) {
      sums[j] += block[i + j];
    }
    run_barrier();
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

static void block_fill(uint64_t *block, uint64_t value) {
  for (size_t i = 0; i < BLOCK_WORDS; i += STEP) {
    for (size_t j = 0; j < STEP; j++) {
      block[i + j] = value;
    }
    run_barrier();
  }
}

static void block_copy(uint64_t *to, const uint64_t *from) {
  for (size_t i = 0; i < BLOCK_WORDS; i += STEP) {
    for (size_t j = 0; j < STEP; j++) {
      to[i + j] = from[i + j];
    }
    run_barrier();
  }
}

static void read_measure(struct run *run, uint64_t n) {
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    run->confirmed += RUN_WORK(block_sum(block_of(i)), 0) == BLOCK_WORDS;
  }
  run_stop(run);
}

static void write_measure(struct run *run, uint64_t n) {
  static uint64_t value = 1;
  uint64_t n_checked = n < BLOCKS ? n : BLOCKS;
  value++;
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    RUN_WORK(block_fill(block_of(i), value), 0);
  }
  run_stop(run);
  run->confirmed = n;
  for (uint64_t i = 0; i < n_checked; i++) {
    run->confirmed = block_sum(block_of(i)) == value * BLOCK_WORDS ? run->confirmed : 0;
  }
}

static void copy_measure(struct run *run, uint64_t n) {
  uint64_t n_checked = n < BLOCKS ? n : BLOCKS;
  for (uint64_t i = 0; i < n_checked; i++) {
    block_fill(block_of(i), i + 2);
    block_fill(block_opposite(i), 0);
  }
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    RUN_WORK(block_copy(block_opposite(i), block_of(i)), 0);
  }
  run_stop(run);
  run->confirmed = n;
  for (uint64_t i = 0; i < n_checked; i++) {
    bool same = block_sum(block_opposite(i)) == (i + 2) * BLOCK_WORDS;
    run->confirmed = same ? run->confirmed : 0;
  }
}

#define MEMORY_CASE(id, text)                                                                      \
  const struct bench_case case_mem_##id = {                                                        \
      .name = "mem." #id,                                                                          \
      .op = text,                                                                                  \
      .setup = memory_setup,                                                                       \
      .measure = id##_measure,                                                                     \
      .teardown = memory_teardown,                                                                 \
  };

MEMORY_CASE(read, "reading 1 MiB of 16, again and again: a control, no kernel takes part")
MEMORY_CASE(write, "writing 1 MiB of 16, again and again: a control, no kernel takes part")
MEMORY_CASE(copy, "copying 1 MiB of 16 to another 16: a control, no kernel takes part")
