// test-sources: bootargs.c ../lib/fmt.c
/* The kernel's command line: good ones, each way of being bad, and random garbage. */
#include "base/bootargs.h"

#include "lib/rng.h"
#include "lib/tap.h"
#include <string.h>

#define N_STEPS 100000
#define LINE_MAX_LEN 200

static uint64_t slice_us;
static bool verbose;
static uint32_t accel;
static char name[8];
static char reported[4096];

static const struct bootarg table[] = {
    {"sched.slice_us", BOOTARG_U64, &slice_us, 100, 100000, NULL, "length of a slice"},
    {"verbose", BOOTARG_BOOL, &verbose, 0, 0, NULL, "say more"},
    {"clock", BOOTARG_ENUM, &accel, 0, 0, "auto|tsc|hpet", "clock source"},
    {"name", BOOTARG_STRING, name, 0, sizeof(name), NULL, "of the machine"},
};

static void report(void *ctx, const char *line) {
  char *text = ctx;
  if (strlen(text) + strlen(line) + 2 < sizeof(reported)) {
    strcat(strcat(text, line), "\n");
  }
}

static const struct bootargs args = {table, ARRAY_LEN(table), report, reported};

static void defaults(void) {
  slice_us = 3000;
  verbose = false;
  accel = 0;
  strcpy(name, "none");
  reported[0] = '\0';
}

/* Parses a copy of exact size; answers how many words were refused. *command lies in `line`. */
static unsigned parse(const char *line, const char **command) {
  unsigned n_bad = 99;
  char *copy = malloc(strlen(line) + 1);
  TAP_REQUIRE(copy);
  strcpy(copy, line);
  defaults();
  const char *rest = bootargs_parse(&args, copy, &n_bad);
  TAP_REQUIRE(rest >= copy && rest <= copy + strlen(copy));
  *command = line + (rest - copy);
  free(copy);
  return n_bad;
}

static bool good_line(void) {
  const char *command;
  unsigned n_bad =
      parse("sched.slice_us=0x3e8 verbose  clock=hpet name=box -- /bin/sh -c ls", &command);
  bool ok = n_bad == 0 && slice_us == 1000 && verbose && accel == 2 && strcmp(name, "box") == 0;
  return ok && strcmp(command, "/bin/sh -c ls") == 0 && reported[0] == '\0';
}

static bool bounds_are_inclusive(void) {
  const char *command;
  bool ok = parse("sched.slice_us=100", &command) == 0 && slice_us == 100;
  ok = ok && parse("sched.slice_us=100000", &command) == 0 && slice_us == 100000;
  return ok && parse("name=1234567", &command) == 0 && strcmp(name, "1234567") == 0;
}

/* The refused word, cut when it is long, then what its argument takes, then all arguments. */
static bool report_text(void) {
  const char *command;
  char line[120] = "name=";
  memset(line + 5, 'x', 100);
  bool ok = parse(line, &command) == 1;
  line[48] = '\0';
  ok = ok && strncmp(reported + strlen("\""), line, 48) == 0;
  return ok && strstr(reported, "x\": not a valid value; it takes\n"
                                "  name=TEXT (at most 7 characters): of the machine\n"
                                "valid boot arguments:\n"
                                "  sched.slice_us=100..100000: length of a slice\n");
}

static bool commands(void) {
  const char *command;
  bool ok = parse("-- a  b", &command) == 0 && strcmp(command, "a  b") == 0;
  ok = ok && parse("verbose -- a -- b", &command) == 0 && strcmp(command, "a -- b") == 0;
  ok = ok && parse("verbose --", &command) == 0 && command[0] == '\0';
  ok = ok && parse("verbose", &command) == 0 && command[0] == '\0';
  ok = ok && parse("", &command) == 0 && command[0] == '\0';
  return ok && parse("--  x", &command) == 0 && strcmp(command, " x") == 0;
}

