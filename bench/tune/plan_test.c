// test-sources: plan.c
/* Lines of a plan: good ones, and every way to be wrong. */
#include "tune/plan.h"

#include <string.h>

#include "lib/tap.h"

static void good_test(void) {
  struct plan_line line;
  char text[64];
  tap_ok(plan_parse("p3 cyclic 2 slice_us=1000  steal=0\n", &line) == NULL, "a full line");
  tap_ok(strcmp(line.point, "p3") == 0 && strcmp(line.workload, "cyclic") == 0, "its words");
  tap_ok(line.repetition == 2 && line.n_settings == 2, "its numbers");
  tap_ok(plan_value(&line, "steal", 7) == 0 && plan_value(&line, "other", 7) == 7, "its values");
  plan_settings_format(&line, text, sizeof(text));
  tap_ok(strcmp(text, "slice_us=1000,steal=0") == 0, "its settings as text");
  plan_settings_format(&line, text, 8);
  tap_ok(strcmp(text, "slice_u") == 0, "cut when there is no room");
  tap_ok(plan_parse("p cyclic 0", &line) == NULL && line.n_settings == 0, "no settings");
  plan_settings_format(&line, text, sizeof(text));
  tap_ok(strcmp(text, "-") == 0, "is a dash");
  tap_ok(plan_parse("  # p cyclic 0\n", &line) == NULL && line.point[0] == 0, "a comment");
  tap_ok(plan_parse(" \n", &line) == NULL && line.point[0] == 0, "an empty line");
}

static void bad_test(void) {
  static const char *const texts[] = {
      "p\n",
      "p cyclic\n",
      "p cyclic x\n",
      "p cyclic -1\n",
      "p cyclic 4294967296\n",
      "p cyclic 1 steal\n",
      "p cyclic 1 =1\n",
      "p cyclic 1 steal=\n",
      "p cyclic 1 steal=-1\n",
      "p cyclic 1 steal=1x\n",
      "p cyclic 1 steal=99999999999999999999\n",
      "p cyclic 1 steal=1 steal=1\n",
      "p cyclic 1 a_name_that_is_longer_than_any_parameter=1\n",
  };
  struct plan_line line;
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    tap_ok(plan_parse(texts[i], &line) != NULL, "refused: %.*s", (int)strcspn(texts[i], "\n"),
           texts[i]);
  }
}

static void many_test(void) {
  char text[PLAN_LINE] = "p cyclic 1";
  struct plan_line line;
  for (int i = 0; i < PLAN_SETTINGS; i++) {
    snprintf(text + strlen(text), sizeof(text) - strlen(text), " p%d=%d", i, i);
  }
  tap_ok(plan_parse(text, &line) == NULL && line.n_settings == PLAN_SETTINGS, "many settings");
  strcat(text, " one=1");
  tap_ok(plan_parse(text, &line) != NULL, "one too many");
}

int main(void) {
  tap_plan(10 + 13 + 2);
  good_test();
  bad_test();
  many_test();
  return tap_done();
}
