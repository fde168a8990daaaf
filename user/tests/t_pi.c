/* Mutexes with priority inheritance. Three threads on one CPU, real-time, so that who runs is
 * certain: a low one has the mutex, a high one wants it, and a hog in between would run for ever
 * if the low one were not lifted over it. The same with a plain mutex shows that it can go wrong.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tap.h"
#include "threads.h"

#define FUTEX_LOCK_PI_PRIVATE (6 | 128)
#define FUTEX_UNLOCK_PI_PRIVATE (7 | 128)

enum { LOW = 10, MIDDLE = 20, HIGH = 30, MAIN = 50, MS = 1000000 };
static const int64_t long_ns = 5000000000; /* the hog's patience when it should need none */

/* ---- threads of a certain priority -------------------------------------------------------- */

static void be(int priority) {
  struct sched_param param = {.sched_priority = priority};
  if (sched_setscheduler(0, priority > 0 ? SCHED_FIFO : SCHED_OTHER, &param) != 0) {
    bail_out("sched_setscheduler");
  }
}

static bool join(pthread_t thread) {
  void *value;
  pthread_join(thread, &value);
  return value != NULL;
}

static pthread_mutex_t mutex_of(int protocol, int type, int shared) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if (pthread_mutexattr_setprotocol(&attributes, protocol) != 0 ||
      pthread_mutexattr_settype(&attributes, type) != 0 ||
      pthread_mutexattr_setpshared(&attributes, shared) != 0 ||
      pthread_mutex_init(&mutex, &attributes) != 0) {
    bail_out("pthread_mutex_init");
  }
  return mutex;
}

/* ---- the cast ----------------------------------------------------------------------------- */

/* `own` is locked, then `next` if there is one, then everything is given back. */
struct scene {
  pthread_mutex_t *own, *next;
  sem_t *locked;
};

static volatile int wanted, got, stop, hog_runs;
static volatile int64_t low_work;

/* Holds its mutex until somebody wants it or it is told to stop; true when that came in time. It
 * yields, since a waiter that gives up has only its own priority, which the holder has as well. */
static void *holder(void *arg) {
  struct scene *scene = arg;
  int64_t limit = now_ns(CLOCK_MONOTONIC) + long_ns;
  pthread_mutex_lock(scene->own);
  sem_post(scene->locked);
  while (!wanted && !stop && now_ns(CLOCK_MONOTONIC) < limit) {
    low_work++;
    sched_yield();
  }
  pthread_mutex_unlock(scene->own);
  return (void *)(intptr_t)(wanted || stop);
}

/* A link of a chain. It stays until the high thread has got through, and answers whether it has:
 * its end would rouse who waits for it. */
static void *link_of_chain(void *arg) {
  struct scene *scene = arg;
  int64_t limit = now_ns(CLOCK_MONOTONIC) + 2 * long_ns;
  pthread_mutex_lock(scene->own);
  sem_post(scene->locked);
  pthread_mutex_lock(scene->next);
  pthread_mutex_unlock(scene->next);
  pthread_mutex_unlock(scene->own);
  while (!got && now_ns(CLOCK_MONOTONIC) < limit) {
    sched_yield();
  }
  return (void *)(intptr_t)got;
}

static void *high(void *arg) {
  wanted = 1;
  pthread_mutex_lock(arg);
  got = 1;
  pthread_mutex_unlock(arg);
  return arg;
}

/* Runs until the high thread has got through, or until its patience ends: then there is nothing
 * between us and the high one but the inversion. */
static void *hog(void *arg) {
  int64_t limit = now_ns(CLOCK_MONOTONIC) + *(const int64_t *)arg;
  hog_runs++;
  while (!got && now_ns(CLOCK_MONOTONIC) < limit) {
  }
  return (void *)(intptr_t)got;
}

static void wait_for(sem_t *sem) {
  while (sem_wait(sem) != 0) {
  }
}

