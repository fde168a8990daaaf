/* The table of builtins, and those that control execution. */
#include "builtin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"
#include "input.h"
#include "launch.h"
#include "shell.h"
#include "vars.h"

static const struct builtin builtins[] = {
    {".", builtin_dot, true},
    {":", builtin_colon, true},
    {"[", builtin_test, false},
    {"break", builtin_break, true},
    {"cd", builtin_cd, false},
    {"command", builtin_command, false},
    {"continue", builtin_continue, true},
    {"echo", builtin_echo, false},
    {"eval", builtin_eval, true},
    {"exec", builtin_exec, true},
    {"exit", builtin_exit, true},
    {"export", builtin_export, true},
    {"false", builtin_false, false},
    {"getopts", builtin_getopts, false},
    {"jobs", builtin_jobs, false},
    {"kill", builtin_kill, false},
    {"local", builtin_local, true},
    {"printf", builtin_printf, false},
    {"pwd", builtin_pwd, false},
    {"read", builtin_read, false},
    {"readonly", builtin_readonly, true},
    {"return", builtin_return, true},
    {"set", builtin_set, true},
    {"shift", builtin_shift, true},
    {"test", builtin_test, false},
    {"times", builtin_times, true},
    {"trap", builtin_trap, true},
    {"true", builtin_colon, false},
    {"type", builtin_type, false},
    {"umask", builtin_umask, false},
    {"unset", builtin_unset, true},
    {"wait", builtin_wait, false},
};

static int compare_names(const void *name, const void *builtin) {
  return strcmp(name, ((const struct builtin *)builtin)->name);
}

const struct builtin *builtin_find(const char *name) {
  return bsearch(name, builtins, sizeof builtins / sizeof builtins[0], sizeof builtins[0],
                 compare_names);
}

int builtin_usage(const char *name, const char *text) {
  shell_warn("usage: %s %s", name, text);
  return 2;
}

int builtin_colon(int argc, char **argv) {
  (void)argc;
  (void)argv;
  return 0;
}

int builtin_false(int argc, char **argv) {
  (void)argc;
  (void)argv;
  return 1;
}

int builtin_echo(int argc, char **argv) {
  return echo_main(argc, argv);
}

int builtin_printf(int argc, char **argv) {
  return printf_main(argc, argv);
}

int builtin_test(int argc, char **argv) {
  if (strcmp(argv[0], "[") == 0 && strcmp(argv[--argc], "]") != 0) {
    shell_warn("[: missing ]");
    return 2;
  }
  return test_evaluate(argv[0], argc - 1, argv + 1);
}

/* ---- leaving constructs ---- */

/* The optional number of break, return and so on; -1 after a message. */
static int count_arg(int argc, char **argv, int otherwise) {
  if (argc < 2) {
    return otherwise;
  }
  char *end;
  long value = strtol(argv[1], &end, 10);
  if (!*argv[1] || *end || value < 0 || value > 100000) {
    shell_warn("%s: %s: bad number", argv[0], argv[1]);
    return -1;
  }
  return (int)value;
}

static int leave_loops(int argc, char **argv, enum unwind unwind) {
  int levels = count_arg(argc, argv, 1);
  if (levels <= 0) {
    return shell_abort(2);
  }
  shell.status = 0;
  if (shell.loop_depth > 0) {
    shell.unwind = unwind;
    shell.unwind_levels = levels < shell.loop_depth ? levels : shell.loop_depth;
  }
  return 0;
}

int builtin_break(int argc, char **argv) {
  return leave_loops(argc, argv, UNWIND_BREAK);
}

int builtin_continue(int argc, char **argv) {
  return leave_loops(argc, argv, UNWIND_CONTINUE);
}

static int leave(int argc, char **argv, enum unwind unwind) {
  int status = count_arg(argc, argv, shell.status);
  if (status < 0) {
    return shell_abort(2);
  }
  shell.status = status & 0xff;
  shell.unwind = unwind;
  return shell.status;
}

