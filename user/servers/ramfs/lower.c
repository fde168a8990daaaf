/* Mirroring the boot image: see lower.h. Ordinary file calls, with paths that name their scheme. */
#include "servers/ramfs/lower.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/abi.h"

static char *path_join(const char *directory, const char *name) {
  size_t n = strlen(directory);
  const char *slash = n > 0 && directory[n - 1] == '/' ? "" : "/";
  char *path = malloc(n + 1 + strlen(name) + 1);
  if (path) {
    sprintf(path, "%s%s%s", directory, slash, name);
  }
  return path;
}

int lower_attach(struct tree *tree, struct node *root) {
  root->lower = strdup(tree->lower_root);
  root->unread = root->lower != NULL;
  return root->lower ? 0 : -ABI_ENOMEM;
}

/* ---- directories -------------------------------------------------------------------------- */

static uint32_t dirent_mode(const struct dirent *dirent) {
  switch (dirent->d_type) {
  case DT_DIR:
    return S_ABI_IFDIR;
  case DT_LNK:
    return S_ABI_IFLNK;
  case DT_REG:
    return S_ABI_IFREG;
  default:
    return 0;
  }
}

static int stub_add(struct tree *tree, struct node *directory, const struct dirent *dirent) {
  struct text name = {dirent->d_name, strlen(dirent->d_name)};
  uint32_t mode = dirent_mode(dirent);
  if (mode == 0 || directory_find(&directory->directory.table, name)) {
    return 0; /* devices are made above; and what a failed read entered is there already */
  }
  struct node *node = node_create(tree, mode);
  char *path = node ? path_join(directory->lower, dirent->d_name) : NULL;
  struct entry *entry =
      path ? directory_add(&directory->directory.table, name, directory, node) : NULL;
  if (node && !entry) {
    free(path);
    node->removed = true;
    node_settle(tree, node);
  }
  if (!entry) {
    return -ABI_ENOMEM;
  }
  node->stub = true;
  node->lower = path;
  node->entry = entry;
  node->nlink = 1;
  if (mode == S_ABI_IFDIR) {
    node->unread = true;
    node->nlink = 2;
    node->directory.parent = directory;
    directory->nlink++;
  }
  return 0;
}

static bool is_dots(const char *name) {
  return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int lower_read(struct tree *tree, struct node *directory) {
  if (!directory->unread) {
    return 0;
  }
  DIR *stream = opendir(directory->lower);
  if (!stream) {
    return -ABI_EIO;
  }
  int error = 0;
  const struct dirent *dirent;
  while (!error && (dirent = readdir(stream)) != NULL) {
    error = is_dots(dirent->d_name) ? 0 : stub_add(tree, directory, dirent);
  }
  closedir(stream);
  directory->unread = error != 0;
  return error;
}

/* ---- attributes --------------------------------------------------------------------------- */

static int64_t timespec_ns(struct timespec time) {
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int link_load(struct node *node) {
  char target[ABI_PATH_MAX];
  ssize_t n = readlink(node->lower, target, sizeof(target));
  if (n <= 0 || n == (ssize_t)sizeof(target)) {
    return -ABI_EIO;
  }
  node->link.target = malloc((size_t)n);
  if (!node->link.target) {
    return -ABI_ENOMEM;
  }
  memcpy(node->link.target, target, (size_t)n);
  node->link.len = (size_t)n;
  return 0;
}

int lower_load(struct node *node) {
  struct stat stat;
  if (!node->stub) {
    return 0;
  }
  if (lstat(node->lower, &stat) != 0 || (stat.st_mode & S_IFMT) != (node->mode & S_ABI_IFMT)) {
    return -ABI_EIO;
  }
  if (node_is(node, S_ABI_IFLNK)) {
    int error = link_load(node);
    if (error) {
      return error;
    }
  }
  node->mode = stat.st_mode;
  node->uid = stat.st_uid;
  node->gid = stat.st_gid;
  node->atime_ns = node->mtime_ns = node->ctime_ns = timespec_ns(stat.st_mtim);
  if (node_is(node, S_ABI_IFREG)) {
    node->content.size = (uint64_t)stat.st_size;
  }
  node->stub = false;
  return 0;
}

/* ---- bytes -------------------------------------------------------------------------------- */

static int file_map(struct node *file) {
  int fd = open(file->lower, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return -ABI_EIO;
  }
  void *base = mmap(NULL, file->content.size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (base == MAP_FAILED) {
    return -ABI_ENOMEM;
  }
  content_set_lower(&file->content, base, file->content.size);
  return 0;
}

int lower_map(struct node *file) {
  if (!file->lower) {
    return 0;
  }
  int error = file->content.size > 0 ? file_map(file) : 0;
  if (!error) {
    free(file->lower);
    file->lower = NULL;
  }
  return error;
}
