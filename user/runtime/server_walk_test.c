// test-sources: server_walk.c
/* Path resolution over a small fixed tree: where paths lead, which errors they meet, and that
 * nothing leaves the directory that a walk is confined to. */
#include "runtime/server_walk.h"

#include <string.h>

#include "abi/abi.h"
#include "lib/tap.h"

/* /: a/ (b/ (f, up -> ../..), f, abs -> /a/b), f, loop -> loop, to -> a/b/, gone -> a/none */
struct fixture {
  uint64_t parent;
  const char *name, *target; /* target: NULL for no link */
  bool directory;
};

enum { ROOT = 1, A, B, BF, UP, AF, ABS, F, LOOP, TO, GONE, N_NODES };

static const struct fixture nodes[N_NODES] = {
    [ROOT] = {ROOT, "", NULL, true},
    [A] = {ROOT, "a", NULL, true},
    [B] = {A, "b", NULL, true},
    [BF] = {B, "f", NULL, false},
    [UP] = {B, "up", "../..", false},
    [AF] = {A, "f", NULL, false},
    [ABS] = {A, "abs", "/a/b", false},
    [F] = {ROOT, "f", NULL, false},
    [LOOP] = {ROOT, "loop", "loop", false},
    [TO] = {ROOT, "to", "a/b/", false},
    [GONE] = {ROOT, "gone", "a/none", false},
};

static int64_t fixture_child(void *context, uint64_t directory, struct text name) {
  (void)context;
  for (uint64_t i = A; i < N_NODES; i++) {
    if (nodes[i].parent == directory && strlen(nodes[i].name) == name.len &&
        memcmp(nodes[i].name, name.at, name.len) == 0) {
      return (int64_t)i;
    }
  }
  return -ABI_ENOENT;
}

static uint64_t fixture_parent(void *context, uint64_t directory) {
  (void)context;
  return nodes[directory].parent;
}

static enum walk_kind fixture_kind(void *context, uint64_t node) {
  (void)context;
  return nodes[node].directory ? WALK_DIRECTORY : nodes[node].target ? WALK_LINK : WALK_OTHER;
}

static struct text fixture_target(void *context, uint64_t link) {
  (void)context;
  return (struct text){nodes[link].target, strlen(nodes[link].target)};
}

static const struct walk_tree tree = {.root = ROOT,
                                      .child = fixture_child,
                                      .parent = fixture_parent,
                                      .kind = fixture_kind,
                                      .target = fixture_target};

static const struct {
  uint64_t start;
  const char *path;
  uint32_t flags;
  int64_t expected; /* a node, 0 for missing, or a negated error */
} cases[] = {
    {ROOT, "", 0, ROOT},
    {ROOT, "///", 0, ROOT},
    {ROOT, "a/b/f", 0, BF},
    {ROOT, "//a/./b//f", 0, BF},
    {ROOT, "a/b/../f", 0, AF},
    {ROOT, "../../f", 0, F},
    {ROOT, "a/b/.", 0, B},
    {ROOT, "a/b/..", 0, A},
    {ROOT, "a/b/", 0, B},
    {ROOT, "f/", 0, -ABI_ENOTDIR},
    {ROOT, "f/x", 0, -ABI_ENOTDIR},
    {ROOT, "f/..", 0, -ABI_ENOTDIR},
    {ROOT, "x", 0, -ABI_ENOENT},
    {ROOT, "x/y", WALK_MISSING, -ABI_ENOENT},
    {ROOT, "a/x", WALK_MISSING, 0},
    {ROOT, "to", 0, TO},
    {ROOT, "to", WALK_FOLLOW, B},
    {ROOT, "to/", 0, B},
    {ROOT, "to/", WALK_ENTRY, TO},
    {ROOT, "to/f", 0, BF},
    {ROOT, "a/b/up/f", 0, F},
    {ROOT, "a/abs/f", 0, BF},
    {ROOT, "loop", 0, LOOP},
    {ROOT, "loop", WALK_FOLLOW, -ABI_ELOOP},
    {ROOT, "loop/x", 0, -ABI_ELOOP},
    {ROOT, "gone", WALK_FOLLOW, -ABI_ENOENT},
    {ROOT, "gone", WALK_FOLLOW | WALK_MISSING, 0},
    {A, "b/f", 0, BF},
    {A, "b/../f", 0, AF},
    {A, "/b", 0, B},
    {A, "..", 0, -ABI_EXDEV},
    {A, "b/../../f", 0, -ABI_EXDEV},
    {A, "abs", 0, ABS},
    {A, "abs", WALK_FOLLOW, -ABI_EXDEV},
    {A, "b/up/f", 0, -ABI_EXDEV},
    {B, "up", WALK_FOLLOW, -ABI_EXDEV},
    {F, "x", 0, -ABI_ENOTDIR},
};

#define N_CASES (sizeof(cases) / sizeof(cases[0]))

int main(void) {
  struct walk_result result;
  tap_plan(N_CASES + 2);
  for (size_t i = 0; i < N_CASES; i++) {
    struct text path = {cases[i].path, strlen(cases[i].path)};
    int error = walk(&tree, cases[i].start, path, cases[i].flags, &result);
    int64_t got = error ? error : (int64_t)result.node;
    tap_ok(got == cases[i].expected, "'%s' from %d, flags %u: %lld", cases[i].path,
           (int)cases[i].start, cases[i].flags, (long long)got);
  }
  struct text path = {"gone", 4};
  int error = walk(&tree, ROOT, path, WALK_FOLLOW | WALK_MISSING, &result);
  tap_ok(!error && result.directory == A && result.name.len == 4 &&
             memcmp(result.name.at, "none", 4) == 0,
         "a dangling link leads to the directory and name that it lacks");
  char long_name[ABI_NAME_MAX + 1];
  memset(long_name, 'x', sizeof(long_name));
  error = walk(&tree, ROOT, (struct text){long_name, sizeof(long_name)}, WALK_MISSING, &result);
  tap_ok(error == -ABI_ENAMETOOLONG, "a name of 256 bytes is too long");
  return tap_done();
}
