/* Four ways to sort the same pseudo-random numbers; all must agree. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 2000 };

static int source[N];

static void insertion_sort(int *a, int n) {
  for (int i = 1; i < n; i++) {
    int key = a[i], j = i;
    for (; j > 0 && a[j - 1] > key; j--) {
      a[j] = a[j - 1];
    }
    a[j] = key;
  }
}

static void quick_sort(int *a, int n) {
  if (n < 2) {
    return;
  }
  int pivot = a[n / 2], i = 0, j = n - 1;
  while (i <= j) {
    while (a[i] < pivot) {
      i++;
    }
    while (a[j] > pivot) {
      j--;
    }
    if (i <= j) {
      int t = a[i];
      a[i++] = a[j];
      a[j--] = t;
    }
  }
  quick_sort(a, j + 1);
  quick_sort(a + i, n - i);
}

static void merge_sort(int *a, int n) {
  if (n < 2) {
    return;
  }
  int half = n / 2, i = 0, j = half, *merged = malloc((size_t)n * sizeof *merged);
  merge_sort(a, half);
  merge_sort(a + half, n - half);
  for (int k = 0; k < n; k++) {
    merged[k] = j >= n || (i < half && a[i] <= a[j]) ? a[i++] : a[j++];
  }
  memcpy(a, merged, (size_t)n * sizeof *a);
  free(merged);
}

static int compare(const void *a, const void *b) {
  int x = *(const int *)a, y = *(const int *)b;
  return (x > y) - (x < y);
}

static void library_sort(int *a, int n) {
  qsort(a, (size_t)n, sizeof *a, compare);
}

static void show(const char *name, void (*sort)(int *, int)) {
  int a[N];
  memcpy(a, source, sizeof a);
  sort(a, N);
  bool sorted = true;
  long long checksum = 0;
  for (int i = 0; i < N; i++) {
    sorted = sorted && (i == 0 || a[i - 1] <= a[i]);
    checksum = checksum * 31 % 1000000007 + a[i];
  }
  printf("%-10s %s first=%d median=%d last=%d checksum=%lld\n", name, sorted ? "sorted" : "WRONG",
         a[0], a[N / 2], a[N - 1], checksum);
}

int main(void) {
  unsigned x = 42;
  for (int i = 0; i < N; i++) {
    x = x * 1103515245u + 12345u;
    source[i] = (int)(x >> 16) % 10000;
  }
  show("insertion", insertion_sort);
  show("quick", quick_sort);
  show("merge", merge_sort);
  show("qsort", library_sort);
  return 0;
}
