/* How a context is scheduled: the step that sets it, and a file that says it and sets it.
 *
 *   policy fifo          other, fifo or rr
 *   priority 10          0 for other, else 1 (worst) to SCHED_ABI_RT_MOST
 *   nice 0               -20 (best) to 19
 *   affinity 0x3         CPU n is bit n
 *   slice_us 3000        not to be written
 *
 * A write takes such pairs of words, any of them; all are checked before anything changes, and what
 * is not named stays. Values are checked against rights and limits in one place, sched_step(). */
#include "lib/fmt.h"
#include "lib/string.h"
#include "scheme/proc_priv.h"

#define TEXT_MAX 256u

_Static_assert(SCHED_ABI_RT_MOST == SCHED_RT_MAX, "user space sees the scheduler's levels");

enum { WHICH_AFFINITY = 1, WHICH_NICE = 2, WHICH_POLICY = 4 };

static const char *const policy_names[] = {
    [SCHED_ABI_OTHER] = "other", [SCHED_ABI_FIFO] = "fifo", [SCHED_ABI_RR] = "rr"};

/* ---- the step ----------------------------------------------------------------------------- */

static bool policy_is_real_time(uint32_t policy) {
  return policy == SCHED_ABI_FIFO || policy == SCHED_ABI_RR;
}

static bool sched_is_valid(uint64_t which, uint64_t affinity, int64_t nice, uint32_t policy,
                           uint32_t priority) {
  if (which & WHICH_AFFINITY && (affinity & sched_online_mask()) == 0) {
    return false;
  }
  if (which & WHICH_NICE && (nice < -20 || nice > 19)) {
    return false;
  }
  bool level_ok =
      policy_is_real_time(policy) ? priority >= 1 && priority <= SCHED_ABI_RT_MOST : priority == 0;
  return !(which & WHICH_POLICY) || (policy <= SCHED_ABI_RR && level_ok);
}

/* What anybody may do: be nicer, leave real time, and within it step down. */
static enum abi_error sched_is_allowed(const struct thread *t, uint64_t which, int64_t nice,
                                       uint32_t policy, uint32_t priority) {
  if (context_current()->group->euid == 0) {
    return OK;
  }
  bool down = policy_is_real_time(t->policy) && priority <= t->rt_priority;
  if (which & WHICH_POLICY && policy_is_real_time(policy) && !down) {
    return ABI_EPERM;
  }
  return which & WHICH_NICE && nice < t->nice ? ABI_EACCES : OK;
}

int64_t sched_step(struct context *t, const struct proc_op *op) {
  struct thread *thread = &t->thread;
  uint32_t policy = (uint32_t)op->d, priority = (uint32_t)(op->d >> 32);
  int64_t nice = (int64_t)op->c;
  if (t->state == PROC_STATE_DEAD) {
    return -ABI_ESRCH;
  }
  if (!sched_is_valid(op->a, op->b, nice, policy, priority)) {
    return -ABI_EINVAL;
  }
  enum abi_error e = sched_is_allowed(thread, op->a, nice, policy, priority);
  if (e != OK) {
    return -(int64_t)e;
  }
  bool class = op->a & WHICH_POLICY;
  if (op->a & (WHICH_POLICY | WHICH_NICE)) {
    sched_set_policy(thread, class ? (uint8_t)policy : thread->policy,
                     class ? (uint8_t)priority : thread->rt_priority,
                     op->a & WHICH_NICE ? (int8_t)nice : thread->nice);
    futex_pi_refresh(t);
  }
  if (op->a & WHICH_AFFINITY) {
    sched_set_affinity(thread, op->b);
  }
  return 0;
}

/* ---- the file: reading -------------------------------------------------------------------- */

static int64_t sched_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  const struct thread *t = &((struct context *)f->object)->thread;
  char text[TEXT_MAX];
  size_t n = fmt_snprintf(text, sizeof(text),
                          "policy %s\npriority %u\nnice %d\naffinity 0x%lx\nslice_us %lu\n",
                          policy_names[t->policy], t->rt_priority, t->nice,
                          t->affinity & sched_online_mask(), sched_slice_ns(t) / 1000);
  return text_read(text, n, buf, len, offset);
}

/* ---- the file: writing -------------------------------------------------------------------- */

