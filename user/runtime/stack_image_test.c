// test-sources: stack_image.c
/* Stack images, read back as a starting program would read them. */
#include "runtime/stack_image.h"

#include <stdbool.h>
#include <string.h>

#include "lib/tap.h"

#define TOP 0x7ffffffef000ull

static uint8_t *image;
static size_t image_size;

static const void *at(uint64_t address) {
  TAP_REQUIRE(address >= TOP - image_size && address < TOP);
  return image + (address - (TOP - image_size));
}

static uint64_t word(uint64_t sp, size_t i) {
  uint64_t value;
  memcpy(&value, at(sp + i * 8), 8);
  return value;
}

static uint64_t aux(uint64_t sp, size_t i, uint64_t type) {
  for (; word(sp, i) != 0; i += 2) {
    if (word(sp, i) == type) {
      return word(sp, i + 1);
    }
  }
  return 0;
}

static uint64_t build(const struct stack_plan *plan) {
  image_size = stack_image_size(plan);
  image = malloc(image_size); /* exactly: the sanitizer sees a byte too many */
  return stack_image_build(plan, image, image_size, TOP);
}

static bool strings_at(uint64_t sp, size_t i, const char *const *want, size_t n) {
  for (size_t k = 0; k < n; k++) {
    if (strcmp(at(word(sp, i + k)), want[k]) != 0) {
      return false;
    }
  }
  return true;
}

static void check_typical(void) {
  static const char *const head[] = {"/bin/sh", "-e", "script"}, *const argv[] = {"x", ""},
                           *const envp[] = {"A=1", "PATH=/bin"};
  static const struct rt_start start = {.block = {.pid = 7, .umask = 022}, .ids = {1, 2, 3, 4}};
  struct stack_plan plan = {head,        3,      argv,     2,        envp, 2, "script",
                            "file:/tmp", &start, 0x400400, 0x400040, 5,    0};
  uint64_t sp = build(&plan);
  tap_ok(sp % 16 == 0 && sp == TOP - image_size && image_size % 16 == 0, "the stack pointer");
  tap_ok(word(sp, 0) == 5 && strings_at(sp, 1, head, 3) && strings_at(sp, 4, argv, 2) &&
             word(sp, 6) == 0,
         "arguments");
  tap_ok(strings_at(sp, 7, envp, 2) && word(sp, 9) == 0, "environment");
  tap_ok(aux(sp, 10, 3) == 0x400040 && aux(sp, 10, 9) == 0x400400 && aux(sp, 10, 5) == 5 &&
             aux(sp, 10, 6) == 4096 && aux(sp, 10, 14) == 4,
         "auxiliary vector");
  struct rt_start copy;
  memcpy(&copy, at(aux(sp, 10, AT_CATHODE_START)), sizeof(copy));
  tap_ok(copy.block.pid == 7 && copy.block.umask == 022 && copy.block.size == sizeof(copy) &&
             strcmp(at(copy.block.cwd), "file:/tmp") == 0 &&
             strcmp(at(aux(sp, 10, 31)), "script") == 0,
         "start block");
  free(image);
}

static void check_growth(void) {
  static char text[64] = "short";
  const char *const argv[] = {text};
  static const struct rt_start start;
  struct stack_plan plan = {NULL, 0, argv, 1, NULL, 0, "f", "file:/", &start, 1, 0, 0, 0};
  size_t size = stack_image_size(&plan);
  uint8_t *out = malloc(size);
  memset(text, 'x', sizeof(text) - 1);
  tap_ok(stack_image_build(&plan, out, size, TOP) == 0, "a string that grows meanwhile");
  free(out);
}

int main(void) {
  static const struct rt_start start;
  struct stack_plan empty = {NULL, 0, NULL, 0, NULL, 0, "", "", &start, 1, 0, 0, 0};
  tap_plan(7);
  check_typical();
  uint64_t sp = build(&empty);
  tap_ok(sp % 16 == 0 && word(sp, 0) == 0 && word(sp, 1) == 0 && word(sp, 2) == 0,
         "no arguments, no environment");
  free(image);
  check_growth();
  return tap_done();
}
