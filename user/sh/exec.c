/* Compound commands, lists and pipelines. */
#define _GNU_SOURCE
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "expand.h"
#include "jobs.h"
#include "shell.h"
#include "trap.h"
#include "vars.h"

/* set -e: a failure that nothing looks at ends the shell. */
static int check_failure(int status) {
  if (status != 0 && shell.options[OPTION_ERREXIT] && !shell.tested &&
      shell.unwind == UNWIND_NONE) {
    shell.unwind = UNWIND_EXIT;
    shell.status = status;
  }
  return status;
}

static int exec_tested(const struct node *node) {
  shell.tested++;
  int status = exec_node(node, 0);
  shell.tested--;
  return status;
}

/* ---- pipelines ---- */

static pid_t fork_stage(const struct node *node, const struct stage *stage) {
  pid_t pid = launch_fork();
  if (pid == 0) {
    launch_stage(stage);
    shell_exit(exec_node(node, EXEC_TAIL));
  }
  return pid;
}

/* Answers the process, or 0 with *status set when there is none. */
static pid_t start_stage(const struct node *node, const struct stage *stage, int *status) {
  pid_t pid;
  if (!command_spawn_stage(node, stage, &pid, status)) {
    pid = fork_stage(node, stage);
  }
  if (pid < 0) {
    *status = 2;
    return 0;
  }
  return pid;
}

static bool pipe_high(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC) != 0) {
    shell_warn("cannot make a pipe: %s", strerror(errno));
    return false;
  }
  ends[0] = fd_move_high(ends[0]);
  ends[1] = fd_move_high(ends[1]);
  return true;
}

static void close_if_open(int fd) {
  if (fd >= 0) {
    close(fd);
  }
}

/* Starts all stages, then waits for all. The status is that of the last one. */
static int exec_pipeline(const struct node *node) {
  struct text pids = {0};
  int in = -1, status = 0;
  for (; node; node = node->kind == NODE_PIPELINE ? node->right : NULL) {
    bool last = node->kind != NODE_PIPELINE;
    int ends[2] = {-1, -1};
    if (!last && !pipe_high(ends)) {
      status = 2;
      break;
    }
    struct stage stage = {.in = in, .out = ends[1], .close_in_child = ends[0]};
    pid_t pid = start_stage(last ? node : node->left, &stage, &status);
    text_add_bytes(&pids, (const char *)&pid, sizeof pid);
    close_if_open(in);
    close_if_open(ends[1]);
    in = ends[0];
  }
  close_if_open(node ? in : -1);
  for (size_t i = 0; i < pids.n; i += sizeof(pid_t)) {
    pid_t pid;
    memcpy(&pid, pids.bytes + i, sizeof pid);
    int stage_status = pid > 0 ? launch_wait(pid) : status;
    status = i + sizeof pid == pids.n ? stage_status : status;
  }
  text_free(&pids);
  return check_failure(status);
}

/* ---- other processes ---- */

static int exec_background(const struct node *node) {
  pid_t pid = launch_fork();
  if (pid == 0) {
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    int null = open("/dev/null", O_RDONLY);
    if (null > 0) {
      dup2(null, 0);
      close(null);
    }
    shell_exit(exec_node(node->left, EXEC_TAIL));
  }
  if (pid < 0) {
    return 2;
  }
  jobs_add(pid);
  return 0;
}

static int exec_subshell(const struct node *node, unsigned flags) {
  if (flags & EXEC_TAIL) {
    return exec_node(node->left, flags);
  }
  pid_t pid = launch_fork();
  if (pid == 0) {
    shell_exit(exec_node(node->left, EXEC_TAIL));
  }
  return check_failure(pid > 0 ? launch_wait(pid) : 2);
}

/* ---- loops and branches ---- */

/* After a body: whether the loop goes on. Takes what unwinding is meant for it. */
static bool loop_goes_on(void) {
  bool is_mine = shell.unwind == UNWIND_BREAK || shell.unwind == UNWIND_CONTINUE;
  if (!is_mine) {
    return shell.unwind == UNWIND_NONE;
  }
  if (--shell.unwind_levels > 0) {
    return false;
  }
  bool goes_on = shell.unwind == UNWIND_CONTINUE;
  shell.unwind = UNWIND_NONE;
  return goes_on;
}

static int exec_while(const struct node *node) {
  int status = 0;
  shell.loop_depth++;
  for (;;) {
    int test = exec_tested(node->test);
    if (shell.unwind != UNWIND_NONE) {
      if (loop_goes_on()) {
        continue;
      }
      break;
    }
    if ((test == 0) != (node->kind == NODE_WHILE)) {
      break;
    }
    status = exec_node(node->left, 0);
    if (!loop_goes_on()) {
      break;
    }
  }
  shell.loop_depth--;
  return shell.unwind == UNWIND_NONE ? status : shell.status;
}

