/* /dev: see device.h. */
#include "servers/ramfs/device.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "abi/abi.h"

static int64_t null_read(void *to, size_t n) {
  (void)to;
  (void)n;
  return 0;
}

static int64_t zero_read(void *to, size_t n) {
  memset(to, 0, n);
  return (int64_t)n;
}

static int64_t random_read(void *to, size_t n) {
  ssize_t got = getrandom(to, n, 0);
  return got < 0 ? -errno : got;
}

static int64_t sink_write(size_t n) {
  return (int64_t)n;
}

static int64_t full_write(size_t n) {
  return n == 0 ? 0 : -ABI_ENOSPC;
}

static const struct device devices[] = {
    {"null", 0666, null_read, sink_write, NULL},
    {"zero", 0666, zero_read, sink_write, NULL},
    {"full", 0666, zero_read, full_write, NULL},
    {"random", 0666, random_read, sink_write, NULL},
    {"urandom", 0666, random_read, sink_write, NULL},
    {"tty", 0666, NULL, NULL, "tty:/"},
    {"console", 0600, NULL, NULL, "debug:/console"},
};

static int directory_ensure(struct tree *tree, const char *path, uint32_t perm,
                            struct node **node) {
  struct text text = {path, strlen(path)};
  struct caller root = {.start = tree->root, .uid = 0};
  int error = tree_make(tree, &root, text, S_ABI_IFDIR | perm, node);
  return error == -ABI_EEXIST ? tree_find(tree, tree->root, text, WALK_FOLLOW, node) : error;
}

static int device_make(struct tree *tree, struct node *directory, const struct device *device) {
  struct node *node;
  struct text name = {device->name, strlen(device->name)};
  struct caller root = {.start = directory, .uid = 0};
  int error = tree_make(tree, &root, name, S_ABI_IFCHR | device->perm, &node);
  if (!error) {
    node->device = device;
  }
  return error;
}

int device_populate(struct tree *tree) {
  struct node *directory;
  int error = directory_ensure(tree, "tmp", 01777, &directory);
  if (!error) {
    error = directory_ensure(tree, "dev", 0755, &directory);
  }
  for (size_t i = 0; !error && i < sizeof(devices) / sizeof(devices[0]); i++) {
    error = device_make(tree, directory, &devices[i]);
  }
  return error ? error : directory_ensure(tree, "dev/shm", 01777, &directory);
}
