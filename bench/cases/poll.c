/* What does it cost to look at many descriptors of which one is ready? */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"

enum { FDS_MOST = 400 };

static struct {
  struct pollfd of[FDS_MOST]; /* reading ends */
  int writers[FDS_MOST];
  uint64_t n;
} pipes;

static void pipes_close(void) {
  for (uint64_t i = 0; i < pipes.n; i++) {
    close(pipes.of[i].fd);
    close(pipes.writers[i]);
  }
}

/* As many pipes, of which the last has a byte in it. */
static bool poll_setup(struct run *run) {
  for (pipes.n = 0; pipes.n < run->param; pipes.n++) {
    int ends[2];
    if (pipe(ends) != 0) {
      run_fail(run, "pipe %llu: %s", (unsigned long long)pipes.n, strerror(errno));
      pipes_close();
      return false;
    }
    pipes.of[pipes.n] = (struct pollfd){.fd = ends[0], .events = POLLIN};
    pipes.writers[pipes.n] = ends[1];
  }
  if (write(pipes.writers[pipes.n - 1], "x", 1) != 1) {
    run_fail(run, "write: %s", strerror(errno));
    pipes_close();
    return false;
  }
  return true;
}

/* The first answer is made wrong before each turn, the last one cleared: poll() writes them all. */
static void poll_measure(struct run *run, uint64_t n) {
  struct pollfd *last = &pipes.of[pipes.n - 1];
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    pipes.of[0].revents = POLLNVAL;
    last->revents = 0;
    int ready = RUN_WORK(poll(pipes.of, pipes.n, -1), 1);
    run->confirmed +=
        ready == 1 && last->revents == POLLIN && (pipes.n == 1 || pipes.of[0].revents == 0);
  }
  run_stop(run);
}

static void poll_teardown(struct run *run) {
  (void)run;
  pipes_close();
}

static const uint64_t counts[] = {1, 16, 128, FDS_MOST, 0};

const struct bench_case case_poll_fds = {
    .name = "poll.fds",
    .op = "poll of so many pipes, of which the last can be read",
    .setup = poll_setup,
    .measure = poll_measure,
    .teardown = poll_teardown,
    .param_name = "fds",
    .params = counts,
};
