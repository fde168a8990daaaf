/* Signals: handlers and what they get, masks, pending, defaults, SIGCHLD, faults, interrupted
 * calls, restarting, alternate stacks, waiting for signals, nesting, and signals to threads. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#include "tap.h"

static volatile sig_atomic_t count, last;

static void on_signal(int number) {
  count++;
  last = number;
}

static void handle(int number, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  sigemptyset(&action.sa_mask);
  if (sigaction(number, &action, NULL) != 0) {
    bail_out("sigaction");
  }
}

static void block(int how, int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  sigprocmask(how, &set, NULL);
}

static void test_handlers(void) {
  handle(SIGUSR1, on_signal, 0);
  count = 0;
  is(raise(SIGUSR1), 0, "raise");
  ok(count == 1 && last == SIGUSR1, "the handler has run before raise returns");
  is(kill(getpid(), SIGUSR1), 0, "kill of oneself");
  is(count, 2, "likewise");
  for (int i = 0; i < 300; i++) {
    raise(SIGUSR1);
  }
  is(count, 302, "three hundred more");
  signal(SIGUSR1, SIG_IGN);
  raise(SIGUSR1);
  is(count, 302, "ignored");
  struct sigaction old;
  ok(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_IGN, "sigaction answers it");
  handle(SIGUSR1, on_signal, SA_RESETHAND);
  raise(SIGUSR1);
  sigaction(SIGUSR1, NULL, &old);
  ok(count == 303 && old.sa_handler == SIG_DFL, "SA_RESETHAND resets");
  fails_with(sigaction(SIGKILL, &old, NULL), EINVAL, "SIGKILL cannot be handled");
  fails_with(sigaction(SIGSTOP, &old, NULL), EINVAL, "nor can SIGSTOP");
  fails_with(sigaction(999, &old, NULL), EINVAL, "there is no signal 999");
  fails_with(kill(getpid(), 999), EINVAL, "nor can it be sent");
}

static siginfo_t seen_info;
static bool seen_context;

static void on_info(int number, siginfo_t *info, void *context) {
  last = number;
  seen_info = *info;
  const ucontext_t *u = context;
  uintptr_t sp = (uintptr_t)u->uc_mcontext.gregs[REG_RSP], here = (uintptr_t)&sp;
  seen_context = sp > here && sp - here < 100000;
}

static void test_info(void) {
  struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR2, &action, NULL);
  pid_t self = getpid(), pid = fork();
  if (pid == 0) {
    kill(self, SIGUSR2);
    _exit(0);
  }
  waitpid(pid, NULL, 0);
  int64_t limit = now_ns(CLOCK_MONOTONIC) + 5000000000;
  while (seen_info.si_signo == 0 && now_ns(CLOCK_MONOTONIC) < limit) {
    sched_yield();
  }
  ok(seen_info.si_signo == SIGUSR2 && seen_info.si_pid == pid, "siginfo names the sender");
  ok(seen_context, "the context holds the interrupted stack pointer");
  signal(SIGUSR2, SIG_DFL);
}

/* ---- masks ---- */

static void test_masks(void) {
  sigset_t set;
  handle(SIGUSR1, on_signal, 0);
  count = 0;
  block(SIG_BLOCK, SIGUSR1);
  raise(SIGUSR1);
  raise(SIGUSR1);
  is(count, 0, "blocked");
  ok(sigpending(&set) == 0 && sigismember(&set, SIGUSR1) == 1, "and pending");
  block(SIG_UNBLOCK, SIGUSR1);
  is(count, 1, "delivered once when unblocked");
  sigpending(&set);
  is(sigismember(&set, SIGUSR1), 0, "no longer pending");
  block(SIG_BLOCK, SIGUSR1);
  raise(SIGUSR1);
  signal(SIGUSR1, SIG_IGN);
  block(SIG_UNBLOCK, SIGUSR1);
  is(count, 1, "ignoring throws a pending signal away");
}

static volatile int depth, deepest;

