/* Names of signals, without SIG. */
#include <signal.h>
#include <stdlib.h>
#include <strings.h>

#include "lib.h"

#define SIGNALS(X)                                                                                 \
  X(HUP)                                                                                           \
  X(INT) X(QUIT) X(ILL) X(TRAP) X(ABRT) X(BUS) X(FPE) X(KILL) X(USR1) X(SEGV) X(USR2) X(PIPE)      \
      X(ALRM) X(TERM) X(CHLD) X(CONT) X(STOP) X(TSTP) X(TTIN) X(TTOU) X(URG) X(XCPU) X(XFSZ)       \
          X(VTALRM) X(PROF) X(WINCH) X(IO) X(SYS)

#define NAME_OF(name) [SIG##name] = #name,
static const char *const names[] = {SIGNALS(NAME_OF)};
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
