// test-sources: path.c
/* Canonical paths: a table of known answers, then random text whose result must be canonical. */
#include "runtime/path.h"

#include <string.h>

#include "abi/abi.h"
#include "lib/bits.h"
#include "lib/rng.h"
#include "lib/tap.h"

static const struct {
  const char *cwd, *path, *want;
} answers[] = {
    {"file:/", "/", "file:/"},
    {"file:/", "/bin/ls", "file:/bin/ls"},
    {"file:/", "bin", "file:/bin"},
    {"file:/home/a", "b", "file:/home/a/b"},
    {"file:/home/a", "..", "file:/home"},
    {"file:/home/a", "../../../..", "file:/"},
    {"file:/home/a", "./././x//y/", "file:/home/a/x/y"},
    {"file:/home/a", ".", "file:/home/a"},
    {"file:/home/a", "initfs:/bin/../etc", "initfs:/bin/../etc"},
    {"file:/", "initfs:/", "initfs:/"},
    {"file:/", "initfs:/..", "initfs:/"},
    {"initfs:/bin", "..", "initfs:/"},
    {"initfs:/bin", "../x", "initfs:/x"},
    {"initfs:/bin", "/x", "file:/x"},
    {"file:/", "/scheme/initfs/bin", "initfs:/bin"},
    {"file:/", "/scheme/initfs", "initfs:/"},
    {"file:/", "/scheme", "file:/scheme"},
    {"file:/", "/scheme/", "file:/scheme"},
    {"file:/", "/schemes/a", "file:/schemes/a"},
    {"file:/", "a:b", "file:/a:b"},
    {"file:/", "a:", "file:/a:"},
    {"file:/", ":/x", "file:/:/x"},
    {"file:/", "a b:/x", "file:/a b:/x"},
    {"file:/a", "../b/../c", "file:/b/../c"},
    {"file:/", "...", "file:/..."},
    {"file:/", "..a/.b", "file:/..a/.b"},
};

static bool answers_right(void) {
  char out[64];
  for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
    int64_t n = path_resolve(answers[i].cwd, answers[i].path, out, sizeof(out));
    if (n != (int64_t)strlen(answers[i].want) || strcmp(out, answers[i].want) != 0) {
      printf("# %s in %s: %s, not %s\n", answers[i].path, answers[i].cwd, out, answers[i].want);
      return false;
    }
  }
  return true;
}

static bool is_canonical(const char *path) {
  const char *rest = strchr(path, ':');
  size_t n = rest ? strlen(rest) : 0;
  return n >= 2 && rest[1] == '/' && !strstr(rest, "//") && !strstr(rest, "/./") &&
         strncmp(rest + 1, "/../", 4) != 0 && (n == 2 || rest[n - 1] != '/') &&
         strcmp(rest + n - 2, "/.") != 0;
}

static bool names_directory(const char *path) {
  return path_names_directory(path, strlen(path));
}

static void fuzz(uint64_t seed) {
  static const char alphabet[] = "//...ab:/-";
  struct rng rng;
  rng_seed(&rng, seed);
  for (int i = 0; i < 300000; i++) {
    char path[24], out[40], again[40];
    size_t n = rng_below(&rng, sizeof(path)), cap = 8 + rng_below(&rng, 32);
    for (size_t k = 0; k < n; k++) {
      path[k] = alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
    }
    path[n] = '\0';
    int64_t len = path_resolve("file:/a", path, out, cap);
    TAP_REQUIRE(len >= 0 || len == -ABI_ENAMETOOLONG || (len == -ABI_ENOENT && n == 0));
    if (len >= 0) {
      TAP_REQUIRE(len == (int64_t)strlen(out) && (size_t)len < cap && is_canonical(out));
      TAP_REQUIRE(path_resolve("b:/", out, again, sizeof(again)) == len && !strcmp(out, again));
    }
    (void)names_directory(path);
  }
}

int main(int argc, char **argv) {
  char out[16];
  tap_plan(7);
  uint64_t seed = tap_seed(argc, argv);
  tap_ok(answers_right(), "known answers");
  tap_ok(path_resolve("file:/", "", out, 16) == -ABI_ENOENT, "the empty path");
  tap_ok(path_resolve("file:/", "/123456789", out, 16) == 15, "a path that just fits");
  tap_ok(path_resolve("file:/", "/1234567890", out, 16) == -ABI_ENAMETOOLONG,
         "and one that does not");
  tap_ok(names_directory("a/") && names_directory("..") && names_directory("a/.") &&
             names_directory("/") && !names_directory("a") && !names_directory(".a"),
         "paths that name a directory");
  tap_ok(path_show("file:/a/b", out, 16) == 4 && !strcmp(out, "/a/b") &&
             path_show("file:/", out, 2) == 1 && !strcmp(out, "/") &&
             path_show("x:/y", out, 16) == 11 && !strcmp(out, "/scheme/x/y") &&
             path_show("file:/a", out, 2) == -ABI_ERANGE,
         "what getcwd shows");
  fuzz(seed);
  tap_ok(true, "random paths");
  return tap_done();
}