static void nest(int number) {
  depth++;
  deepest = depth > deepest ? depth : deepest;
  if (number == SIGUSR1 && depth < 5) {
    raise(SIGUSR2);
  } else if (depth < 5) {
    raise(SIGUSR1);
  }
  depth--;
}

static void raise_again(int number) {
  count++;
  if (count < 3) {
    raise(number);
    last = count; /* what it was right after raise: not yet delivered again */
  }
}

static void test_nesting(void) {
  handle(SIGUSR1, nest, SA_NODEFER);
  handle(SIGUSR2, nest, SA_NODEFER);
  raise(SIGUSR1);
  is(deepest, 5, "handlers nest");
  count = last = 0;
  handle(SIGUSR1, raise_again, 0);
  raise(SIGUSR1);
  is(count, 3, "a signal is delivered again after its handler");
  is(last, 2, "and blocked during it");
  signal(SIGUSR1, SIG_DFL);
  signal(SIGUSR2, SIG_DFL);
}

/* ---- defaults ---- */

static int raise_default(void *arg) {
  signal(*(int *)arg, SIG_DFL);
  raise(*(int *)arg);
  return 42;
}

static void test_defaults(void) {
  static const int deadly[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS, SIGFPE,
                               SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM};
  static const int harmless[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
  bool all = true;
  for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
    int number = deadly[i];
    all = child_exit(raise_default, &number) == -number && all;
  }
  ok(all, "fifteen signals kill by default");
  for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
    int number = harmless[i];
    all = child_exit(raise_default, &number) == 42 && all;
  }
  ok(all, "four do not");
}

static void test_stop(void) {
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    raise(SIGSTOP);
    _exit(8);
  }
  is(waitpid(pid, &status, WUNTRACED), pid, "waitpid sees a stop");
  ok(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "by SIGSTOP");
  kill(pid, SIGCONT);
  is(waitpid(pid, &status, 0), pid, "SIGCONT lets it go on");
  ok(WIFEXITED(status) && WEXITSTATUS(status) == 8, "to its end");
}

static void test_child_signal(void) {
  handle(SIGCHLD, on_signal, 0);
  count = 0;
  pid_t pid = fork();
  if (pid == 0) {
    _exit(0);
  }
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
  }
  int64_t limit = now_ns(CLOCK_MONOTONIC) + 5000000000;
  while (count == 0 && now_ns(CLOCK_MONOTONIC) < limit) {
    sched_yield();
  }
  ok(count == 1 && last == SIGCHLD, "the end of a child sends SIGCHLD");
  signal(SIGCHLD, SIG_DFL);
}

/* ---- faults ---- */

static sigjmp_buf recover;
static void *fault_address;

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  last = number;
  fault_address = info->si_addr;
  siglongjmp(recover, 1);
}

static int divide_by_zero(void) {
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    volatile int zero = 0;
    int result;
    signal(SIGFPE, SIG_DFL);
    __asm__ volatile("cltd; idivl %1" : "=a"(result) : "m"(zero), "a"(1) : "rdx");
    _exit(result);
  }
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Whether a write to p faults, with the address in siginfo. */
static bool faults_at(volatile char *p) {
  last = 0;
  if (sigsetjmp(recover, 1) == 0) {
    *p = 1;
  }
  return last == SIGSEGV && fault_address == p;
}

static void test_faults(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, NULL);
  char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  bool all = true;
  for (int i = 0; i < 20; i++) {
    all = faults_at(page + i) && all;
  }
  ok(all, "twenty faults, each with its address, each recovered from");
  signal(SIGSEGV, SIG_DFL);
  munmap(page, 4096);
  is(divide_by_zero(), SIGFPE, "a division by zero");
}

static char alternate[65536];
static volatile bool on_alternate;

static void check_stack(int number) {
  char here;
  (void)number;
  on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
}

/* Needs levels * 4 KiB of stack. */
static int use_stack(int levels, volatile char *above) {
  volatile char block[4096];
  block[0] = above[0];
  return levels == 0 ? block[0] : use_stack(levels - 1, block) + block[0];
}

