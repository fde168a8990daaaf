/* exec: what the new program gets, what survives, what is closed or reset; scripts; and that a
 * failing exec leaves the caller as it was, whatever the file holds. The program execs itself: with
 * "--report NAME" it checks one thing as the new program and answers by its exit status. */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "tap.h"

extern char **environ;

static const char *self;
static int data_word = 0x1234567;
static char bss_block[100000];

/* ---- as the new program ---- */

static int report_args(int argc, char **argv) {
  return argc == 6 && strcmp(argv[3], "a b") == 0 && argv[4][0] == '\0' &&
         strcmp(argv[5], "last") == 0 && argv[6] == NULL;
}

static int report_environment(void) {
  return environ[0] && environ[1] && !environ[2] && strcmp(getenv("ONE"), "1") == 0 &&
         strcmp(getenv("TWO"), "two words") == 0;
}

static int report_auxv(void) {
  const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
  const char *name = (const char *)getauxval(AT_EXECFN);
  int sum = 0;
  for (int i = 0; random && i < 16; i++) {
    sum |= random[i];
  }
  return getauxval(AT_PAGESZ) == 4096 && sum != 0 && getauxval(AT_PHDR) != 0 &&
         getauxval(AT_PHNUM) > 0 && getauxval(AT_PHENT) == sizeof(Elf64_Phdr) &&
         getauxval(AT_ENTRY) != 0 && name && strstr(name, "t_exec") && getauxval(AT_SECURE) == 0;
}

static int report_memory(void) {
  for (size_t i = 0; i < sizeof bss_block; i++) {
    if (bss_block[i] != 0) {
      return 0;
    }
  }
  return data_word == 0x1234567;
}

/* Descriptor 40 was close-on-exec, 41 was not. */
static int report_descriptors(void) {
  return fcntl(40, F_GETFD) == -1 && errno == EBADF && fcntl(41, F_GETFD) == 0;
}

/* USR1 was ignored, USR2 had a handler, INT was blocked. */
static int report_signals(void) {
  struct sigaction one, two;
  sigset_t mask;
  sigaction(SIGUSR1, NULL, &one);
  sigaction(SIGUSR2, NULL, &two);
  sigprocmask(SIG_BLOCK, NULL, &mask);
  return one.sa_handler == SIG_IGN && two.sa_handler == SIG_DFL &&
         sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 0;
}

/* The process, its directory (/tmp) and its umask (027) are the same. */
static int report_process(const char *pid) {
  char cwd[64] = "";
  return getpid() == atoi(pid) && getcwd(cwd, sizeof cwd) && strcmp(cwd, "/tmp") == 0 &&
         umask(0) == 027;
}

static _Alignas(64) __thread int tls_word = 77;

static int report_tls_and_stack(void) {
  volatile char deep[200000];
  for (size_t i = 0; i < sizeof deep; i += 4096) {
    deep[i] = 1;
  }
  return tls_word == 77 && ((uintptr_t)&tls_word & 63) == 0 && deep[4096] == 1;
}

/* Exit status 0 when all is as it should be. */
static int report(int argc, char **argv) {
  const char *what = argv[2];
  bool good = strcmp(what, "args") == 0          ? report_args(argc, argv)
              : strcmp(what, "environment") == 0 ? report_environment()
              : strcmp(what, "auxv") == 0        ? report_auxv()
              : strcmp(what, "memory") == 0      ? report_memory()
              : strcmp(what, "descriptors") == 0 ? report_descriptors()
              : strcmp(what, "signals") == 0     ? report_signals()
              : strcmp(what, "process") == 0     ? report_process(argv[3])
              : strcmp(what, "tls") == 0         ? report_tls_and_stack()
                                                 : false;
  return good ? 0 : 1;
}

/* ---- as the old one ---- */

static int exec_self(char **argv) {
  execve(self, argv, environ);
  return 99;
}

