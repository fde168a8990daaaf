/* vfork: the child's memory is the parent's, the parent waits, and what a process has beside its
 * memory is each one's own. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tap.h"

static char *const no_environment[] = {NULL};
static const char *program;
static volatile int shared;
static volatile sig_atomic_t n_handled;
static volatile pid_t handled_in;

static void on_signal(int sig) {
  (void)sig;
  n_handled++;
  handled_in = getpid();
}

static int wait_exit(pid_t pid) {
  int status;
  return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_memory(void) {
  shared = 1;
  pid_t pid = vfork();
  if (pid == 0) {
    for (volatile int i = 0; i < 100000; i++) { /* a parent that does not wait would be through */
    }
    shared = 2;
    _exit(3);
  }
  is(shared, 2, "the child's write is seen, and has been waited for");
  is(wait_exit(pid), 3, "its exit code");
}

static void test_exec_ends_it(void) {
  int fds[2];
  char byte;
  is(pipe2(fds, O_CLOEXEC), 0, "a pipe");
  pid_t pid = vfork();
  if (pid == 0) {
    dup2(fds[0], 0);
    execve("/bin/cat", (char *[]){"cat", NULL}, no_environment);
    _exit(99);
  }
  is(waitpid(pid, NULL, WNOHANG), 0, "the parent goes on while the new program runs");
  close(fds[0]);
  close(fds[1]);
  is(wait_exit(pid), 0, "the new program ends with its input");
  ok(read(fds[0], &byte, 1) < 0 && errno == EBADF, "the descriptors were the parent's own");
}

static void test_exec_fails(void) {
  pid_t pid = vfork();
  if (pid == 0) {
    execve("/bin/there-is-none", (char *[]){"none", NULL}, no_environment);
    _exit(errno == ENOENT ? 4 : 5);
  }
  is(wait_exit(pid), 4, "a child whose exec fails goes on");
}

static void test_ids(void) {
  static volatile pid_t child, parent;
  pid_t self = getpid();
  pid_t pid = vfork();
  if (pid == 0) {
    child = getpid();
    parent = getppid();
    _exit(0);
  }
  is(child, pid, "getpid in the child");
  is(parent, self, "getppid in the child");
  is(getpid(), self, "getpid in the parent");
  is(wait_exit(pid), 0, "it can be waited for");
}

/* All that a child may do between vfork and exec. */
static void child_changes_everything(void) {
  struct sigaction action = {.sa_handler = SIG_IGN};
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  bool good = sigaction(SIGUSR1, &action, NULL) == 0 && chdir("/bin") == 0 && chdir("/") == 0 &&
              chdir("/bin") == 0;
  umask(0);
  alarm(1000);
  good =
      good && waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD; /* the parent's are not ours */
  _exit(good ? 0 : 1);
}

static void test_state(void) {
  char cwd[64], before[64];
  sigset_t mask;
  struct sigaction action = {.sa_handler = on_signal}, now;
  sigaction(SIGUSR1, &action, NULL);
  umask(022);
  is(chdir("/tmp"), 0, "the parent's directory");
  ok(getcwd(before, sizeof(before)), "its name");
  pid_t other = fork();
  if (other == 0) {
    pause();
    _exit(0);
  }
  pid_t pid = vfork();
  if (pid == 0) {
    child_changes_everything();
  }
  is(wait_exit(pid), 0, "the child could change all of it, and has no children");
  sigaction(SIGUSR1, NULL, &now);
  ok(now.sa_handler == on_signal, "the parent's action is as before");
  sigprocmask(SIG_SETMASK, NULL, &mask);
  ok(!sigismember(&mask, SIGUSR1), "its mask is");
  ok(getcwd(cwd, sizeof(cwd)) && strcmp(cwd, before) == 0, "its working directory is");
  is(umask(022), 022, "its file mask is");
  is(alarm(0), 0, "its alarm is");
  kill(other, SIGKILL);
  is(waitpid(other, NULL, 0), other, "its children are");
  n_handled = 0;
  raise(SIGUSR1);
  is(n_handled, 1, "its handler runs");
}

static void test_signals(void) {
  pid_t self = getpid();
  n_handled = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    kill(self, SIGUSR1);
    _exit(n_handled == 0 ? 0 : 1);
  }
  is(wait_exit(pid), 0, "a signal to the parent waits for the child to leave");
  is(n_handled, 1, "and comes once");
  is(handled_in, self, "to the parent");
  n_handled = 0;
  pid = vfork();
  if (pid == 0) {
    kill(getpid(), SIGUSR1);
    _exit(n_handled == 1 && handled_in != self ? 0 : 1);
  }
  is(wait_exit(pid), 0, "a signal to the child is handled by it");
  int status = 0;
  pid = vfork();
  if (pid == 0) {
    kill(getpid(), SIGKILL);
    for (;;) {
    }
  }
  is(waitpid(pid, &status, 0), pid, "a child that is killed lets the parent go on");
  ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "its status");
}