/* Did the high thread get through before the hog had enough? */
static bool play(pthread_mutex_t *mutex, int64_t patience_ns) {
  sem_t locked;
  struct scene scene = {mutex, NULL, &locked};
  sem_init(&locked, 0, 0);
  wanted = got = stop = 0;
  pthread_t low = thread_start(LOW, holder, &scene);
  wait_for(&locked);
  pthread_t middle = thread_start(MIDDLE, hog, &patience_ns);
  pthread_t first = thread_start(HIGH, high, mutex);
  bool through = join(middle);
  join(first);
  join(low);
  sem_destroy(&locked);
  return through;
}

static void test_inheritance(void) {
  pthread_mutex_t plain = mutex_of(PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ERRORCHECK, 0);
  pthread_mutex_t inherits = mutex_of(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_NORMAL, 0);
  ok(!play(&plain, 50 * MS), "with a plain mutex a hog keeps a better thread waiting");
  ok(play(&inherits, long_ns), "not with inheritance");
  ok(play(&inherits, long_ns), "nor the second time");
}

/* Bit i of `shared`: mutex i may be used by several processes. */
static void test_chain(unsigned shared, const char *what) {
  enum { LINKS = 3 };
  pthread_mutex_t *mutexes =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct scene scenes[LINKS + 1];
  pthread_t threads[LINKS + 1];
  sem_t locked;
  sem_init(&locked, 0, 0);
  wanted = got = stop = 0;
  for (int i = 0; i <= LINKS; i++) {
    mutexes[i] = mutex_of(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_NORMAL, shared >> i & 1);
    scenes[i] = (struct scene){&mutexes[i], i > 0 ? &mutexes[i - 1] : NULL, &locked};
    threads[i] = thread_start(LOW + i, i > 0 ? link_of_chain : holder, &scenes[i]);
    wait_for(&locked);
  }
  pthread_t middle = thread_start(MIDDLE, hog, (void *)&long_ns);
  pthread_t first = thread_start(HIGH, high, &mutexes[LINKS]);
  bool good = join(middle);
  join(first);
  for (int i = 0; i <= LINKS; i++) {
    good = join(threads[i]) && good;
  }
  ok(good, what);
  sem_destroy(&locked);
  munmap(mutexes, 4096);
}

/* ---- the end of a boost ------------------------------------------------------------------- */

/* Is the holder, which works all the time, below a hog again? */
static bool is_below_hog(void) {
  static const int64_t moment = 5 * MS;
  int64_t before = low_work;
  hog_runs = got = 0;
  pthread_t middle = thread_start(MIDDLE, hog, (void *)&moment);
  /* We wait in it: from its first instruction on the holder gets nothing until it has ended. */
  join(middle);
  return hog_runs == 1 && !stop && low_work >= before;
}

static void *times_out(void *mutex) {
  struct timespec limit;
  clock_gettime(CLOCK_REALTIME, &limit);
  int64_t ns = (int64_t)limit.tv_sec * 1000000000 + limit.tv_nsec + 5 * MS;
  limit = (struct timespec){ns / 1000000000, ns % 1000000000};
  return (void *)(intptr_t)(pthread_mutex_timedlock(mutex, &limit) == ETIMEDOUT);
}

static void test_timeout(void) {
  pthread_mutex_t mutex = mutex_of(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_NORMAL, 0);
  sem_t locked;
  struct scene scene = {&mutex, NULL, &locked};
  sem_init(&locked, 0, 0);
  wanted = stop = 0;
  pthread_t low = thread_start(LOW, holder, &scene);
  wait_for(&locked);
  ok(join(thread_start(HIGH, times_out, &mutex)), "a waiter times out");
  ok(is_below_hog(), "and its boost has ended");
  stop = 1;
  ok(join(low), "so the holder was told to stop before it had enough");
  is(pthread_mutex_trylock(&mutex), 0, "the mutex is free");
  pthread_mutex_unlock(&mutex);
  sem_destroy(&locked);
}

