/* Three producers, two consumers and a bounded queue with two conditions. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

enum { SLOTS = 8, PER_PRODUCER = 1000, PRODUCERS = 3, CONSUMERS = 2, END = -1 };

static int queue[SLOTS], head, count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;

static void put(int value) {
  pthread_mutex_lock(&lock);
  while (count == SLOTS) {
    pthread_cond_wait(&not_full, &lock);
  }
  queue[(head + count++) % SLOTS] = value;
  pthread_cond_signal(&not_empty);
  pthread_mutex_unlock(&lock);
}

static int get(void) {
  pthread_mutex_lock(&lock);
  while (count == 0) {
    pthread_cond_wait(&not_empty, &lock);
  }
  int value = queue[head];
  head = (head + 1) % SLOTS;
  count--;
  pthread_cond_signal(&not_full);
  pthread_mutex_unlock(&lock);
  return value;
}

static void *produce(void *arg) {
  for (int i = 0; i < PER_PRODUCER; i++) {
    put((int)(intptr_t)arg * PER_PRODUCER + i);
  }
  return NULL;
}

static void *consume(void *arg) {
  int64_t sum = 0;
  (void)arg;
  for (int value; (value = get()) != END;) {
    sum += value;
  }
  return (void *)(intptr_t)sum;
}

int main(void) {
  pthread_t producers[PRODUCERS], consumers[CONSUMERS];
  int64_t sum = 0;
  for (intptr_t i = 0; i < PRODUCERS; i++) {
    pthread_create(&producers[i], NULL, produce, (void *)i);
  }
  for (int i = 0; i < CONSUMERS; i++) {
    pthread_create(&consumers[i], NULL, consume, NULL);
  }
  for (int i = 0; i < PRODUCERS; i++) {
    pthread_join(producers[i], NULL);
  }
  for (int i = 0; i < CONSUMERS; i++) {
    put(END);
  }
  for (int i = 0; i < CONSUMERS; i++) {
    void *part;
    pthread_join(consumers[i], &part);
    sum += (intptr_t)part;
  }
  printf("%d items, sum %lld\n", PRODUCERS * PER_PRODUCER, (long long)sum);
  return 0;
}
