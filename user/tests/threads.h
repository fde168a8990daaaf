/* Threads of tests: on a CPU of their own choice, with a priority. After `#define _GNU_SOURCE`. */
#ifndef TESTS_THREADS_H
#define TESTS_THREADS_H

#include <pthread.h>
#include <sched.h>

#include "tap.h"

/* The calling thread runs on this CPU only. */
static inline void thread_pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    bail_out("sched_setaffinity");
  }
}

static inline void cpus_set(pthread_t thread, int first, int last) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu = first; cpu <= last; cpu++) {
    CPU_SET(cpu, &set);
  }
  if (pthread_setaffinity_np(thread, sizeof set, &set) != 0) {
    bail_out("pthread_setaffinity_np");
  }
}

/* Real-time, FIFO, with this priority; as its creator with 0. */
static inline pthread_t thread_start(int priority, void *(*run)(void *), void *arg) {
  pthread_attr_t attributes;
  struct sched_param param = {.sched_priority = priority};
  pthread_t thread;
  pthread_attr_init(&attributes);
  if (priority > 0) {
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
    pthread_attr_setschedparam(&attributes, &param);
  }
  if (pthread_create(&thread, &attributes, run, arg) != 0) {
    bail_out("pthread_create");
  }
  pthread_attr_destroy(&attributes);
  return thread;
}

#endif
