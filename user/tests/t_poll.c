/* poll and select: files, pipes, sets, timeouts, wake-ups from other processes, bad descriptors. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/select.h>

#include "tap.h"

static void pipe_make(int fds[2]) {
  if (pipe(fds) != 0) {
    bail_out("pipe");
  }
}

static void pipe_close(int fds[2]) {
  close(fds[0]);
  close(fds[1]);
}

static void test_timeouts(void) {
  int fds[2];
  pipe_make(fds);
  struct pollfd p = {.fd = fds[0], .events = POLLIN};
  int64_t from = now_ns(CLOCK_MONOTONIC);
  is(poll(&p, 1, 0), 0, "a timeout of zero");
  is(poll(&p, 1, 30), 0, "a timeout of 30 ms");
  int64_t passed = now_ns(CLOCK_MONOTONIC) - from;
  ok(passed >= 30000000, "is never early");
  ok(passed < 5000000000, "nor very late");
  from = now_ns(CLOCK_MONOTONIC);
  is(poll(NULL, 0, 20), 0, "no descriptors at all");
  ok(now_ns(CLOCK_MONOTONIC) - from >= 20000000, "just sleeps");
  pipe_close(fds);
}

static void test_special(void) {
  int fds[2];
  pipe_make(fds);
  struct pollfd p[3] = {{.fd = -1, .events = POLLIN, .revents = 7},
                        {.fd = 900, .events = POLLIN},
                        {.fd = fds[1], .events = POLLIN | POLLOUT}};
  is(poll(p, 3, 0), 2, "a bad descriptor counts as ready, a negative one not");
  is(p[0].revents, 0, "a negative one is ignored");
  is(p[1].revents, POLLNVAL, "a closed one answers POLLNVAL");
  is(p[2].revents, POLLOUT, "the others are still answered");
  pipe_close(fds);
  int fd = open("/tmp", O_RDONLY);
  struct pollfd file = {.fd = fd, .events = POLLIN};
  is(poll(&file, 1, 1000), 1, "a file is always ready");
  close(fd);
}

static void *write_later(void *arg) {
  sleep_ms(20);
  return write(*(int *)arg, "x", 1) == 1 ? arg : NULL;
}

static void test_wake(void) {
  enum { PIPES = 10 };
  int fds[PIPES][2];
  struct pollfd p[PIPES];
  for (int i = 0; i < PIPES; i++) {
    pipe_make(fds[i]);
    p[i] = (struct pollfd){.fd = fds[i][0], .events = POLLIN};
  }
  bool all = true;
  for (int i = 0; i < PIPES; i += 3) {
    pthread_t thread;
    char byte;
    pthread_create(&thread, NULL, write_later, &fds[i][1]);
    all = poll(p, PIPES, 10000) == 1 && p[i].revents == POLLIN && all;
    pthread_join(thread, NULL);
    all = read(fds[i][0], &byte, 1) == 1 && all;
  }
  ok(all, "a writer wakes the poller of ten pipes, which learns which one");
  for (int i = 0; i < PIPES; i++) {
    pipe_close(fds[i]);
  }
}

static void *close_later(void *arg) {
  sleep_ms(20);
  close(*(int *)arg);
  return arg;
}

static void test_hangup(void) {
  int fds[2];
  pthread_t thread;
  pipe_make(fds);
  struct pollfd p = {.fd = fds[0], .events = POLLIN};
  pthread_create(&thread, NULL, close_later, &fds[1]);
  is(poll(&p, 1, 10000), 1, "the last writer closing wakes the poller");
  is(p.revents & POLLHUP, POLLHUP, "with POLLHUP");
  pthread_join(thread, NULL);
  close(fds[0]);
}

static void on_alarm(int number) {
  (void)number;
}

static void test_interrupt(void) {
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  pid_t self = getpid();
  sigaction(SIGUSR1, &action, NULL);
  pid_t pid = fork();
  if (pid == 0) {
    for (int i = 0; i < 200; i++) { /* again, in case the first came before poll */
      sleep_ms(20);
      kill(self, SIGUSR1);
    }
    _exit(0);
  }
  fails_with(poll(NULL, 0, 10000), EINTR, "a signal interrupts poll, even with SA_RESTART");
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  signal(SIGUSR1, SIG_DFL);
}

static void test_select(void) {
  int fds[2];
  fd_set readers, writers;
  struct timeval limit = {0, 20000};
  pipe_make(fds);
  FD_ZERO(&readers);
  FD_ZERO(&writers);
  FD_SET(fds[0], &readers);
  FD_SET(fds[1], &writers);
  is(select(fds[1] + 1, &readers, &writers, NULL, NULL), 1, "select");
  ok(!FD_ISSET(fds[0], &readers) && FD_ISSET(fds[1], &writers), "the right sets");
  FD_ZERO(&readers);
  FD_SET(fds[0], &readers);
  is(select(fds[0] + 1, &readers, NULL, NULL, &limit), 0, "select with a timeout");
  ok(write(fds[1], "x", 1) == 1, "a byte");
  FD_SET(fds[0], &readers);
  is(select(fds[0] + 1, &readers, NULL, NULL, NULL), 1, "select for reading");
  ok(FD_ISSET(fds[0], &readers), "is in the set");
  pipe_close(fds);
  FD_ZERO(&readers);
  FD_SET(fds[0], &readers);
  fails_with(select(fds[0] + 1, &readers, NULL, NULL, &limit), EBADF, "a closed descriptor");
}

static void test_ppoll(void) {
  struct timespec limit = {0, 15000000};
  int64_t from = now_ns(CLOCK_MONOTONIC);
  is(ppoll(NULL, 0, &limit, NULL), 0, "ppoll");
  ok(now_ns(CLOCK_MONOTONIC) - from >= 15000000, "is never early");
}

int main(void) {
  test_timeouts();
  test_special();
  test_wake();
  test_hangup();
  test_interrupt();
  test_select();
  test_ppoll();
  return tap_done();
}
