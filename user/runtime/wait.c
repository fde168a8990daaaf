/* Waiting for children: see process.h.
 *
 * A child is its context descriptor, in the upper file table: reading it waits for its death. A
 * wait for any child reads the only child's descriptor, or, from the second child on, an event
 * queue in which every child is registered; it is opened when first needed, so a process that waits
 * for one child at a time never has one. A wait for a process group or for stops polls the children
 * that it is for. Limits: it looks at the first WAIT_SOME_MOST of them; every stop is reported as
 * one by SIGSTOP; a thread that waits for "any" while there is one child does not notice one that
 * is born meanwhile. */
#include "lib/string.h"
#include "runtime/children.h"
#include "runtime/lock.h"
#include "runtime/process_priv.h"
#include "runtime/syscall.h"

#define WAIT_SOME_MOST 64u

static struct rt_lock lock;
static struct children children;    /* [lock] */
static int queue;                   /* [lock] event queue + 1, 0: none */
static uint64_t user_ns, system_ns; /* [lock] of the dead */

static const volatile uint64_t no_stop;

/* ---- the table ---------------------------------------------------------------------------- */

static void *memory_get(size_t bytes) {
  int64_t at = sys_mmap(0, bytes, PROT_ABI_READ | PROT_ABI_WRITE,
                        MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS, FD_NONE, 0);
  return at < 0 ? NULL : (void *)at;
}

static void memory_put(void *memory, size_t bytes) {
  (void)sys_munmap((uint64_t)memory, bytes);
}

static const struct children_memory memory = {memory_get, memory_put};

void children_lock(void) {
  rt_guard.enter();
  rt_lock_take(&lock);
}

void children_unlock(void) {
  rt_lock_drop(&lock);
  rt_guard.leave();
}

void children_forget(void) {
  if (children.n != 0 || children.slots) {
    memset(&children, 0, sizeof(children));
  }
  queue = 0;
  user_ns = system_ns = 0;
}

void children_reset(void) {
  children_clear(&children);
  queue = 0;
  user_ns = system_ns = 0;
  lock.word = 0;
  rt_guard.leave();
}

static int queue_register(struct child *child) {
  struct event_watch watch = {child->fd, POLL_ABI_IN, child->pid};
  int64_t done = sys_write(queue - 1, &watch, sizeof(watch));
  child->watched = done >= 0;
  return done < 0 ? (int)done : 0;
}

int children_adopt(uint32_t pid, int fd) {
  if (!children_add(&children, pid, fd, &memory)) {
    (void)sys_close(fd);
    return -ABI_ENOMEM;
  }
  return queue ? queue_register(children_find(&children, pid)) : 0;
}

int rt_child_fd(uint32_t pid) {
  children_lock();
  struct child *child = children_find(&children, pid);
  int fd = child ? child->fd : FD_NONE;
  children_unlock();
  return fd;
}

void rt_wait_times(uint64_t *user, uint64_t *system) {
  children_lock();
  *user = user_ns;
  *system = system_ns;
  children_unlock();
}

/* ---- one child ---------------------------------------------------------------------------- */

static void child_bury(const struct child *child, const struct proc_status *status) {
  children_lock();
  if (children_remove(&children, child->pid)) { /* another thread may have been faster */
    user_ns += status->user_ns;
    system_ns += status->system_ns;
    (void)sys_close(child->fd);
  }
  children_unlock();
}

static bool child_ready(const struct child *child) {
  struct poll_fd poll = {child->fd, POLL_ABI_IN, 0};
  return sys_poll(&poll, 1, 0) > 0;
}

