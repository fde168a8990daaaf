/* The tty: server's program: one terminal, on the machine's serial console.
 *
 * One thread, two sources: the ring, and debug:console. Reads that find nothing wait in `readers`,
 * in order. All opens are the same terminal. Started by init for the interactive shell; says that
 * it serves by one byte on descriptor 3. Limits: no job control (a background process may read),
 * the terminal polls as always ready, no window size but the one assumed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/abi.h"
#include "runtime/server.h"
#include "runtime/syscall.h"
#include "runtime/tty_ops.h"
#include "servers/tty/ldisc.h"

#define READY_FD 3
#define FILE_ID 1 /* all opens are the same terminal */
#define ROWS 24u
#define COLUMNS 80u

_Static_assert(sizeof(struct termios) == 60, "what OP_TERMIOS carries");

struct reader {
  uint32_t tag, cap;
};

struct tty {
  struct ldisc ldisc;
  struct server server;
  int console;
  uint32_t group; /* foreground process group */
  struct reader readers[RING_TAGS];
  uint32_t n_readers;
};

static struct tty *server_tty(const struct server *server) {
  return server->context;
}

/* ---- the console -------------------------------------------------------------------------- */

/* Nobody is left to tell when the console fails; the bytes are lost, as on an unplugged cable. */
static void console_write(const struct tty *tty, const uint8_t *bytes, size_t n) {
  while (n > 0) {
    int64_t done = sys_write(tty->console, bytes, n);
    if (done <= 0) {
      return;
    }
    bytes += done;
    n -= (size_t)done;
  }
}

/* A group that is empty by now has no process that could miss the signal. */
static void group_signal(const struct tty *tty, int signal) {
  struct proc_op op = {.code = PROC_SIGNAL_GROUP, .a = (uint64_t)signal, .b = tty->group};
  if (tty->group != 0) {
    (void)sys_call(FD_SELF, OP_PROC_APPLY, &op, sizeof(op), 0, 0);
  }
}

/* ---- readers ------------------------------------------------------------------------------ */

static void reader_remove(struct tty *tty, uint32_t index) {
  tty->n_readers--;
  memmove(&tty->readers[index], &tty->readers[index + 1],
          (tty->n_readers - index) * sizeof(tty->readers[0]));
}

static void readers_serve(struct tty *tty) {
  while (tty->n_readers > 0 && ldisc_readable(&tty->ldisc)) {
    struct reader reader = tty->readers[0];
    reader_remove(tty, 0);
    uint8_t *slot = tty->server.slots + (size_t)reader.tag * RING_SLOT_SIZE;
    server_reply(&tty->server, reader.tag, (int64_t)ldisc_read(&tty->ldisc, slot, reader.cap));
  }
}

/* False when the console has ended. */
static bool console_input(struct tty *tty) {
  static struct ldisc_effects effects;
  uint8_t bytes[256];
  int64_t n = sys_read(tty->console, bytes, sizeof(bytes));
  for (int64_t i = 0; i < n; i++) {
    ldisc_input(&tty->ldisc, bytes[i], &effects);
    console_write(tty, effects.echo, effects.n_echo);
    if (effects.signal) {
      group_signal(tty, effects.signal);
    }
  }
  readers_serve(tty);
  return n > 0 || n == -ABI_EAGAIN || n == -ABI_EINTR;
}

/* ---- operations --------------------------------------------------------------------------- */

static int64_t on_open(struct server *server, struct server_request *request) {
  (void)server;
  return request->sqe.in_len > 0 ? -ABI_ENOENT : FILE_ID;
}

static int64_t on_read(struct server *server, struct server_request *request) {
  struct tty *tty = server_tty(server);
  if (tty->n_readers == 0 && ldisc_readable(&tty->ldisc)) {
    return (int64_t)ldisc_read(&tty->ldisc, request->slot, request->sqe.out_cap);
  }
  if (request->sqe.arg2 & O_ABI_NONBLOCK) {
    return -ABI_EAGAIN;
  }
  tty->readers[tty->n_readers++] = (struct reader){request->sqe.tag, request->sqe.out_cap};
  return SERVER_LATER; /* no more readers than tags [V2] */
}

static int64_t on_cancel(struct server *server, struct server_request *request) {
  struct tty *tty = server_tty(server);
  for (uint32_t i = 0; i < tty->n_readers; i++) {
    if (tty->readers[i].tag == request->sqe.arg) {
      reader_remove(tty, i);
      server_reply(server, (uint32_t)request->sqe.arg, -ABI_ECANCELED);
      break;
    }
  }
  return 0;
}

static int64_t on_write(struct server *server, struct server_request *request) {
  struct tty *tty = server_tty(server);
  static uint8_t out[2 * RING_SLOT_SIZE];
  console_write(tty, out, ldisc_output(&tty->ldisc, request->slot, request->sqe.in_len, out));
  return request->sqe.in_len;
}