struct shared {
  pthread_mutex_t mutex;
  sem_t ready;
};

static void test_killed(void) {
  struct shared *shared =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  sem_t locked;
  struct scene scene = {&shared->mutex, NULL, &locked};
  shared->mutex = mutex_of(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_NORMAL, PTHREAD_PROCESS_SHARED);
  sem_init(&shared->ready, 1, 0);
  sem_init(&locked, 0, 0);
  wanted = stop = 0;
  pid_t pid = fork();
  if (pid == 0) {
    be(HIGH);
    wait_for(&shared->ready);
    pthread_mutex_lock(&shared->mutex);
    _exit(0);
  }
  pthread_t low = thread_start(LOW, holder, &scene);
  wait_for(&locked);
  sem_post(&shared->ready);
  sleep_ms(5); /* the child comes before the holder: it waits by now */
  int status = 0;
  kill(pid, SIGKILL);
  ok(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "a waiting process is killed");
  ok(is_below_hog(), "and its boost has ended");
  stop = 1;
  ok(join(low), "so the holder was told to stop before it had enough");
  is(pthread_mutex_trylock(&shared->mutex), 0, "the mutex is free");
  pthread_mutex_unlock(&shared->mutex);
  sem_destroy(&locked);
  munmap(shared, 4096);
}

/* A waiter that gets better lifts the owner further. */
static void test_changed_priority(void) {
  pthread_mutex_t mutex = mutex_of(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_NORMAL, 0);
  sem_t locked;
  struct scene scene = {&mutex, NULL, &locked};
  sem_init(&locked, 0, 0);
  wanted = got = stop = 0;
  pthread_t low = thread_start(LOW, holder, &scene);
  wait_for(&locked);
  pthread_t waiter = thread_start(LOW + 1, high, &mutex);
  pthread_t middle = thread_start(MIDDLE, hog, (void *)&long_ns);
  struct sched_param param = {.sched_priority = HIGH};
  pthread_setschedparam(waiter, SCHED_FIFO, &param);
  ok(join(middle), "a waiter that gets better lifts the owner further");
  join(waiter);
  join(low);
  sem_destroy(&locked);
}

/* ---- what the kernel refuses, and what it must keep --------------------------------------- */

static int lock_pi(int *word) {
  return (int)syscall(SYS_futex, word, FUTEX_LOCK_PI_PRIVATE, 0, NULL);
}

static int unlock_pi(int *word) {
  return (int)syscall(SYS_futex, word, FUTEX_UNLOCK_PI_PRIVATE);
}

struct words {
  int a, b;
  sem_t locked;
};

static void *lock_b_then_a(void *arg) {
  struct words *words = arg;
  lock_pi(&words->b);
  sem_post(&words->locked);
  bool good = lock_pi(&words->a) == 0 && unlock_pi(&words->a) == 0;
  unlock_pi(&words->b);
  return (void *)(intptr_t)good;
}

/* By the words themselves: C libraries differ in what they make of these answers. */
static void test_deadlock(void) {
  struct words words = {0};
  int nobody = 0x3ffffff0;
  sem_init(&words.locked, 0, 0);
  is(lock_pi(&words.a), 0, "a free word is locked");
  fails_with(lock_pi(&words.a), EDEADLK, "but not twice");
  pthread_t other = thread_start(HIGH, lock_b_then_a, &words);
  wait_for(&words.locked);
  while (__atomic_load_n(&words.a, __ATOMIC_RELAXED) >= 0) { /* the sign says that it waits */
    sleep_ms(1);
  }
  fails_with(lock_pi(&words.b), EDEADLK, "two words crosswise");
  fails_with(unlock_pi(&words.b), EPERM, "who does not have it cannot unlock it");
  is(unlock_pi(&words.a), 0, "unlocked");
  ok(join(other), "the other thread goes on");
  ok(words.a == 0 && words.b == 0, "and leaves both words free");
  fails_with(lock_pi(&nobody), ESRCH, "an owner that is nobody");
  fails_with(lock_pi((int *)8), EFAULT, "a wild word");
  sem_destroy(&words.locked);
}

