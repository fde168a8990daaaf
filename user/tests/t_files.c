/* Files and directories: open flags, positions, append, truncate, links, rename, listing, stat. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "tap.h"

static int file_put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) {
    return -1;
  }
  ssize_t n = write(fd, text, strlen(text));
  close(fd);
  return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* The content as a string in a static buffer; "(none)" when it cannot be opened. */
static const char *file_get(const char *path) {
  static char text[256];
  int fd = open(path, O_RDONLY);
  if (fd < 0) {
    return "(none)";
  }
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n < 0 ? 0 : n] = '\0';
  return text;
}

static void test_open_flags(void) {
  fails_with(open("none", O_RDONLY), ENOENT, "open of what does not exist");
  fails_with(open("none/file", O_RDWR | O_CREAT, 0600), ENOENT, "create below what does not exist");
  int fd = open("new", O_RDWR | O_CREAT | O_EXCL, 0640);
  ok(fd >= 0, "O_CREAT | O_EXCL makes a file");
  fails_with(open("new", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST, "but not twice");
  struct stat st;
  ok(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0, "an empty regular file");
  is(st.st_mode & 0777, 0640, "with the mode asked for");
  is(st.st_nlink, 1, "and one link");
  is(write(fd, "abcdef", 6), 6, "six bytes");
  close(fd);
  fd = open("new", O_RDONLY);
  fails_with(write(fd, "x", 1), EBADF, "O_RDONLY cannot write");
  close(fd);
  fd = open("new", O_WRONLY);
  char byte;
  fails_with(read(fd, &byte, 1), EBADF, "O_WRONLY cannot read");
  close(fd);
  fails_with(open("new/below", O_RDONLY), ENOTDIR, "a file is no directory");
  fails_with(open("new", O_RDONLY | O_DIRECTORY), ENOTDIR, "O_DIRECTORY says so as well");
  fails_with(open(".", O_WRONLY), EISDIR, "a directory cannot be written");
  fails_with(open("", O_RDONLY), ENOENT, "the empty path");
  fd = open("new", O_RDWR | O_TRUNC);
  ok(fstat(fd, &st) == 0 && st.st_size == 0, "O_TRUNC empties");
  close(fd);
  is(unlink("new"), 0, "unlink");
  fails_with(unlink("new"), ENOENT, "it is gone");
}

static void test_positions(void) {
  int fd = open("pos", O_RDWR | O_CREAT, 0600);
  char text[16] = "";
  is(write(fd, "0123456789", 10), 10, "ten bytes");
  is(lseek(fd, 0, SEEK_CUR), 10, "the position moved");
  is(lseek(fd, 2, SEEK_SET), 2, "SEEK_SET");
  is(read(fd, text, 3), 3, "three bytes");
  is_str(text, "234", "from there");
  is(lseek(fd, -1, SEEK_END), 9, "SEEK_END");
  is(read(fd, text, 16), 1, "a read is cut at the end");
  is(read(fd, text, 16), 0, "then nothing");
  fails_with(lseek(fd, -1, SEEK_SET), EINVAL, "no position below zero");
  fails_with(lseek(fd, 0, 99), EINVAL, "no such whence");
  is(pread(fd, text, 4, 6), 4, "pread");
  ok(memcmp(text, "6789", 4) == 0, "at its offset");
  is(pwrite(fd, "XY", 2, 1), 2, "pwrite");
  is(lseek(fd, 0, SEEK_CUR), 10, "neither moves the position");
  is(lseek(fd, 5000, SEEK_SET), 5000, "a seek past the end");
  is(write(fd, "end", 3), 3, "and a write there");
  struct stat st;
  ok(fstat(fd, &st) == 0 && st.st_size == 5003, "make a file of 5003 bytes");
  is(pread(fd, text, 4, 4000), 4, "the hole can be read");
  ok(memcmp(text, "\0\0\0\0", 4) == 0, "as zeros");
  close(fd);
  unlink("pos");
}

static void test_append_truncate(void) {
  ok(file_put("log", "one") == 0, "a file");
  int a = open("log", O_WRONLY | O_APPEND), b = open("log", O_WRONLY | O_APPEND);
  ok(write(a, "two", 3) == 3 && write(b, "three", 5) == 5 && write(a, "!", 1) == 1,
     "two appenders in turn");
  is_str(file_get("log"), "onetwothree!", "both at the end each time");
  lseek(a, 0, SEEK_SET);
  ok(write(a, "?", 1) == 1, "a write after a seek");
  is_str(file_get("log"), "onetwothree!?", "appends all the same");
  close(a);
  close(b);
  is(truncate("log", 3), 0, "truncate shorter");
  is_str(file_get("log"), "one", "keeps the start");
  int fd = open("log", O_RDWR);
  is(ftruncate(fd, 6), 0, "truncate longer");
  char text[8] = "xxxxxxx";
  ok(read(fd, text, 8) == 6 && memcmp(text, "one\0\0\0", 6) == 0, "fills with zeros");
  fails_with(ftruncate(fd, -1), EINVAL, "no length below zero");
  close(fd);
  fails_with(truncate("none", 0), ENOENT, "truncate of nothing");
  unlink("log");
}

static void test_unlink_open(void) {
  ok(file_put("held", "still here") == 0, "a file");
  int fd = open("held", O_RDWR);
  is(unlink("held"), 0, "unlink while it is open");
  char text[16] = "";
  is(read(fd, text, 16), 10, "the data can still be read");
  is_str(text, "still here", "unchanged");
  is(write(fd, "!", 1), 1, "and written");
  struct stat st;
  ok(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 11, "no link is left");
  close(fd);
}

static void test_rename(void) {
  ok(file_put("a", "A") == 0 && file_put("b", "B") == 0, "two files");
  is(rename("a", "c"), 0, "rename");
  is_str(file_get("c"), "A", "moves the content");
  is_str(file_get("a"), "(none)", "away from the old name");
  int fd = open("b", O_RDONLY);
  is(rename("c", "b"), 0, "rename over a file");
  is_str(file_get("b"), "A", "replaces it");
  char byte = 0;
  ok(read(fd, &byte, 1) == 1 && byte == 'B', "who had it open keeps the old one");
  close(fd);
  fails_with(rename("none", "x"), ENOENT, "rename of nothing");
  ok(mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0, "two directories");
  fails_with(rename("b", "d"), EISDIR, "a file cannot replace a directory");
  fails_with(rename("d", "b"), ENOTDIR, "nor the other way round");
  is(rename("d", "e"), 0, "a directory replaces an empty one");
  ok(rename("b", "e/b") == 0, "a file moves into a directory");
  fails_with(rename("e", "e/below"), EINVAL, "a directory cannot move into itself");
  ok(mkdir("f", 0755) == 0, "another directory");
  fails_with(rename("f", "e"), ENOTEMPTY, "no directory replaces one that is not empty");
  is(rename("e/b", "e/b"), 0, "a name onto itself");
  is_str(file_get("e/b"), "A", "changes nothing");
  ok(unlink("e/b") == 0 && rmdir("e") == 0 && rmdir("f") == 0, "clean up");
}

static int count_entries(const char *path, bool *dots) {
  DIR *dir = opendir(path);
  if (!dir) {
    return -1;
  }
  int n = 0, n_dots = 0;
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
      n_dots++;
    } else {
      n++;
    }
  }
  closedir(dir);
  *dots = n_dots == 2;
  return n;
}

