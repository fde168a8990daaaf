/* nproc [--all]: CPUs that this process may run on, or all. */
#define _GNU_SOURCE
#include <err.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

int main(int argc, char **argv) {
  cpu_set_t set;
  if (argc > 1 && strcmp(argv[1], "--all") == 0) {
    printf("%ld\n", sysconf(_SC_NPROCESSORS_CONF));
    return finish(0);
  }
  if (sched_getaffinity(0, sizeof set, &set) != 0) {
    err(1, "sched_getaffinity");
  }
  printf("%d\n", CPU_COUNT(&set));
  return finish(0);
}