static void *dies_with(void *mutex) {
  pthread_mutex_lock(mutex);
  return mutex;
}

static void *waits_for_dead(void *mutex) {
  int result = pthread_mutex_lock(mutex);
  bool good = result == EOWNERDEAD && pthread_mutex_consistent(mutex) == 0;
  pthread_mutex_unlock(mutex);
  return (void *)(intptr_t)good;
}

static void *dies_late(void *arg) {
  struct scene *scene = arg;
  pthread_mutex_lock(scene->own);
  sem_post(scene->locked);
  while (!wanted) {
  }
  return scene;
}

static void test_robust(void) {
  pthread_mutexattr_t attributes;
  pthread_mutex_t mutex;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  is(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0, "a robust one");
  pthread_mutex_init(&mutex, &attributes);
  join(thread_start(LOW, dies_with, &mutex));
  ok(join(thread_start(LOW, waits_for_dead, &mutex)), "says that its owner has died");
  is(pthread_mutex_lock(&mutex), 0, "and can be made good");
  pthread_mutex_unlock(&mutex);
  sem_t locked;
  struct scene scene = {&mutex, NULL, &locked};
  sem_init(&locked, 0, 0);
  wanted = 0;
  pthread_t owner = thread_start(LOW, dies_late, &scene);
  wait_for(&locked);
  pthread_t waiter = thread_start(HIGH, waits_for_dead, &mutex);
  sleep_ms(3);
  wanted = 1;
  ok(join(waiter), "also to who waits already");
  join(owner);
  sem_destroy(&locked);
}

static pthread_mutex_t robust_shared(int protocol) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, protocol);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (pthread_mutex_init(&mutex, &attributes) != 0) {
    bail_out("pthread_mutex_init");
  }
  return mutex;
}

/* A process is killed with the mutex: the waiter, and whoever comes later, learns it. */
static void test_robust_process(int protocol, const char *name) {
  struct shared *shared =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  shared->mutex = robust_shared(protocol);
  sem_init(&shared->ready, 1, 0);
  pid_t pid = fork();
  if (pid == 0) {
    pthread_mutex_lock(&shared->mutex);
    sem_post(&shared->ready);
    for (;;) {
      pause();
    }
  }
  wait_for(&shared->ready);
  pthread_t waiter = thread_start(HIGH, waits_for_dead, &shared->mutex);
  sleep_ms(3);
  kill(pid, SIGKILL);
  bool told = join(waiter);
  waitpid(pid, NULL, 0);
  ok(told && pthread_mutex_lock(&shared->mutex) == 0, name);
  pthread_mutex_unlock(&shared->mutex);
  munmap(shared, 4096);
}

/* ---- storm -------------------------------------------------------------------------------- */

enum { STORMERS = 6, STORM_TURNS = 150 };
static pthread_mutex_t storm_mutexes[2];
static int storm_counts[2];

static void *storm(void *arg) {
  uint64_t seed = (uint64_t)(intptr_t)arg * 77 + 1;
  int done = 0;
  for (int i = 0; i < STORM_TURNS; i++) {
    uint64_t r = random_next(&seed);
    pthread_mutex_t *mutex = &storm_mutexes[r & 1];
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_nsec = (limit.tv_nsec + (long)(r >> 8) % 200000) % 1000000000;
    int result = r & 2 ? pthread_mutex_lock(mutex) : pthread_mutex_timedlock(mutex, &limit);
    if (result == 0) {
      int before = storm_counts[r & 1];
      if (r & 4) {
        sched_yield();
      }
      storm_counts[r & 1] = before + 1;
      done++;
      pthread_mutex_unlock(mutex);
    }
  }
  return (void *)(intptr_t)done;
}