struct word {
  const char *text;
  size_t len;
};

static bool is_blank(char c) {
  return c == ' ' || c == '\n' || c == '\t';
}

/* The next word of what is left, which it leaves; empty at the end. */
static struct word word_next(struct word *rest) {
  while (rest->len > 0 && is_blank(*rest->text)) {
    rest->text++;
    rest->len--;
  }
  struct word w = {rest->text, 0};
  while (w.len < rest->len && !is_blank(w.text[w.len])) {
    w.len++;
  }
  rest->text += w.len;
  rest->len -= w.len;
  return w;
}

struct wanted {
  uint64_t which, affinity;
  int64_t nice;
  uint32_t policy, priority;
};

static bool policy_take(struct word value, struct wanted *w) {
  for (uint32_t i = 0; i < ARRAY_LEN(policy_names); i++) {
    if (name_is(value.text, value.len, policy_names[i])) {
      w->which |= WHICH_POLICY;
      w->policy = i;
      w->priority = policy_is_real_time(i) ? MAX(w->priority, 1u) : 0;
      return true;
    }
  }
  return false;
}

static bool field_take(struct word name, struct word value, struct wanted *w) {
  if (name_is(name.text, name.len, "policy")) {
    return policy_take(value, w);
  }
  bool negative = value.len > 0 && value.text[0] == '-';
  uint64_t number;
  if (!fmt_parse_u64(value.text + negative, value.len - negative, &number)) {
    return false;
  }
  if (name_is(name.text, name.len, "nice")) {
    w->which |= WHICH_NICE;
    w->nice = negative ? -(int64_t)MIN(number, 100ul) : (int64_t)MIN(number, 100ul);
    return true;
  }
  if (name_is(name.text, name.len, "priority")) {
    w->which |= WHICH_POLICY;
    w->priority = (uint32_t)MIN(number, 1000ul);
    return !negative;
  }
  w->which |= WHICH_AFFINITY;
  w->affinity = number;
  return !negative && name_is(name.text, name.len, "affinity");
}

static enum abi_error text_take(struct word text, struct wanted *w) {
  for (;;) {
    struct word name = word_next(&text);
    if (name.len == 0) {
      return w->which != 0 ? OK : ABI_EINVAL;
    }
    struct word value = word_next(&text);
    if (!field_take(name, value, w)) {
      return ABI_EINVAL;
    }
  }
}

static int64_t sched_write(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  struct context *t = f->object;
  char text[TEXT_MAX];
  if (len > sizeof(text)) {
    return -ABI_EINVAL;
  }
  enum abi_error e = group_may_control(context_current(), t->group) ? OK : ABI_EPERM;
  e = e == OK ? user_copy_in(text, buf, len) : e;
  struct wanted w = {.policy = t->thread.policy, .priority = t->thread.rt_priority};
  e = e == OK ? text_take((struct word){text, len}, &w) : e;
  if (e != OK) {
    return -(int64_t)e;
  }
  struct proc_op op = {.code = PROC_SCHED,
                       .a = w.which,
                       .b = w.affinity,
                       .c = (uint64_t)w.nice,
                       .d = w.policy | (uint64_t)w.priority << 32};
  int64_t r = sched_step(t, &op);
  return r < 0 ? r : (int64_t)len;
}

/* ---- the file ----------------------------------------------------------------------------- */

static void sched_close(struct file *f) {
  context_put(f->object);
}

static bool sched_stays(struct file *f) {
  return ((struct context *)f->object)->state == PROC_STATE_NEW;
}

static int64_t sched_call(struct file *f, const struct file_call *c) {
  const struct context *t = f->object;
  return c->op == OP_STAT ? stat_out(c, S_ABI_IFREG | 0600, t->id, 0) : -ABI_ENOTTY;
}

int64_t sched_file_create(struct context *target, struct file **out) {
  static const struct file_ops sched_ops = {.read = sched_read,
                                            .write = sched_write,
                                            .call = sched_call,
                                            .stays = sched_stays,
                                            .close = sched_close,
                                            .seekable = true};
  *out = file_create(&sched_ops, O_ABI_RDWR, target, 0);
  if (*out == NULL) {
    return -ABI_ENOMEM;
  }
  context_get(target);
  return 0;
}