/* Answers true once for each stop; *known says whether it is stopped. */
static bool child_stopped(const struct child *copy, struct proc_status *status, bool *known) {
  struct proc_attr attr;
  int64_t done = sys_call(copy->fd, OP_PROC_ATTR, &attr, 0, sizeof(attr), 0);
  bool stopped = done >= 0 && attr.state == PROC_STATE_STOPPED, report = false;
  children_lock();
  struct child *child = children_find(&children, copy->pid);
  if (child) {
    report = stopped && !child->stopped;
    child->stopped = stopped;
  }
  children_unlock();
  *known = stopped;
  if (report) {
    *status = (struct proc_status){.pid = copy->pid, .state = attr.state, .wstatus = 0x137f};
  }
  return report;
}

static int child_wait(const struct child *child, uint32_t flags, const volatile uint64_t *stop,
                      struct proc_status *status) {
  if ((flags & RT_WAIT_NOHANG) && !child_ready(child)) {
    return 0;
  }
  int64_t got =
      rt_block(stop, SYS_NR_read, (uint64_t)child->fd, (uint64_t)status, sizeof(*status), 0, 0, 0);
  if (got < 0) {
    return got == -ABI_EBADF ? -ABI_ECHILD : (int)got;
  }
  if (!(flags & RT_WAIT_KEEP)) {
    child_bury(child, status);
  }
  return (int)child->pid;
}

static int wait_pid(uint32_t pid, uint32_t flags, const volatile uint64_t *stop,
                    struct proc_status *status) {
  children_lock();
  struct child *found = children_find(&children, pid);
  struct child child = found ? *found : (struct child){0};
  children_unlock();
  return found ? child_wait(&child, flags, stop, status) : -ABI_ECHILD;
}

/* ---- any child ---------------------------------------------------------------------------- */

/* Opens the queue and puts all children into it. Under the lock. */
static int queue_open(void) {
  int64_t fd = sys_openat(FD_NS, "event:/", 7, RT_PRIVATE | O_ABI_RDWR, 0);
  size_t cursor = 0;
  int result = fd < 0 ? (int)fd : 0;
  queue = fd < 0 ? 0 : (int)fd + 1;
  for (struct child *c; result == 0 && (c = children_next(&children, &cursor));) {
    result = queue_register(c);
  }
  return result;
}

/* Answers 1 when there is one child and copies it; 0 when the queue must be read. */
static int any_prepare(struct child *only) {
  size_t cursor = 0;
  children_lock();
  int result = children.n == 0 ? -ABI_ECHILD : children.n == 1;
  if (result == 1) {
    *only = *children_next(&children, &cursor);
  } else if (result == 0 && queue == 0) {
    result = queue_open();
  }
  children_unlock();
  return result;
}

/* The pid of a dead child from the queue, 0 when NOHANG finds none. */
static int queue_read(uint32_t flags, const volatile uint64_t *stop) {
  struct event_ready ready;
  struct poll_fd poll = {queue - 1, POLL_ABI_IN, 0};
  if ((flags & RT_WAIT_NOHANG) && sys_poll(&poll, 1, 0) <= 0) {
    return 0;
  }
  int64_t got =
      rt_block(stop, SYS_NR_read, (uint64_t)poll.fd, (uint64_t)&ready, sizeof(ready), 0, 0, 0);
  return got < 0 ? (int)got : (int)ready.data;
}

static int wait_any(uint32_t flags, const volatile uint64_t *stop, struct proc_status *status) {
  struct child only;
  for (;;) {
    int result = any_prepare(&only);
    if (result == 1) {
      return child_wait(&only, flags, stop, status);
    }
    int pid = result < 0 ? result : queue_read(flags, stop);
    if (pid <= 0) {
      return pid;
    }
    result = wait_pid((uint32_t)pid, flags | RT_WAIT_NOHANG, stop, status);
    if (result != 0 && result != -ABI_ECHILD) { /* else another thread has taken it */
      return result;
    }
  }
}

/* ---- some of them ------------------------------------------------------------------------- */

/* Which children a wait is for: one pid, one process group, or all when both are 0. */
struct filter {
  uint32_t pid, pgid;
};

