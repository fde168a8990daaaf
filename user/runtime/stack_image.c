/* See stack_image.h. Pointers grow upwards from sp while strings grow downwards from the top; both
 * are written through `out`, which stands for [top - size, top). */
#include "runtime/stack_image.h"

#include <stdbool.h>

#include "lib/bits.h"
#include "lib/string.h"

/* Values of the auxiliary vector, System V ABI and Linux. */
enum {
  AT_PHDR = 3,
  AT_PHENT = 4,
  AT_PHNUM = 5,
  AT_PAGESZ = 6,
  AT_BASE = 7,
  AT_ENTRY = 9,
  AT_UID = 11,
  AT_EUID = 12,
  AT_GID = 13,
  AT_EGID = 14,
  AT_CLKTCK = 17,
  AT_SECURE = 23,
  AT_RANDOM = 25,
  AT_EXECFN = 31,
};

#define N_AUX 16u  /* with the terminator */
#define N_FIXED 3u /* argc, and the two NULL pointers */
#define PHENT 56u

struct image {
  uint8_t *out;
  uint64_t bottom;       /* the address of out[0] */
  size_t words;          /* offset of the next word, upwards */
  size_t strings, floor; /* offset of the last string, downwards, and where strings must stop */
  bool overrun;
};

static size_t strings_size(const char *const *strings, size_t n) {
  size_t size = 0;
  for (size_t i = 0; i < n; i++) {
    size += strlen(strings[i]) + 1;
  }
  return size;
}

static size_t words_size(const struct stack_plan *plan) {
  return (N_FIXED + plan->n_head + plan->n_argv + plan->n_envp + 2 * N_AUX) * sizeof(uint64_t);
}

size_t stack_image_size(const struct stack_plan *plan) {
  size_t strings = strings_size(plan->head, plan->n_head) + strings_size(plan->argv, plan->n_argv) +
                   strings_size(plan->envp, plan->n_envp) + strlen(plan->execfn) + 1 +
                   strlen(plan->cwd) + 1;
  return ALIGN_UP(words_size(plan), 16) + ALIGN_UP(sizeof(struct rt_start), 16) +
         ALIGN_UP(strings + sizeof(uint64_t), 16);
}

uint64_t stack_image_start(const struct stack_plan *plan, uint64_t sp) {
  return sp + ALIGN_UP(words_size(plan), 16);
}

static uint64_t put_string(struct image *im, const char *text) {
  size_t n = strlen(text) + 1;
  if (im->overrun || n > im->strings - im->floor) {
    im->overrun = true;
    return 0;
  }
  im->strings -= n;
  memcpy(im->out + im->strings, text, n);
  return im->bottom + im->strings;
}

static inline void put_word(struct image *im, uint64_t word) {
  __builtin_memcpy(im->out + im->words, &word, sizeof(word));
  im->words += sizeof(word);
}

static void put_strings(struct image *im, const char *const *strings, size_t n) {
  for (size_t i = 0; i < n; i++) {
    put_word(im, put_string(im, strings[i]));
  }
}

static void put_aux(struct image *im, uint64_t type, uint64_t value) {
  put_word(im, type);
  put_word(im, value);
}

static void put_vector(struct image *im, const struct stack_plan *plan, uint64_t execfn,
                       uint64_t start) {
  const struct rt_ids *ids = &plan->start->ids;
  put_aux(im, AT_PHDR, plan->phdr_addr);
  put_aux(im, AT_PHENT, PHENT);
  put_aux(im, AT_PHNUM, plan->n_phdrs);
  put_aux(im, AT_PAGESZ, ABI_PAGE_SIZE);
  put_aux(im, AT_BASE, plan->base);
  put_aux(im, AT_ENTRY, plan->entry);
  put_aux(im, AT_UID, ids->uid);
  put_aux(im, AT_EUID, ids->euid);
  put_aux(im, AT_GID, ids->gid);
  put_aux(im, AT_EGID, ids->egid);
  put_aux(im, AT_SECURE, 0);
  put_aux(im, AT_CLKTCK, 100);
  put_aux(im, AT_RANDOM, start + offsetof(struct start_block, seed));
  put_aux(im, AT_EXECFN, execfn);
  put_aux(im, AT_CATHODE_START, start);
  put_aux(im, 0, 0);
}

/* The block lies between the words and the strings. */
static uint64_t put_start(struct image *im, const struct stack_plan *plan, uint64_t cwd,
                          size_t at) {
  struct rt_start start = *plan->start;
  start.block.size = sizeof(start);
  start.block.cwd = cwd;
  memcpy(im->out + at, &start, sizeof(start));
  return im->bottom + at;
}

uint64_t stack_image_build(const struct stack_plan *plan, uint8_t *out, size_t size, uint64_t top) {
  size_t start_at = ALIGN_UP(words_size(plan), 16);
  struct image im = {.out = out, .bottom = top - size, .strings = size - sizeof(uint64_t)};
  memset(out + im.strings, 0, sizeof(uint64_t));
  im.floor = start_at + ALIGN_UP(sizeof(struct rt_start), 16);
  uint64_t execfn = put_string(&im, plan->execfn), cwd = put_string(&im, plan->cwd);
  uint64_t start = put_start(&im, plan, cwd, start_at);
  put_word(&im, plan->n_head + plan->n_argv);
  put_strings(&im, plan->head, plan->n_head);
  put_strings(&im, plan->argv, plan->n_argv);
  put_word(&im, 0);
  put_strings(&im, plan->envp, plan->n_envp);
  put_word(&im, 0);
  put_vector(&im, plan, execfn, start);
  return im.overrun ? 0 : im.bottom;
}