static void test_directories(void) {
  is(mkdir("dir", 0755), 0, "mkdir");
  fails_with(mkdir("dir", 0755), EEXIST, "but not twice");
  fails_with(mkdir("no/dir", 0755), ENOENT, "nor below nothing");
  struct stat st;
  ok(stat("dir", &st) == 0 && S_ISDIR(st.st_mode), "stat says directory");
  enum { MANY = 150 };
  char path[64];
  bool made = true, dots = false;
  for (int i = 0; i < MANY; i++) {
    snprintf(path, sizeof path, "dir/a-file-with-a-rather-long-name-%d", i);
    made = made && file_put(path, "x") == 0;
  }
  ok(made, "150 files in it");
  is(count_entries("dir", &dots), MANY, "readdir finds each of them once");
  ok(dots, "and . and ..");
  fails_with(rmdir("dir"), ENOTEMPTY, "rmdir of a directory that is not empty");
  fails_with(unlink("dir"), EISDIR, "unlink of a directory");
  bool removed = true;
  DIR *dir = opendir("dir");
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    if (e->d_name[0] != '.') {
      removed = unlinkat(dirfd(dir), e->d_name, 0) == 0 && removed;
    }
  }
  closedir(dir);
  ok(removed, "removing while listing");
  is(count_entries("dir", &dots), 0, "leaves none behind");
  is(rmdir("dir"), 0, "rmdir");
  fails_with(rmdir("dir"), ENOENT, "it is gone");
}