static int exec_args(void *arg) {
  char *argv[] = {"t_exec", "--report", "args", "a b", "", "last", NULL};
  (void)arg;
  return exec_self(argv);
}

static int exec_environment(void *arg) {
  char *argv[] = {"t_exec", "--report", "environment", NULL};
  char *environment[] = {"ONE=1", "TWO=two words", NULL};
  (void)arg;
  execve(self, argv, environment);
  return 99;
}

static int exec_report(void *arg) {
  char *argv[] = {"t_exec", "--report", arg, NULL};
  return exec_self(argv);
}

static int exec_descriptors(void *arg) {
  int fd = open("/dev/null", O_RDONLY);
  dup3(fd, 40, O_CLOEXEC);
  dup2(fd, 41);
  return exec_report(arg);
}

static void ignore_signal(int number) {
  (void)number;
}

static int exec_signals(void *arg) {
  sigset_t mask;
  signal(SIGUSR1, SIG_IGN);
  signal(SIGUSR2, ignore_signal);
  sigemptyset(&mask);
  sigaddset(&mask, SIGINT);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  return exec_report(arg);
}

static int exec_process(void *arg) {
  char pid[16];
  char *argv[] = {"t_exec", "--report", "process", pid, NULL};
  (void)arg;
  snprintf(pid, sizeof pid, "%d", (int)getpid());
  umask(027);
  return chdir("/tmp") == 0 ? exec_self(argv) : 98;
}

static void *spin(void *arg) {
  while (pause() == -1) {
  }
  return arg;
}

static int exec_with_threads(void *arg) {
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) {
    pthread_create(&threads[i], NULL, spin, NULL);
  }
  return exec_report(arg);
}

static void *exec_from_thread(void *arg) {
  _exit(exec_report(arg));
}

static int exec_in_thread(void *arg) {
  pthread_t thread;
  pthread_create(&thread, NULL, exec_from_thread, arg);
  pthread_join(thread, NULL);
  return 97;
}

static void test_success(void) {
  is(child_exit(exec_args, NULL), 0, "arguments");
  is(child_exit(exec_environment, NULL), 0, "environment");
  is(child_exit(exec_report, "auxv"), 0, "auxiliary vector");
  is(child_exit(exec_report, "memory"), 0, "data is initialised, bss is zero");
  is(child_exit(exec_report, "tls"), 0, "thread-local storage and a deep stack");
  is(child_exit(exec_descriptors, "descriptors"), 0, "close-on-exec");
  is(child_exit(exec_signals, "signals"), 0, "ignored stays, handlers go, the mask stays");
  is(child_exit(exec_process, NULL), 0, "pid, directory and umask stay");
  is(child_exit(exec_with_threads, "memory"), 0, "exec ends the other threads");
  is(child_exit(exec_in_thread, "memory"), 0, "exec from another thread");
}

static int exec_path(void *arg) {
  char *argv[] = {"pie", "--report", "memory", NULL};
  execve(arg, argv, environ);
  return 99;
}

static void test_pie(void) {
  char path[600];
  snprintf(path, sizeof path, "%s_pie", self);
  if (access(path, X_OK) != 0) {
    skip("a position-independent program", "there is no t_exec_pie beside t_exec");
    return;
  }
  is(child_exit(exec_path, path), 0, "a position-independent program");
}

/* ---- files made by the test ---- */

static void file_make(const char *path, const void *bytes, size_t n, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
  if (fd < 0 || write(fd, bytes, n) != (ssize_t)n || fchmod(fd, mode) != 0) {
    bail_out(path);
  }
  close(fd);
}

static int exec_file_error(void *arg) {
  char *argv[] = {"x", NULL};
  execve(arg, argv, environ);
  return errno;
}

