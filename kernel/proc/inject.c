/* Faults on purpose, counted: the n-th step of a context kills its process, or the n-th allocation
 * that it asks for fails. A test that does this for every n until nothing happens any more has
 * been through every state in which the world could have struck (user/tests/t_native_kill.c,
 * t_native_nomem.c).
 *
 * Steps are what a kill can fall between: each return from a system call, each step of a batch,
 * each wait before it begins. Between two of them a kill changes nothing, since a thread acts on it
 * at its safe points alone [P1]. Interrupts and page faults are no steps, so that the count is a
 * function of the program, but for waits: what is there already is not waited for. A kill is
 * group_kill(), as from another CPU at that moment.
 *
 * One context at a time is armed, by itself. It alone changes the counts, so they need no lock; it
 * stays armed through exec, and is let go at the latest when it dies.
 *
 * Limits: an allocation for a page fault of ring 3 has nobody to answer to and kills, which the
 * report says ("page fault"). */
#include "proc/proc.h"

bool inject_armed;

static struct {
  _Atomic(const struct context *) target; /* [a] NULL: nobody. Compared, never followed */
  enum inject_kind kind;                  /* [o] */
  uint64_t nth;                           /* [o] */
  _Atomic uint64_t seen;                  /* [o/r] */
  _Atomic(const char *) where;            /* [o/r] of the fault; NULL: not yet */
} inject;

static bool is_armed(enum inject_kind kind) {
  return atomic_load(&inject.target) == context_current() && inject.kind == kind;
}

/* One more; true when it is the one. */
static bool count(const char *where) {
  uint64_t n = atomic_load(&inject.seen) + 1;
  atomic_store(&inject.seen, n);
  if (n == inject.nth) {
    atomic_store(&inject.where, where);
  }
  return n == inject.nth;
}

void inject_pass(const char *where) {
  if (is_armed(INJECT_KILL) && count(where)) {
    group_kill(context_current()->group, SIGNAL_KILL);
  }
}

static bool alloc_fails(void) {
  return is_armed(INJECT_ALLOC) && count("allocation");
}

void inject_note(const char *where) {
  if (is_armed(INJECT_ALLOC) && atomic_load(&inject.where) != NULL) {
    atomic_store(&inject.where, where);
  }
}

enum abi_error inject_arm(enum inject_kind kind, uint64_t nth) {
  struct context *c = context_current();
  const struct context *nobody = NULL;
  if (!atomic_compare_exchange_strong(&inject.target, &nobody, c)) {
    return ABI_EBUSY;
  }
  inject.kind = kind;
  inject.nth = nth;
  atomic_store(&inject.seen, 0);
  atomic_store(&inject.where, NULL);
  inject_armed = true;
  if (kind == INJECT_KILL) {
    thread_set_work(&c->thread, ARCH_WORK_INJECT);
  } else {
    fail_alloc_ask(alloc_fails);
  }
  return OK;
}

void inject_off(const struct context *c) {
  if (LIKELY(!inject_armed) || atomic_load(&inject.target) != c) {
    return;
  }
  fail_alloc_ask(NULL);
  inject_armed = false;
  atomic_fetch_and(&context_current()->thread.arch.work, ~ARCH_WORK_INJECT);
  atomic_store(&inject.target, NULL);
}

struct inject_report inject_read(void) {
  const char *where = atomic_load(&inject.where);
  return (struct inject_report){
      .seen = atomic_load(&inject.seen), .fired = where != NULL, .where = where ? where : "-"};
}
