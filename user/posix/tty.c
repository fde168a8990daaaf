/* Terminals: what ioctl is for here. The terminal's server keeps the settings. */
#include <sys/ioctl.h>
#include <termios.h>

#include "posix/posix.h"

#define TERMIOS_SIZE 60u
#define TERMIOS_SET 1u

_Static_assert(sizeof(struct termios) == TERMIOS_SIZE, "abi/scheme_ops.def");

static long tty_size(int fd, void *user) {
  uint16_t got[4] = {0};
  int64_t result = sys_call(fd, OP_WINSIZE, got, 0, sizeof(got), 0);
  struct winsize size = {.ws_row = got[0], .ws_col = got[1]};
  return result < 0 ? result : user_put(user, &size, sizeof(size));
}

/* The kernel's own terminal structure of Linux is shorter than libc's: 36 bytes, without speeds. */
#define LINUX_TERMIOS_SIZE 36u

static long tty_get(int fd, void *user) {
  struct termios settings;
  int64_t result = sys_call(fd, OP_TERMIOS, &settings, 0, sizeof(settings), 0);
  return result < 0 ? result : user_put(user, &settings, LINUX_TERMIOS_SIZE);
}

static long tty_set(int fd, const void *user) {
  struct termios settings;
  int64_t result = sys_call(fd, OP_TERMIOS, &settings, 0, sizeof(settings), 0);
  if (result < 0 || user_get(&settings, user, LINUX_TERMIOS_SIZE) < 0) {
    return result < 0 ? result : -ABI_EFAULT;
  }
  result = sys_call(fd, OP_TERMIOS, &settings, sizeof(settings), 0, TERMIOS_SET);
  return result < 0 ? result : 0;
}

/* Bytes that can be read now are not counted anywhere: 1 stands for "some". */
static long input_waiting(int fd, void *user) {
  struct poll_fd poll = {fd, POLL_ABI_IN, 0};
  int64_t ready = sys_poll(&poll, 1, 0);
  int n = ready > 0;
  return ready < 0                      ? ready
         : poll.revents & POLL_ABI_NVAL ? -ABI_EBADF
                                        : user_put(user, &n, sizeof(n));
}

static long nonblock_set(int fd, const void *user) {
  int on = 0;
  int64_t flags = sys_fdctl(fd, FDCTL_GET_FILE, 0);
  if (flags < 0 || user_get(&on, user, sizeof(on)) < 0) {
    return flags < 0 ? flags : -ABI_EFAULT;
  }
  flags = on ? flags | O_ABI_NONBLOCK : flags & ~(int64_t)O_ABI_NONBLOCK;
  return sys_fdctl(fd, FDCTL_SET_FILE, (uint64_t)flags & (O_ABI_APPEND | O_ABI_NONBLOCK));
}

long call_ioctl(int fd, unsigned long request, void *arg) {
  if (fd < 0 || fd >= FD_UPPER) {
    return -ABI_EBADF;
  }
  switch (request) {
  case TIOCGWINSZ:
    return tty_size(fd, arg);
  case TCGETS:
    return tty_get(fd, arg);
  case TCSETS:
  case TCSETSW:
  case TCSETSF:
    return tty_set(fd, arg);
  case FIONREAD:
    return input_waiting(fd, arg);
  case FIONBIO:
    return nonblock_set(fd, arg);
  default:
    return sys_fdctl(fd, FDCTL_GET_FD, 0) < 0 ? -ABI_EBADF : -ABI_ENOTTY;
  }
}
