// test-sources: ops_name.c ops_file.c tree.c node.c directory.c content.c lower.c handle.c
/* The file server against the host's own file system: random operations are done to both, and every
 * result, error and byte must be the same. Both start from the same small tree, which for the
 * server is the layer below. Ownership, times, directories' link counts and positions are not
 * compared. */
#define _GNU_SOURCE
#include "servers/ramfs/ramfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/abi.h"
#include "lib/rng.h"
#include "lib/tap.h"
#include "runtime/server_dirent.c" /* these two by inclusion: the first line is full */
#include "runtime/server_walk.c"

#define ROUNDS 60
#define STEPS 3000
#define OPENS 8
#define SIZE_MOST 20000u

static struct rng rng;
static struct ramfs ramfs;
static struct server server = {.context = &ramfs};
static char work[] = "/tmp/ramfs-test-XXXXXX";
static char below[64], model[64];
static _Alignas(8) uint8_t slot[RING_SLOT_SIZE];

static struct {
  int fd; /* -1: free */
  uint64_t file;
  bool directory;
} opens[OPENS];

/* ---- asking the server -------------------------------------------------------------------- */

static int64_t ask(server_handler *handler, uint64_t file, size_t in_len, size_t out_cap,
                   uint64_t arg, uint64_t arg2) {
  struct server_request request = {.sqe = {.file = file,
                                           .in_len = (uint32_t)in_len,
                                           .out_cap = (uint32_t)out_cap,
                                           .arg = arg,
                                           .arg2 = arg2},
                                   .slot = slot};
  return handler(&server, &request);
}

static int64_t ask_path(server_handler *handler, const char *path, uint64_t arg) {
  memcpy(slot, path, strlen(path));
  return ask(handler, 0, strlen(path), sizeof(slot), arg, 0);
}

static int64_t ask_pair(server_handler *handler, const char *first, const char *second) {
  size_t n = strlen(first);
  memcpy(slot, first, n + 1);
  memcpy(slot + n + 1, second, strlen(second));
  return ask(handler, 0, n + 1 + strlen(second), 0, n, 0);
}

/* A host call's result in the kernel's form. */
static int64_t host(int64_t result) {
  return result < 0 ? -errno : result;
}

static void same(int64_t ours, int64_t theirs, const char *what, const char *path,
                 const char *second) {
  if (ours != theirs) {
    printf("# %s %s %s: %lld, the host: %lld\n", what, path, second, (long long)ours,
           (long long)theirs);
  }
  TAP_REQUIRE(ours == theirs);
}

/* ---- random names ------------------------------------------------------------------------- */

/* One to three components; `..` only behind a name, so that nothing leaves the tree. */
static const char *random_path(char *path) {
  static const char *const names[] = {"a", "b", "c", "dir", "sub", "link"};
  uint32_t n = 1 + rng_below(&rng, 3);
  *path = '\0';
  for (uint32_t i = 0; i < n; i++) {
    strcat(path, i ? "/" : "");
    strcat(path, names[rng_below(&rng, 6)]);
  }
  if (rng_one_in(&rng, 12)) {
    strcat(path, "/..");
    strcat(path, rng_one_in(&rng, 2) ? "/b" : "");
  } else if (rng_one_in(&rng, 16)) {
    strcat(path, rng_one_in(&rng, 2) ? "/" : "/.");
  }
  return path;
}

/* ---- operations on names ------------------------------------------------------------------ */

static void step_open(void) {
  static const uint32_t extra[] = {0, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW};
  char path[64];
  uint32_t i = rng_below(&rng, OPENS);
  uint32_t flags = rng_below(&rng, 3) | extra[rng_below(&rng, 6)] | extra[rng_below(&rng, 4)];
  if (opens[i].fd >= 0 || ((flags & O_CREAT) && (flags & O_DIRECTORY))) {
    return; /* the second: kernels differ */
  }
  flags |= rng_one_in(&rng, 4) ? O_APPEND : 0;
  random_path(path);
  int64_t fd = host(open(path, (int)flags, 0644));
  int64_t file = ask_path(on_open, path, flags | 0644ull << 32);
  same(file < 0 ? file : 0, fd < 0 ? fd : 0, "open", path, "");
  if (fd >= 0) {
    struct stat stat;
    fstat((int)fd, &stat);
    opens[i].fd = (int)fd;
    opens[i].file = (uint64_t)file;
    opens[i].directory = S_ISDIR(stat.st_mode);
  }
}

