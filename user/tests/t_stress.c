/* Short storms of forks, threads, pipes, mappings and kills, from a seed (the first argument, or
 * 1). What is checked: no call fails that must not, no data is lost, no child is left. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include "tap.h"

static uint64_t seed = 1;

static void *map_and_write(void *arg) {
  uint64_t state = (uintptr_t)arg;
  for (int i = 0; i < 20; i++) {
    size_t n = (1 + random_next(&state) % 16) * 4096;
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
      return (void *)1;
    }
    memset(p, (int)i, n);
    if (p[n - 1] != (char)i || munmap(p, n) != 0) {
      return (void *)2;
    }
  }
  return NULL;
}

/* A child with threads that map, fork again and end in different ways. */
static int child_of_storm(uint64_t state) {
  pthread_t threads[3];
  intptr_t bad = 0;
  int n = (int)(random_next(&state) % 4);
  for (int i = 0; i < n; i++) {
    if (pthread_create(&threads[i], NULL, map_and_write, (void *)(uintptr_t)(state + 1)) != 0) {
      return 1;
    }
  }
  if (random_next(&state) % 3 == 0) {
    pid_t pid = fork();
    if (pid == 0) {
      _exit(map_and_write((void *)(uintptr_t)(state | 1)) ? 1 : 0);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
      return 2;
    }
  }
  if (random_next(&state) % 4 == 0) {
    _exit(0); /* with threads still running */
  }
  for (int i = 0; i < n; i++) {
    void *value;
    pthread_join(threads[i], &value);
    bad += (intptr_t)value;
  }
  return bad ? 3 : 0;
}

/* Children that must end well, and children that are killed at any moment of their lives. */
static void storm_of_children(void) {
  enum { ROUNDS = 30, WIDTH = 6 };
  int failed = 0;
  uint64_t state = seed;
  for (int round = 0; round < ROUNDS; round++) {
    pid_t pids[WIDTH];
    for (int i = 0; i < WIDTH; i++) {
      uint64_t own = random_next(&state);
      pids[i] = fork();
      if (pids[i] == 0) {
        _exit(child_of_storm(own));
      }
      failed += pids[i] < 0;
    }
    for (int i = 0; i < WIDTH; i++) {
      int status = -1;
      bool victim = random_next(&state) % 3 == 0;
      if (victim) {
        kill(pids[i], SIGKILL);
      }
      bool waited = waitpid(pids[i], &status, 0) == pids[i];
      bool well = status == 0 || (victim && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
      if (!waited || !well) {
        diag("round %d: status %#x", round, status);
        failed++;
      }
    }
  }
  is(failed, 0, "children with threads and children, some of them killed");
}

/* Bytes through a chain of processes, each adding one. */
static int chain(int length, int bytes) {
  int first[2], in;
  if (pipe(first) != 0) {
    return -1;
  }
  in = first[0];
  for (int i = 0; i < length; i++) {
    int next[2];
    if (pipe(next) != 0) {
      return -1;
    }
    if (fork() == 0) {
      unsigned char block[512];
      close(first[1]);
      close(next[0]);
      for (ssize_t n; (n = read(in, block, sizeof block)) > 0;) {
        for (ssize_t j = 0; j < n; j++) {
          block[j]++;
        }
        if (write(next[1], block, (size_t)n) != n) {
          _exit(1);
        }
      }
      _exit(0);
    }
    close(in);
    close(next[1]);
    in = next[0];
  }
  pid_t writer = fork();
  if (writer == 0) {
    for (int i = 0; i < bytes; i++) {
      unsigned char byte = (unsigned char)i;
      if (write(first[1], &byte, 1) != 1) {
        _exit(1);
      }
    }
    _exit(0);
  }
  close(first[1]);
  int right = 0, at = 0;
  unsigned char block[512];
  for (ssize_t n; (n = read(in, block, sizeof block)) > 0;) {
    for (ssize_t j = 0; j < n; j++) {
      right += block[j] == (unsigned char)(at++ + length);
    }
  }
  close(in);
  while (wait(NULL) > 0) {
  }
  return right;
}

static volatile bool stop;
static int hot[2];

static void *write_and_read(void *arg) {
  char block[64];
  while (!stop) {
    if (write(hot[1], block, sizeof block) < 0 && errno != EAGAIN) {
      return (void *)1;
    }
    if (read(hot[0], block, sizeof block) < 0 && errno != EAGAIN) {
      return (void *)2;
    }
  }
  return arg;
}

/* Threads hammer a pipe while the process forks. */
static void fork_under_load(void) {
  pthread_t threads[3];
  int failed = 0;
  if (pipe2(hot, O_NONBLOCK) != 0) {
    bail_out("pipe2");
  }
  for (int i = 0; i < 3; i++) {
    pthread_create(&threads[i], NULL, write_and_read, NULL);
  }
  for (int i = 0; i < 40; i++) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
      _exit(i);
    }
    failed += waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != i;
  }
  stop = true;
  for (int i = 0; i < 3; i++) {
    void *value;
    pthread_join(threads[i], &value);
    failed += value != NULL;
  }
  close(hot[0]);
  close(hot[1]);
  is(failed, 0, "forks while threads use a pipe");
}

