/* Simple commands: assignments, redirections, and what the first word names: a special builtin, a
 * function, a builtin, or a program. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "exec.h"
#include "expand.h"
#include "shell.h"
#include "trap.h"
#include "vars.h"

static const struct stage no_stage = {-1, -1, -1};

/* ---- assignments ---- */

/* -x for assignments and words. */
static void trace(const char *name, const char *value, bool last) {
  if (shell.options[OPTION_XTRACE]) {
    fprintf(stderr, "%s%s%s%s", name ? name : "", name ? "=" : "", value, last ? "\n" : " ");
  }
}

static void trace_begin(void) {
  const char *prompt = vars_get("PS4");
  if (shell.options[OPTION_XTRACE]) {
    fputs(prompt ? prompt : "+ ", stderr);
  }
}

static void trace_words(const struct vector *argv) {
  for (size_t i = 0; i < argv->n; i++) {
    trace(NULL, argv->item[i], i + 1 == argv->n);
  }
}

/* `local`: in the scope just entered, and exported, as for a program. */
static bool assign(const struct assignment *list, bool local) {
  for (; list; list = list->next) {
    char *value = expand_string(list->value);
    if (!value) {
      return false;
    }
    if (local) {
      vars_localize(list->name);
    }
    if (!vars_set(list->name, value)) {
      shell_abort(2);
      return false;
    }
    if (local) {
      vars_export(list->name, true);
    }
    trace(list->name, value, false);
  }
  return true;
}

static int execute_assignments(const struct node *node) {
  struct redirect_plan plan;
  if (!redirect_open(&plan, node->redirections)) {
    return 2;
  }
  redirect_release(&plan);
  trace_begin();
  if (!assign(node->assignments, false)) {
    return shell.status;
  }
  trace(NULL, "", true);
  return shell.substitution_status >= 0 ? shell.substitution_status : 0;
}

/* ---- builtins and functions ---- */

static int finish_output(const char *name, int status) {
  if (fflush(stdout) != 0 || ferror(stdout)) {
    shell_warn("%s: write error: %s", name, strerror(errno));
    clearerr(stdout);
    return status ? status : 1;
  }
  return status;
}

static int call_builtin(const struct builtin *builtin, struct vector *argv) {
  int status = builtin->run((int)argv->n, argv->item);
  return finish_output(argv->item[0], status);
}

/* `exec` without a program makes its redirections permanent. */
static int execute_exec_redirections(const struct node *node) {
  struct redirect_plan plan;
  if (!redirect_open(&plan, node->redirections)) {
    return shell_abort(2);
  }
  bool good = redirect_apply(&plan);
  redirect_release(&plan);
  return good ? 0 : shell_abort(2);
}

static int execute_builtin(const struct node *node, const struct builtin *builtin,
                           struct vector *argv) {
  struct redirect_plan plan;
  if (builtin->special && argv->n == 1 && strcmp(argv->item[0], "exec") == 0) {
    return execute_exec_redirections(node);
  }
  fflush(stdout);
  if (!redirect_open(&plan, node->redirections) || !redirect_apply_saving(&plan)) {
    return builtin->special ? shell_abort(2) : 2;
  }
  if (!builtin->special) {
    vars_scope_enter();
  }
  int status =
      assign(node->assignments, !builtin->special) ? call_builtin(builtin, argv) : shell.status;
  if (!builtin->special) {
    vars_scope_leave();
  }
  redirect_restore(&plan);
  return status;
}

int function_call(struct function *function, int argc, char **argv) {
  struct params params = shell.params;
  struct program *program = shell.program, *own = function->program;
  int loop_depth = shell.loop_depth;
  program_get(own); /* the function may redefine itself */
  shell.program = own;
  shell.params = (struct params){.n = argc - 1, .value = argv + 1};
  shell.loop_depth = 0;
  shell.function_depth++;
  int status = exec_node(function->body, 0);
  if (shell.unwind == UNWIND_RETURN) {
    shell.unwind = UNWIND_NONE;
    status = shell.status;
  }
  shell.function_depth--;
  shell.loop_depth = loop_depth;
  arena_free(&shell.params.memory);
  shell.params = params;
  shell.program = program;
  program_put(own);
  return status;
}

enum { FUNCTION_DEPTH_MAX = 1000 };

static int execute_function(const struct node *node, struct function *function,
                            struct vector *argv) {
  struct redirect_plan plan;
  if (shell.function_depth >= FUNCTION_DEPTH_MAX) {
    shell_warn("%s: functions nested too deeply", function->name);
    return shell_abort(2);
  }
  if (!redirect_open(&plan, node->redirections) || !redirect_apply_saving(&plan)) {
    return 2;
  }
  vars_scope_enter();
  int status = shell.status;
  if (assign(node->assignments, true)) {
    status = function_call(function, (int)argv->n, argv->item);
  }
  vars_scope_leave();
  redirect_restore(&plan);
  return status;
}

