/* Private to mm/: grants, the tree's environment, shootdown. */
#ifndef CATHODE_MM_PRIV_H
#define CATHODE_MM_PRIV_H

#include "base/counter.h"
#include "mm/mm.h"
#include "mm/ptree.h"

enum grant_kind { GRANT_ANON, GRANT_OBJECT };

struct grant {
  struct gnode node;  /* first; start and end */
  uint8_t prot;       /* PROT_ABI_* */
  bool shared;        /* MAP_SHARED */
  bool read_only;     /* shared, and write access can never be given [M6] */
  struct memobj *obj; /* NULL: private anonymous */
  uint64_t offset;    /* of node.start in obj */
};

static inline struct grant *grant_of(struct gnode *n) {
  return (struct grant *)n;
}

extern struct kcache grant_cache;
void grant_free(struct grant *g); /* with its reference on the object */

/* Invalidate [lo, hi) of a space on every CPU that may hold it, and wait until they have. */
void shootdown_range(struct space *s, uint64_t lo, uint64_t hi);
/* Make every CPU but this one let go of the space: it is about to be destroyed. */
void shootdown_leave(struct space *s);

/* A gather that flushes the space's TLBs when it is full; and its end. */
void gather_begin(struct ptree_gather *g, struct space *s);
void gather_end(struct ptree_gather *g);

/* Leaf bits for a grant's rights, without W for copy-on-write to decide. */
uint64_t grant_leaf_bits(const struct grant *g);
/* One page of a grant, made present (and writable): both locks are held. */
enum abi_error fault_page(struct space *s, const struct grant *g, uint64_t va, bool write,
                          struct ptree_gather *gather, paddr_t *pa) HOLDS(&s->pt_lock);

#endif
