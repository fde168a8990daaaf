/* One dispatcher hands requests to more workers than there are CPUs: the question of schbench. The
 * latency is from the hand-over to the worker running; a request is a few pieces of computing, and
 * a worker gets the next one when it is done.
 *
 * A worker belongs to the dispatcher while `busy` is false, and to itself until it sets it so; the
 * semaphores order everything else. */
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "work.h"

enum { PIECES = 4, WORKERS_MORE = 3 };

struct worker {
  struct request *request;
  sem_t go;
  _Atomic bool busy;
  bool stop;
  uint64_t asked_ns, n_done;
  struct latency latency;
};

struct request {
  struct sample *sample;
  sem_t done;
  unsigned n_workers;
  uint64_t n_asked;
  struct worker workers[];
};

static void semaphore_wait(sem_t *semaphore) {
  while (sem_wait(semaphore) != 0) {
  }
}

static void *worker_run(void *argument) {
  struct worker *worker = argument;
  for (;;) {
    semaphore_wait(&worker->go);
    if (worker->stop) {
      return NULL;
    }
    latency_add(&worker->latency, clock_ns() - worker->asked_ns);
    for (unsigned i = 0; i < PIECES; i++) {
      if (!work_piece()) {
        sample_fail(worker->request->sample, "a piece of work came out wrong");
      }
    }
    worker->n_done++;
    atomic_store(&worker->busy, false);
    sem_post(&worker->request->done);
  }
}

/* Gives a request to everybody who is free; answers how many there were. */
static unsigned requests_ask(struct request *request) {
  unsigned n = 0;
  for (unsigned i = 0; i < request->n_workers; i++) {
    struct worker *worker = &request->workers[i];
    if (!atomic_load(&worker->busy)) {
      atomic_store(&worker->busy, true);
      worker->asked_ns = clock_ns();
      sem_post(&worker->go);
      n++;
    }
  }
  return n;
}

static void *dispatcher_run(void *argument) {
  struct request *request = argument;
  unsigned n_open = 0;
  clock_sleep_until(request->sample->start_ns);
  do {
    unsigned n = requests_ask(request);
    request->n_asked += n;
    n_open += n;
    semaphore_wait(&request->done);
    n_open--;
  } while (!sample_over(request->sample));
  for (; n_open > 0; n_open--) {
    semaphore_wait(&request->done);
  }
  return NULL;
}

static struct request *request_create(struct sample *sample) {
  unsigned n = sample->n_cpus + WORKERS_MORE;
  struct request *request = calloc(1, sizeof(*request) + n * sizeof(struct worker));
  if (request == NULL) {
    sample_fail(sample, "no memory for %u workers", n);
    return NULL;
  }
  request->sample = sample;
  request->n_workers = n;
  sem_init(&request->done, 0, 0);
  for (unsigned i = 0; i < n; i++) {
    request->workers[i].request = request;
    sem_init(&request->workers[i].go, 0, 0);
  }
  return request;
}

static void request_destroy(struct request *request) {
  for (unsigned i = 0; i < request->n_workers; i++) {
    sem_destroy(&request->workers[i].go);
  }
  sem_destroy(&request->done);
  free(request);
}

static void workers_stop(struct request *request, struct crew *workers) {
  for (unsigned i = 0; i < workers->n; i++) {
    request->workers[i].stop = true;
    sem_post(&request->workers[i].go);
  }
  crew_join(workers);
}

static void result_take(struct sample *sample, const struct request *request) {
  uint64_t n_done = 0;
  for (unsigned i = 0; i < request->n_workers; i++) {
    n_done += request->workers[i].n_done;
    latency_merge(&sample->latency, &request->workers[i].latency);
  }
  if (n_done != request->n_asked || sample->latency.n != n_done) {
    sample_fail(sample, "%llu requests asked, %llu done, %llu latencies",
                (unsigned long long)request->n_asked, (unsigned long long)n_done,
                (unsigned long long)sample->latency.n);
  }
}

static void request_run(struct sample *sample) {
  struct crew workers = {0}, dispatcher = {0};
  struct request *request = request_create(sample);
  if (request == NULL) {
    return;
  }
  bool good = true;
  for (unsigned i = 0; i < request->n_workers && good; i++) {
    good = crew_add(&workers, sample, worker_run, &request->workers[i]);
  }
  if (good && crew_add(&dispatcher, sample, dispatcher_run, request)) {
    crew_join(&dispatcher);
    sample_count(sample, request->n_asked);
  }
  workers_stop(request, &workers);
  result_take(sample, request);
  request_destroy(request);
}

const struct workload workload_request = {
    .name = "request",
    .text = "a dispatcher hands requests to 3 workers more than CPUs; requests, and from hand-over "
            "to running",
    .run = request_run,
};
