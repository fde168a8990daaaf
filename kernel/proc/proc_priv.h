/* Private to proc/. */
#ifndef CATHODE_PROC_PRIV_H
#define CATHODE_PROC_PRIV_H

#include "arch/upcall.h"
#include "proc/proc.h"

/* A process of its own for c, child of creator's (NULL: bootstrap). */
enum abi_error group_create(struct context *creator, struct context *c);
enum abi_error group_join(struct group *g, struct context *c);
/* c is dead now; the last one ends the process. */
void group_leave(struct context *c);
/* Deliver, default or note what is pending; on the way to ring 3. */
void signal_deliver(struct context *c, struct arch_user_frame *frame);
/* Something pending would be delivered now. */
bool signal_is_due(struct context *c);

/* What a futex word is, wherever it is mapped: (space, address) for private words, (object, offset)
 * for shared ones. */
struct futex_key {
  uint64_t a, b;
};
enum abi_error futex_key_find(struct space *s, uaddr_t word, bool shared, struct futex_key *key);
static inline enum abi_error futex_key_make(struct space *s, uaddr_t word, bool shared,
                                            struct futex_key *key) {
  if (LIKELY(!shared && user_range_ok(word, 4) && (word.v & 3) == 0)) {
    *key = (struct futex_key){(uint64_t)s, word.v};
    return OK;
  }
  return futex_key_find(s, word, shared, key);
}
static inline bool futex_key_equal(const struct futex_key *x, const struct futex_key *y) {
  return x->a == y->a && x->b == y->b;
}

void futex_pi_init(void);
/* g->pid is known. */
void futex_pi_group_init(struct group *g);
/* A dead context's locks: whoever waits for it takes over. */
void futex_pi_exit(struct context *c);
/* It has let go of some: whoever waits for it looks again. */
void futex_pi_leave(struct context *c);

/* A page fault found no memory: tries again, and then somebody must go. Context: no lock held; may
 * be preempted. Answers what the second try said; ABI_ENOMEM: the fault will come again, or the
 * end. */
enum abi_error oom_fault(struct context *c, const struct arch_fault *f);

/* Contexts that are giving up their spaces just now, and how many have: memory that comes back
 * soon, or has come. */
extern _Atomic uint32_t context_n_releasing;
extern _Atomic uint64_t context_n_released;

/* Take one pending signal; false when another thread of the process was quicker. */
bool signal_claim(struct context *c, uint32_t signo);

/* A stop and a continuation undo each other while they are pending (POSIX, signal concepts), and
 * each takes effect in one hold of the group's lock: else a thread that has taken a stop could be
 * overtaken by the continuation that was to undo it, and stay stopped for ever. */
bool group_stop_by_signal(struct context *c, uint32_t signo); /* false: it is no longer pending */
void group_continue(struct group *g, uint64_t discard);       /* drops these pending signals */

#endif
