/* Waiting for descriptors: poll, select, epoll. struct pollfd is the kernel's own poll_fd, and an
 * epoll descriptor is an event queue (event:), level-triggered as that is. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

#include "posix/posix.h"

_Static_assert(sizeof(struct pollfd) == sizeof(struct poll_fd), "the same structure");
_Static_assert(POLLIN == POLL_ABI_IN && POLLOUT == POLL_ABI_OUT && POLLERR == POLL_ABI_ERR &&
                   POLLHUP == POLL_ABI_HUP && POLLNVAL == POLL_ABI_NVAL,
               "the same bits");
_Static_assert(EPOLLIN == POLL_ABI_IN && EPOLLOUT == POLL_ABI_OUT, "the same bits");

#define POLL_MOST 65536ul /* descriptors in one call */

/* ---- poll --------------------------------------------------------------------------------- */

/* A wait under another signal mask, if one is given; handlers run before the mask is put back. */
static long poll_masked(void *fds, unsigned long n, uint64_t deadline,
                        const unsigned long *user_mask) {
  unsigned long mask;
  if (n > POLL_MOST) {
    return -ABI_EINVAL;
  }
  if (!user_mask) {
    return posix_wait(SYS_NR_poll, (uint64_t)fds, n, deadline, 0);
  }
  if (user_get(&mask, user_mask, sizeof(mask)) < 0) {
    return -ABI_EFAULT;
  }
  posix_self.handled = 0;
  uint64_t old = posix_mask_swap(mask);
  int64_t result = posix_self.handled ? -ABI_EINTR
                                      : rt_block(&posix_self.handled, SYS_NR_poll, (uint64_t)fds, n,
                                                 deadline, 0, 0, 0);
  (void)posix_mask_swap(old);
  return result;
}

long call_poll(struct pollfd *fds, unsigned long n, int timeout_ms) {
  uint64_t deadline = timeout_ms < 0 ? NO_DEADLINE : posix_deadline_ms(timeout_ms);
  return poll_masked(fds, n, deadline, NULL);
}

long call_ppoll(struct pollfd *fds, unsigned long n, const struct timespec *timeout,
                const unsigned long *mask, size_t size) {
  uint64_t deadline;
  if (mask && size != sizeof(*mask)) {
    return -ABI_EINVAL;
  }
  int64_t result = posix_deadline(timeout, &deadline);
  return result < 0 ? result : poll_masked(fds, n, deadline, mask);
}

/* ---- select ------------------------------------------------------------------------------- */

#define SET_WORDS (FD_SETSIZE / 64)

struct sets {
  uint64_t words[3][SET_WORDS]; /* readable, writable, exceptional */
  struct poll_fd polls[FD_SETSIZE];
  size_t n_polls;
};

static int64_t sets_take(struct sets *sets, int n, unsigned long *const *user) {
  size_t bytes = ((size_t)n + 63) / 64 * 8;
  memset(sets->words, 0, sizeof(sets->words));
  for (int i = 0; i < 3; i++) {
    if (user[i] && user_get(sets->words[i], user[i], bytes) < 0) {
      return -ABI_EFAULT;
    }
  }
  return 0;
}

static bool set_has(const uint64_t *words, int fd) {
  return (words[fd / 64] >> (fd % 64)) & 1;
}

static void sets_to_polls(struct sets *sets, int n) {
  sets->n_polls = 0;
  for (int fd = 0; fd < n; fd++) {
    uint16_t events = (uint16_t)((set_has(sets->words[0], fd) ? POLL_ABI_IN : 0) |
                                 (set_has(sets->words[1], fd) ? POLL_ABI_OUT : 0));
    if (events != 0 || set_has(sets->words[2], fd)) {
      sets->polls[sets->n_polls++] = (struct poll_fd){fd, events, 0};
    }
  }
}

/* End of file and errors make a descriptor readable and writable. Answers how many bits are set. */
static long polls_to_sets(struct sets *sets) {
  static const uint16_t meaning[2] = {POLL_ABI_IN | POLL_ABI_HUP | POLL_ABI_ERR,
                                      POLL_ABI_OUT | POLL_ABI_ERR};
  uint64_t wanted[2][SET_WORDS];
  long n = 0;
  memcpy(wanted, sets->words, sizeof(wanted));
  memset(sets->words, 0, sizeof(sets->words));
  for (size_t i = 0; i < sets->n_polls; i++) {
    const struct poll_fd *p = &sets->polls[i];
    if (p->revents & POLL_ABI_NVAL) {
      return -ABI_EBADF;
    }
    for (int k = 0; k < 2; k++) {
      if ((p->revents & meaning[k]) && set_has(wanted[k], p->fd)) {
        sets->words[k][p->fd / 64] |= 1ull << (p->fd % 64);
        n++;
      }
    }
  }
  return n;
}

