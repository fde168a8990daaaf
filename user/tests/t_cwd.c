/* The current directory and paths relative to it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>

#include "tap.h"

static char buffer[PATH_MAX];

static const char *cwd(void) {
  return getcwd(buffer, sizeof buffer);
}

static bool make(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  return fd >= 0 && close(fd) == 0;
}

static void test_changes(void) {
  ok(mkdir("a", 0755) == 0 && mkdir("a/b", 0755) == 0, "two directories");
  is(chdir("a/b"), 0, "chdir");
  ok(cwd() && strcmp(cwd() + strlen(cwd()) - 4, "/a/b") == 0, "getcwd agrees");
  is(chdir(".."), 0, "up");
  ok(strcmp(cwd() + strlen(cwd()) - 2, "/a") == 0, "getcwd agrees");
  ok(make("b/file") && access("./b/../b/file", F_OK) == 0, "relative paths");
  ok(access("../a/b/file", F_OK) == 0, "through the parent");
  is(chdir("./b/.."), 0, "dots");
  ok(strcmp(cwd() + strlen(cwd()) - 2, "/a") == 0, "change nothing");
  fails_with(chdir("none"), ENOENT, "chdir to nothing");
  fails_with(chdir("b/file"), ENOTDIR, "chdir to a file");
  ok(strcmp(cwd() + strlen(cwd()) - 2, "/a") == 0, "a failure changes nothing");
  is(chdir(scratch_path), 0, "an absolute path");
  is_str(cwd(), scratch_path, "getcwd agrees");
  ok(chdir("/") == 0 && strcmp(cwd(), "/") == 0, "the root");
  is(chdir("../../.."), 0, "above the root");
  is_str(cwd(), "/", "is the root");
  char small[2];
  fails_with((intptr_t)(chdir("/tmp") == 0 ? getcwd(small, 2) : small) == 0 ? -1 : 0, ERANGE,
             "a buffer that is too small");
  is(chdir(scratch_path), 0, "back");
}

static void test_fchdir(void) {
  int fd = open("a", O_RDONLY | O_DIRECTORY);
  is(fchdir(fd), 0, "fchdir");
  ok(strcmp(cwd() + strlen(cwd()) - 2, "/a") == 0, "getcwd agrees");
  close(fd);
  fd = open("b/file", O_RDONLY);
  fails_with(fchdir(fd), ENOTDIR, "fchdir to a file");
  close(fd);
  fails_with(fchdir(900), EBADF, "fchdir to a bad descriptor");
  is(chdir(scratch_path), 0, "back");
}

static int child_moves(void *arg) {
  return chdir(arg) == 0 ? 0 : 1;
}

static void *thread_moves(void *arg) {
  return chdir(arg) == 0 ? arg : NULL;
}

static void test_sharing(void) {
  pthread_t thread;
  is(child_exit(child_moves, "a"), 0, "a child moves");
  is_str(cwd(), scratch_path, "without us");
  pthread_create(&thread, NULL, thread_moves, "a");
  pthread_join(thread, NULL);
  ok(strcmp(cwd() + strlen(cwd()) - 2, "/a") == 0, "a thread takes the process along");
  is(chdir(scratch_path), 0, "back");
  is(chdir("a"), 0, "down");
  is(system("test -e b/file"), 0, "exec keeps the directory");
  is(chdir(".."), 0, "up");
}

static void test_links(void) {
  ok(symlink("a/b", "link") == 0, "a link to a directory");
  is(chdir("link"), 0, "chdir through it");
  ok(strcmp(cwd() + strlen(cwd()) - 4, "/a/b") == 0, "getcwd answers the real path");
  is(access("../b/file", F_OK), 0, ".. is the real parent");
  is(chdir(scratch_path), 0, "back");
  ok(realpath("link/../b/./file", buffer) != NULL, "realpath");
  ok(strcmp(buffer + strlen(buffer) - 9, "/a/b/file") == 0, "resolves links and dots");
  unlink("link");
}

static void test_long_paths(void) {
  char name[101], path[PATH_MAX + 10];
  memset(name, 'd', 100);
  name[100] = '\0';
  int depth = 0;
  while (depth < 8 && mkdir(name, 0755) == 0 && chdir(name) == 0) {
    depth++;
  }
  is(depth, 8, "eight directories with names of 100 bytes");
  ok(cwd() && strlen(cwd()) > 800, "getcwd of a long path");
  while (depth > 0 && chdir("..") == 0 && rmdir(name) == 0) {
    depth--;
  }
  is(depth, 0, "and back");
  memset(path, '/', sizeof path - 1);
  path[sizeof path - 1] = '\0';
  fails_with(access(path, F_OK), ENAMETOOLONG, "a path longer than PATH_MAX");
  path[PATH_MAX - 1] = '\0';
  is(access(path, F_OK), 0, "PATH_MAX - 1 slashes are the root");
}

int main(void) {
  scratch_enter("t_cwd");
  test_changes();
  test_fchdir();
  test_sharing();
  test_links();
  test_long_paths();
  ok(unlink("a/b/file") == 0 && rmdir("a/b") == 0 && rmdir("a") == 0, "clean up");
  scratch_leave();
  return tap_done();
}