static void test_errors(void) {
  is(child_exit(exec_file_error, "none"), ENOENT, "a file that does not exist");
  is(child_exit(exec_file_error, ""), ENOENT, "an empty path");
  is(child_exit(exec_file_error, "/tmp"), EACCES, "a directory");
  file_make("text", "hello, world\n", 13, 0755);
  is(child_exit(exec_file_error, "text"), ENOEXEC, "text");
  is(child_exit(exec_file_error, "text/x"), ENOTDIR, "below a file");
  file_make("empty", "", 0, 0755);
  is(child_exit(exec_file_error, "empty"), ENOEXEC, "an empty file");
  file_make("plain", "#!/bin/sh\n", 10, 0644);
  is(child_exit(exec_file_error, "plain"), EACCES, "a file that is not executable");
  file_make("lost", "#!/no/such/interpreter\n", 23, 0755);
  is(child_exit(exec_file_error, "lost"), ENOENT, "a script whose interpreter does not exist");
  file_make("blank", "#!   \n", 6, 0755);
  is(child_exit(exec_file_error, "blank"), ENOEXEC, "a script that names no interpreter");
  unlink("text");
  unlink("empty");
  unlink("plain");
  unlink("lost");
  unlink("blank");
}

static int exec_script(void *arg) {
  char *argv[] = {"ignored", "arg one", "arg2", NULL};
  execve(arg, argv, environ);
  return 99;
}

/* As the interpreter of a script: self "--script x y" ./script "arg one" arg2. */
static int script_report(int argc, char **argv) {
  return argc == 5 && strcmp(argv[1], "--script x y") == 0 && strcmp(argv[2], "./script") == 0 &&
                 strcmp(argv[3], "arg one") == 0 && strcmp(argv[4], "arg2") == 0
             ? 0
             : 1;
}

static void test_scripts(void) {
  char line[600];
  int n = snprintf(line, sizeof line, "#! %s --script x y \nrest\n", self);
  file_make("script", line, (size_t)n, 0755);
  is(child_exit(exec_script, "./script"), 0, "a script: one argument of the line, then its path");
  file_make("second", "#!./script\n", 11, 0755);
  int status = child_exit(exec_script, "./second");
  ok(status >= 0, "a script whose interpreter is a script runs or fails cleanly");
  file_make("loop", "#!./loop\n", 9, 0755);
  int error = child_exit(exec_file_error, "./loop");
  ok(error == ELOOP || error == ENOEXEC, "a script that is its own interpreter");
  unlink("script");
  unlink("second");
  unlink("loop");
}

static int exec_too_big(void *arg) {
  enum { STRINGS = 80, BYTES = 127 << 10 }; /* ten MiB together: more than a stack holds */
  static char block[BYTES];
  char *argv[STRINGS + 1];
  (void)arg;
  memset(block, 'x', sizeof block - 1);
  for (int i = 0; i < STRINGS; i++) {
    argv[i] = block;
  }
  argv[STRINGS] = NULL;
  execve(self, argv, environ);
  return errno;
}

static int exec_many_args(void *arg) {
  enum { MANY = 1000 };
  char *argv[MANY + 4] = {"t_exec", "--count"};
  (void)arg;
  for (int i = 2; i < MANY; i++) {
    argv[i] = "0123456789012345678901234567890123456789";
  }
  return exec_self(argv);
}

/* ---- hostile programs ---- */

struct tiny {
  Elf64_Ehdr header;
  Elf64_Phdr segments[2];
  unsigned char code[64];
};