static void compare_stat(int64_t ours, int64_t theirs, const struct stat *stat, const char *path) {
  same(ours < 0 ? ours : 0, theirs, "stat", path, "");
  if (theirs < 0) {
    return;
  }
  const struct abi_stat *mine = (const struct abi_stat *)slot;
  same(mine->mode, stat->st_mode, "mode of", path, "");
  if (!S_ISDIR(stat->st_mode)) {
    same(mine->nlink, (int64_t)stat->st_nlink, "links of", path, "");
    same((int64_t)mine->size, stat->st_size, "size of", path, "");
  }
}

static void step_stat(void) {
  char path[64];
  struct stat stat;
  random_path(path);
  int flags = rng_one_in(&rng, 2) ? AT_SYMLINK_NOFOLLOW : 0;
  int64_t theirs = host(fstatat(AT_FDCWD, path, &stat, flags));
  int64_t ours = ask_path(on_statat, path, flags ? O_ABI_NOFOLLOW : 0);
  compare_stat(ours, theirs, &stat, path);
}

static void step_remove(void) {
  char path[64];
  random_path(path);
  bool directory = rng_one_in(&rng, 2);
  int64_t ours = ask_path(on_unlinkat, path, directory ? O_ABI_DIRECTORY : 0);
  same(ours, host(directory ? rmdir(path) : unlink(path)), directory ? "rmdir" : "unlink", path,
       "");
}

static void step_mkdir(void) {
  char path[64];
  random_path(path);
  same(ask_path(on_mkdirat, path, 0755), host(mkdir(path, 0755)), "mkdir", path, "");
}

static void step_chmod(void) {
  char path[64];
  random_path(path);
  mode_t mode = 0600 | rng_below(&rng, 0100);
  same(ask_path(on_chmodat, path, mode), host(chmod(path, mode)), "chmod", path, "");
}

static void step_pair(void) {
  char first[64];
  char second[64];
  random_path(first);
  random_path(second);
  switch (rng_below(&rng, 4)) {
  case 0:
    same(ask_pair(on_linkat, first, second), host(link(first, second)), "link", first, second);
    break;
  case 1:
    same(ask_pair(on_symlinkat, first, "dir/a"), host(symlink("dir/a", first)), "symlink", first,
         "dir/a");
    break;
  case 2:
    same(ask_pair(on_symlinkat, first, "link"), host(symlink("link", first)), "symlink", first,
         "link");
    break;
  default:
    same(ask_pair(on_renameat, first, second), host(rename(first, second)), "rename", first,
         second);
  }
}

static void step_readlink(void) {
  char path[64];
  char target[64];
  random_path(path);
  int64_t theirs = host(readlink(path, target, sizeof(target)));
  same(ask_path(on_readlinkat, path, 0), theirs, "readlink", path, "");
  TAP_REQUIRE(theirs < 0 || memcmp(target, slot, (size_t)theirs) == 0);
}

/* ---- operations on open files ------------------------------------------------------------- */

static void step_write(uint32_t i) {
  uint8_t bytes[6000];
  size_t n = rng_below(&rng, sizeof(bytes));
  uint64_t offset = rng_below(&rng, SIZE_MOST);
  memset(bytes, (int)rng_below(&rng, 256), n);
  memcpy(slot, bytes, n);
  uint32_t append = (uint32_t)fcntl(opens[i].fd, F_GETFL) & O_ABI_APPEND;
  int64_t theirs = host(pwrite(opens[i].fd, bytes, n, (off_t)offset));
  same(ask(on_write, opens[i].file, n, 0, offset, append), theirs, "write", "", "");
}

static void step_read(uint32_t i) {
  static uint8_t bytes[RING_SLOT_SIZE];
  uint64_t offset = rng_below(&rng, SIZE_MOST);
  int64_t theirs = host(pread(opens[i].fd, bytes, sizeof(bytes), (off_t)offset));
  same(ask(on_read, opens[i].file, 0, sizeof(slot), offset, 0), theirs, "read", "", "");
  TAP_REQUIRE(theirs < 0 || memcmp(bytes, slot, (size_t)theirs) == 0);
}

static void step_truncate(uint32_t i) {
  uint64_t size = rng_one_in(&rng, 3) ? 0 : rng_below(&rng, SIZE_MOST);
  int64_t theirs = host(ftruncate(opens[i].fd, (off_t)size));
  same(ask(on_truncate, opens[i].file, 0, 0, size, 0), theirs, "truncate", "", "");
}