static void exit_on_fault(int number) {
  (void)number;
  _exit(33);
}

static int overflow_handled(void *arg) {
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  volatile char block[1] = {0};
  (void)arg;
  sigaltstack(&stack, NULL);
  handle(SIGSEGV, exit_on_fault, SA_ONSTACK);
  return use_stack(1 << 20, block);
}

static void test_alternate_stack(void) {
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
  is(sigaltstack(&stack, NULL), 0, "sigaltstack");
  handle(SIGUSR1, check_stack, SA_ONSTACK);
  raise(SIGUSR1);
  ok(on_alternate, "the handler runs on it");
  handle(SIGUSR1, check_stack, 0);
  raise(SIGUSR1);
  ok(!on_alternate, "but only when asked to");
  stack.ss_flags = SS_DISABLE;
  ok(sigaltstack(&stack, &old) == 0 && old.ss_sp == alternate, "and off again");
  is(child_exit(overflow_handled, NULL), 33, "a stack overflow can be handled on it");
  signal(SIGUSR1, SIG_DFL);
}

/* ---- interrupted calls ---- */

/* A child that signals us every 10 ms until it is killed. */
static pid_t start_pestering(int number) {
  pid_t self = getpid(), pid = fork();
  if (pid == 0) {
    for (;;) {
      sleep_ms(10);
      if (kill(self, number) != 0) {
        _exit(0);
      }
    }
  }
  return pid;
}

static void stop_pestering(pid_t pid) {
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
  }
}

static void *write_later(void *arg) {
  sleep_ms(60);
  return write(*(int *)arg, "x", 1) == 1 ? arg : NULL;
}

static void test_interrupts(void) {
  int fds[2];
  char byte;
  if (pipe(fds) != 0) {
    bail_out("pipe");
  }
  handle(SIGUSR1, on_signal, 0);
  pid_t pid = start_pestering(SIGUSR1);
  fails_with(read(fds[0], &byte, 1), EINTR, "a signal interrupts read");
  struct timespec left, second = {1, 0};
  fails_with(nanosleep(&second, &left), EINTR, "and nanosleep");
  ok(left.tv_sec == 0 && left.tv_nsec > 0, "which answers the time that is left");
  fails_with(pause(), EINTR, "and pause");
  stop_pestering(pid);
  handle(SIGUSR1, on_signal, SA_RESTART);
  pthread_t thread;
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old); /* the helper must not take the signals */
  pthread_create(&thread, NULL, write_later, &fds[1]);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  count = 0;
  pid = start_pestering(SIGUSR1);
  is(read(fds[0], &byte, 1), 1, "with SA_RESTART read goes on");
  ok(count > 0, "although there were signals");
  stop_pestering(pid);
  pthread_join(thread, NULL);
  signal(SIGUSR1, SIG_DFL);
  close(fds[0]);
  close(fds[1]);
}

/* ---- waiting for signals ---- */

static void test_suspend(void) {
  sigset_t none, set;
  siginfo_t info;
  sigemptyset(&none);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  handle(SIGUSR1, on_signal, 0);
  block(SIG_BLOCK, SIGUSR1);
  count = 0;
  raise(SIGUSR1);
  fails_with(sigsuspend(&none), EINTR, "sigsuspend with a pending signal");
  is(count, 1, "delivers it");
  raise(SIGUSR1);
  is(count, 1, "the mask is back afterwards");
  is(sigwaitinfo(&set, &info), SIGUSR1, "sigwaitinfo takes it");
  is(count, 1, "without the handler");
  struct timespec limit = {0, 20000000};
  int64_t from = now_ns(CLOCK_MONOTONIC);
  fails_with(sigtimedwait(&set, &info, &limit), EAGAIN, "sigtimedwait without one");
  ok(now_ns(CLOCK_MONOTONIC) - from >= 20000000, "waits the whole time");
  block(SIG_UNBLOCK, SIGUSR1);
  signal(SIGUSR1, SIG_DFL);
}

