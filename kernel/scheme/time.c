/* time: timers as files. `time:` and `time:/monotonic` open one on the monotonic clock,
 * `time:/realtime` one that counts from 1970. It is set, asked and bound to a signal by OP_TIME_*;
 * a read answers how often it has expired since the last one.
 *
 *   IDLE --set--> ARMED --time_fire()--> EXPIRED --time_collect()--> IDLE, or ARMED when periodic
 *     ^-------------- set to 0, from any state --------------/
 *
 * A timer fires once and then waits to be collected: one that nobody reads costs one interrupt,
 * whatever its interval is. Collecting counts the expiries that were due by now, and arms the next
 * one; deadlines are sums of the first and whole intervals, so that lateness is never passed on
 * [T1].
 *
 * Locks: TIMER_FILE guards the setting and is held while arming, so it comes before the wheel.
 * time_fire() has the wheel locked and touches only `expired`, the wait queue, and what is constant
 * while armed [T2]; it posts signals, which is why a wheel comes before a process. */
#include "base/clock.h"
#include "lib/string.h"
#include "scheme/scheme.h"

#define LATEST_NS (NO_DEADLINE - 1)

struct time_file {
  struct timer timer;      /* first */
  struct spinlock lock;    /* TIMER_FILE */
  struct waitq waitq;      /* woken when it has expired */
  bool realtime;           /* [c] */
  _Atomic bool expired;    /* [a] next_ns has been due and is not collected */
  uint64_t next_ns;        /* [TIMER_FILE] monotonic, NO_DEADLINE: not armed */
  uint64_t interval_ns;    /* [TIMER_FILE] 0: once */
  uint32_t signo;          /* [TIMER_FILE] [T2] posted when it expires, 0: none */
  struct group *group;     /* [TIMER_FILE] [T2] to whom, a reference; NULL without a signal */
  struct context *context; /* [TIMER_FILE] [T2] to this one alone, a reference; or NULL */
};

static struct kcache time_cache = KCACHE_OF(struct time_file, "time");

/* ---- the timer ---------------------------------------------------------------------------- */

static uint64_t deadline_add(uint64_t from_ns, uint64_t ns) {
  uint64_t sum;
  return __builtin_add_overflow(from_ns, ns, &sum) ? LATEST_NS : MIN(sum, LATEST_NS);
}

/* With the wheel locked. */
static void time_fire(struct timer *t) {
  struct time_file *tf = (struct time_file *)t;
  atomic_store(&tf->expired, true);
  waitq_wake(&tf->waitq);
  if (tf->signo != 0) {
    enum abi_error e = tf->context != NULL ? signal_post_thread(tf->context, tf->signo, 0)
                                           : signal_post(tf->group, tf->signo, 0);
    (void)e; /* whoever is gone needs no signal */
  }
}

static void time_arm(struct time_file *tf, uint64_t next_ns) HOLDS(&tf->lock) {
  atomic_store(&tf->expired, false);
  tf->next_ns = next_ns;
  if (next_ns != NO_DEADLINE) {
    timer_arm(&tf->timer, next_ns);
  }
}

/* [T1] The expiries until now; 0 when it has not fired. */
static uint64_t time_collect(struct time_file *tf) HOLDS(&tf->lock) {
  if (!atomic_load(&tf->expired)) {
    return 0;
  }
  if (tf->interval_ns == 0) {
    time_arm(tf, NO_DEADLINE);
    return 1;
  }
  uint64_t now = clock_now();
  uint64_t n = 1 + (now > tf->next_ns ? now - tf->next_ns : 0) / tf->interval_ns;
  uint64_t ahead;
  if (__builtin_mul_overflow(n, tf->interval_ns, &ahead)) {
    ahead = LATEST_NS;
  }
  time_arm(tf, deadline_add(tf->next_ns, ahead));
  return n;
}

/* Until the next expiry. One that is due but has not fired is at the door: 1 ns. */
static uint64_t time_left(struct time_file *tf) HOLDS(&tf->lock) {
  uint64_t now = clock_now();
  if (tf->next_ns == NO_DEADLINE) {
    return 0;
  }
  if (now < tf->next_ns) {
    return tf->next_ns - now;
  }
  if (!atomic_load(&tf->expired)) {
    return 1;
  }
  return tf->interval_ns == 0 ? 0 : tf->interval_ns - (now - tf->next_ns) % tf->interval_ns;
}

/* The monotonic deadline that a setting names. */
static uint64_t time_deadline(const struct time_file *tf, uint64_t value_ns, bool absolute) {
  if (value_ns == 0) {
    return NO_DEADLINE;
  }
  if (!absolute) {
    return deadline_add(clock_now(), value_ns);
  }
  uint64_t offset = tf->realtime ? (uint64_t)clock_abi.realtime_offset_ns : 0;
  return MIN(value_ns > offset ? value_ns - offset : 0, LATEST_NS);
}

/* ---- operations --------------------------------------------------------------------------- */

static int64_t time_set(struct time_file *tf, const struct file_call *c) {
  struct time_setting wanted, old;
  if (c->in_len != sizeof(wanted) || c->arg & ~(uint64_t)TIME_ABSOLUTE) {
    return -ABI_EINVAL;
  }
  enum abi_error e = user_copy_in(&wanted, c->in, sizeof(wanted));
  if (e != OK) {
    return -(int64_t)e;
  }
  spin_lock(&tf->lock);
  old = (struct time_setting){time_left(tf), tf->interval_ns};
  timer_cancel(&tf->timer);
  tf->interval_ns = wanted.value_ns != 0 ? wanted.interval_ns : 0;
  time_arm(tf, time_deadline(tf, wanted.value_ns, c->arg & TIME_ABSOLUTE));
  spin_unlock(&tf->lock);
  return c->out_cap < sizeof(old) ? 0 : -(int64_t)user_copy_out(c->out, &old, sizeof(old));
}