/* A program of one instruction, ud2: it always dies by SIGILL, on any system. */
static struct tiny tiny_make(void) {
  struct tiny t = {0};
  memcpy(t.header.e_ident, ELFMAG, SELFMAG);
  t.header.e_ident[EI_CLASS] = ELFCLASS64;
  t.header.e_ident[EI_DATA] = ELFDATA2LSB;
  t.header.e_ident[EI_VERSION] = EV_CURRENT;
  t.header.e_type = ET_EXEC;
  t.header.e_machine = EM_X86_64;
  t.header.e_version = EV_CURRENT;
  t.header.e_entry = 0x400000 + offsetof(struct tiny, code);
  t.header.e_phoff = offsetof(struct tiny, segments);
  t.header.e_ehsize = sizeof t.header;
  t.header.e_phentsize = sizeof t.segments[0];
  t.header.e_phnum = 2;
  t.segments[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                               .p_flags = PF_R | PF_X,
                               .p_vaddr = 0x400000,
                               .p_filesz = sizeof t,
                               .p_memsz = sizeof t,
                               .p_align = 4096};
  t.segments[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                               .p_flags = PF_R | PF_W,
                               .p_vaddr = 0x500000,
                               .p_filesz = 64,
                               .p_memsz = 9000,
                               .p_align = 4096};
  memset(t.code, 0x90, sizeof t.code);
  t.code[0] = 0x0f;
  t.code[1] = 0x0b;
  return t;
}

/* Runs a file and answers how it ended: -signal, or the error of exec; -1000 when it had to be
 * killed because it ran for seconds. */
static int run_hostile(const char *path) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    char *argv[] = {"hostile", NULL};
    execve(path, argv, environ);
    _exit(errno);
  }
  for (int i = 0; i < 5000; i++) {
    if (waitpid(pid, &status, WNOHANG) == pid) {
      return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    }
    if (i > 10) {
      sleep_ms(1);
    } else {
      sched_yield();
    }
  }
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  return -1000;
}

static int run_bytes(const void *bytes, size_t n) {
  file_make("hostile", bytes, n, 0755);
  return run_hostile("./hostile");
}

static bool is_refusal(int result) {
  return result == ENOEXEC || result == EINVAL || result == ENOMEM || result == EFAULT ||
         result == EIO || result == E2BIG || result == EOVERFLOW;
}

static void test_truncated(void) {
  struct tiny t = tiny_make();
  bool clean = true;
  for (size_t n = 0; n < sizeof t; n += n < 70 ? 7 : 19) {
    int result = run_bytes(&t, n);
    if (result >= 0 ? !is_refusal(result) : result == -1000) {
      diag("cut to %zu bytes: %d", n, result);
      clean = false;
    }
  }
  ok(clean, "a program cut short is refused or dies");
}

static void test_wrong_kinds(void) {
  struct tiny t = tiny_make();
  is(run_bytes(&t, sizeof t), -SIGILL, "the tiny program as it is");
  t.header.e_ident[EI_CLASS] = ELFCLASS32;
  t.header.e_machine = EM_AARCH64;
  is(run_bytes(&t, sizeof t), ENOEXEC, "another machine's");
  t = tiny_make();
  t.header.e_type = ET_REL;
  is(run_bytes(&t, sizeof t), ENOEXEC, "an object file");
  t = tiny_make();
  t.header.e_phnum = 0;
  ok(is_refusal(run_bytes(&t, sizeof t)) || run_bytes(&t, sizeof t) < 0, "without segments");
}

/* Values that provoke overflow and off-by-one. */
static uint64_t nasty_value(uint64_t *state) {
  static const uint64_t values[] = {0,
                                    1,
                                    4095,
                                    4096,
                                    4097,
                                    0x7fffffff,
                                    0xffffffff,
                                    1ull << 32,
                                    1ull << 46,
                                    1ull << 47,
                                    1ull << 63,
                                    ~0ull,
                                    ~0ull - 1,
                                    ~0ull - 4095,
                                    0x400000,
                                    0x500000,
                                    0x7fffffffe000,
                                    0x7ffffffff000,
                                    0x800000000000};
  uint64_t value = values[random_next(state) % (sizeof values / sizeof values[0])];
  return random_next(state) & 1 ? value : value + random_next(state) % 4096;
}

