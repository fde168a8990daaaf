/* Buddy allocator: see buddy.h for the structure and the invariants. */
#include "mm/buddy.h"

#include "lib/bits.h"
#include "lib/kassert.h"

static uint32_t block_size(unsigned order) {
  return 1u << order;
}

/* Puts a block at the front of its list: [B1], [B2]. */
static void list_push(struct buddy *b, uint32_t pfn, unsigned order) {
  struct frame *frame = &b->frames[pfn];
  uint32_t head = b->heads[order];
  if (head == FRAME_NIL) {
    frame->next = frame->prev = pfn;
    b->orders |= 1u << order;
  } else {
    struct frame *first = &b->frames[head];
    frame->next = head;
    frame->prev = first->prev;
    b->frames[first->prev].next = pfn;
    first->prev = pfn;
  }
  b->heads[order] = pfn;
  frame->kind = FRAME_FREE;
  frame->order = (uint8_t)order;
}

/* Takes a block off its list; its frame is then like any other inside a block. */
static void list_remove(struct buddy *b, uint32_t pfn, unsigned order) {
  struct frame *frame = &b->frames[pfn];
  if (frame->next == pfn) {
    b->heads[order] = FRAME_NIL;
    b->orders &= ~(1u << order);
  } else {
    b->frames[frame->prev].next = frame->next;
    b->frames[frame->next].prev = frame->prev;
    if (b->heads[order] == pfn) {
      b->heads[order] = frame->next;
    }
  }
  frame->kind = FRAME_RESERVED;
}

void buddy_init(struct buddy *b, struct frame *frames, uint32_t n_frames) {
  b->frames = frames;
  b->n_frames = n_frames;
  b->orders = 0;
  b->n_free = 0;
  for (unsigned order = 0; order < BUDDY_N_ORDERS; order++) {
    b->heads[order] = FRAME_NIL;
  }
}

/* The largest aligned block at pfn within n frames. */
static unsigned block_order_at(uint32_t pfn, uint32_t n) {
  unsigned order = MIN(bit_last(n), BUDDY_MAX_ORDER);
  return pfn == 0 ? order : MIN(order, bit_first(pfn));
}

void buddy_add_range(struct buddy *b, uint32_t first, uint32_t n) {
  kassert(first <= b->n_frames && n <= b->n_frames - first);
  while (n > 0) {
    unsigned order = block_order_at(first, n);
    buddy_free(b, first, order);
    first += block_size(order);
    n -= block_size(order);
  }
}

/* Hands the block out as allocated. */
static uint32_t block_take(struct buddy *b, uint32_t pfn, unsigned order) {
  b->frames[pfn].kind = FRAME_KERNEL;
  b->n_free -= block_size(order);
  return pfn;
}

bool buddy_alloc(struct buddy *b, unsigned order, uint32_t *pfn) {
  kassert(order <= BUDDY_MAX_ORDER);
  uint32_t candidates = b->orders >> order;
  if (candidates == 0) {
    return false;
  }
  unsigned found = order + bit_first(candidates);
  uint32_t block = b->heads[found];
  list_remove(b, block, found);
  while (found > order) { /* keep the lower half, free the upper */
    found--;
    list_push(b, block + block_size(found), found);
  }
  *pfn = block_take(b, block, order);
  return true;
}

static bool block_is_free(const struct buddy *b, uint32_t pfn, unsigned order) {
  return pfn < b->n_frames && b->frames[pfn].kind == FRAME_FREE && b->frames[pfn].order == order;
}

void buddy_free(struct buddy *b, uint32_t pfn, unsigned order) {
  kassert(order <= BUDDY_MAX_ORDER && IS_ALIGNED(pfn, block_size(order)));
  kassert(pfn < b->n_frames && block_size(order) <= b->n_frames - pfn);
  kassert(b->frames[pfn].kind != FRAME_FREE);
  b->frames[pfn].kind = FRAME_RESERVED;
  atomic_store_explicit(&b->frames[pfn].refs, 0, memory_order_relaxed);
  b->n_free += block_size(order);
  while (order < BUDDY_MAX_ORDER && block_is_free(b, pfn ^ block_size(order), order)) { /* [B4] */
    list_remove(b, pfn ^ block_size(order), order);
    pfn &= ~block_size(order);
    order++;
  }
  list_push(b, pfn, order);
}

