// test-sources: ldisc.c
/* The line discipline by dialogue: what is typed, what is shown, what can be read. Then random
 * bytes in random modes, with the queue's invariant after each. */
#include "servers/tty/ldisc.h"

#include <signal.h>
#include <string.h>

#include "lib/rng.h"
#include "lib/tap.h"

#define RANDOM_BYTES 200000u

static struct ldisc ldisc;
static struct ldisc_effects effects;
static char shown[65536];
static int last_signal;

static void type_bytes(const char *bytes, size_t n) {
  size_t used = 0;
  last_signal = 0;
  for (size_t i = 0; i < n; i++) {
    ldisc_input(&ldisc, (uint8_t)bytes[i], &effects);
    TAP_REQUIRE(used + effects.n_echo < sizeof(shown));
    memcpy(shown + used, effects.echo, effects.n_echo);
    used += effects.n_echo;
    last_signal = effects.signal ? effects.signal : last_signal;
  }
  shown[used] = '\0';
}

static void type(const char *text) {
  type_bytes(text, strlen(text));
}

/* Type, and compare screen and first line read; NULL: nothing can be read. */
static void dialogue(const char *typed, const char *screen, const char *line) {
  char got[256] = "";
  type(typed);
  bool readable = ldisc_readable(&ldisc);
  if (readable) {
    got[ldisc_read(&ldisc, (uint8_t *)got, sizeof(got) - 1)] = '\0';
  }
  bool good = readable == (line != NULL) && (!line || strcmp(got, line) == 0);
  if (!good || strcmp(shown, screen) != 0) {
    printf("# shown '%s', read '%s'\n", shown, got);
  }
  tap_ok(good && strcmp(shown, screen) == 0, "typing makes screen and line agree");
}

static void test_canonical(void) {
  ldisc_init(&ldisc);
  dialogue("ab", "ab", NULL);
  dialogue("c\r", "c\r\n", "abc\n");
  dialogue("abx\177c\n", "abx\b \bc\r\n", "abc\n");
  dialogue("\177", "", NULL);
  dialogue("one two  \027x\n", "one two  \b \b\b \b\b \b\b \b\b \bx\r\n", "one x\n");
  dialogue("zz\025ok\n", "zz\b \b\b \bok\r\n", "ok\n");
  dialogue("a\001\177b\n", "a^A\b \b\b \bb\r\n", "ab\n");
  dialogue("\303\244\177e\n", "\303\244\b \be\r\n", "e\n");
  dialogue("part\004", "part", "part");
  dialogue("\004", "", "");
  type("l1\nl2\n");
  uint8_t byte[4];
  tap_ok(ldisc_read(&ldisc, byte, 2) == 2 && ldisc_read(&ldisc, byte, 4) == 1 && byte[0] == '\n',
         "a line is read in pieces");
  tap_ok(ldisc_read(&ldisc, byte, 4) == 3 && !ldisc_readable(&ldisc), "lines come one at a time");
  type("done\004");
  tap_ok(ldisc_read(&ldisc, byte, 4) == 4 && !ldisc_readable(&ldisc),
         "no end of file behind a line that exactly fits");
}

static void test_signals(void) {
  ldisc_init(&ldisc);
  type("lost\003");
  tap_ok(last_signal == SIGINT && strcmp(shown, "lost^C") == 0, "interrupt");
  tap_ok(!ldisc_readable(&ldisc) && ldisc.tail == ldisc.edit, "and the line is gone");
  type("\034");
  tap_ok(last_signal == SIGQUIT, "quit");
  type("\032");
  tap_ok(last_signal == SIGTSTP, "suspend");
  struct termios plain = ldisc.attributes;
  plain.c_lflag &= ~(tcflag_t)ISIG;
  ldisc_set(&ldisc, &plain);
  dialogue("\003\n", "^C\r\n", "\003\n");
}

static void test_raw(void) {
  ldisc_init(&ldisc);
  type("typed");
  struct termios raw = ldisc.attributes;
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
  raw.c_iflag &= ~(tcflag_t)ICRNL;
  raw.c_oflag &= ~(tcflag_t)OPOST;
  ldisc_set(&ldisc, &raw);
  dialogue("", "", "typed");
  dialogue("\003\r\177", "", "\003\r\177");
  raw.c_cc[VMIN] = 3;
  ldisc_set(&ldisc, &raw);
  dialogue("ab", "", NULL);
  dialogue("c", "", "abc");
  raw.c_cc[VMIN] = 0;
  ldisc_set(&ldisc, &raw);
  dialogue("", "", "");
  uint8_t out[4];
  tap_ok(ldisc_output(&ldisc, (const uint8_t *)"a\nb", 3, out) == 3, "output is untouched");
}

static void test_full(void) {
  ldisc_init(&ldisc);
  for (uint32_t i = 0; i < LDISC_CELLS + 10; i++) {
    type("x");
  }
  tap_ok(strcmp(shown, "\a") == 0, "a full line rings the bell");
  type("\n");
  uint8_t line[LDISC_CELLS];
  tap_ok(ldisc_read(&ldisc, line, sizeof(line)) == LDISC_CELLS && line[LDISC_CELLS - 1] == '\n',
         "there is always room for its end");
}

static void test_random(unsigned long long seed) {
  struct rng rng;
  uint8_t got[300];
  rng_seed(&rng, seed);
  ldisc_init(&ldisc);
  for (uint32_t i = 0; i < RANDOM_BYTES; i++) {
    char byte = (char)(rng_one_in(&rng, 3) ? rng_below(&rng, 32) : rng_below(&rng, 256));
    type_bytes(&byte, 1);
    if (rng_one_in(&rng, 50) && ldisc_readable(&ldisc)) {
      (void)ldisc_read(&ldisc, got, rng_below(&rng, sizeof(got)));
    }
    if (rng_one_in(&rng, 100)) {
      struct termios attributes = ldisc.attributes;
      attributes.c_lflag = (tcflag_t)rng_next(&rng);
      ldisc_set(&ldisc, &attributes);
    }
    uint32_t readable = ldisc.edit - ldisc.head;
    uint32_t all = ldisc.tail - ldisc.head;
    TAP_REQUIRE(readable <= all && all <= LDISC_CELLS); /* [T1] */
  }
  tap_ok(true, "random bytes keep the queue whole");
}

int main(int argc, char **argv) {
  unsigned long long seed = tap_seed(argc, argv);
  tap_plan(27);
  test_canonical();
  test_signals();
  test_raw();
  test_full();
  test_random(seed);
  return tap_done();
}