/* Changes one field of a program header, one byte of the headers, or several. */
static void mutate(struct tiny *t, uint64_t *state) {
  int n = 1 + (int)(random_next(state) % 3);
  for (int i = 0; i < n; i++) {
    Elf64_Phdr *segment = &t->segments[random_next(state) % 2];
    uint64_t value = nasty_value(state);
    switch (random_next(state) % 8) {
    case 0:
      segment->p_vaddr = value;
      break;
    case 1:
      segment->p_offset = value;
      break;
    case 2:
      segment->p_filesz = value;
      break;
    case 3:
      segment->p_memsz = value;
      break;
    case 4:
      t->header.e_phoff = value;
      break;
    case 5:
      t->header.e_entry = value;
      break;
    default:
      ((unsigned char *)t)[random_next(state) % offsetof(struct tiny, code)] =
          (unsigned char)random_next(state);
    }
  }
}

static void test_mutations(void) {
  enum { MUTATIONS = 250 };
  uint64_t state = 88172645463325252u;
  int refused = 0, died = 0, bad = 0;
  for (int i = 0; i < MUTATIONS; i++) {
    struct tiny t = tiny_make();
    mutate(&t, &state);
    int result = run_bytes(&t, sizeof t);
    refused += result > 0;
    died += result < 0;
    if (result == -1000 || (result >= 0 && !is_refusal(result))) {
      diag("mutation %d: result %d", i, result);
      bad++;
    }
  }
  diag("%d refused, %d died", refused, died);
  is(bad, 0, "250 mutated programs are refused or die, and nothing else happens");
}

/* ---- the caller after a failure ---- */

static volatile bool stop_counting;
static volatile unsigned counter;

static void *count_up(void *arg) {
  while (!stop_counting) {
    counter++;
    sched_yield();
  }
  return arg;
}

static void test_caller_survives(void) {
  struct tiny t = tiny_make();
  t.header.e_phnum = 60000;
  file_make("hostile", &t, sizeof t, 0755);
  int fd = open("hostile", O_RDONLY | O_CLOEXEC);
  pthread_t thread;
  char *argv[] = {"x", NULL};
  struct sigaction action;
  signal(SIGUSR1, ignore_signal);
  pthread_create(&thread, NULL, count_up, NULL);
  ok(execve("./hostile", argv, environ) == -1, "exec of a hostile program fails");
  is(execve("./none", argv, environ), -1, "exec of nothing fails");
  unsigned before = counter;
  int64_t limit = now_ns(CLOCK_MONOTONIC) + 5000000000;
  while (counter == before && now_ns(CLOCK_MONOTONIC) < limit) {
    sched_yield();
  }
  ok(counter != before, "the other thread still runs");
  stop_counting = true;
  pthread_join(thread, NULL);
  is(fcntl(fd, F_GETFD), FD_CLOEXEC, "a close-on-exec descriptor is still open");
  sigaction(SIGUSR1, NULL, &action);
  ok(action.sa_handler == ignore_signal, "the handler is still set");
  signal(SIGUSR1, SIG_DFL);
  close(fd);
  unlink("hostile");
}

int main(int argc, char **argv) {
  self = self_path(argv[0]);
  if (argc > 2 && strcmp(argv[1], "--report") == 0) {
    return report(argc, argv);
  }
  if (argc > 1 && strcmp(argv[1], "--count") == 0) {
    return argc == 1000 ? 0 : 1;
  }
  if (argc > 1 && strncmp(argv[1], "--script", 8) == 0) {
    return script_report(argc, argv);
  }
  scratch_enter("t_exec");
  test_success();
  test_pie();
  test_errors();
  test_scripts();
  is(child_exit(exec_too_big, NULL), E2BIG, "ten MiB of arguments are too many");
  is(child_exit(exec_many_args, NULL), 0, "a thousand arguments are not");
  test_wrong_kinds();
  test_truncated();
  test_mutations();
  test_caller_survives();
  scratch_leave();
  return tap_done();
}