static int64_t time_get(struct time_file *tf, const struct file_call *c) {
  if (c->out_cap < sizeof(struct time_setting)) {
    return -ABI_EINVAL;
  }
  spin_lock(&tf->lock);
  struct time_setting now = {time_left(tf), tf->interval_ns};
  spin_unlock(&tf->lock);
  return -(int64_t)user_copy_out(c->out, &now, sizeof(now));
}

/* A thread of the caller's process by its id, with a reference; NULL for id 0. */
static enum abi_error receiver_find(uint32_t id, struct context **out) {
  struct context *c = id != 0 ? context_find(id) : NULL;
  *out = c;
  if (id == 0 || (c != NULL && c->group == context_current()->group)) {
    return OK;
  }
  if (c != NULL) {
    context_put(c);
  }
  return ABI_ESRCH;
}

/* [T2] Once, before it is ever armed. */
static int64_t time_signal(struct time_file *tf, const struct file_call *c) {
  uint32_t signo = (uint32_t)c->arg;
  struct context *receiver;
  if (signo == 0 || signo > SIGNAL_MAX) {
    return -ABI_EINVAL;
  }
  enum abi_error e = receiver_find((uint32_t)(c->arg >> 32), &receiver);
  if (e != OK) {
    return -(int64_t)e;
  }
  spin_lock(&tf->lock);
  bool ok = tf->next_ns == NO_DEADLINE && tf->signo == 0;
  if (ok) {
    tf->signo = signo;
    tf->context = receiver;
    tf->group = context_current()->group;
    group_get(tf->group);
  }
  spin_unlock(&tf->lock);
  if (!ok && receiver != NULL) {
    context_put(receiver);
  }
  return ok ? 0 : -ABI_EBUSY;
}

static int64_t time_call(struct file *f, const struct file_call *c) {
  switch (c->op) {
  case OP_TIME_SET:
    return time_set(f->object, c);
  case OP_TIME_GET:
    return time_get(f->object, c);
  case OP_TIME_SIGNAL:
    return time_signal(f->object, c);
  case OP_STAT:
    return stat_out(c, S_ABI_IFREG | 0600, 0, 0);
  default:
    return -ABI_ENOTTY;
  }
}

static bool time_is_expired(void *arg) {
  return atomic_load(&((struct time_file *)arg)->expired);
}

static int64_t time_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  struct time_file *tf = f->object;
  if (len < sizeof(uint64_t)) {
    return -ABI_EINVAL;
  }
  for (;;) {
    spin_lock(&tf->lock);
    uint64_t n = time_collect(tf);
    spin_unlock(&tf->lock);
    if (n > 0) {
      enum abi_error e = user_copy_out(buf, &n, sizeof(n));
      return e == OK ? (int64_t)sizeof(n) : -(int64_t)e;
    }
    enum abi_error e =
        file_is_nonblock(f) ? ABI_EAGAIN : wait_until(&tf->waitq, time_is_expired, tf, NO_DEADLINE);
    if (e != OK) {
      return -(int64_t)e;
    }
  }
}

static uint32_t time_poll(struct file *f, uint32_t events) {
  return time_is_expired(f->object) ? events & POLL_ABI_IN : 0;
}

static struct waitq *time_waitq(struct file *f) {
  return &((struct time_file *)f->object)->waitq;
}

static void time_free(struct time_file *tf) {
  if (tf->context != NULL) {
    context_put(tf->context);
  }
  if (tf->group != NULL) {
    group_put(tf->group);
  }
  kcache_free(&time_cache, tf);
}

static void time_close(struct file *f) {
  struct time_file *tf = f->object;
  timer_cancel(&tf->timer);
  time_free(tf);
}

static const struct file_ops time_ops = {
    .read = time_read,
    .call = time_call,
    .poll = time_poll,
    .waitq = time_waitq,
    .close = time_close,
};

/* ---- opening ------------------------------------------------------------------------------ */

static struct time_file *time_create(bool realtime) {
  struct time_file *tf = kcache_alloc_zeroed(&time_cache);
  if (tf != NULL) {
    timer_init(&tf->timer, time_fire);
    spin_init(&tf->lock, RANK_TIMER_FILE);
    waitq_init(&tf->waitq);
    tf->realtime = realtime;
    tf->next_ns = NO_DEADLINE;
  }
  return tf;
}

static int64_t time_open(struct file *dir, const char *path, size_t len, uint32_t flags,
                         uint32_t mode, struct file **out) {
  (void)dir;
  (void)mode;
  bool realtime = name_is(path, len, "realtime");
  if (len != 0 && !realtime && !name_is(path, len, "monotonic")) {
    return -ABI_ENOENT;
  }
  struct time_file *tf = time_create(realtime);
  *out = tf != NULL ? file_create(&time_ops, (flags & O_ABI_NONBLOCK) | O_ABI_RDWR, tf, 0) : NULL;
  if (*out == NULL && tf != NULL) {
    time_free(tf);
  }
  return *out != NULL ? 0 : -ABI_ENOMEM;
}

void time_scheme_init(void) {
  static const struct file_ops root_ops = {.open = time_open};
  scheme_add_kernel("time", &root_ops);
}
