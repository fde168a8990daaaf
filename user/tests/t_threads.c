/* POSIX threads: values of join, mutexes, conditions, rwlocks, semaphores, barriers, once, keys and
 * thread-local storage, detaching, cancellation, and many threads. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>

#include "tap.h"

enum { THREADS = 8 };

static pthread_t threads[128];

static void start(int n, void *(*body)(void *)) {
  for (int i = 0; i < n; i++) {
    if (pthread_create(&threads[i], NULL, body, (void *)(intptr_t)i) != 0) {
      bail_out("pthread_create");
    }
  }
}

/* Joins n threads; answers the sum of their values. */
static int64_t join(int n) {
  int64_t sum = 0;
  for (int i = 0; i < n; i++) {
    void *value = NULL;
    if (pthread_join(threads[i], &value) != 0) {
      bail_out("pthread_join");
    }
    sum += (intptr_t)value;
  }
  return sum;
}

/* ---- creation ---- */

static void *square(void *arg) {
  intptr_t i = (intptr_t)arg;
  return (void *)(i * i);
}

static void *exit_by_call(void *arg) {
  pthread_exit(arg);
}

static void *check_stack(void *arg) {
  volatile char block[50000];
  memset((char *)block, (int)(intptr_t)arg, sizeof block);
  return (void *)(intptr_t)(block[49999] == (char)(intptr_t)arg);
}

static void test_create(void) {
  start(100, square);
  is(join(100), 328350, "a hundred threads, each with its own value");
  start(1, exit_by_call);
  is(join(1), 0, "pthread_exit");
  start(THREADS, check_stack);
  is(join(THREADS), THREADS, "each has a stack of its own");
  bool all = true;
  for (int i = 0; i < 200; i++) {
    start(1, square);
    all = join(1) == 0 && all;
  }
  ok(all, "two hundred one after the other");
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ok(pthread_attr_setstacksize(&attributes, 1 << 20) == 0 &&
         pthread_create(&threads[0], &attributes, check_stack, (void *)1) == 0,
     "a thread with a stack of one mebibyte");
  is(join(1), 1, "runs");
  pthread_attr_destroy(&attributes);
  ok(pthread_equal(pthread_self(), pthread_self()), "pthread_self");
}

/* ---- mutex ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int64_t shared_count;

static void *count_locked(void *arg) {
  (void)arg;
  for (int i = 0; i < 3000; i++) {
    pthread_mutex_lock(&mutex);
    int64_t seen = shared_count;
    if (i % 64 == 0) {
      sched_yield();
    }
    shared_count = seen + 1;
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

static void *try_lock(void *arg) {
  (void)arg;
  return (void *)(intptr_t)pthread_mutex_trylock(&mutex);
}

static void *lock_timed(void *arg) {
  struct timespec limit;
  (void)arg;
  int64_t from = now_ns(CLOCK_MONOTONIC); /* first: a stall behind it makes the wait longer */
  clock_gettime(CLOCK_REALTIME, &limit);
  limit.tv_nsec += 20000000;
  limit.tv_sec += limit.tv_nsec / 1000000000;
  limit.tv_nsec %= 1000000000;
  int error = pthread_mutex_timedlock(&mutex, &limit);
  bool early = now_ns(CLOCK_MONOTONIC) - from < 15000000; /* two clocks: leave room for rounding */
  return (void *)(intptr_t)(early ? -1 : error);
}

static void test_mutex(void) {
  start(THREADS, count_locked);
  join(THREADS);
  is(shared_count, THREADS * 3000, "a mutex keeps increments whole");
  pthread_mutex_lock(&mutex);
  start(1, try_lock);
  is(join(1), EBUSY, "trylock of a held mutex");
  start(1, lock_timed);
  is(join(1), ETIMEDOUT, "timedlock of a held mutex");
  pthread_mutex_unlock(&mutex);
  pthread_mutexattr_t attributes;
  pthread_mutex_t recursive, checked;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&recursive, &attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&checked, &attributes);
  ok(pthread_mutex_lock(&recursive) == 0 && pthread_mutex_lock(&recursive) == 0 &&
         pthread_mutex_unlock(&recursive) == 0 && pthread_mutex_unlock(&recursive) == 0,
     "a recursive mutex");
  pthread_mutex_lock(&checked);
  is(pthread_mutex_lock(&checked), EDEADLK, "an error-checking mutex");
  pthread_mutex_unlock(&checked);
  is(pthread_mutex_unlock(&checked), EPERM, "unlocked twice");
  pthread_mutex_destroy(&recursive);
  pthread_mutex_destroy(&checked);
}

/* ---- condition ---- */

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int queue[4], queue_n;

