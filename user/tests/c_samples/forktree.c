/* A binary tree of processes, four levels deep; each answers the size of its part by its status. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int grow(int depth) {
  int size = 1;
  for (int i = 0; i < 2 && depth > 0; i++) {
    pid_t pid = fork();
    if (pid < 0) {
      perror("fork");
      exit(255);
    }
    if (pid == 0) {
      _exit(grow(depth - 1));
    }
  }
  for (int status; wait(&status) > 0;) {
    size += WEXITSTATUS(status);
  }
  return size;
}

int main(void) {
  for (int depth = 0; depth <= 4; depth++) {
    printf("depth %d: %d processes\n", depth, grow(depth));
    fflush(stdout);
  }
  return grow(3);
}
