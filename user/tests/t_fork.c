/* fork and _exit: what the child gets, what it must not share, statuses, many children at once. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "tap.h"

static int global_value = 1;
static int bss_value;

static int child_changes_memory(void *arg) {
  int *heap_value = arg;
  global_value = 2;
  bss_value = 3;
  *heap_value = 4;
  return global_value == 2 && bss_value == 3 && *heap_value == 4 ? 0 : 1;
}

static void test_memory_is_private(void) {
  int *heap_value = malloc(sizeof *heap_value);
  *heap_value = 10;
  is(child_exit(child_changes_memory, heap_value), 0, "the child sees its own writes");
  is(global_value, 1, "the parent's data is unchanged");
  is(bss_value, 0, "the parent's bss is unchanged");
  is(*heap_value, 10, "the parent's heap is unchanged");
  free(heap_value);
}

static int child_checks_ids(void *arg) {
  pid_t parent = *(pid_t *)arg;
  return getppid() == parent && getpid() != parent ? 0 : 1;
}

static void test_ids(void) {
  pid_t self = getpid();
  is(child_exit(child_checks_ids, &self), 0, "getpid and getppid in the child");
  is(getpid(), self, "getpid in the parent is as before");
}

static int exit_with(void *arg) {
  return *(int *)arg;
}

static void test_statuses(void) {
  bool all = true;
  for (int code = 0; code < 256; code += 15) {
    all = all && child_exit(exit_with, &code) == code;
  }
  ok(all, "exit codes 0 to 255 arrive");
  int big = 0x1234;
  is(child_exit(exit_with, &big), 0x34, "only the low byte of an exit code counts");
}

static int child_uses_descriptors(void *arg) {
  int *fds = arg;
  char byte = 0;
  if (read(fds[0], &byte, 1) != 1 || byte != 'p') {
    return 1;
  }
  close(fds[0]);
  return write(fds[1], "c", 1) == 1 ? 0 : 2;
}

static void test_descriptors(void) {
  int fds[2];
  if (pipe(fds) != 0) {
    bail_out("pipe");
  }
  ok(write(fds[1], "p", 1) == 1, "a byte into the pipe");
  is(child_exit(child_uses_descriptors, fds), 0,
     "the child reads and writes inherited descriptors");
  char byte = 0;
  ok(read(fds[0], &byte, 1) == 1 && byte == 'c',
     "a descriptor closed in the child stays open here");
  close(fds[0]);
  close(fds[1]);
}

static int child_moves_offset(void *arg) {
  return lseek(*(int *)arg, 5, SEEK_SET) == 5 ? 0 : 1;
}

static void test_shared_offset(void) {
  scratch_enter("t_fork");
  int fd = open("offset", O_RDWR | O_CREAT, 0600);
  ok(fd >= 0 && write(fd, "0123456789", 10) == 10, "a file with ten bytes");
  is(child_exit(child_moves_offset, &fd), 0, "the child seeks");
  is(lseek(fd, 0, SEEK_CUR), 5, "the open file's offset is shared");
  close(fd);
  unlink("offset");
  scratch_leave();
}

static void test_shared_mapping(void) {
  int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pid_t pid = fork();
  if (pid == 0) {
    *shared = 7;
    *private = 8;
    _exit(0);
  }
  waitpid(pid, NULL, 0);
  is(*shared, 7, "a shared mapping is shared, also when it was touched after fork");
  is(*private, 0, "a private mapping is not");
  munmap(shared, 4096);
  munmap(private, 4096);
}

enum { CHILDREN = 40 };

static void test_many_children(void) {
  pid_t pids[CHILDREN];
  for (int i = 0; i < CHILDREN; i++) {
    pids[i] = fork();
    if (pids[i] == 0) {
      _exit(i);
    }
  }
  bool all = true;
  for (int i = CHILDREN - 1; i >= 0; i--) {
    int status = 0;
    all = all && waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status) &&
          WEXITSTATUS(status) == i;
  }
  ok(all, "forty children, waited for in reverse, each with its own status");
  fails_with(waitpid(-1, NULL, 0), ECHILD, "no child is left");
}

static int fork_chain(void *arg) {
  int depth = *(int *)arg - 1;
  return depth == 0 ? 42 : child_exit(fork_chain, &depth);
}

static int child_of_killed(void *arg) {
  (void)arg;
  raise(SIGKILL);
  return 0;
}

/* Deep call stack and registers survive: the child computes with what it had before fork. */
static int fork_in_recursion(int depth, int sum) {
  if (depth > 0) {
    volatile int kept = depth; /* used after the call: a frame a level, no tail call */
    int status = fork_in_recursion(depth - 1, sum + depth);
    return kept == depth ? status : -1;
  }
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    _exit(sum == 5050 ? 0 : 1);
  }
  waitpid(pid, &status, 0);
  return status;
}

static void test_floating_point(void) {
  volatile double third = 1.0 / 3.0;
  double kept = third * 2;
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    _exit(kept == third + third ? 0 : 1);
  }
  waitpid(pid, &status, 0);
  is(status, 0, "floating-point values survive in the child");
  ok(kept == third + third, "and in the parent");
}

int main(void) {
  test_memory_is_private();
  test_ids();
  test_statuses();
  test_descriptors();
  test_shared_offset();
  test_shared_mapping();
  test_many_children();
  int depth = 12;
  is(child_exit(fork_chain, &depth), 42, "twelve generations deep");
  is(child_exit(child_of_killed, NULL), -SIGKILL, "a child that kills itself");
  is(fork_in_recursion(100, 0), 0, "the stack is complete in the child");
  test_floating_point();
  return tap_done();
}