/* ---- programs ---- */

int command_report(const char *name, int status, int error) {
  if (status == 127 && error == ENOENT && !strchr(name, '/')) {
    shell_warn("%s: not found", name);
  } else {
    shell_warn("%s: %s", name, strerror(error));
  }
  return status;
}

static int status_of_error(int error) {
  return error == ENOENT || error == ENOTDIR ? 127 : 126;
}

static int replace_shell(const char *path, struct vector *argv, const struct redirect_plan *plan) {
  if (!redirect_apply(plan)) {
    return 2;
  }
  launch_exec(path, argv->item);
  return command_report(argv->item[0], status_of_error(errno), errno);
}

/* Starts argv with the assignments in its environment; 0 with *status when that fails. */
static pid_t start_program(const struct node *node, struct vector *argv, const struct stage *stage,
                           bool replace, int *status) {
  struct redirect_plan plan;
  pid_t pid = 0;
  if (!redirect_open(&plan, node->redirections)) {
    *status = 2;
    return 0;
  }
  vars_scope_enter();
  *status = shell.status;
  if (assign(node->assignments, true)) {
    const char *path = launch_find(argv->item[0], status);
    if (!path) {
      int error = errno;
      vector_end(argv);
      *status = redirect_apply_saving(&plan) ? command_report(argv->item[0], *status, error) : 2;
      redirect_restore(&plan);
    } else if (replace) {
      *status = replace_shell(path, argv, &plan);
    } else {
      pid = launch_spawn(path, argv->item, &plan, stage);
      if (pid < 0) {
        *status = command_report(argv->item[0], status_of_error(errno), errno);
        pid = 0;
      }
    }
  }
  vars_scope_leave();
  redirect_release(&plan);
  return pid;
}

static int execute_program(const struct node *node, struct vector *argv, unsigned flags) {
  int status;
  bool replace = (flags & EXEC_TAIL) && !trap_get(TRAP_EXIT);
  pid_t pid = start_program(node, argv, &no_stage, replace, &status);
  return pid > 0 ? launch_wait(pid) : status;
}

/* ---- dispatch ---- */

static int execute_words(const struct node *node, struct vector *argv, unsigned flags) {
  const struct builtin *builtin = builtin_find(argv->item[0]);
  if (builtin && builtin->special) {
    return execute_builtin(node, builtin, argv);
  }
  struct function *function = function_find(argv->item[0]);
  if (function) {
    return execute_function(node, function, argv);
  }
  if (builtin) {
    return execute_builtin(node, builtin, argv);
  }
  return execute_program(node, argv, flags);
}

int command_execute(const struct node *node, unsigned flags) {
  struct vector argv = {0};
  int status = shell.status;
  shell.substitution_status = -1;
  if (expand_fields(node->words, &argv)) {
    vector_end(&argv);
    if (argv.n == 0) {
      status = execute_assignments(node);
    } else {
      trace_begin();
      trace_words(&argv);
      status = execute_words(node, &argv, flags);
    }
  } else {
    status = shell.status;
  }
  vector_free(&argv);
  return status;
}

int command_run_plain(int argc, char **argv) {
  const struct builtin *builtin = builtin_find(argv[0]);
  if (builtin) {
    return builtin->run(argc, argv);
  }
  struct vector words = {.item = argv, .n = (size_t)argc, .room = (size_t)argc + 1};
  static const struct node nothing = {.kind = NODE_SIMPLE};
  return execute_program(&nothing, &words, 0);
}

static bool redirections_have_effects(const struct redirection *list) {
  for (; list; list = list->next) {
    if (expand_has_effects(list->word)) {
      return true;
    }
  }
  return false;
}

/* Only a program whose words can be expanded here without anybody noticing. */
static bool is_spawnable(const struct node *node) {
  return node->kind == NODE_SIMPLE && node->words && !node->assignments &&
         !expand_has_effects(node->words) && !redirections_have_effects(node->redirections) &&
         !shell.options[OPTION_NOUNSET] && !shell.options[OPTION_XTRACE];
}

bool command_spawn_stage(const struct node *node, const struct stage *stage, pid_t *pid,
                         int *status) {
  struct vector argv = {0};
  bool spawned = false;
  struct arena_mark mark = arena_mark(&shell.temp);
  if (is_spawnable(node) && expand_fields(node->words, &argv) && argv.n > 0 &&
      !builtin_find(argv.item[0]) && !function_find(argv.item[0])) {
    vector_end(&argv);
    *pid = start_program(node, &argv, stage, false, status);
    spawned = true;
  }
  vector_free(&argv);
  arena_release(&shell.temp, mark);
  return spawned;
}
