/* Traps: see trap.h. The handler only notes the signal; commands run between commands. */
#include "trap.h"

#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "input.h"
#include "shell.h"

static char *commands[NSIG];
static volatile sig_atomic_t came[NSIG];
static volatile sig_atomic_t any_came, interrupted;
static bool guards_signals; /* interactive: INT, QUIT and TERM do not end the shell */

static void note_signal(int number) {
  came[number] = 1;
  any_came = 1;
}

static void note_interrupt(int number) {
  (void)number;
  interrupted = 1;
}

static void set_action(int number, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler};
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, NULL);
}

static bool is_guarded(int number) {
  return guards_signals && (number == SIGINT || number == SIGQUIT || number == SIGTERM);
}

static void set_default(int number) {
  if (!is_guarded(number)) {
    set_action(number, SIG_DFL);
  } else {
    set_action(number, number == SIGINT ? note_interrupt : SIG_IGN);
  }
}

void traps_init(bool interactive) {
  guards_signals = interactive;
  if (interactive) {
    set_default(SIGINT);
    set_default(SIGQUIT);
    set_default(SIGTERM);
  }
}

bool trap_set(int number, const char *command) {
  if (number < 0 || number >= NSIG || number == SIGKILL || number == SIGSTOP) {
    return false;
  }
  char *copy = command ? string_copy(command) : NULL;
  free(commands[number]);
  commands[number] = copy;
  if (number == TRAP_EXIT) {
    return true;
  }
  if (!command) {
    set_default(number);
  } else {
    set_action(number, *command ? note_signal : SIG_IGN);
  }
  return true;
}

const char *trap_get(int number) {
  return number >= 0 && number < NSIG ? commands[number] : NULL;
}

int trap_pending(void) {
  for (int i = 1; any_came && i < NSIG; i++) {
    if (came[i] && commands[i] && *commands[i]) {
      return i;
    }
  }
  return 0;
}

bool trap_take_interrupt(void) {
  bool was = interrupted;
  interrupted = 0;
  return was;
}

/* Runs a command with $? kept, unless it leaves the shell. */
static void run_command(const char *command) {
  char *copy = string_copy(command); /* it may replace its own trap */
  int status = shell.status;
  struct input in;
  input_from_string(&in, copy, strlen(copy));
  shell_run(&in);
  if (shell.unwind != UNWIND_EXIT) {
    shell.status = status;
  }
  free(copy);
}

void traps_run(void) {
  if (!any_came) {
    return;
  }
  any_came = 0;
  for (int i = 1; i < NSIG; i++) {
    if (came[i]) {
      came[i] = 0;
      if (commands[i] && *commands[i]) {
        run_command(commands[i]);
      }
    }
  }
}

void trap_run_exit(void) {
  char *command = commands[TRAP_EXIT];
  commands[TRAP_EXIT] = NULL;
  if (command && *command) {
    shell.unwind = UNWIND_NONE;
    run_command(command);
  }
  free(command);
}

void traps_reset_in_child(void) {
  bool guarded = guards_signals;
  guards_signals = false;
  for (int i = 0; i < NSIG; i++) {
    bool ignored = commands[i] && !*commands[i];
    if (commands[i] && !ignored) {
      free(commands[i]);
      commands[i] = NULL;
      if (i != TRAP_EXIT) {
        set_default(i);
      }
    } else if (guarded && !ignored && (i == SIGINT || i == SIGQUIT || i == SIGTERM)) {
      set_default(i);
    }
    came[i] = 0;
  }
  any_came = 0;
  interrupted = 0;
}

void traps_spawn_defaults(sigset_t *set) {
  static const int guarded[] = {SIGINT, SIGQUIT, SIGTERM};
  sigemptyset(set);
  for (size_t i = 0; i < sizeof guarded / sizeof guarded[0]; i++) {
    if (is_guarded(guarded[i]) && !commands[guarded[i]]) {
      sigaddset(set, guarded[i]);
    }
  }
}
