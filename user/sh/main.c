/* sh: a small POSIX shell.
 *
 *   sh [-aefnuvxi] [-o OPTION] [-c COMMANDS [NAME [ARG...]] | FILE [ARG...] | -s]
 *
 * One command at a time goes through: input.c (characters) -> lexer.c, lex_word.c (tokens, words)
 * -> parser.c (a tree, in an arena of its own) -> exec.c, command.c (execution) -> expand.c,
 * field.c, arith.c (words to strings) -> redirect.c, launch.c (files and processes). Limits: no
 * aliases, no job control (background commands stay in the shell's process group). */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"
#include "input.h"
#include "jobs.h"
#include "parser.h"
#include "redirect.h"
#include "shell.h"
#include "trap.h"
#include "vars.h"

extern char **environ;

struct shell shell;

void shell_warn(const char *format, ...) {
  va_list args;
  fflush(stdout);
  va_start(args, format);
  fprintf(stderr, "%s: ", shell.name);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
}

int shell_abort(int status) {
  shell.status = status;
  shell.unwind = shell.interactive ? UNWIND_ABORT : UNWIND_EXIT;
  return status;
}

_Noreturn void shell_exit(int status) {
  shell.status = status;
  trap_run_exit();
  fflush(stdout);
  exit(shell.status);
}

void params_set(int n, char **value) {
  struct params params = {.n = n};
  params.value = arena_alloc(&params.memory, ((size_t)n + 1) * sizeof *params.value);
  for (int i = 0; i < n; i++) {
    params.value[i] = arena_string(&params.memory, value[i], strlen(value[i]));
  }
  arena_free(&shell.params.memory);
  shell.params = params;
}

static void run_program(struct program *program, unsigned flags) {
  struct program *outer = shell.program;
  shell.program = program;
  if (program->root) {
    exec_node(program->root, flags);
  }
  shell.program = outer;
}

/* The last command of the string of -c may replace the shell. */
static bool is_last(const struct input *in) {
  return in->text && !in->prompts && in->at == in->length && in->n_pushed == 0;
}

static int run_source(struct input *in, bool is_whole_process) {
  for (;;) {
    struct program *program;
    traps_run();
    enum parse_result result = parse_command(in, &program);
    if (result == PARSE_END || shell.unwind != UNWIND_NONE) {
      break;
    }
    if (result == PARSE_ERROR) {
      shell_abort(2);
      break;
    }
    run_program(program, is_whole_process && is_last(in) ? EXEC_TAIL : 0);
    program_put(program);
    if (shell.unwind != UNWIND_NONE) {
      break;
    }
  }
  return shell.status;
}

int shell_run(struct input *in) {
  shell.status = in->text && in->length == 0 ? 0 : shell.status;
  return run_source(in, false);
}

/* Reads commands from a prompt until the end: an error or ^C only ends the line. */
static void run_interactive(void) {
  struct input in;
  input_from_prompt(&in);
  for (;;) {
    shell.unwind = UNWIND_NONE;
    shell.loop_depth = shell.function_depth = shell.tested = 0;
    jobs_print(true);
    trap_take_interrupt();
    struct program *program;
    enum parse_result result = parse_command(&in, &program);
    if (result == PARSE_END) {
      return;
    }
    if (result == PARSE_ERROR) {
      shell.status = 2;
      input_discard_line(&in);
      continue;
    }
    run_program(program, 0);
    program_put(program);
    if (shell.unwind == UNWIND_EXIT) {
      return;
    }
    if (shell.unwind == UNWIND_ABORT) {
      input_discard_line(&in);
    }
  }
}

/* ---- start-up ---- */

struct arguments {
  const char *commands; /* -c */
  bool from_stdin, interactive;
  char **rest;
};

static bool is_known_option(char letter) {
  return strchr("aefnuvx", letter) != NULL;
}

static void set_option(char letter, bool on) {
  shell.options[strchr("aefnuvx", letter) - "aefnuvx"] = on;
}

static void parse_arguments(char **argv, struct arguments *a) {
  bool command_follows = false;
  for (argv++; *argv && (**argv == '-' || **argv == '+') && (*argv)[1]; argv++) {
    if (strcmp(*argv, "--") == 0) {
      argv++;
      break;
    }
    for (const char *letter = *argv + 1; *letter; letter++) {
      if (*letter == 'c') {
        command_follows = true;
      } else if (*letter == 's') {
        a->from_stdin = true;
      } else if (*letter == 'i') {
        a->interactive = true;
      } else if (is_known_option(*letter)) {
        set_option(*letter, **argv == '-');
      } else {
        fprintf(stderr, "%s: -%c: unknown option\n", shell.name, *letter);
        exit(2);
      }
    }
  }
  if (command_follows && !*argv) {
    fprintf(stderr, "%s: -c needs an argument\n", shell.name);
    exit(2);
  }
  a->commands = command_follows ? *argv++ : NULL;
  a->rest = argv;
}

static int count(char **words) {
  int n = 0;
  while (words[n]) {
    n++;
  }
  return n;
}

/* Opens the script and makes $0 its name. */
static int open_script(const struct arguments *a) {
  int fd = fd_move_high(open(a->rest[0], O_RDONLY | O_CLOEXEC));
  if (fd < 0) {
    int error = errno;
    shell_warn("cannot open %s: %s", a->rest[0], strerror(error));
    exit(error == ENOENT ? 127 : 126);
  }
  shell.name = a->rest[0];
  params_set(count(a->rest + 1), a->rest + 1);
  return fd;
}

static void init_variables(void) {
  static const char *const defaults[][2] = {
      {"PATH", "/bin:/usr/bin"}, {"PS1", "$ "}, {"PS2", "> "}, {"PS4", "+ "}};
  char buffer[4096];
  vars_init(environ);
  vars_set("IFS", " \t\n");
  vars_set("OPTIND", "1");
  for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
    if (!vars_get(defaults[i][0])) {
      vars_set(defaults[i][0], defaults[i][1]);
    }
  }
  snprintf(buffer, sizeof buffer, "%d", (int)getppid());
  vars_set("PPID", buffer);
  if (!vars_get("PWD") && getcwd(buffer, sizeof buffer)) {
    vars_set("PWD", buffer);
  }
}

int main(int argc, char **argv) {
  struct arguments a = {0};
  struct input in;
  shell.name = argc > 0 ? argv[0] : "sh";
  shell.path = strchr(shell.name, '/') ? shell.name : "/bin/sh";
  shell.pid = getpid();
  shell.substitution_status = -1;
  parse_arguments(argv, &a);
  init_variables();
  if (a.commands) {
    shell.name = a.rest[0] ? a.rest[0] : shell.name;
    char **params = a.rest + (a.rest[0] != NULL);
    params_set(count(params), params);
    input_from_string(&in, a.commands, strlen(a.commands));
    shell_exit(run_source(&in, true));
  }
  if (a.rest[0] && !a.from_stdin) {
    input_from_fd(&in, open_script(&a), false);
    shell_exit(run_source(&in, false));
  }
  params_set(count(a.rest), a.rest);
  shell.interactive = a.interactive || (isatty(0) && isatty(2));
  if (shell.interactive) {
    traps_init(true);
    run_interactive();
    shell_exit(shell.status);
  }
  input_from_fd(&in, 0, true);
  shell_exit(run_source(&in, false));
}
