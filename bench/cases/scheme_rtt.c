/* How long does a call to a scheme that another process serves take? */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../cases.h"
#include "../os.h"

static struct {
  int fd;
  uint64_t last; /* number answered */
} client;

static bool rtt_setup(struct run *run) {
  client.last = 0;
  client.fd = os_counter_open(run);
  return client.fd >= 0;
}

static void rtt_measure(struct run *run, uint64_t n) {
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    uint64_t number = 0;
    if (RUN_WORK(read(client.fd, &number, sizeof(number)), sizeof(number)) != sizeof(number)) {
      run_fail(run, "the server's answer: %s", strerror(errno));
      return;
    }
    run->confirmed += number == client.last + 1;
    client.last = number;
  }
  run_stop(run);
}

static void rtt_teardown(struct run *run) {
  os_counter_close(run, client.fd);
}

const struct bench_case case_scheme_rtt = {
    .name = "scheme.rtt",
    .op = "a read of 8 bytes from a scheme that another process on the same CPU serves",
    .setup = rtt_setup,
    .measure = rtt_measure,
    .switches = 1,
    .teardown = rtt_teardown,
};
