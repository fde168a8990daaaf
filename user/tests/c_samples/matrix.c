/* Multiplies two matrices with four threads, each taking every fourth row. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

enum { N = 96, THREADS = 4 };

static double a[N][N], b[N][N], c[N][N];

static void *multiply_rows(void *arg) {
  for (int i = (int)(intptr_t)arg; i < N; i += THREADS) {
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int k = 0; k < N; k++) {
        sum += a[i][k] * b[k][j];
      }
      c[i][j] = sum;
    }
  }
  return NULL;
}

int main(void) {
  pthread_t threads[THREADS];
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) {
      a[i][j] = i + j;
      b[i][j] = i == j ? 2 : (i > j ? 0.5 : 0);
    }
  }
  for (intptr_t i = 0; i < THREADS; i++) {
    pthread_create(&threads[i], NULL, multiply_rows, (void *)i);
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
  }
  double trace = 0, sum = 0;
  for (int i = 0; i < N; i++) {
    trace += c[i][i];
    for (int j = 0; j < N; j++) {
      sum += c[i][j];
    }
  }
  printf("trace %.1f sum %.1f corner %.1f\n", trace, sum, c[N - 1][0]);
  return 0;
}
