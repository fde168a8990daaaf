/* Cathode: the bare system calls, the clock's rate from the start-up block, and a scheme of our
 * own. */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/abi.h"
#include "process.h"
#include "runtime/server.h"
#include "runtime/syscall.h"

enum { SERVER_BROKEN = 9 };

static pid_t server_pid;

long os_null_call(void) {
  return sys_null();
}

long os_unknown_call(void) {
  return rt_enter0(SYS_NR_COUNT);
}

long os_poll_one(void *entry) {
  return sys_poll(entry, 1, 0);
}

/* A turn is enough to spend it. */
void os_credit_forgo(void) {
}

uint64_t os_tsc_hz(void) {
  const struct start_block *start = (const struct start_block *)getauxval(AT_CATHODE_START);
  return start->clock.tsc_hz;
}

static bool counter_find(const char *text, const char *name, uint64_t *count) {
  const char *line = strstr(text, name);
  return line != NULL && sscanf(line + strlen(name), " %" SCNu64, count) == 1;
}

/* CPU 0's own counters. */
bool os_counts_read(struct run *run, struct os_counts *counts) {
  static const char path[] = "sys:/cpu/0/stat";
  char text[1024];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
  if (fd >= 0) {
    close(fd);
  }
  text[length < 0 ? 0 : length] = '\0';
  return (counter_find(text, "\nSWITCHES", &counts->switches) &&
          counter_find(text, "\nFAULTS", &counts->faults)) ||
         run_fail(run, "%s does not count switches and faults", path);
}

/* ---- a scheme that counts ----------------------------------------------------------------- */

static int64_t counter_open(struct server *server, struct server_request *request) {
  (void)server;
  (void)request;
  return 1; /* the one file that there is */
}

static int64_t counter_read(struct server *server, struct server_request *request) {
  uint64_t *count = server->context;
  if (request->sqe.out_cap < sizeof(*count)) {
    return -ABI_EINVAL;
  }
  ++*count;
  memcpy(request->slot, count, sizeof(*count));
  return sizeof(*count);
}

static const struct server_ops counter_ops = {.on = {
                                                  [OP_OPEN] = counter_open,
                                                  [OP_READ] = counter_read,
                                              }};

/* In the child: serves until it is killed, after having told the parent that it can be opened. */
static void counter_serve(const char *scheme, int ready_fd) {
  uint64_t count = 0;
  struct server server;
  if (server_open(&server, scheme, &counter_ops, &count) < 0 || write(ready_fd, "r", 1) != 1) {
    _exit(SERVER_BROKEN);
  }
  close(ready_fd);
  _exit(server_run(&server) < 0 ? SERVER_BROKEN : 0);
}

/* Waits for the child to be ready, or dead: its end of the pipe is then closed. */
static int counter_connect(struct run *run, const char *scheme, int ready_fd) {
  char byte;
  char path[40];
  if (read(ready_fd, &byte, 1) != 1) {
    run_fail(run, "the server could not register its scheme");
    return -1;
  }
  snprintf(path, sizeof(path), "%s:/count", scheme);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    run_fail(run, "%s: %s", path, strerror(errno));
  }
  return fd;
}

static void server_end(struct run *run) {
  int status;
  if (kill(server_pid, SIGKILL) != 0 || waitpid(server_pid, &status, 0) != server_pid) {
    run_fail(run, "ending the server: %s", strerror(errno));
  }
}

int os_counter_open(struct run *run) {
  char scheme[24];
  int ready[2];
  snprintf(scheme, sizeof(scheme), "bench-%d", (int)getpid());
  if (pipe(ready) != 0) {
    run_fail(run, "pipe: %s", strerror(errno));
    return -1;
  }
  server_pid = process_fork(run);
  if (server_pid == 0) {
    close(ready[0]);
    counter_serve(scheme, ready[1]);
  }
  close(ready[1]);
  int fd = server_pid < 0 ? -1 : counter_connect(run, scheme, ready[0]);
  close(ready[0]);
  if (fd < 0 && server_pid > 0) {
    server_end(run);
  }
  return fd;
}

void os_counter_close(struct run *run, int fd) {
  close(fd);
  server_end(run);
}
