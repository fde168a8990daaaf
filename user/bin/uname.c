/* uname [-asnrvm]: what system this is: its name, host name, release, version, machine. */
#include <err.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib.h"

int main(int argc, char **argv) {
  struct utsname u;
  bool shown[5] = {false};
  for (int option; (option = getopt(argc, argv, "asnrvm")) != -1;) {
    if (option == '?') {
      usage("uname [-asnrvm]");
    }
    for (int i = 0; i < 5; i++) {
      shown[i] |= option == 'a' || option == "snrvm"[i];
    }
  }
  if (uname(&u) != 0) {
    err(1, "uname");
  }
  shown[0] |= argc == 1;
  const char *const values[] = {u.sysname, u.nodename, u.release, u.version, u.machine};
  const char *space = "";
  for (int i = 0; i < 5; i++) {
    if (shown[i]) {
      printf("%s%s", space, values[i]);
      space = " ";
    }
  }
  putchar('\n');
  return finish(0);
}
