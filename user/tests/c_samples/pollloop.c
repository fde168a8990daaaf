/* Three children write to pipes at different times; the parent polls them all until each has ended.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 3 };

static int start(int n) {
  int fds[2];
  if (pipe(fds) != 0) {
    return -1;
  }
  if (fork() == 0) {
    close(fds[0]);
    for (int i = 0; i < 3; i++) {
      char text[32];
      usleep((useconds_t)(1000 * (n + 1)));
      snprintf(text, sizeof text, "child %d line %d\n", n, i);
      if (write(fds[1], text, strlen(text)) < 0) {
        _exit(1);
      }
    }
    _exit(n);
  }
  close(fds[1]);
  return fds[0];
}

int main(void) {
  struct pollfd p[CHILDREN];
  char output[CHILDREN][256];
  size_t length[CHILDREN] = {0};
  int open_pipes = CHILDREN, sum = 0;
  for (int i = 0; i < CHILDREN; i++) {
    p[i] = (struct pollfd){.fd = start(i), .events = POLLIN};
  }
  while (open_pipes > 0 && poll(p, CHILDREN, 10000) > 0) {
    for (int i = 0; i < CHILDREN; i++) {
      if (p[i].revents) {
        ssize_t n = read(p[i].fd, output[i] + length[i], sizeof output[i] - length[i]);
        if (n > 0) {
          length[i] += (size_t)n;
        } else {
          close(p[i].fd);
          p[i].fd = -1;
          open_pipes--;
        }
      }
    }
  }
  for (int i = 0; i < CHILDREN; i++) {
    fwrite(output[i], 1, length[i], stdout);
  }
  for (int status; wait(&status) > 0;) {
    sum += WEXITSTATUS(status);
  }
  printf("statuses add up to %d\n", sum);
  return open_pipes;
}
