/* Builtins that concern the process itself, its children and its signals. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/times.h>
#include <unistd.h>

#include "builtin.h"
#include "jobs.h"
#include "shell.h"
#include "trap.h"
#include "vars.h"

/* ---- the current directory ---- */

/* $PWD when it still names the current directory; otherwise asks the system. */
static const char *current_directory(char *buffer, size_t size) {
  const char *pwd = vars_get("PWD");
  struct stat there, here;
  if (pwd && *pwd == '/' && stat(pwd, &there) == 0 && stat(".", &here) == 0 &&
      there.st_dev == here.st_dev && there.st_ino == here.st_ino) {
    return pwd;
  }
  return getcwd(buffer, size);
}

/* Joins and tidies a path by its text alone: "." and ".." vanish. */
static char *logical_path(const char *base, const char *path) {
  size_t n = strlen(base) + strlen(path) + 3;
  char *joined = arena_alloc(&shell.temp, n), *to = arena_alloc(&shell.temp, n);
  snprintf(joined, n, "%s/%s", *path == '/' ? "" : base, path);
  size_t length = 0;
  for (char *save = NULL, *name = strtok_r(joined, "/", &save); name;
       name = strtok_r(NULL, "/", &save)) {
    if (strcmp(name, "..") == 0) {
      while (length > 0 && to[--length] != '/') {
      }
    } else if (strcmp(name, ".") != 0) {
      to[length++] = '/';
      memcpy(to + length, name, strlen(name));
      length += strlen(name);
    }
  }
  to[length] = '\0';
  return length ? to : arena_string(&shell.temp, "/", 1);
}

int builtin_cd(int argc, char **argv) {
  char buffer[PATH_MAX];
  int i = argc > 1 && (strcmp(argv[1], "-L") == 0 || strcmp(argv[1], "-P") == 0 ||
                       strcmp(argv[1], "--") == 0)
              ? 2
              : 1;
  const char *target = argc > i ? argv[i] : vars_get("HOME");
  bool back = target && strcmp(target, "-") == 0;
  target = back ? vars_get("OLDPWD") : target;
  if (!target) {
    shell_warn("cd: %s is not set", back ? "OLDPWD" : "HOME");
    return 2;
  }
  const char *old = current_directory(buffer, sizeof buffer);
  bool physical = i == 2 && argv[1][1] == 'P';
  char *path = old && !physical && *target ? logical_path(old, target) : NULL;
  if (chdir(path ? path : target) != 0) {
    shell_warn("cd: can't cd to %s", target);
    return 2;
  }
  vars_set("OLDPWD", old ? old : "");
  vars_set("PWD", path ? path : getcwd(buffer, sizeof buffer) ? buffer : target);
  if (back) {
    puts(vars_get("PWD"));
  }
  return 0;
}

int builtin_pwd(int argc, char **argv) {
  char buffer[PATH_MAX];
  bool physical = argc > 1 && strcmp(argv[1], "-P") == 0;
  const char *path =
      physical ? getcwd(buffer, sizeof buffer) : current_directory(buffer, sizeof buffer);
  if (!path) {
    shell_warn("pwd: %s", strerror(errno));
    return 1;
  }
  puts(path);
  return 0;
}

int builtin_umask(int argc, char **argv) {
  if (argc < 2) {
    mode_t mask = umask(0);
    umask(mask);
    printf("%04o\n", mask);
    return 0;
  }
  char *end;
  long mask = strtol(argv[1], &end, 8);
  if (!*argv[1] || *end || mask < 0 || mask > 0777) {
    shell_warn("umask: %s: bad mode", argv[1]);
    return 2;
  }
  umask((mode_t)mask);
  return 0;
}

/* ---- children ---- */

int builtin_wait(int argc, char **argv) {
  if (argc < 2) {
    return jobs_wait_all();
  }
  int status = 0;
  for (int i = 1; i < argc; i++) {
    pid_t pid = job_pid(argv[i]);
    if (pid < 0) {
      shell_warn("wait: %s: no such job", argv[i]);
    }
    status = pid < 0 ? 2 : job_wait(pid);
  }
  return status;
}

