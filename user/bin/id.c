/* id [-u | -g]: the user and group of the process, by number. */
#include <unistd.h>

#include "lib.h"

int main(int argc, char **argv) {
  bool only_user = false, only_group = false;
  for (int option; (option = getopt(argc, argv, "ug")) != -1;) {
    if (option == '?') {
      usage("id [-u | -g]");
    }
    only_user |= option == 'u';
    only_group |= option == 'g';
  }
  if (only_user || only_group) {
    printf("%u\n", only_user ? geteuid() : getegid());
  } else {
    printf("uid=%u gid=%u", getuid(), getgid());
    printf(geteuid() != getuid() ? " euid=%u\n" : "\n", geteuid());
  }
  return finish(0);
}