static void test_links(void) {
  ok(file_put("real", "R") == 0, "a file");
  is(symlink("real", "soft"), 0, "symlink");
  is_str(file_get("soft"), "R", "open follows it");
  char target[16] = "";
  is(readlink("soft", target, sizeof target), 4, "readlink");
  is_str(target, "real", "answers the target");
  struct stat st, other;
  ok(lstat("soft", &st) == 0 && S_ISLNK(st.st_mode), "lstat sees the link");
  ok(stat("soft", &st) == 0 && S_ISREG(st.st_mode), "stat sees the file");
  fails_with(open("soft", O_RDONLY | O_NOFOLLOW), ELOOP, "O_NOFOLLOW refuses");
  fails_with(readlink("real", target, sizeof target), EINVAL, "readlink of a file");
  is(link("real", "hard"), 0, "link");
  ok(stat("real", &st) == 0 && stat("hard", &other) == 0 && st.st_ino == other.st_ino &&
         st.st_nlink == 2,
     "two names, one file");
  fails_with(link("real", "hard"), EEXIST, "but not twice");
  is(unlink("real"), 0, "unlink one name");
  is_str(file_get("hard"), "R", "the other remains");
  fails_with(open("soft", O_RDONLY), ENOENT, "the symbolic link dangles");
  is(unlink("soft"), 0, "unlink removes the link itself");
  ok(symlink("loop", "loop") == 0, "a link to itself");
  fails_with(open("loop", O_RDONLY), ELOOP, "is a loop");
  ok(mkdir("d", 0755) == 0 && symlink("d", "ld") == 0 && file_put("ld/x", "via") == 0,
     "a link to a directory on the way");
  is_str(file_get("d/x"), "via", "is followed");
  is_str(file_get("d/../ld/./x"), "via", "with . and ..");
  ok(unlink("d/x") == 0 && unlink("ld") == 0 && rmdir("d") == 0, "clean up");
  ok(unlink("loop") == 0 && unlink("hard") == 0, "and the rest");
}

static void test_stat(void) {
  ok(file_put("s", "12345") == 0, "a file");
  struct stat st;
  ok(stat("s", &st) == 0 && st.st_size == 5, "size");
  ok(st.st_ino != 0 && st.st_blksize > 0, "inode and block size");
  is(chmod("s", 0400), 0, "chmod");
  ok(stat("s", &st) == 0 && (st.st_mode & 07777) == 0400, "is seen");
  struct timespec times[2] = {{1000000000, 5}, {1234567890, 123456789}};
  is(utimensat(AT_FDCWD, "s", times, 0), 0, "utimensat");
  ok(stat("s", &st) == 0 && st.st_mtim.tv_sec == 1234567890 && st.st_atim.tv_sec == 1000000000,
     "seconds are kept");
  is(st.st_mtim.tv_nsec, 123456789, "and nanoseconds");
  is(access("s", F_OK | R_OK), 0, "access");
  fails_with(access("none", F_OK), ENOENT, "access of nothing");
  fails_with(stat("none", &st), ENOENT, "stat of nothing");
  char name[300];
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  fails_with(open(name, O_RDONLY | O_CREAT, 0600), ENAMETOOLONG, "a name of 299 bytes");
  mode_t old = umask(022);
  int fd = open("masked", O_WRONLY | O_CREAT, 0666);
  ok(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0644, "umask takes bits away");
  umask(old);
  close(fd);
  ok(unlink("s") == 0 && unlink("masked") == 0, "clean up");
}

static void test_at_calls(void) {
  ok(mkdir("base", 0755) == 0 && file_put("base/f", "at") == 0, "a directory with a file");
  int dir = open("base", O_RDONLY | O_DIRECTORY);
  int fd = openat(dir, "f", O_RDONLY);
  char text[4] = "";
  ok(fd >= 0 && read(fd, text, 4) == 2, "openat");
  is_str(text, "at", "reads the right file");
  close(fd);
  struct stat st;
  ok(fstatat(dir, "f", &st, 0) == 0 && st.st_size == 2, "fstatat");
  ok(mkdirat(dir, "sub", 0755) == 0 && renameat(dir, "f", dir, "sub/g") == 0, "mkdirat, renameat");
  is_str(file_get("base/sub/g"), "at", "move it below");
  fails_with(openat(dir, "f", O_RDONLY), ENOENT, "and away");
  fails_with(read(dir, text, 4), EISDIR, "a directory cannot be read as a file");
  ok(unlinkat(dir, "sub/g", 0) == 0 && unlinkat(dir, "sub", AT_REMOVEDIR) == 0, "unlinkat");
  close(dir);
  ok(rmdir("base") == 0, "clean up");
}

static void test_big_file(void) {
  static unsigned char block[10007];
  enum { BLOCKS = 30 };
  int fd = open("big", O_RDWR | O_CREAT, 0600);
  bool good = true;
  for (int i = 0; i < BLOCKS; i++) {
    memset(block, i + 1, sizeof block);
    good = good && write(fd, block, sizeof block) == (ssize_t)sizeof block;
  }
  ok(good, "thirty blocks of 10007 bytes");
  lseek(fd, 0, SEEK_SET);
  for (int i = 0; good && i < BLOCKS; i++) {
    good = read(fd, block, sizeof block) == (ssize_t)sizeof block && block[0] == i + 1 &&
           block[sizeof block - 1] == i + 1;
  }
  ok(good, "come back as written");
  close(fd);
  unlink("big");
}

int main(void) {
  scratch_enter("t_files");
  umask(0);
  test_open_flags();
  test_positions();
  test_append_truncate();
  test_unlink_open();
  test_rename();
  test_directories();
  test_links();
  test_stat();
  test_at_calls();
  test_big_file();
  scratch_leave();
  return tap_done();
}
