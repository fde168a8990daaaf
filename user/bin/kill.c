/* kill [-SIGNAL | -s SIGNAL] PID..., kill -l [STATUS]: send a signal (TERM) to processes, or to
 * groups when the number is negative; list the names of signals. */
#include <err.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib.h"

static int list(const char *status) {
  for (int i = 1; i < NSIG && !status; i++) {
    if (signal_name(i)) {
      puts(signal_name(i));
    }
  }
  if (status) {
    long long number = number_arg(status, 0, 255);
    const char *name = signal_name((int)(number > 128 ? number - 128 : number));
    if (!name) {
      errx(1, "%s: no such signal", status);
    }
    puts(name);
  }
  return finish(0);
}

int main(int argc, char **argv) {
  int i = 1, number = SIGTERM, status = 0;
  if (argc > 1 && strcmp(argv[1], "-l") == 0) {
    return list(argv[2]);
  }
  if (argc > 2 && argv[1][0] == '-' && strcmp(argv[1], "--") != 0) {
    bool separate = strcmp(argv[1], "-s") == 0;
    const char *name = separate ? argv[2] : argv[1] + 1;
    number = signal_number(name);
    if (number < 0) {
      errx(1, "%s: no such signal", name);
    }
    i = separate ? 3 : 2;
  }
  i += i < argc && strcmp(argv[i], "--") == 0;
  if (i >= argc) {
    usage("kill [-SIGNAL] PID...");
  }
  for (; i < argc; i++) {
    if (kill((pid_t)number_arg(argv[i], INT_MIN, INT_MAX), number) != 0) {
      warn("%s", argv[i]);
      status = 1;
    }
  }
  return status;
}
