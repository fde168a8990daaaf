/* Names of signals, without SIG. */
#include <signal.h>
#include <stdlib.h>
#include <strings.h>

#include "lib.h"

static const char *const names[] = {
    [SIGHUP] = "HUP",       [SIGINT] = "INT",   [SIGQUIT] = "QUIT",   [SIGILL] = "ILL",
    [SIGTRAP] = "TRAP",     [SIGABRT] = "ABRT", [SIGBUS] = "BUS",     [SIGFPE] = "FPE",
    [SIGKILL] = "KILL",     [SIGUSR1] = "USR1", [SIGSEGV] = "SEGV",   [SIGUSR2] = "USR2",
    [SIGPIPE] = "PIPE",     [SIGALRM] = "ALRM", [SIGTERM] = "TERM",   [SIGCHLD] = "CHLD",
    [SIGCONT] = "CONT",     [SIGSTOP] = "STOP", [SIGTSTP] = "TSTP",   [SIGTTIN] = "TTIN",
    [SIGTTOU] = "TTOU",     [SIGURG] = "URG",   [SIGXCPU] = "XCPU",   [SIGXFSZ] = "XFSZ",
    [SIGVTALRM] = "VTALRM", [SIGPROF] = "PROF", [SIGWINCH] = "WINCH", [SIGIO] = "IO",
    [SIGSYS] = "SYS"};
enum { N_NAMES = sizeof names / sizeof names[0] };

const char *signal_name(int number) {
  return number > 0 && number < N_NAMES ? names[number] : NULL;
}

int signal_number(const char *name) {
  char *end;
  long number = strtol(name, &end, 10);
  if (end != name && !*end) {
    return number >= 0 && number < NSIG ? (int)number : -1;
  }
  name += strncasecmp(name, "SIG", 3) == 0 ? 3 : 0;
  for (int i = 1; i < N_NAMES; i++) {
    if (names[i] && strcasecmp(names[i], name) == 0) {
      return i;
    }
  }
  return -1;
}