static bool for_values(const struct node *node, struct vector *values) {
  if (!node->all_params) {
    return expand_fields(node->words, values);
  }
  for (int i = 0; i < shell.params.n; i++) {
    vector_add(values,
               arena_string(&shell.temp, shell.params.value[i], strlen(shell.params.value[i])));
  }
  return true;
}

static int exec_for(const struct node *node) {
  struct vector values = {0};
  int status = 0;
  if (!for_values(node, &values)) {
    vector_free(&values);
    return shell.status;
  }
  shell.loop_depth++;
  for (size_t i = 0; i < values.n; i++) {
    if (!vars_set(node->name, values.item[i])) {
      status = shell_abort(2);
      break;
    }
    status = exec_node(node->left, 0);
    if (!loop_goes_on()) {
      break;
    }
  }
  shell.loop_depth--;
  vector_free(&values);
  return status;
}

static bool case_matches(const struct case_item *item, const char *subject) {
  for (const struct word *word = item->patterns; word; word = word->next) {
    const char *pattern = expand_pattern(word);
    if (!pattern || fnmatch(pattern, subject, 0) == 0) {
      return true; /* the error has set unwind */
    }
  }
  return false;
}

static int exec_case(const struct node *node, unsigned flags) {
  const char *subject = expand_string(node->words);
  if (!subject) {
    return shell.status;
  }
  for (const struct case_item *item = node->cases; item; item = item->next) {
    if (case_matches(item, subject)) {
      if (shell.unwind != UNWIND_NONE) {
        return shell.status;
      }
      return item->body ? exec_node(item->body, flags) : 0;
    }
  }
  return 0;
}

static int exec_if(const struct node *node, unsigned flags) {
  int test = exec_tested(node->test);
  if (shell.unwind != UNWIND_NONE) {
    return test;
  }
  if (test == 0) {
    return exec_node(node->left, flags);
  }
  return node->right ? exec_node(node->right, flags) : 0;
}

static int exec_and_or(const struct node *node, unsigned flags) {
  int status = exec_tested(node->left);
  if (shell.unwind != UNWIND_NONE || (status == 0) != (node->kind == NODE_AND)) {
    return status;
  }
  return exec_node(node->right, flags);
}

static int exec_not(const struct node *node) {
  int status = exec_tested(node->left);
  return shell.unwind == UNWIND_NONE ? !status : status;
}

static int exec_plain(const struct node *node, unsigned flags) {
  switch (node->kind) {
  case NODE_SIMPLE:
    return check_failure(command_execute(node, flags));
  case NODE_PIPELINE:
    return exec_pipeline(node);
  case NODE_AND:
  case NODE_OR:
    return exec_and_or(node, flags);
  case NODE_BACKGROUND:
    return exec_background(node);
  case NODE_NOT:
    return exec_not(node);
  case NODE_SUBSHELL:
    return exec_subshell(node, flags);
  case NODE_IF:
    return exec_if(node, flags);
  case NODE_WHILE:
  case NODE_UNTIL:
    return exec_while(node);
  case NODE_FOR:
    return exec_for(node);
  case NODE_CASE:
    return exec_case(node, flags);
  case NODE_FUNCTION:
    function_define(node->name, node->left, shell.program);
    return 0;
  default:
    return exec_node(node->left, flags);
  }
}

/* A compound command with redirections around it. */
static int exec_redirected(const struct node *node) {
  struct redirect_plan plan;
  if (!redirect_open(&plan, node->redirections) || !redirect_apply_saving(&plan)) {
    return check_failure(2);
  }
  int status = exec_plain(node, 0);
  redirect_restore(&plan);
  return status;
}

int exec_node(const struct node *node, unsigned flags) {
  while (node->kind == NODE_SEQUENCE) {
    exec_node(node->left, 0);
    if (shell.unwind != UNWIND_NONE) {
      return shell.status;
    }
    node = node->right;
  }
  struct arena_mark mark = arena_mark(&shell.temp);
  traps_run();
  if (trap_take_interrupt()) {
    shell.unwind = UNWIND_ABORT;
    shell.status = 130;
  }
  if (shell.unwind == UNWIND_NONE && !shell.options[OPTION_NOEXEC]) {
    bool redirected = node->redirections && node->kind != NODE_SIMPLE;
    int status = redirected ? exec_redirected(node) : exec_plain(node, flags);
    if (shell.unwind == UNWIND_NONE) {
      shell.status = status;
    }
  }
  arena_release(&shell.temp, mark);
  return shell.status;
}
