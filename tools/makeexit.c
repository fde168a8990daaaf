/* $(exit-with N): a function for GNU make that ends it with status N.
 *
 * make answers 2 whatever a recipe's status was; `make run` must answer the guest command's, and so
 * must `make trace` and `make profile`. The Makefile loads this object for those targets only, and
 * does without where make cannot load any. */
#include <gnumake.h>
#include <stdlib.h>

int plugin_is_GPL_compatible; /* make demands the symbol; the MIT licence is compatible */
int makeexit_gmk_setup(const gmk_floc *where);

static char *exit_with(const char *name, unsigned int argc, char **argv) {
  (void)name;
  (void)argc;
  exit(atoi(argv[0]));
}

int makeexit_gmk_setup(const gmk_floc *where) {
  (void)where;
  gmk_add_function("exit-with", exit_with, 1, 1, GMK_FUNC_DEFAULT);
  return 1;
}