/* Takes a block of at most n frames, the largest free one that fits, apart into single frames.
 * Only when all free blocks are larger is one split. Answers the number of frames, 0 when none. */
static unsigned bulk_take(struct buddy *b, uint32_t *pfns, unsigned n) {
  unsigned limit = MIN(bit_last(n), BUDDY_MAX_ORDER);
  uint32_t fitting = b->orders & ((2u << limit) - 1);
  bool larger = (b->orders >> limit) != 0;
  unsigned order = larger || fitting == 0 ? limit : bit_last(fitting);
  uint32_t first;
  if (!buddy_alloc(b, order, &first)) {
    return 0;
  }
  for (uint32_t i = 0; i < block_size(order); i++) {
    b->frames[first + i].kind = FRAME_KERNEL;
    pfns[i] = first + i;
  }
  return block_size(order);
}

unsigned buddy_alloc_bulk(struct buddy *b, uint32_t *pfns, unsigned n) {
  unsigned done = 0;
  while (done < n) {
    unsigned taken = bulk_take(b, pfns + done, n - done);
    if (taken == 0) {
      break;
    }
    done += taken;
  }
  return done;
}

void buddy_free_bulk(struct buddy *b, const uint32_t *pfns, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    buddy_free(b, pfns[i], 0);
  }
}

int buddy_best_order(const struct buddy *b) {
  return b->orders == 0 ? -1 : (int)bit_last(b->orders);
}

/* [B1], [B3], [B4] of the free block at pfn. */
static int block_check(const struct buddy *b, uint32_t pfn, unsigned order) {
  const struct frame *frame = &b->frames[pfn];
  if (frame->kind != FRAME_FREE || frame->order != order || frame->refs != 0 ||
      !IS_ALIGNED(pfn, block_size(order)) || block_size(order) > b->n_frames - pfn) {
    return 1;
  }
  for (uint32_t i = 1; i < block_size(order); i++) {
    if (frame[i].kind == FRAME_FREE) {
      return 3;
    }
  }
  if (order < BUDDY_MAX_ORDER && block_is_free(b, pfn ^ block_size(order), order)) {
    return 4;
  }
  return 0;
}

/* One list; adds what it holds to *n_blocks and *n_free. */
static int list_check(const struct buddy *b, unsigned order, uint64_t *n_blocks, uint64_t *n_free) {
  uint32_t head = b->heads[order], pfn = head;
  if ((head != FRAME_NIL) != ((b->orders >> order & 1) != 0)) {
    return 2;
  }
  while (pfn != FRAME_NIL) {
    int broken = pfn < b->n_frames ? block_check(b, pfn, order) : 2;
    uint32_t next = broken ? head : b->frames[pfn].next;
    if (broken != 0) {
      return broken;
    }
    if (next >= b->n_frames || b->frames[next].prev != pfn || ++*n_blocks > b->n_frames) {
      return 2;
    }
    *n_free += block_size(order);
    pfn = next == head ? FRAME_NIL : next;
  }
  return 0;
}

int buddy_check(const struct buddy *b) {
  uint64_t n_blocks = 0, n_free = 0, n_kind = 0;
  for (unsigned order = 0; order < BUDDY_N_ORDERS; order++) {
    int broken = list_check(b, order, &n_blocks, &n_free);
    if (broken != 0) {
      return broken;
    }
  }
  for (uint32_t pfn = 0; pfn < b->n_frames; pfn++) {
    n_kind += b->frames[pfn].kind == FRAME_FREE;
  }
  if (n_kind != n_blocks) {
    return 3;
  }
  return n_free == b->n_free ? 0 : 5;
}
