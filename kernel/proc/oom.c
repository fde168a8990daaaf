/* Out of memory in a page fault, and of what a process may have of it.
 *
 * In a fault that finds no memory the process whose end gives most back is killed, with a message.
 *
 * What a process would give back is the number of pages that nobody else maps: counted when it is
 * needed, by walking every space, because counting as pages come and go would make sharing whole
 * page tables cost what it saves. Process 1 is spared. The caller retries its fault. While anybody
 * is ending, chosen here or not, nobody else is chosen: a victim acts at its own safe point, and
 * its memory comes back over some time. Locks: none held by the caller. Limits: pages of shared
 * objects are nobody's here. */
#include "base/panic.h"
#include "proc/proc_priv.h"

struct victim {
  struct context *context; /* a reference, or NULL */
  uint64_t n_pages;
  bool ending; /* somebody was asked to end already */
};

static void victim_consider(struct context *c, void *arg) {
  struct victim *v = arg;
  v->ending = v->ending || (c->group->dying && c->space != NULL);
  struct space *s = c->group->pid == 1 ? NULL : context_space_get(c);
  if (s == NULL) {
    return;
  }
  struct space_stats st;
  space_stats_read(s, &st);
  space_put(s);
  if (v->context != NULL && st.n_private <= v->n_pages) {
    return;
  }
  if (v->context != NULL) {
    context_put(v->context);
  }
  context_get(c);
  v->context = c;
  v->n_pages = st.n_private;
}

static void victim_kill(const struct victim *v) {
  struct group *g = (v->context != NULL ? v->context : context_current())->group;
  log_printf("out of memory: process %u (%s), %lu KiB, is killed\n", g->pid, g->name,
             v->n_pages * (PAGE_SIZE / 1024));
  group_kill(g, SIGNAL_KILL);
}

/* How much has ended so far, and whether something is just ending. */
static bool endings_read(uint64_t *n) {
  *n = atomic_load(&context_n_released) + atomic_load(&space_n_ended);
  return atomic_load(&context_n_releasing) + atomic_load(&space_n_ending) != 0;
}

/* The second try comes after the first look at who is ending: else what was freed between the first
 * try and the look would be missed, and one process too many would go. */
static enum abi_error oom_resolve(struct context *c, const struct arch_fault *f) {
  struct victim v = {0};
  uint64_t before, after;
  bool ending = endings_read(&before);
  struct object_ref missing;
  enum abi_error e = space_fault_now(c->space, f->addr, f->write, f->exec, &missing);
  if (e == ABI_EAGAIN && memobj_is_lent(missing.obj)) {
    e = memobj_fetch(&missing, false);
  } else if (e == ABI_EAGAIN) { /* to wait for a page while others wait for us would do no good */
    memobj_put(missing.obj);
    return OK;
  }
  if (e != ABI_ENOMEM) {
    return e;
  }
  context_for_each(victim_consider, &v);
  ending = endings_read(&after) || ending || v.ending;
  if (!ending && before == after) {
    victim_kill(&v);
  }
  if (v.context != NULL) {
    context_put(v.context);
  }
  return ABI_ENOMEM;
}

/* Somebody looks at each fault of a space with a limit on what is there (mm/resident.c). Process 1
 * is spared here, too. */
bool memory_over(struct context *c) {
  struct group *g = c->group;
  uint64_t n_pages;
  if (g->pid == 1 || g->dying || !space_resident_over(c->space, &n_pages) || g->dying) {
    return false; /* who dies anyway still has words to write, to robust mutexes for one */
  }
  uint64_t most = space_get_limit(c->space, SPACE_LIMIT_RESIDENT).soft;
  log_printf("memory limit: process %u (%s), %lu KiB of %lu KiB, is killed\n", g->pid, g->name,
             n_pages * (PAGE_SIZE / 1024), most / 1024);
  group_kill(g, SIGNAL_KILL);
  return true;
}

/* One at a time: who looks at a space holds it, and would hide from another that it is ending. */
enum abi_error oom_fault(struct context *c, const struct arch_fault *f) {
  static atomic_flag busy = ATOMIC_FLAG_INIT;
  enum abi_error e = ABI_ENOMEM;
  if (!atomic_flag_test_and_set(&busy)) {
    e = oom_resolve(c, f);
    atomic_flag_clear(&busy);
  }
  if (e == ABI_ENOMEM) {
    sched_yield();
  }
  return e;
}