/* What a client would map: the same bytes as a read, and zero up to the end of the page. */
static void step_map(uint32_t i) {
  static uint8_t bytes[SIZE_MOST + 8192];
  int64_t n = pread(opens[i].fd, bytes, sizeof(bytes), 0);
  if (n <= 0) {
    return;
  }
  int64_t address = ask(on_mmap, opens[i].file, 0, 0, 0, (uint64_t)n);
  TAP_REQUIRE(address > 0 && address % (int64_t)ABI_PAGE_SIZE == 0);
  TAP_REQUIRE(memcmp((const void *)address, bytes, (size_t)n) == 0);
  bool whole = (size_t)n < sizeof(bytes);
  for (uint64_t at = (uint64_t)n; whole && at % ABI_PAGE_SIZE != 0; at++) {
    TAP_REQUIRE(((const uint8_t *)address)[at] == 0);
  }
}

/* The same by a path, with its stat, and no handle. */
static void step_map_path(void) {
  static uint8_t bytes[SIZE_MOST + 8192];
  char path[64];
  struct stat stat;
  int fd = open(random_path(path), O_RDONLY);
  int64_t theirs = host(fd), address = ask_path(on_mapat, path, 0);
  bool plain = fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size > 0;
  if (!plain) {
    same(address, theirs < 0 ? theirs : -ABI_ENODEV, "map", path, "");
  } else {
    int64_t n = pread(fd, bytes, sizeof(bytes), 0);
    compare_stat(0, 0, &stat, path);
    TAP_REQUIRE(address > 0 && address % (int64_t)ABI_PAGE_SIZE == 0);
    TAP_REQUIRE(memcmp((const void *)address, bytes, (size_t)n) == 0);
  }
  if (fd >= 0) {
    close(fd);
  }
}

static void step_close(uint32_t i) {
  close(opens[i].fd);
  same(ask(on_close, opens[i].file, 0, 0, 0, 0), 0, "close", "", "");
  opens[i].fd = -1;
}

static void step_fstat(uint32_t i) {
  struct stat stat;
  int64_t theirs = host(fstat(opens[i].fd, &stat));
  compare_stat(ask(on_stat, opens[i].file, 0, sizeof(slot), 0, 0), theirs, &stat, "an open file");
}

static void step_file(uint32_t i) {
  if (opens[i].fd < 0) {
    return;
  }
  uint32_t which = rng_below(&rng, 16);
  if (which == 0) {
    step_close(i);
  } else if (which == 1) {
    step_fstat(i);
  } else if (opens[i].directory) {
    return;
  } else if (which < 4) {
    step_truncate(i);
  } else if (which < 6) {
    step_map(i);
  } else if (which < 10) {
    step_read(i);
  } else {
    step_write(i);
  }
}

/* ---- listing ------------------------------------------------------------------------------ */

/* Names in a directory as the server tells them, a few at a time, sorted by a bit each. */
static uint64_t names_seen(uint64_t file) {
  uint64_t position = 0;
  uint64_t seen = 0;
  for (;;) {
    int64_t n = ask(on_getdents, file, 0, 64, position, 0);
    TAP_REQUIRE(n >= 0);
    if (n == 0) {
      return seen;
    }
    for (int64_t at = 0; at < n;) {
      const struct abi_dirent *record = (const struct abi_dirent *)(slot + at);
      const char *name = (const char *)slot + at + ABI_DIRENT_HEAD;
      uint64_t bit = 1ull << ((uint8_t)name[0] + 3 * (uint8_t)name[1] + 5 * strlen(name)) % 61;
      TAP_REQUIRE(!(seen & bit));
      seen |= bit;
      position = (uint64_t)record->next;
      at += record->reclen;
    }
  }
}

static void step_list(void) {
  char path[64];
  random_path(path);
  DIR *stream = opendir(path);
  if (!stream) {
    return;
  }
  uint64_t theirs = 0;
  const struct dirent *dirent;
  while ((dirent = readdir(stream)) != NULL) {
    const char *name = dirent->d_name;
    theirs |= 1ull << ((uint8_t)name[0] + 3 * (uint8_t)name[1] + 5 * strlen(name)) % 61;
  }
  closedir(stream);
  int64_t file = ask_path(on_open, path, O_ABI_DIRECTORY);
  TAP_REQUIRE(file > 0);
  same((int64_t)names_seen((uint64_t)file), (int64_t)theirs, "list", path, "");
  (void)ask(on_close, (uint64_t)file, 0, 0, 0, 0);
}

/* ---- the tree's own invariants ------------------------------------------------------------ */

