/* Memory that runs out in any allocation of fork, exec, spawn and thread creation is an error,
 * after which the process is as it was and the operation works; or does no harm. Where there is
 * nobody to answer to, in a page fault of its own, it ends the process. Nothing is left behind. */
#include "strike.h"

static void test_again(void) {
  is(write(inject_fd, "alloc 1000000", 13), 13, "armed for what never comes");
  is(do_fork(), WORKED, "fork works");
  is(do_thread(), WORKED, "so does a thread");
  inject("off");
  is(strike_read().fired, false, "and nothing was struck");
}

int main(int argc, char **argv) {
  return strike_main(argc, argv, "alloc", test_again);
}