static void *produce(void *arg) {
  (void)arg;
  for (int i = 1; i <= 500; i++) {
    pthread_mutex_lock(&mutex);
    while (queue_n == 4) {
      pthread_cond_wait(&cond, &mutex);
    }
    queue[queue_n++] = i;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

static void *consume(void *arg) {
  int64_t sum = 0;
  (void)arg;
  for (int i = 0; i < 500; i++) {
    pthread_mutex_lock(&mutex);
    while (queue_n == 0) {
      pthread_cond_wait(&cond, &mutex);
    }
    sum += queue[--queue_n];
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
  }
  return (void *)(intptr_t)sum;
}

static void *produce_or_consume(void *arg) {
  return (intptr_t)arg % 2 ? consume(arg) : produce(arg);
}

static int waiting, generation;

static void *wait_for_broadcast(void *arg) {
  (void)arg;
  pthread_mutex_lock(&mutex);
  int mine = generation;
  waiting++;
  while (generation == mine) {
    pthread_cond_wait(&cond, &mutex);
  }
  pthread_mutex_unlock(&mutex);
  return (void *)1;
}

static void test_condition(void) {
  start(6, produce_or_consume);
  is(join(6), 3 * 125250, "three producers, three consumers, nothing lost");
  start(THREADS, wait_for_broadcast);
  for (bool all = false; !all;) {
    pthread_mutex_lock(&mutex);
    all = waiting == THREADS;
    generation += all;
    pthread_mutex_unlock(&mutex);
    sched_yield();
  }
  pthread_cond_broadcast(&cond);
  is(join(THREADS), THREADS, "broadcast wakes all");
}

/* ---- rwlock ---- */

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int64_t pair[2];

static void *read_or_write(void *arg) {
  int64_t torn = 0;
  for (int i = 0; i < 1000; i++) {
    if ((intptr_t)arg % 4 == 0) {
      pthread_rwlock_wrlock(&rwlock);
      pair[0]++;
      if (i % 50 == 0) {
        sched_yield();
      }
      pair[1]++;
    } else {
      pthread_rwlock_rdlock(&rwlock);
      torn += pair[0] != pair[1];
    }
    pthread_rwlock_unlock(&rwlock);
  }
  return (void *)(intptr_t)torn;
}

static void *try_write(void *arg) {
  (void)arg;
  return (void *)(intptr_t)pthread_rwlock_trywrlock(&rwlock);
}

static void test_rwlock(void) {
  start(THREADS, read_or_write);
  is(join(THREADS), 0, "readers never see half a write");
  is(pair[0], 2000, "writers exclude each other");
  pthread_rwlock_rdlock(&rwlock);
  start(1, try_write);
  is(join(1), EBUSY, "no writer beside a reader");
  pthread_rwlock_unlock(&rwlock);
}

/* ---- semaphore, barrier, once ---- */

static sem_t items, spaces;

static void *use_semaphores(void *arg) {
  bool posts = (intptr_t)arg % 2 == 0;
  for (int i = 0; i < 500; i++) {
    sem_wait(posts ? &spaces : &items);
    sem_post(posts ? &items : &spaces);
  }
  return NULL;
}

static void test_semaphore(void) {
  int value = -1;
  sem_init(&items, 0, 0);
  sem_init(&spaces, 0, 3);
  start(4, use_semaphores);
  join(4);
  ok(sem_getvalue(&items, &value) == 0 && value == 0, "as many taken as posted");
  ok(sem_getvalue(&spaces, &value) == 0 && value == 3, "on both sides");
  fails_with(sem_trywait(&items), EAGAIN, "trywait of an empty semaphore");
  sem_destroy(&items);
  sem_destroy(&spaces);
}

static pthread_barrier_t barrier;
static volatile int phase_of[THREADS];

static void *run_phases(void *arg) {
  int64_t serial = 0, out_of_step = 0;
  for (int phase = 1; phase <= 50; phase++) {
    phase_of[(intptr_t)arg] = phase;
    serial += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
    for (int i = 0; i < THREADS; i++) {
      out_of_step += phase_of[i] != phase;
    }
    pthread_barrier_wait(&barrier);
  }
  return (void *)(intptr_t)(serial + 1000 * out_of_step);
}

static void test_barrier(void) {
  pthread_barrier_init(&barrier, NULL, THREADS);
  start(THREADS, run_phases);
  is(join(THREADS), 50, "fifty phases in step, one serial thread each");
  pthread_barrier_destroy(&barrier);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int n_once;

static void run_once(void) {
  sched_yield();
  n_once++;
}

static void *call_once(void *arg) {
  (void)arg;
  pthread_once(&once, run_once);
  return (void *)(intptr_t)n_once;
}

/* ---- keys, thread-local storage ---- */

static pthread_key_t key;
static int destroyed;
static __thread int64_t local = 5;
static _Thread_local char local_block[3000];

static void destroy_value(void *value) {
  __atomic_fetch_add(&destroyed, (int)(intptr_t)value, __ATOMIC_RELAXED);
}

static void *use_locals(void *arg) {
  intptr_t i = (intptr_t)arg;
  bool fresh = local == 5 && local_block[2999] == 0 && pthread_getspecific(key) == NULL;
  local += i;
  local_block[2999] = 1;
  pthread_setspecific(key, (void *)(i + 1));
  errno = (int)i;
  sched_yield();
  return (void *)(intptr_t)(fresh && local == 5 + i && errno == (int)i &&
                            pthread_getspecific(key) == (void *)(i + 1));
}

static void test_locals(void) {
  pthread_key_create(&key, destroy_value);
  start(THREADS, use_locals);
  is(join(THREADS), THREADS, "thread-local storage, keys and errno are each thread's own");
  is(destroyed, THREADS * (THREADS + 1) / 2, "destructors of keys ran");
  is(local, 5, "the main thread's is untouched");
  pthread_key_delete(key);
}

/* ---- detach, cancel, signals, fork ---- */

static sem_t done;

static void *post_done(void *arg) {
  (void)arg;
  sem_post(&done);
  return NULL;
}

static void test_detach(void) {
  sem_init(&done, 0, 0);
  for (int i = 0; i < 20; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, post_done, NULL) != 0 || pthread_detach(thread) != 0) {
      bail_out("detach");
    }
  }
  for (int i = 0; i < 20; i++) {
    sem_wait(&done);
  }
  ok(true, "twenty detached threads ran");
  sem_destroy(&done);
}

static int cleaned;

static void clean_up(void *arg) {
  (void)arg;
  cleaned++;
}

static void *wait_to_be_cancelled(void *arg) {
  pthread_cleanup_push(clean_up, NULL);
  for (;;) {
    sleep(100);
  }
  pthread_cleanup_pop(0);
  return arg;
}

static void test_cancel(void) {
  void *value = NULL;
  start(1, wait_to_be_cancelled);
  is(pthread_cancel(threads[0]), 0, "pthread_cancel");
  pthread_join(threads[0], &value);
  ok(value == PTHREAD_CANCELED, "join says cancelled");
  is(cleaned, 1, "the clean-up handler ran");
}

static int cancel_pipe[2];

/* Not while it is disabled, whatever comes meanwhile; then at the next point, before it does
 * anything. */
static void *cancelled_later(void *arg) {
  char text[4] = "";
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  *(ssize_t *)arg = read(cancel_pipe[0], text, 1);
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
  (void)!read(cancel_pipe[0], text, 1);
  *(ssize_t *)arg = -2;
  return NULL;
}

static void *cancelled_in_read(void *arg) {
  char text[4];
  *(ssize_t *)arg = read(cancel_pipe[0], text, 1);
  return NULL;
}

/* A cancellation point inside of the one that it interrupts. */
static void write_there(int sig) {
  (void)!write(cancel_pipe[1], "h", sig == 0);
}

static void test_cancel_points(void) {
  void *value = NULL;
  ssize_t n = -3;
  char text[4];
  if (pipe(cancel_pipe) != 0) {
    bail_out("pipe");
  }
  pthread_create(&threads[0], NULL, cancelled_later, &n);
  sleep_ms(20);
  pthread_cancel(threads[0]);
  sleep_ms(20);
  is(write(cancel_pipe[1], "ab", 2), 2, "two bytes");
  pthread_join(threads[0], &value);
  ok(value == PTHREAD_CANCELED && n == 1, "a disabled thread reads one, and is cancelled then");
  is(read(cancel_pipe[0], text, 4), 1, "the other was not taken");
  struct sigaction action = {.sa_handler = write_there, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  pthread_create(&threads[0], NULL, cancelled_in_read, &n);
  sleep_ms(20);
  pthread_kill(threads[0], SIGUSR1);
  sleep_ms(20);
  pthread_cancel(threads[0]);
  pthread_join(threads[0], &value);
  ok(value == PTHREAD_CANCELED, "a read that went on after a handler is cancelled");
  close(cancel_pipe[0]);
  close(cancel_pipe[1]);
}

static void *wait_forever(void *arg) {
  while (pause() == -1) {
  }
  return arg;
}

static int exit_with_threads(void *arg) {
  (void)arg;
  start(5, wait_forever);
  exit(17);
}

static void *fork_and_wait(void *arg) {
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    _exit((int)(intptr_t)arg);
  }
  waitpid(pid, &status, 0);
  return (void *)(intptr_t)(WIFEXITED(status) && WEXITSTATUS(status) == (int)(intptr_t)arg);
}

static int threads_in_child(void *arg) {
  (void)arg;
  start(4, square);
  return join(4) == 14 ? 0 : 1;
}

static void test_processes(void) {
  is(child_exit(exit_with_threads, NULL), 17, "exit ends all threads");
  start(THREADS, fork_and_wait);
  is(join(THREADS), THREADS, "each thread forks and waits for its own child");
  is(child_exit(threads_in_child, NULL), 0, "a forked child can make threads");
}

int main(void) {
  test_create();
  test_mutex();
  test_condition();
  test_rwlock();
  test_semaphore();
  test_barrier();
  start(THREADS, call_once);
  is(join(THREADS), THREADS, "pthread_once runs once, and all wait for it");
  test_locals();
  test_detach();
  test_cancel();
  test_cancel_points();
  test_processes();
  return tap_done();
}
