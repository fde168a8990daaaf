/* The limit on what is there of a space (SPACE_LIMIT_RESIDENT), which is checked now and then.
 *
 * Counting pages as they come and go would cost every fault, and would cost sharing whole page
 * tables what it saves. Faults are counted anyway, by kind, and no more pages can have
 * come since the last look than those counts say. So who has a limit is looked at, by a walk over
 * its pages, when faults enough to exceed it have come, and after a sixteenth of the limit at the
 * least: about sixteen steps of a walk a fault at worst, and none for who has no limit.
 *
 * What counts is a page in the space's tables whose frame is counted: private memory, also what a
 * clone has as well, and pages of files and of shared memory that were touched. The zero frame, the
 * boot image and registers do not, nor do page tables.
 *
 * [M13] A space with a limit has at most `limit` pages at a look that finds nothing wrong, and
 * until the next at most MAX(limit, what it had + limit / 16). What comes other than by its faults
 * (a transfer) makes the next fault look. Locks: none; who is to look is decided by one
 * compare-and-swap. */
#include "mm/mm_priv.h"

#define SLACK_SHIFT 4u /* a sixteenth */

/* At most so many pages have come by faults. */
static uint64_t pages_came(struct space *s) {
  uint64_t n[SPACE_FAULT_KINDS];
  fault_counts(s, n);
  uint64_t n_big = atomic_load_explicit(&s->n_big, memory_order_relaxed);
  return n[SPACE_FAULT_ZERO] + n[SPACE_FAULT_COPY] + n[SPACE_FAULT_FILE] * FAULT_AROUND_MOST +
         n_big * (BIG_SIZE / PAGE_SIZE);
}

void space_resident_look(struct space *s) {
  atomic_store(&s->next_look, 0);
}

void space_resident_inherit(struct space *clone, struct space *src) {
  clone->watched = src->watched;
  if (UNLIKELY(src->watched)) {
    uint64_t next = atomic_load(&src->next_look), came = pages_came(src);
    clone->next_look = next > came ? next - came : 0;
  }
}

bool space_resident_over(struct space *s, uint64_t *n_pages) {
  uint64_t came = pages_came(s), next = atomic_load(&s->next_look);
  if (LIKELY(came < next)) {
    return false;
  }
  uint64_t most = space_get_limit(s, SPACE_LIMIT_RESIDENT).soft / PAGE_SIZE;
  uint64_t slack = MAX(most >> SLACK_SHIFT, 1ul);
  if (!atomic_compare_exchange_strong(&s->next_look, &next, came + slack)) {
    return false;
  }
  struct space_stats st;
  space_stats_read(s, &st);
  *n_pages = st.n_counted;
  if (st.n_counted <= most) { /* unless somebody wants another look by now */
    next = came + slack;
    atomic_compare_exchange_strong(&s->next_look, &next, came + MAX(most - st.n_counted, slack));
  }
  return st.n_counted > most;
}
