/* See rtree.h. */
#include "mm/rtree.h"

#define FANOUT_BITS 9u
#define FANOUT (1u << FANOUT_BITS)
#define LEVELS_MOST 4u
_Static_assert(RTREE_PAGES_MOST == 1ul << (FANOUT_BITS * LEVELS_MOST), "the levels reach them all");

static uint64_t *node_at(paddr_t pa) {
  return direct_map(pa);
}

/* ---- nodes that no tree has any more, linked by their records ------------------------------- */

static struct spinlock doomed_lock = SPINLOCK(MEMOBJ);
static uint32_t doomed_nodes = FRAME_NIL; /* [doomed_lock] pfn */

static void node_doom(paddr_t node, uint32_t level) {
  struct frame *f = frame_of(node);
  f->level = (uint8_t)level;
  spin_lock_second(&doomed_lock); /* perhaps below an object's: objects first, this last */
  f->next = doomed_nodes;
  doomed_nodes = (uint32_t)(node.v >> PAGE_SHIFT);
  spin_unlock(&doomed_lock);
  atomic_fetch_add_explicit(&memobj_n_doomed, 1, memory_order_relaxed);
}

static uint32_t doomed_take(void) {
  spin_lock(&doomed_lock);
  uint32_t pfn = doomed_nodes;
  if (pfn != FRAME_NIL) {
    doomed_nodes = frame_of((paddr_t){(uint64_t)pfn << PAGE_SHIFT})->next;
  }
  spin_unlock(&doomed_lock);
  return pfn;
}

/* Lets go of slots [from, FANOUT) of a node: pages at once, nodes to the doomed. */
static void slots_drop(paddr_t node, uint32_t level, uint64_t from) {
  uint64_t *slots = node_at(node);
  for (uint64_t i = from; i < FANOUT; i++) {
    if (slots[i] == 0) {
      continue;
    }
    paddr_t below = {slots[i]};
    slots[i] = 0;
    if (level == 0) {
      frame_put(below);
    } else {
      node_doom(below, level - 1);
    }
  }
}

bool rtree_reap(void) {
  uint32_t pfn = doomed_take();
  if (pfn == FRAME_NIL) {
    return false;
  }
  atomic_fetch_sub_explicit(&memobj_n_doomed, 1, memory_order_relaxed);
  paddr_t node = {(uint64_t)pfn << PAGE_SHIFT};
  slots_drop(node, frame_of(node)->level, 0);
  frame_free_zeroed(node);
  return true;
}

/* ---- the tree ------------------------------------------------------------------------------- */

static uint64_t tree_reach(const struct rtree *t) {
  return t->levels == 0 ? 0 : 1ul << (FANOUT_BITS * t->levels);
}

/* Drop all pages from page index `from` on: those below one node a level are cut off on the way
 * down to it. The nodes on the way stay, even when they become empty. */
void rtree_trim(struct rtree *t, uint64_t from) {
  if (from >= tree_reach(t)) {
    return;
  }
  paddr_t node = t->root;
  for (uint32_t level = t->levels; level-- > 0 && node.v != 0;) {
    uint64_t i = from >> (FANOUT_BITS * level) & (FANOUT - 1);
    bool whole = (from & ((1ul << (FANOUT_BITS * level)) - 1)) == 0;
    slots_drop(node, level, whole ? i : i + 1);
    node.v = whole ? 0 : node_at(node)[i];
  }
}

/* Add levels on top until the tree reaches the index. */
static bool tree_grow(struct rtree *t, uint64_t index) {
  while (index >= tree_reach(t)) {
    paddr_t top;
    kassert(t->levels < LEVELS_MOST);
    if (!frame_alloc_zeroed(FRAME_KERNEL, &top)) {
      return false;
    }
    if (t->levels > 0) {
      node_at(top)[0] = t->root.v;
    }
    t->root = top;
    t->levels++;
  }
  return true;
}

/* The slot of a page, or NULL when its node is missing and is not to be made (or cannot be). */
uint64_t *rtree_slot(struct rtree *t, uint64_t index, bool make) {
  if (index >= tree_reach(t) && (!make || !tree_grow(t, index))) {
    return NULL;
  }
  paddr_t node = t->root;
  for (uint32_t level = t->levels - 1; level > 0; level--) {
    uint64_t *slot = &node_at(node)[index >> (FANOUT_BITS * level) & (FANOUT - 1)];
    if (*slot == 0) {
      paddr_t fresh;
      if (!make || !frame_alloc_zeroed(FRAME_KERNEL, &fresh)) {
        return NULL;
      }
      *slot = fresh.v;
    }
    node.v = *slot;
  }
  return &node_at(node)[index & (FANOUT - 1)];
}

/* A tree of one node goes at once, a larger one in pieces. */
void rtree_destroy(struct rtree *t) {
  if (t->levels == 1) {
    slots_drop(t->root, 0, 0);
    frame_free_zeroed(t->root);
  } else if (t->levels > 1) {
    node_doom(t->root, t->levels - 1);
  }
}

/* One search for each node of the tree, not for each page. */
uint32_t rtree_run(struct rtree *t, uint64_t index, uint32_t wanted, struct memobj_run *run) {
  uint32_t found = 0;
  uint64_t node = UINT64_MAX;
  const uint64_t *slots = NULL;
  for (uint32_t rest = wanted; rest != 0; rest &= rest - 1) {
    uint32_t i = bit_first(rest);
    uint64_t at = index + i;
    if (at / FANOUT != node) {
      node = at / FANOUT;
      slots = rtree_slot(t, node * FANOUT, false);
    }
    if (slots != NULL && slots[at % FANOUT] != 0) {
      run->pages[i].v = slots[at % FANOUT];
      frame_get(run->pages[i]);
      found |= 1u << i;
    }
  }
  return found;
}
