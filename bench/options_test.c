// test-sources: options.c
/* Which cases a command line means. */
#include "options.h"

#include "lib/tap.h"

static bool selects(const char *only, const char *name) {
  return options_select(&(struct options){.only = only}, name);
}

int main(void) {
  tap_plan(5);
  tap_ok(selects(NULL, "fork.exit"), "all unless told");
  tap_ok(selects("fork.*", "fork.exit") && !selects("fork.*", "vfork.exec"), "one glob");
  tap_ok(selects("cal.*,fork.*", "fork.exit") && selects("cal.*,fork.*", "cal.int"),
         "either of two");
  tap_ok(!selects("cal.*,fork.*", "pf.cow"), "none of two");
  tap_ok(!selects("", "pf.cow") && !selects(",", "pf.cow") && selects(",pf.cow,", "pf.cow"),
         "empty globs mean nothing");
  return tap_done();
}