int builtin_jobs(int argc, char **argv) {
  (void)argc;
  (void)argv;
  jobs_print(false);
  return 0;
}

static int list_signals(int argc, char **argv) {
  if (argc > 2) {
    int number = atoi(argv[2]);
    const char *name = signal_name(number > 128 ? number - 128 : number);
    if (!name) {
      shell_warn("kill: %s: no such signal", argv[2]);
      return 2;
    }
    puts(name);
    return 0;
  }
  for (int i = 1; i < NSIG; i++) {
    if (signal_name(i)) {
      puts(signal_name(i));
    }
  }
  return 0;
}

/* The pid that a word names: "%n", or a number, which may be negative: a group. */
static bool kill_target(const char *word, pid_t *pid) {
  char *end;
  if (*word == '%') {
    *pid = job_pid(word);
    return *pid > 0;
  }
  *pid = (pid_t)strtol(word, &end, 10);
  return *word && !*end;
}

static int kill_all(char **words, int number) {
  int status = 0;
  for (; *words; words++) {
    pid_t pid;
    if (!kill_target(*words, &pid)) {
      shell_warn("kill: %s: no such process", *words);
      status = 2;
    } else if (kill(pid, number) != 0) {
      shell_warn("kill: %s: %s", *words, strerror(errno));
      status = 1;
    }
  }
  return status;
}

int builtin_kill(int argc, char **argv) {
  int i = 1, number = SIGTERM;
  if (argc > 1 && strcmp(argv[1], "-l") == 0) {
    return list_signals(argc, argv);
  }
  if (argc > 2 && argv[1][0] == '-' && strcmp(argv[1], "--") != 0) {
    bool separate = strcmp(argv[1], "-s") == 0;
    const char *name = separate ? argv[2] : argv[1] + 1;
    number = signal_number(name);
    if (number < 0) {
      shell_warn("kill: %s: no such signal", name);
      return 2;
    }
    i = separate ? 3 : 2;
  }
  i += i < argc && strcmp(argv[i], "--") == 0;
  return i < argc ? kill_all(argv + i, number) : builtin_usage("kill", "[-SIGNAL] PID...");
}

/* ---- traps ---- */

static int trap_number(const char *name) {
  return strcmp(name, "EXIT") == 0 ? TRAP_EXIT : signal_number(name);
}

static void print_traps(void) {
  for (int i = 0; i < NSIG; i++) {
    const char *command = trap_get(i);
    if (command) {
      printf("trap -- '%s' %s\n", command, i == TRAP_EXIT ? "EXIT" : signal_name(i));
    }
  }
}

int builtin_trap(int argc, char **argv) {
  int i = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
  if (i == argc) {
    print_traps();
    return 0;
  }
  bool only_names = argc - i == 1 || (argv[i][0] >= '0' && argv[i][0] <= '9');
  const char *command = only_names || strcmp(argv[i], "-") == 0 ? NULL : argv[i];
  int status = 0;
  for (i += !only_names; i < argc; i++) {
    int number = trap_number(argv[i]);
    if (!trap_set(number, command)) {
      shell_warn("trap: %s: bad trap", argv[i]);
      status = 1;
    }
  }
  return status;
}

static void print_time(clock_t ticks, const char *after) {
  long per_second = sysconf(_SC_CLK_TCK);
  double seconds = per_second > 0 ? (double)ticks / (double)per_second : 0;
  printf("%dm%.6fs%s", (int)(seconds / 60), seconds - 60 * (int)(seconds / 60), after);
}

int builtin_times(int argc, char **argv) {
  (void)argc;
  (void)argv;
  struct tms t;
  times(&t);
  print_time(t.tms_utime, " ");
  print_time(t.tms_stime, "\n");
  print_time(t.tms_cutime, " ");
  print_time(t.tms_cstime, "\n");
  return 0;
}
