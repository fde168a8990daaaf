/* time: timers as files. Writing {first_ns, interval_ns} (absolute monotonic, 0 = off) arms;
 * reading waits for the next expiry and answers how often it has expired since (uint64_t); readable
 * when that is not 0. The next expiry of a periodic timer is counted from the last one that was
 * due: it does not drift. */
#include "base/clock.h"
#include "scheme/scheme.h"

struct time_setting {
  uint64_t first_ns, interval_ns;
};

struct time_file {
  struct timer timer;   /* first */
  struct spinlock lock; /* PIPE: setting and expired */
  struct waitq waitq;
  struct time_setting setting;
  uint64_t expired;
};

static struct kcache time_cache = KCACHE_OF(struct time_file, "time");

/* With the wheel locked: only counts and wakes; the reader arms the timer again. */
static void time_fire(struct timer *t) {
  struct time_file *tf = (struct time_file *)t;
  __atomic_fetch_add(&tf->expired, 1, __ATOMIC_RELEASE);
  waitq_wake(&tf->waitq);
}

static bool time_is_ready(void *arg) {
  return __atomic_load_n(&((struct time_file *)arg)->expired, __ATOMIC_ACQUIRE) != 0;
}

/* Expiries that were due by now, and the next one armed. */
static uint64_t time_collect(struct time_file *tf) {
  uint64_t n = __atomic_exchange_n(&tf->expired, 0, __ATOMIC_ACQ_REL);
  if (n == 0 || tf->setting.interval_ns == 0) {
    return n;
  }
  uint64_t now = clock_now();
  uint64_t late = now > tf->setting.first_ns ? now - tf->setting.first_ns : 0;
  n = 1 + late / tf->setting.interval_ns;
  tf->setting.first_ns += n * tf->setting.interval_ns;
  timer_arm(&tf->timer, tf->setting.first_ns);
  return n;
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
        file_is_nonblock(f) ? ABI_EAGAIN : wait_until(&tf->waitq, time_is_ready, tf, NO_DEADLINE);
    if (e != OK) {
      return -(int64_t)e;
    }
  }
}

static int64_t time_write(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)offset;
  struct time_file *tf = f->object;
  struct time_setting setting;
  enum abi_error e = len == sizeof(setting) ? user_copy_in(&setting, buf, len) : ABI_EINVAL;
  if (e != OK) {
    return -(int64_t)e;
  }
  spin_lock(&tf->lock);
  timer_cancel(&tf->timer);
  tf->setting = setting;
  __atomic_store_n(&tf->expired, 0, __ATOMIC_RELEASE);
  if (setting.first_ns != 0) {
    timer_arm(&tf->timer, setting.first_ns);
  }
  spin_unlock(&tf->lock);
  return (int64_t)len;
}

static uint32_t time_poll(struct file *f, uint32_t events) {
  return time_is_ready(f->object) ? events & POLL_ABI_IN : 0;
}

static struct waitq *time_waitq(struct file *f) {
  return &((struct time_file *)f->object)->waitq;
}

static void time_close(struct file *f) {
  struct time_file *tf = f->object;
  timer_cancel(&tf->timer);
  kcache_free(&time_cache, tf);
}

static const struct file_ops time_ops = {.read = time_read,
                                         .write = time_write,
                                         .poll = time_poll,
                                         .waitq = time_waitq,
                                         .close = time_close};

static int64_t time_open(struct file *dir, const char *path, size_t len, uint32_t flags,
                         uint32_t mode, struct file **out) {
  (void)dir;
  (void)path;
  (void)mode;
  if (len != 0) {
    return -ABI_ENOENT;
  }
  struct time_file *tf = kcache_alloc_zeroed(&time_cache);
  *out = tf != NULL ? file_create(&time_ops, (flags & O_ABI_NONBLOCK) | O_ABI_RDWR, tf, 0) : NULL;
  if (*out == NULL) {
    if (tf != NULL) {
      kcache_free(&time_cache, tf);
    }
    return -ABI_ENOMEM;
  }
  timer_init(&tf->timer, time_fire);
  spin_init(&tf->lock, RANK_PIPE);
  waitq_init(&tf->waitq);
  return 0;
}

void time_scheme_init(void) {
  static const struct file_ops root_ops = {.open = time_open};
  scheme_add_kernel("time", &root_ops);
}