static int64_t on_stat(struct server *server, struct server_request *request) {
  (void)server;
  if (request->sqe.out_cap < sizeof(struct abi_stat)) {
    return -ABI_EINVAL;
  }
  struct abi_stat stat = {.dev = 3, .ino = 1, .mode = S_ABI_IFCHR | 0620, .nlink = 1};
  memcpy(request->slot, &stat, sizeof(stat));
  return sizeof(stat);
}

static int64_t on_path(struct server *server, struct server_request *request) {
  (void)server;
  static const char path[] = {'t', 't', 'y', ':', '/'};
  if (request->sqe.out_cap < sizeof(path)) {
    return -ABI_ERANGE;
  }
  memcpy(request->slot, path, sizeof(path));
  return sizeof(path);
}

static int64_t on_isatty(struct server *server, struct server_request *request) {
  (void)server;
  (void)request;
  return 1;
}

static int64_t termios_get(const struct tty *tty, struct server_request *request) {
  if (request->sqe.out_cap < sizeof(struct termios)) {
    return -ABI_EINVAL;
  }
  memcpy(request->slot, &tty->ldisc.attributes, sizeof(struct termios));
  return sizeof(struct termios);
}

static int64_t on_termios(struct server *server, struct server_request *request) {
  struct tty *tty = server_tty(server);
  uint64_t how = request->sqe.arg;
  if (how == TTY_TERMIOS_GET) {
    return termios_get(tty, request);
  }
  if (how > TTY_TERMIOS_SET_FLUSH || request->sqe.in_len < sizeof(struct termios)) {
    return -ABI_EINVAL;
  }
  struct termios attributes;
  memcpy(&attributes, request->slot, sizeof(attributes));
  if (how == TTY_TERMIOS_SET_FLUSH) {
    ldisc_flush(&tty->ldisc);
  }
  ldisc_set(&tty->ldisc, &attributes);
  readers_serve(tty);
  return 0;
}

static int64_t on_winsize(struct server *server, struct server_request *request) {
  (void)server;
  const uint16_t size[4] = {ROWS, COLUMNS, 0, 0};
  if (request->sqe.out_cap < sizeof(size)) {
    return -ABI_EINVAL;
  }
  memcpy(request->slot, size, sizeof(size));
  return sizeof(size);
}

static int64_t on_get_group(struct server *server, struct server_request *request) {
  (void)request;
  return server_tty(server)->group;
}

static int64_t on_set_group(struct server *server, struct server_request *request) {
  if (request->sqe.arg == 0 || request->sqe.arg > INT32_MAX) {
    return -ABI_EINVAL;
  }
  server_tty(server)->group = (uint32_t)request->sqe.arg;
  return 0;
}

static int64_t on_flush(struct server *server, struct server_request *request) {
  (void)request;
  ldisc_flush(&server_tty(server)->ldisc);
  return 0;
}

static const struct server_ops tty_ops = {.on = {
                                              [OP_OPEN] = on_open,
                                              [OP_READ] = on_read,
                                              [OP_WRITE] = on_write,
                                              [OP_CANCEL] = on_cancel,
                                              [OP_STAT] = on_stat,
                                              [OP_PATH] = on_path,
                                              [OP_ISATTY] = on_isatty,
                                              [OP_TERMIOS] = on_termios,
                                              [OP_WINSIZE] = on_winsize,
                                              [OP_TTY_GET_GROUP] = on_get_group,
                                              [OP_TTY_SET_GROUP] = on_set_group,
                                              [OP_TTY_FLUSH] = on_flush,
                                          }};

/* ---- the loop ----------------------------------------------------------------------------- */

static int tty_serve(struct tty *tty) {
  struct poll_fd sources[2] = {{.fd = tty->server.fd, .events = POLL_ABI_IN},
                               {.fd = tty->console, .events = POLL_ABI_IN}};
  for (;;) {
    (void)server_drain(&tty->server); /* that there was nothing is no reason to stop */
    int error = server_enter(&tty->server, 0, NO_DEADLINE);
    if (error && error != -ABI_EINTR) {
      return error;
    }
    int64_t n = sys_poll(sources, 2, NO_DEADLINE);
    if (n < 0 && n != -ABI_EINTR) {
      return (int)n;
    }
    if (n > 0 && sources[1].revents != 0 && !console_input(tty)) {
      sources[1].fd = -1; /* no more input will come; output still goes */
    }
  }
}

static int fail(const char *step, int error) {
  fprintf(stderr, "tty: %s: %s\n", step, strerror(-error));
  return EXIT_FAILURE;
}

int main(void) {
  static struct tty tty;
  static const char console[] = "debug:console";
  ldisc_init(&tty.ldisc);
  int64_t fd = sys_openat(FD_NS, console, sizeof(console) - 1, O_ABI_RDWR | O_ABI_CLOEXEC, 0);
  if (fd < 0) {
    return fail("cannot open the console", (int)fd);
  }
  tty.console = (int)fd;
  int error = server_open(&tty.server, "tty", &tty_ops, &tty);
  if (error) {
    return fail("cannot register tty:", error);
  }
  if (write(READY_FD, "r", 1) != 1) {
    return fail("nobody waits for the terminal", -ABI_EPIPE);
  }
  close(READY_FD);
  return fail("serving ended", tty_serve(&tty));
}