struct candidates {
  struct child children[WAIT_SOME_MOST];
  struct poll_fd polls[WAIT_SOME_MOST];
  size_t n;
};

static bool filter_accepts(const struct filter *filter, const struct child *child) {
  struct proc_attr attr;
  if (filter->pid != 0) {
    return child->pid == filter->pid;
  }
  return filter->pgid == 0 || (sys_call(child->fd, OP_PROC_ATTR, &attr, 0, sizeof(attr), 0) >= 0 &&
                               attr.pgid == filter->pgid);
}

static void candidates_collect(struct candidates *some, const struct filter *filter) {
  size_t cursor = 0;
  some->n = 0;
  children_lock();
  for (struct child *c; some->n < WAIT_SOME_MOST && (c = children_next(&children, &cursor));) {
    if (filter_accepts(filter, c)) {
      some->children[some->n++] = *c;
    }
  }
  children_unlock();
}

/* A child that has stopped and was not reported, else 0. One whose stop is known already is watched
 * for its end only: a stop lasts, and would be reported over and over. */
static int candidates_stopped(struct candidates *some, uint32_t flags, struct proc_status *status) {
  for (size_t i = 0; i < some->n; i++) {
    bool wanted = flags & RT_WAIT_STOPPED, known = false;
    if (wanted && child_stopped(&some->children[i], status, &known)) {
      return (int)some->children[i].pid;
    }
    uint16_t events = wanted && !known ? POLL_ABI_IN | POLL_ABI_PRI : POLL_ABI_IN;
    some->polls[i] = (struct poll_fd){some->children[i].fd, events, 0};
  }
  return 0;
}

/* One that has ended, 0 when another thread was faster or it only stopped. */
static int candidates_reap(const struct candidates *some, uint32_t flags,
                           const volatile uint64_t *stop, struct proc_status *status) {
  for (size_t i = 0; i < some->n; i++) {
    if (some->polls[i].revents & POLL_ABI_IN) {
      int result = wait_pid(some->children[i].pid, flags | RT_WAIT_NOHANG, stop, status);
      if (result != 0 && result != -ABI_ECHILD) {
        return result;
      }
    }
  }
  return 0;
}

static int wait_some(const struct filter *filter, uint32_t flags, const volatile uint64_t *stop,
                     struct proc_status *status) {
  struct candidates some;
  for (;;) {
    candidates_collect(&some, filter);
    if (some.n == 0) {
      return -ABI_ECHILD;
    }
    int result = candidates_stopped(&some, flags, status);
    if (result != 0) {
      return result;
    }
    uint64_t deadline = flags & RT_WAIT_NOHANG ? 0 : NO_DEADLINE;
    int64_t ready = rt_block(stop, SYS_NR_poll, (uint64_t)some.polls, some.n, deadline, 0, 0, 0);
    result = ready <= 0 ? (int)ready : candidates_reap(&some, flags, stop, status);
    if (ready <= 0 || result != 0) {
      return result;
    }
  }
}

static uint32_t own_group(void) {
  struct proc_attr attr = {0};
  (void)sys_call(FD_SELF, OP_PROC_ATTR, &attr, 0, sizeof(attr), 0); /* of ourselves: cannot fail */
  return attr.pgid;
}

int rt_wait(int pid, uint32_t flags, const volatile uint64_t *stop, struct proc_status *status) {
  stop = stop ? stop : &no_stop;
  if (!(flags & RT_WAIT_STOPPED) && pid > 0) {
    return wait_pid((uint32_t)pid, flags, stop, status);
  }
  if (!(flags & RT_WAIT_STOPPED) && pid == -1) {
    return wait_any(flags, stop, status);
  }
  struct filter filter = {.pid = pid > 0 ? (uint32_t)pid : 0,
                          .pgid = pid == 0   ? own_group()
                                  : pid < -1 ? (uint32_t)-pid
                                             : 0};
  return wait_some(&filter, flags, stop, status);
}
