/* Where a program's stack and mappings lie: elsewhere in each run, unless a seed is given; then the
 * same in each run, and in what the program starts. */
#define _GNU_SOURCE
#include <sys/auxv.h>
#include <sys/mman.h>

#include "abi/abi.h"
#include "tap.h"

enum { RUNS = 8 };

/* Mappings have 13 bits of chance (runtime/load.c): of the 28 pairs of eight runs one has them in
 * common in one of 300 tests, three or more in one of 10^8. Without chance it is all 28. */
enum { PAIRS_ALIKE = 2 };

struct layout {
  uint64_t seed, stack, mapping;
};

static struct layout layout_own(void) {
  const struct start_block *start = (const struct start_block *)getauxval(AT_CATHODE_START);
  return (struct layout){
      .seed = start->layout,
      .stack = (uint64_t)__builtin_frame_address(0),
      .mapping = (uint64_t)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
}

/* Run anew with this environment: itself tells its layout, or that of another run within. */
static struct layout layout_run(const char *program, const char *what, char *setting) {
  struct layout seen = {0};
  int ends[2];
  if (pipe(ends) != 0) {
    bail_out("pipe");
  }
  pid_t child = fork();
  if (child == 0) {
    char *argv[] = {(char *)program, (char *)what, NULL}, *envp[] = {setting, NULL};
    dup2(ends[1], 1);
    execve(program, argv, envp);
    _exit(1);
  }
  close(ends[1]);
  bool whole = read(ends[0], &seen, sizeof seen) == sizeof seen;
  close(ends[0]);
  waitpid(child, NULL, 0);
  return whole ? seen : (struct layout){0};
}

static int answer(const char *what) {
  static const char none[] = "EMPTY=1";
  struct layout own = strcmp(what, "inner") == 0
                          ? layout_own()
                          : layout_run((const char *)getauxval(AT_EXECFN), "inner", (char *)none);
  return write(1, &own, sizeof own) != sizeof own;
}

static bool same(struct layout a, struct layout b) {
  return a.seed == b.seed && a.stack == b.stack && a.mapping == b.mapping;
}

static void test_random(const char *program) {
  static char none[] = "EMPTY=1";
  struct layout runs[RUNS];
  bool told = true, apart = true;
  int mappings_alike = 0;
  for (int i = 0; i < RUNS; i++) {
    runs[i] = layout_run(program, "inner", none);
    told = told && runs[i].seed != 0 && runs[i].stack != 0;
    for (int j = 0; j < i; j++) {
      apart = apart && runs[i].seed != runs[j].seed && runs[i].stack != runs[j].stack;
      mappings_alike += runs[i].mapping == runs[j].mapping;
    }
  }
  ok(told, "a program knows its seed");
  ok(apart, "eight runs have eight seeds and stacks");
  ok(mappings_alike <= PAIRS_ALIKE, "and mappings that differ but by chance");
}

static void test_given(const char *program) {
  static char seven[] = "LAYOUT_SEED=7", eight[] = "LAYOUT_SEED=8", wrong[] = "LAYOUT_SEED=7x";
  struct layout one = layout_run(program, "inner", seven);
  is(one.seed, 7, "a seed in the environment is the program's");
  ok(same(one, layout_run(program, "inner", seven)), "and gives the same layout again");
  ok(same(one, layout_run(program, "outer", seven)), "also to what that program starts");
  struct layout other = layout_run(program, "inner", eight);
  ok(other.seed == 8 && other.stack != one.stack && other.mapping != one.mapping,
     "another seed gives another");
  struct layout none = layout_run(program, "inner", wrong);
  ok(none.seed != 7 && none.stack != one.stack, "what is no number is no seed");
}

int main(int argc, char **argv) {
  if (argc > 1) {
    return answer(argv[1]);
  }
  const char *program = (const char *)getauxval(AT_EXECFN);
  test_random(program);
  test_given(program);
  return tap_done();
}