/* On all CPUs, with timeouts: nobody is lost, and nobody is in there with another. */
static void test_storm(void) {
  pthread_t threads[STORMERS];
  intptr_t sum = 0;
  for (int i = 0; i < 2; i++) {
    storm_mutexes[i] = mutex_of(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_NORMAL, 0);
  }
  for (intptr_t i = 0; i < STORMERS; i++) {
    pthread_create(&threads[i], NULL, storm, (void *)i);
  }
  for (int i = 0; i < STORMERS; i++) {
    void *done;
    pthread_join(threads[i], &done);
    sum += (intptr_t)done;
  }
  is(storm_counts[0] + storm_counts[1], sum, "a storm of threads and timeouts excludes each other");
  is(pthread_mutex_trylock(&storm_mutexes[0]), 0, "and leaves the mutex free");
  pthread_mutex_unlock(&storm_mutexes[0]);
}

struct kill_storm {
  pthread_mutex_t mutex;
  volatile int stop, inside, bad, died;
  volatile long turns;
};

static void kill_storm_turn(struct kill_storm *s) {
  int result = pthread_mutex_lock(&s->mutex);
  if (result == EOWNERDEAD) {
    s->inside = 0; /* left by who died in here */
    s->died++;
    result = pthread_mutex_consistent(&s->mutex);
  }
  s->bad += result != 0 || ++s->inside != 1;
  for (volatile int i = 0; i < 200; i++) {
  }
  s->turns++;
  s->inside--;
  pthread_mutex_unlock(&s->mutex);
}

static pid_t kill_storm_child(struct kill_storm *s) {
  pid_t pid = fork();
  if (pid == 0) {
    while (!s->stop) {
      kill_storm_turn(s);
    }
    _exit(0);
  }
  return pid;
}

/* Processes are killed wherever they are: with the mutex, waiting for it, being given it. */
static void test_kill_storm(void) {
  enum { CHILDREN = 3, KILLS = 30 };
  struct kill_storm *s =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pids[CHILDREN];
  uint64_t seed = 3;
  s->mutex = robust_shared(PTHREAD_PRIO_INHERIT);
  for (int i = 0; i < CHILDREN; i++) {
    pids[i] = kill_storm_child(s);
  }
  for (int i = 0; i < KILLS; i++) {
    pid_t *victim = &pids[random_next(&seed) % CHILDREN];
    long turns = s->turns;
    while (s->turns == turns) { /* somebody still gets through */
      usleep((useconds_t)(random_next(&seed) % 1000));
    }
    kill(*victim, SIGKILL);
    waitpid(*victim, NULL, 0);
    *victim = kill_storm_child(s);
  }
  s->stop = 1;
  bool clean = true;
  for (int i = 0; i < CHILDREN; i++) {
    int status = -1;
    clean = waitpid(pids[i], &status, 0) == pids[i] && status == 0 && clean;
  }
  diag("%ld turns, %d died with the mutex", s->turns, s->died);
  ok(clean && s->bad == 0, "a storm of killed owners and waiters: the others go on, one by one");
  munmap(s, 4096);
}

static bool may_be_real_time(void) {
  struct sched_param param = {.sched_priority = 1};
  return sched_setscheduler(0, SCHED_FIFO, &param) == 0;
}

int main(void) {
  test_storm();
  test_kill_storm();
  if (!may_be_real_time()) {
    skip("priority inheritance", "real-time priorities are not allowed here");
    return tap_done();
  }
  thread_pin(0);
  be(MAIN);
  test_inheritance();
  test_chain(0, "along a chain of three owners, too");
  test_chain(1 << 1,
             "a chain of locks of one process, in which one comes in that others may share");
  test_timeout();
  test_killed();
  test_changed_priority();
  test_deadlock();
  test_robust();
  test_robust_process(PTHREAD_PRIO_NONE, "a killed process's robust mutex");
  test_robust_process(PTHREAD_PRIO_INHERIT, "the same with inheritance");
  return tap_done();
}