int builtin_return(int argc, char **argv) {
  return leave(argc, argv, UNWIND_RETURN);
}

int builtin_exit(int argc, char **argv) {
  return leave(argc, argv, UNWIND_EXIT);
}

/* ---- other sources of commands ---- */

int builtin_eval(int argc, char **argv) {
  struct text text = {0};
  for (int i = 1; i < argc; i++) {
    if (i > 1) {
      text_add(&text, ' ');
    }
    text_add_bytes(&text, argv[i], strlen(argv[i]));
  }
  struct input in;
  input_from_string(&in, text.bytes, text.n);
  int status = text.n ? shell_run(&in) : 0;
  text_free(&text);
  return status;
}

/* `.` searches $PATH for a name without a slash; the file need not be executable. */
static int open_sourced(const char *name) {
  int fd = -1, status;
  const char *path = strchr(name, '/') ? name : launch_find(name, &status);
  fd = open(path ? path : name, O_RDONLY | O_CLOEXEC);
  return fd_move_high(fd);
}

int builtin_dot(int argc, char **argv) {
  if (argc < 2) {
    return builtin_usage(".", "FILE");
  }
  int fd = open_sourced(argv[1]);
  if (fd < 0) {
    shell_warn(".: %s: %s", argv[1], strerror(errno));
    return shell_abort(2);
  }
  struct input in;
  input_from_fd(&in, fd, false);
  int status = shell_run(&in);
  close(fd);
  if (shell.unwind == UNWIND_RETURN) {
    shell.unwind = UNWIND_NONE;
    status = shell.status;
  }
  return status;
}

/* Without arguments it never comes here: see command.c. */
int builtin_exec(int argc, char **argv) {
  (void)argc;
  int status;
  const char *path = launch_find(argv[1], &status);
  if (path) {
    launch_exec(path, argv + 1);
    status = errno == ENOENT ? 127 : 126;
  }
  return shell_abort(command_report(argv[1], status, errno));
}

/* ---- what a name means ---- */

static bool is_reserved(const char *name) {
  static const char *const words[] = {"!",    "{",  "}",   "case", "do", "done", "elif",  "else",
                                      "esac", "fi", "for", "if",   "in", "then", "until", "while"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (strcmp(words[i], name) == 0) {
      return true;
    }
  }
  return false;
}

/* `long_form` for type and command -V, otherwise what command -v prints. */
static int describe(const char *name, bool long_form) {
  int status;
  const char *path;
  const struct builtin *builtin = builtin_find(name);
  if (is_reserved(name)) {
    printf(long_form ? "%s is a shell keyword\n" : "%s\n", name);
  } else if (builtin && builtin->special) {
    printf(long_form ? "%s is a special shell builtin\n" : "%s\n", name);
  } else if (function_find(name)) {
    printf(long_form ? "%s is a shell function\n" : "%s\n", name);
  } else if (builtin) {
    printf(long_form ? "%s is a shell builtin\n" : "%s\n", name);
  } else if ((path = launch_find(name, &status)) != NULL) {
    if (long_form) {
      printf("%s is ", name);
    }
    printf("%s\n", path);
  } else {
    if (long_form) {
      printf("%s: not found\n", name);
    }
    return 127;
  }
  return 0;
}

int builtin_type(int argc, char **argv) {
  int status = 0;
  for (int i = 1; i < argc; i++) {
    int result = describe(argv[i], true);
    status = result ? result : status;
  }
  return status;
}

int builtin_command(int argc, char **argv) {
  if (argc >= 2 && (strcmp(argv[1], "-v") == 0 || strcmp(argv[1], "-V") == 0)) {
    return argc > 2 ? describe(argv[2], argv[1][1] == 'V') : 2;
  }
  int skip = argc >= 2 && (strcmp(argv[1], "-p") == 0 || strcmp(argv[1], "--") == 0) ? 2 : 1;
  return argc > skip ? command_run_plain(argc - skip, argv + skip) : 0;
}
