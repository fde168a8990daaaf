/* What does it cost to make a thread? */
#include <pthread.h>
#include <string.h>

#include "../cases.h"

static void *successor(void *argument) {
  return (char *)argument + 1;
}

static void create_measure(struct run *run, uint64_t n) {
  static char numbers[64];
  run_start(run);
  for (uint64_t i = 0; i < n; i++) {
    char *argument = &numbers[i % (sizeof(numbers) - 1)];
    pthread_t thread;
    void *result = NULL;
    int error = RUN_WORK(pthread_create(&thread, NULL, successor, argument), 0);
    error = error != 0 ? error : RUN_WORK(pthread_join(thread, &result), 0);
    if (error != 0) {
      run_fail(run, "pthread_create, pthread_join: %s", strerror(error));
      return;
    }
    run->confirmed += result == argument + 1;
  }
  run_stop(run);
}

const struct bench_case case_thread_create = {
    .name = "thread.create",
    .op = "pthread_create of a thread that only returns, and pthread_join",
    .measure = create_measure,
};