/* Pages of the files that have just one name. */
static uint64_t pages_of_tree(const struct node *directory) {
  uint64_t pages = 0;
  uint32_t n_directories = 0;
  TAP_REQUIRE(directory_check(&directory->directory.table));
  const struct entry *entry = directory_next(&directory->directory.table, 0);
  for (; entry; entry = directory_next(&directory->directory.table, entry->slot + 1ull)) {
    TAP_REQUIRE(entry->parent == directory);
    if (node_is(entry->node, S_ABI_IFDIR)) {
      TAP_REQUIRE(entry->node->directory.parent == directory && entry->node->entry == entry);
      pages += pages_of_tree(entry->node);
      n_directories++;
    } else if (node_is(entry->node, S_ABI_IFREG) && entry->node->nlink == 1) {
      pages += content_pages(&entry->node->content);
    }
  }
  TAP_REQUIRE(directory->nlink == 2 + n_directories);
  return pages;
}

/* ---- rounds ------------------------------------------------------------------------------- */

static void tree_make_on_host(const char *root) {
  char command[512];
  snprintf(command, sizeof(command),
           "mkdir -p %s/dir/sub && cd %s && echo below >a && head -c 9000 /bin/sh >dir/a &&"
           " : >dir/c && ln -s dir/a link && ln -s a dir/link",
           root, root);
  TAP_REQUIRE(system(command) == 0);
}

static void round_begin(void) {
  strcpy(work, "/tmp/ramfs-test-XXXXXX");
  TAP_REQUIRE(mkdtemp(work) != NULL);
  snprintf(below, sizeof(below), "%s/below", work);
  snprintf(model, sizeof(model), "%s/model", work);
  tree_make_on_host(below);
  tree_make_on_host(model);
  TAP_REQUIRE(chdir(model) == 0);
  TAP_REQUIRE(tree_init(&ramfs.tree, 1 << 20, 1 << 20, below) == 0);
  TAP_REQUIRE(handle_table_init(&ramfs.handles, ramfs.tree.root) == 0);
  for (uint32_t i = 0; i < OPENS; i++) {
    opens[i].fd = -1;
  }
}

/* Remove what a directory holds. */
static void directory_clear(struct node *directory) {
  struct entry *entry;
  while ((entry = directory_next(&directory->directory.table, 0)) != NULL) {
    bool nested = node_is(entry->node, S_ABI_IFDIR);
    if (nested) {
      directory_clear(entry->node);
    }
    char name[ABI_NAME_MAX + 1];
    memcpy(name, entry->name, entry->len + 1u);
    struct text text = {name, strlen(name)};
    TAP_REQUIRE(tree_unlink(&ramfs.tree, directory, text, nested) == 0);
  }
}

/* Close and remove everything: then no page may be charged, and the root is the only node. */
static void round_end(void) {
  for (uint32_t i = 0; i < OPENS; i++) {
    if (opens[i].fd >= 0) {
      step_close(i);
    }
  }
  TAP_REQUIRE(pages_of_tree(ramfs.tree.root) <= ramfs.tree.quota.used);
  directory_clear(ramfs.tree.root);
  TAP_REQUIRE(ramfs.tree.n_nodes == 1 && ramfs.tree.quota.used == 0);
  free(ramfs.handles.handles);
  ramfs.tree.root->n_handles = 0;
  ramfs.tree.root->removed = true;
  node_settle(&ramfs.tree, ramfs.tree.root);
  TAP_REQUIRE(chdir("/") == 0);
  char command[64];
  snprintf(command, sizeof(command), "rm -rf %s", work);
  TAP_REQUIRE(system(command) == 0);
}

static void one_step(void) {
  static void (*const steps[])(void) = {step_open,     step_stat,  step_remove,
                                        step_mkdir,    step_chmod, step_pair,
                                        step_readlink, step_list,  step_map_path};
  uint32_t which = rng_below(&rng, 18);
  if (which < sizeof(steps) / sizeof(steps[0])) {
    steps[which]();
  } else {
    step_file(rng_below(&rng, OPENS));
  }
}

static void test_random(void) {
  for (unsigned round = 0; round < ROUNDS; round++) {
    round_begin();
    for (unsigned step = 0; step < STEPS; step++) {
      one_step();
    }
    round_end();
  }
  tap_ok(true, "%d steps do what the host does", ROUNDS * STEPS);
}

int main(int argc, char **argv) {
  rng_seed(&rng, tap_seed(argc, argv));
  tap_plan(1);
  umask(022);
  test_random();
  return tap_done();
}