static long select_until(int n, unsigned long *const *user, uint64_t deadline,
                         const unsigned long *mask) {
  struct sets sets;
  if (n < 0 || n > FD_SETSIZE) {
    return -ABI_EINVAL;
  }
  int64_t result = sets_take(&sets, n, user);
  if (result < 0) {
    return result;
  }
  sets_to_polls(&sets, n);
  result = poll_masked(sets.polls, sets.n_polls, deadline, mask);
  result = result < 0 ? result : polls_to_sets(&sets);
  for (int i = 0; result >= 0 && i < 3; i++) {
    if (user[i] && user_put(user[i], sets.words[i], ((size_t)n + 63) / 64 * 8) < 0) {
      return -ABI_EFAULT;
    }
  }
  return result;
}

long call_pselect6(int n, unsigned long *in, unsigned long *out, unsigned long *except,
                   const struct timespec *timeout, const void *mask_and_size) {
  struct {
    const unsigned long *mask;
    size_t size;
  } given = {NULL, 0};
  uint64_t deadline;
  if (mask_and_size && user_get(&given, mask_and_size, sizeof(given)) < 0) {
    return -ABI_EFAULT;
  }
  int64_t result = posix_deadline(timeout, &deadline);
  return result < 0
             ? result
             : select_until(n, (unsigned long *const[]){in, out, except}, deadline, given.mask);
}

long call_select(int n, unsigned long *in, unsigned long *out, unsigned long *except,
                 struct timeval *timeout) {
  struct timeval tv;
  struct timespec ts;
  uint64_t deadline;
  if (timeout && user_get(&tv, timeout, sizeof(tv)) < 0) {
    return -ABI_EFAULT;
  }
  if (timeout) {
    ts = (struct timespec){.tv_sec = tv.tv_sec + tv.tv_usec / 1000000,
                           .tv_nsec = tv.tv_usec % 1000000 * 1000};
  }
  int64_t result = posix_deadline(timeout ? &ts : NULL, &deadline);
  return result < 0 ? result
                    : select_until(n, (unsigned long *const[]){in, out, except}, deadline, NULL);
}

/* ---- epoll -------------------------------------------------------------------------------- */

#define EPOLL_KNOWN (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP | EPOLLPRI)
#define EPOLL_BATCH 32

long call_epoll_create1(int flags) {
  if (flags & ~EPOLL_CLOEXEC) {
    return -ABI_EINVAL;
  }
  return sys_openat(FD_NS, "event:/", 7, ((uint32_t)flags & O_ABI_CLOEXEC) | O_ABI_RDWR, 0);
}

long call_epoll_create(int size) {
  return size <= 0 ? -ABI_EINVAL : call_epoll_create1(0);
}

/* Edge-triggered and one-shot events are refused: the queue has neither. */
long call_epoll_ctl(int fd, int op, int target, struct epoll_event *user) {
  struct epoll_event event = {0};
  if (op != EPOLL_CTL_DEL) {
    if (user_get(&event, user, sizeof(event)) < 0) {
      return -ABI_EFAULT;
    }
    if ((event.events & ~(uint32_t)EPOLL_KNOWN) || (op != EPOLL_CTL_ADD && op != EPOLL_CTL_MOD)) {
      return -ABI_EINVAL;
    }
  }
  uint32_t both = POLL_ABI_ERR | POLL_ABI_HUP;
  struct event_watch watch = {target, op == EPOLL_CTL_DEL ? 0 : event.events | both,
                              event.data.u64};
  int64_t done = sys_write(fd, &watch, sizeof(watch));
  return done < 0 ? done : 0;
}

static long epoll_take(int fd, struct epoll_event *user, int n) {
  struct event_ready ready[EPOLL_BATCH];
  n = n < EPOLL_BATCH ? n : EPOLL_BATCH;
  int64_t got = sys_read(fd, ready, (size_t)n * sizeof(ready[0]));
  if (got < 0) {
    return got;
  }
  n = (int)((size_t)got / sizeof(ready[0]));
  for (int i = 0; i < n; i++) {
    struct epoll_event event = {.events = ready[i].events, .data.u64 = ready[i].data};
    if (user_put(&user[i], &event, sizeof(event)) < 0) {
      return -ABI_EFAULT;
    }
  }
  return n;
}

long call_epoll_pwait(int fd, struct epoll_event *events, int n, int timeout_ms,
                      const unsigned long *mask, size_t size) {
  struct poll_fd poll = {fd, POLL_ABI_IN, 0};
  if (n <= 0 || (mask && size != sizeof(*mask))) {
    return -ABI_EINVAL;
  }
  long ready = poll_masked(&poll, 1, posix_deadline_ms(timeout_ms), mask);
  if (ready <= 0) {
    return ready;
  }
  return poll.revents & POLL_ABI_NVAL ? -ABI_EBADF : epoll_take(fd, events, n);
}

long call_epoll_wait(int fd, struct epoll_event *events, int n, int timeout_ms) {
  return call_epoll_pwait(fd, events, n, timeout_ms, NULL, 0);
}