static void test_timers(void) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  struct itimerspec far = {.it_value.tv_sec = 1000}, left = {0};
  is(timer_create(CLOCK_MONOTONIC, &event, &timer), 0, "a timer of the parent");
  is(timer_settime(timer, 0, &far, NULL), 0, "which runs");
  pid_t pid = vfork();
  if (pid == 0) {
    _exit(timer_gettime(timer, &left) == -1 ? 0 : 1);
  }
  is(wait_exit(pid), 0, "is none of the child's");
  ok(timer_gettime(timer, &left) == 0 && left.it_value.tv_sec > 0, "and still the parent's");
  timer_delete(timer);
}

/* The child goes on in a space that is its alone then. */
static void test_parent_killed(void) {
  int gate[2], report[2], status = 0;
  char byte = 0;
  is(pipe(gate) + pipe(report), 0, "two pipes");
  pid_t parent = fork();
  if (parent == 0) {
    if (vfork() == 0) {
      close(gate[1]);
      bool told = write(report[1], "r", 1) == 1 && read(gate[0], &byte, 1) == 0;
      _exit(told && write(report[1], "d", 1) == 1 ? 0 : 1);
    }
    _exit(9); /* it is killed before */
  }
  close(report[1]);
  ok(read(report[0], &byte, 1) == 1 && byte == 'r', "a child runs while its parent waits");
  kill(parent, SIGKILL);
  is(waitpid(parent, &status, 0), parent, "the parent can be killed meanwhile");
  ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "its status");
  close(gate[0]);
  close(gate[1]);
  ok(read(report[0], &byte, 1) == 1 && byte == 'd', "the child goes on to its end");
  ok(read(report[0], &byte, 1) == 0, "which comes");
  close(report[0]);
}

/* Another system, whose vfork() always shares. */
static bool is_elsewhere(void) {
  int fd = open("sys:/mem", O_RDONLY);
  close(fd);
  return fd < 0;
}

/* A child of the child has its own memory, and everything works in it. */
static void test_nested(void) {
  shared = 1;
  pid_t pid = vfork();
  if (pid == 0) {
    pid_t inner = vfork();
    if (inner == 0) {
      shared = 2;
      _exit(6);
    }
    _exit(wait_exit(inner));
  }
  is(wait_exit(pid), 6, "a vfork in a vfork");
  is(shared, is_elsewhere() ? 2 : 1, "is a fork, but on Linux");
}

static bool limit_is(rlim_t bytes) {
  struct rlimit now;
  return getrlimit(RLIMIT_AS, &now) == 0 && now.rlim_cur == bytes;
}

static void test_limit(void) {
  struct rlimit first, low = {1ul << 30, 1ul << 30}, wrong = {2, 1};
  is(getrlimit(RLIMIT_AS, &first), 0, "the limit on memory");
  pid_t pid = vfork();
  if (pid == 0) {
    bool refused = setrlimit(RLIMIT_AS, &wrong) == -1 && errno == EINVAL;
    bool set = setrlimit(RLIMIT_AS, &low) == 0 && limit_is(1ul << 30);
    pid_t inner = fork();
    if (inner == 0) {
      _exit(limit_is(1ul << 30) ? 6 : 7);
    }
    if (refused && set && wait_exit(inner) == 6) {
      execve(program, (char *[]){"t_vfork", "limited", NULL}, no_environment);
    }
    _exit(99);
  }
  is(wait_exit(pid), 5, "one that a child sets holds for its children and its program");
  ok(limit_is(first.rlim_cur), "and not for its parent");
  pid = vfork();
  if (pid == 0) {
    _exit(limit_is(first.rlim_cur) ? 0 : 1);
  }
  is(wait_exit(pid), 0, "nor for the next child");
}

static void *thread_end(void *arg) {
  return arg;
}

static void test_threads(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, thread_end, NULL);
  pthread_join(thread, NULL);
  shared = 1;
  pid_t pid = vfork();
  if (pid == 0) {
    shared = 2;
    _exit(7);
  }
  is(wait_exit(pid), 7, "a vfork after a thread");
  is(shared, is_elsewhere() ? 2 : 1, "is a fork, but on Linux");
}

int main(int argc, char **argv) {
  if (argc > 1) { /* started by test_limit() */
    void *much = mmap(NULL, 2ul << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return much == MAP_FAILED && errno == ENOMEM && limit_is(1ul << 30) ? 5 : 4;
  }
  program = self_path(argv[0]);
  test_memory();
  test_exec_ends_it();
  test_exec_fails();
  test_ids();
  test_state();
  test_signals();
  test_timers();
  test_parent_killed();
  test_nested();
  test_limit();
  test_threads();
  return tap_done();
}
