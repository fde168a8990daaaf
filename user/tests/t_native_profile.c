/* The profiler: samples come when it is switched on and only then, they find the function that is
 * busy, in a program and in the kernel, with the stack that led there, and idle CPUs idle. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "abi/abi.h"
#include "tap.h"

enum { HZ = 1000, SAMPLES_MOST = 4096, WANTED = 40, SECONDS_MOST = 20 };
enum { PIPE_BYTES = 32 << 10 };

static struct profile_sample samples[SAMPLES_MOST];
static volatile uint64_t work;
static int pipe_fds[2];

static bool hz_set(const char *text) {
  int fd = open("sys:/profile/hz", O_WRONLY | O_CLOEXEC);
  bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  close(fd);
  return good;
}

static size_t samples_read(int fd) {
  ssize_t n = read(fd, samples, sizeof samples);
  return n < 0 ? 0 : (size_t)n / sizeof samples[0];
}

/* Its own samples only: the system does other things too. */
static bool is_ours(const struct profile_sample *s) {
  return s->pid == (uint32_t)getpid();
}

/* The busy function, and who calls it. This file has frame pointers. */
__attribute__((noinline)) static void busy_spin(void) {
  __asm__ volatile("" ::"r"(__builtin_frame_address(0))); /* which a leaf has not else */
  for (int i = 0; i < 100000; i++) {
    work++;
  }
}

__attribute__((noinline)) static void busy_caller(void) {
  busy_spin();
  work++; /* so that the call is not the last thing that it does */
}

static bool within(uint64_t address, void (*function)(void)) {
  return address >= (uint64_t)function && address < (uint64_t)function + 256;
}

/* Most of it is the kernel's copying. */
static void kernel_busy(void) {
  static char bytes[PIPE_BYTES];
  for (int i = 0; i < 20; i++) {
    if (write(pipe_fds[1], bytes, sizeof bytes) != PIPE_BYTES ||
        read(pipe_fds[0], bytes, sizeof bytes) <= 0) {
      bail_out("the pipe broke");
    }
  }
}

struct seen {
  size_t all, user, in_busy, from_caller, in_kernel, with_user;
};

static void sample_judge(const struct profile_sample *s, struct seen *seen) {
  seen->all++;
  if (s->n_kernel > 0) {
    seen->in_kernel += s->at[0] >> 63;
    seen->with_user += s->n_user > 0;
  } else if (s->n_user > 0) {
    seen->user++;
    seen->in_busy += within(s->at[0], busy_spin);
    seen->from_caller +=
        s->n_user > 1 && within(s->at[0], busy_spin) && within(s->at[1], busy_caller);
  }
}

/* Works until there are enough samples of it, or for too long. */
static struct seen profile_of(void (*work_do)(void)) {
  struct seen seen = {0};
  int fd = open("sys:/profile/samples", O_RDONLY | O_CLOEXEC);
  time_t end = time(NULL) + SECONDS_MOST;
  while (samples_read(fd) > 0) {
  }
  if (!hz_set("1000")) {
    bail_out("sys:/profile/hz cannot be written");
  }
  while (seen.all < WANTED && time(NULL) < end) {
    work_do();
    size_t n = samples_read(fd);
    for (size_t i = 0; i < n; i++) {
      if (is_ours(&samples[i])) {
        sample_judge(&samples[i], &seen);
      }
    }
  }
  hz_set("0");
  close(fd);
  return seen;
}

static void program_test(void) {
  struct seen seen = profile_of(busy_caller);
  diag("%zu samples, %zu in the program, %zu in busy_spin, %zu of them from its caller", seen.all,
       seen.user, seen.in_busy, seen.from_caller);
  ok(seen.all >= WANTED, "a busy program is sampled");
  ok(seen.in_busy * 10 >= seen.all * 8, "most of its samples are in the busy function");
  ok(seen.from_caller * 10 >= seen.in_busy * 8, "and name who called it");
}

static void kernel_test(void) {
  struct seen seen = profile_of(kernel_busy);
  diag("%zu samples, %zu in the kernel, %zu with the program's half", seen.all, seen.in_kernel,
       seen.with_user);
  ok(seen.all >= WANTED && seen.in_kernel * 10 >= seen.all * 6,
     "system calls are sampled in the kernel");
  ok(seen.with_user * 10 >= seen.in_kernel * 8, "with the program that made them");
}

static void off_test(void) {
  int fd = open("sys:/profile/samples", O_RDONLY | O_CLOEXEC);
  sleep_ms(20); /* for those that were on their way */
  while (samples_read(fd) > 0) {
  }
  for (int i = 0; i < 200; i++) {
    busy_caller();
  }
  ok(samples_read(fd) == 0, "no sample comes when it is off");
  ok(!hz_set("5") && !hz_set("1000000") && !hz_set("much"), "a rate that cannot be is refused");
  ok(read(fd, samples, 100) < 0 && errno == EINVAL, "a read has room for a sample, or fails");
  close(fd);
}

int main(void) {
  if (pipe(pipe_fds) != 0) {
    bail_out("no pipe");
  }
  program_test();
  kernel_test();
  off_test();
  return tap_done();
}
