/* Robust locks: what a context that ends, or execs, does about the locks that it has (abi.h, struct
 * robust_list). The list is in user memory and may be anything: every step is bounded and checked,
 * and what cannot be read ends the walk. An entry is read before its lock is let go, since the next
 * owner may free it. */
#include "proc/proc_priv.h"

#define LOCKS_MAX 2048u

/* The word of a lock: told, if it is still the context's. */
static void lock_release(struct context *c, uaddr_t word, bool pending) {
  uint32_t seen, was;
  if (!user_range_ok(word, 4) || word.v & 3 || !arch_load_user_u32(word.v, &seen)) {
    return;
  }
  if (pending && seen == 0) {
    (void)futex_wake(c->space, word, 1, true); /* let go already, but perhaps nobody woken */
  }
  while ((seen & FUTEX_PI_TID) == c->id) {
    was = seen;
    if (!arch_cas_user_u32(word.v, &was, (seen & FUTEX_PI_WAITERS) | FUTEX_PI_OWNER_DIED)) {
      return;
    }
    if (was == seen && seen & FUTEX_PI_WAITERS) {
      (void)futex_wake(c->space, word, 1, true); /* of inheriting locks: futex_pi_leave() */
    }
    seen = was == seen ? 0 : was;
  }
}

static void list_release(struct context *c) {
  struct robust_list list;
  if (user_copy_in(&list, (uaddr_t){c->robust}, sizeof(list)) != OK) {
    return;
  }
  uint64_t entry = list.first, next;
  for (uint32_t i = 0; i < LOCKS_MAX && entry != c->robust; i++) {
    if (user_copy_in(&next, (uaddr_t){entry}, sizeof(next)) != OK) {
      break;
    }
    if (entry != list.pending) {
      lock_release(c, (uaddr_t){entry + (uint64_t)list.offset}, false);
    }
    entry = next;
    sched_point();
  }
  if (list.pending != 0) {
    lock_release(c, (uaddr_t){list.pending + (uint64_t)list.offset}, true);
  }
}

void futex_leave_space(struct context *self) {
  if (self->robust != 0) {
    list_release(self);
    self->robust = 0;
    futex_pi_leave(self);
  }
}
