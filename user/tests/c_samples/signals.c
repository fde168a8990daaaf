/* A handler counts; the main program blocks, raises, waits and reports in order. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t n_usr1, n_usr2;

static void on_signal(int number) {
  if (number == SIGUSR1) {
    n_usr1++;
  } else {
    n_usr2++;
  }
}

int main(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigset_t usr2, old;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGUSR2, &action, NULL);
  sigemptyset(&usr2);
  sigaddset(&usr2, SIGUSR2);
  raise(SIGUSR1);
  printf("after raise: %d %d\n", (int)n_usr1, (int)n_usr2);
  sigprocmask(SIG_BLOCK, &usr2, &old);
  raise(SIGUSR2);
  raise(SIGUSR2);
  printf("blocked: %d %d\n", (int)n_usr1, (int)n_usr2);
  sigprocmask(SIG_SETMASK, &old, NULL);
  printf("unblocked: %d %d\n", (int)n_usr1, (int)n_usr2);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    signal(SIGTERM, SIG_DFL);
    for (;;) {
      pause();
    }
  }
  int status;
  kill(pid, SIGTERM);
  waitpid(pid, &status, 0);
  printf("child: %s by signal %d\n", WIFSIGNALED(status) ? "killed" : "exited", WTERMSIG(status));
  fflush(stdout);
  kill(getpid(), SIGINT);
  printf("not reached\n");
  return 0;
}