static void test_alarm(void) {
  handle(SIGALRM, on_signal, 0);
  count = 0;
  struct itimerval timer = {.it_value = {0, 30000}}, off = {0};
  int64_t from = now_ns(CLOCK_MONOTONIC);
  is(setitimer(ITIMER_REAL, &timer, NULL), 0, "setitimer");
  while (count == 0 && now_ns(CLOCK_MONOTONIC) - from < 10000000000) {
    sleep_ms(1);
  }
  ok(count == 1 && last == SIGALRM, "SIGALRM comes");
  ok(now_ns(CLOCK_MONOTONIC) - from >= 30000000, "not early");
  is(alarm(100), 0, "alarm");
  int left = (int)alarm(0);
  ok(left == 100 || left == 99, "answers the seconds that were left");
  setitimer(ITIMER_REAL, &off, NULL);
  signal(SIGALRM, SIG_DFL);
}

/* ---- threads ---- */

static volatile pthread_t signalled;
static volatile bool thread_ready, thread_stop;

static void note_thread(int number) {
  signalled = pthread_self();
  count++;
  last = number;
}

static void *wait_for_stop(void *arg) {
  thread_ready = true;
  while (!thread_stop) {
    sched_yield();
  }
  return arg;
}

static void test_threads(void) {
  pthread_t thread;
  handle(SIGUSR1, note_thread, 0);
  count = 0;
  pthread_create(&thread, NULL, wait_for_stop, NULL);
  while (!thread_ready) {
    sched_yield();
  }
  is(pthread_kill(thread, SIGUSR1), 0, "pthread_kill");
  int64_t limit = now_ns(CLOCK_MONOTONIC) + 5000000000;
  while (count == 0 && now_ns(CLOCK_MONOTONIC) < limit) {
    sched_yield();
  }
  ok(count == 1 && pthread_equal(signalled, thread), "runs the handler in that thread");
  block(SIG_BLOCK, SIGUSR1);
  kill(getpid(), SIGUSR1);
  limit = now_ns(CLOCK_MONOTONIC) + 5000000000;
  while (count == 1 && now_ns(CLOCK_MONOTONIC) < limit) {
    sched_yield();
  }
  ok(count == 2 && pthread_equal(signalled, thread), "a thread that does not block it gets it");
  block(SIG_UNBLOCK, SIGUSR1);
  thread_stop = true;
  pthread_join(thread, NULL);
  signal(SIGUSR1, SIG_DFL);
}

struct mixed {
  uint64_t a, b;
  double x;
};

/* Keeps integer and floating-point registers busy. */
static struct mixed calculate(void) {
  struct mixed m = {1, 2, 1.0};
  for (int i = 0; i < 20000; i++) {
    m.a = m.a * 6364136223846793005u + m.b;
    m.b ^= m.a >> 17;
    m.x = m.x * 1.0000001 + 0.5;
  }
  return m;
}

static void test_transparency(void) {
  struct mixed undisturbed = calculate();
  bool same = true;
  handle(SIGUSR1, on_signal, SA_RESTART);
  count = 0;
  pid_t pid = start_pestering(SIGUSR1);
  int64_t limit = now_ns(CLOCK_MONOTONIC) + 10000000000;
  while (count < 5 && now_ns(CLOCK_MONOTONIC) < limit) {
    struct mixed m = calculate();
    same = same && m.a == undisturbed.a && m.b == undisturbed.b && m.x == undisturbed.x;
  }
  stop_pestering(pid);
  ok(count >= 5, "signals came during a calculation");
  ok(same, "and did not disturb it");
  signal(SIGUSR1, SIG_DFL);
}

int main(void) {
  test_handlers();
  test_info();
  test_masks();
  test_nesting();
  test_defaults();
  test_stop();
  test_child_signal();
  test_faults();
  test_alternate_stack();
  test_interrupts();
  test_suspend();
  test_alarm();
  test_threads();
  test_transparency();
  return tap_done();
}