/* ---- memory that grows ---------------------------------------------------------------------- */

enum { GROWN = 6 << 20, KEPT = 1 << 20 }; /* bytes below the base, of which none goes in KEPT */
static char *base;

/* Writes anywhere below the base; what is kept must stay as it was written. */
static void *grow_and_check(void *arg) {
  uint64_t state = (uintptr_t)arg + 1;
  intptr_t id = (intptr_t)arg, wrong = 0;
  while (!stop) {
    char *mine = base - 64 * (1 + random_next(&state) % (KEPT / 64)) + id;
    *mine = (char)(state >> 8);
    *(base - 1 - random_next(&state) % GROWN / 64 * 64 - 32) = 'x';
    char was = *mine;
    wrong += was != *mine;
  }
  return (void *)wrong;
}

static void *cut_off(void *arg) {
  uint64_t state = 99;
  while (!stop) {
    char *end = base - KEPT - (random_next(&state) % (GROWN - KEPT) & ~4095ul);
    if (munmap(base - GROWN - 4096, (size_t)(end - (base - GROWN - 4096))) != 0) {
      return (void *)1;
    }
    sched_yield();
  }
  return arg;
}

/* A child grows what it has for itself, and ends in one of three ways. */
static bool child_grows(uint64_t *state) {
  int status = -1;
  bool victim = random_next(state) % 3 == 0;
  base[8 - KEPT] = 'p';
  pid_t pid = fork();
  if (pid == 0) {
    for (int i = 0; i < GROWN; i += 65536) {
      base[-i - 1] = 'c';
    }
    _exit(base[8 - KEPT] != 'p'); /* as it was when the child was made */
  }
  if (victim) {
    sched_yield();
    kill(pid, SIGKILL);
  }
  base[8 - KEPT] = 0;
  bool waited = pid > 0 && waitpid(pid, &status, 0) == pid;
  return waited && (status == 0 || (victim && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
}

/* Threads make a mapping grow while others cut it off and the process forks. */
static void storm_of_growth(void) {
  pthread_t threads[3];
  uint64_t state = seed + 5;
  int failed = 0;
  char *room = mmap(NULL, 64 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  /* Growth comes in steps of 64 KiB: what is cut off leaves no piece below, which would end it. */
  char *at = (char *)(((uintptr_t)room + (32 << 20)) & ~65535ul);
  stop = room == MAP_FAILED;
  munmap(room, 64 << 20);
  failed += mmap(at, 4096, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0) != at;
  base = at + 4096;
  for (intptr_t i = 0; i < 3; i++) {
    pthread_create(&threads[i], NULL, i < 2 ? grow_and_check : cut_off, (void *)i);
  }
  for (int i = 0; i < 60; i++) {
    failed += !child_grows(&state);
  }
  stop = true;
  for (int i = 0; i < 3; i++) {
    void *value;
    pthread_join(threads[i], &value);
    failed += i < 2 && value != NULL;
  }
  munmap(base - GROWN - 65536, GROWN + 65536);
  is(failed, 0, "memory grows while it is cut off and while its process forks");
}

/* Spawned programs that are killed while they start: at any step of fork and exec. */
static void kill_during_exec(const char *self) {
  int failed = 0;
  uint64_t state = seed + 77;
  for (int i = 0; i < 40; i++) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
      execl(self, self, "--sleep", (char *)NULL);
      _exit(9);
    }
    for (uint64_t spin = random_next(&state) % 20; spin > 0; spin--) {
      sched_yield();
    }
    kill(pid, SIGKILL);
    failed += waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status);
  }
  is(failed, 0, "programs killed while they start");
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--sleep") == 0) {
    sleep(100);
    return 0;
  }
  seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
  seed = seed ? seed : 1;
  diag("seed %llu", (unsigned long long)seed);
  storm_of_children();
  is(chain(8, 3000), 3000, "three thousand single bytes through eight processes");
  fork_under_load();
  storm_of_growth();
  kill_during_exec(self_path(argv[0]));
  fails_with(waitpid(-1, NULL, 0), ECHILD, "no child is left");
  return tap_done();
}