static bool booleans(void) {
  static const struct {
    const char *line;
    bool value;
  } cases[] = {{"verbose=1", true},         {"verbose=on", true},  {"verbose=yes", true},
               {"verbose=true", true},      {"verbose", true},     {"verbose=0", false},
               {"verbose=off", false},      {"verbose=no", false}, {"verbose=false", false},
               {"verbose verbose=0", false}};
  const char *command;
  for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
    if (parse(cases[i].line, &command) != 0 || verbose != cases[i].value) {
      return false;
    }
  }
  return true;
}

/* Each is refused, changes nothing, and is answered with the word and with every valid name. */
static bool refusals(void) {
  const char *bad[] = {"quiet",
                       "sched.slice_us",
                       "sched.slice_us=",
                       "sched.slice_us=99",
                       "sched.slice_us=100001",
                       "sched.slice_us=1ms",
                       "sched.slice_us=-1",
                       "sched.slice_us=99999999999999999999999",
                       "verbose=",
                       "verbose=2",
                       "verbose=on|off",
                       "clock=",
                       "clock=rtc",
                       "clock=auto|tsc",
                       "clock",
                       "name=12345678",
                       "=",
                       "=1",
                       "nam=x",
                       "names=x"};
  const char *command;
  for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
    bool refused = parse(bad[i], &command) == 1 && strstr(reported, bad[i]);
    bool kept = slice_us == 3000 && !verbose && accel == 0 && strcmp(name, "none") == 0;
    bool listed = strstr(reported, "sched.slice_us=100..100000") &&
                  strstr(reported, "verbose=on|off") && strstr(reported, "clock=auto|tsc|hpet") &&
                  strstr(reported, "name=TEXT");
    if (!refused || !kept || !listed) {
      printf("# %s\n", bad[i]);
      return false;
    }
  }
  return true;
}

static bool bad_among_good(void) {
  const char *command;
  unsigned n_bad = parse("clock=tsc foo=1 name=abc sched.slice_us=x -- run", &command);
  return n_bad == 2 && accel == 1 && strcmp(name, "abc") == 0 && slice_us == 3000 &&
         strcmp(command, "run") == 0;
}

/* Pieces that are nearly right, and bytes that are anything. */
static void garbage_line(struct rng *rng, char *line) {
  static const char *pieces[] = {
      "sched.slice_us",       "verbose",  "clock", "name", "=", " ", "--", "auto", "|", "0x",
      "18446744073709551615", "\x80\xff", "1"};
  size_t len = 0, n = rng_below(rng, 20);
  for (size_t i = 0; i < n && len < LINE_MAX_LEN - 32; i++) {
    const char *piece = pieces[rng_below(rng, ARRAY_LEN(pieces))];
    if (rng_one_in(rng, 3)) {
      line[len++] = (char)(1 + rng_below(rng, 255));
    } else {
      memcpy(line + len, piece, strlen(piece));
      len += strlen(piece);
    }
  }
  line[len] = '\0';
}

static bool garbage(struct rng *rng) {
  char line[LINE_MAX_LEN];
  const char *command;
  unsigned n_refused = 0;
  for (unsigned i = 0; i < N_STEPS; i++) {
    garbage_line(rng, line);
    n_refused += parse(line, &command) != 0;
    TAP_REQUIRE(slice_us >= 100 && slice_us <= 100000 && accel <= 2);
    TAP_REQUIRE(memchr(name, '\0', sizeof(name)));
    TAP_REQUIRE((reported[0] != '\0') == (strstr(reported, "valid boot arguments") != NULL));
  }
  return n_refused > N_STEPS / 2 && n_refused < N_STEPS;
}

int main(int argc, char **argv) {
  struct rng rng;
  tap_plan(8);
  rng_seed(&rng, tap_seed(argc, argv));
  tap_ok(good_line(), "a good line sets every kind");
  tap_ok(bounds_are_inclusive(), "values at their bounds are taken");
  tap_ok(report_text(), "a report says what was wrong and what would be right");
  tap_ok(commands(), "the command is what follows the first --");
  tap_ok(booleans(), "booleans in all spellings, the last one wins");
  tap_ok(refusals(), "a refused word changes nothing and names the valid ones");
  tap_ok(bad_among_good(), "a bad word does not hide the good ones");
  tap_ok(garbage(&rng), "garbage does no harm");
  return tap_done();
}
