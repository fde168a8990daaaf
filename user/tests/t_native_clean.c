/* No byte that another process or the kernel has written before is seen by who gets the frame next.
 * Frames are filled with a mark by a process that ends (debug kernels also fill what they free with
 * the same mark); then memory is got in every way there is, and looked through. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "runtime/syscall.h"
#include "tap.h"

enum { PAGE = 4096, MARK = 0xd5, RUN = 16, PAGES = 256, DIRT = 16 << 20 };

/* Frames with the mark, free. */
static void frames_dirty(void) {
  pid_t child = fork();
  if (child == 0) {
    char *p = mmap(NULL, DIRT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
      _exit(1);
    }
    memset(p, MARK, DIRT);
    _exit(0);
  }
  int status = -1;
  if (waitpid(child, &status, 0) != child || status != 0) {
    bail_out("no dirt");
  }
}

static bool is_zero(const unsigned char *p, size_t n) {
  while (n > 0 && *p == 0) {
    p++;
    n--;
  }
  return n == 0;
}

/* A run of marks, which nothing of this program is. */
static bool has_marks(const volatile unsigned char *p, size_t n) {
  for (size_t i = 0, run = 0; i < n; i++) {
    run = p[i] == MARK ? run + 1 : 0;
    if (run == RUN) {
      return true;
    }
  }
  return false;
}

static unsigned char *pages_map(int flags, int fd) {
  void *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
  return p == MAP_FAILED ? NULL : p;
}

static void test_anonymous(void) {
  frames_dirty();
  unsigned char *p = pages_map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
  for (int i = 0; i < PAGES; i++) {
    p[i * PAGE + 7] = 1;
    p[i * PAGE + 7] = 0;
  }
  ok(is_zero(p, PAGES * PAGE), "private memory that was written to");
  memset(p, MARK, PAGES * PAGE);
  madvise(p, PAGES * PAGE, MADV_DONTNEED);
  ok(is_zero(p, PAGES * PAGE), "memory that was let go of");
  munmap(p, PAGES * PAGE);
  frames_dirty();
  p = pages_map(MAP_SHARED | MAP_ANONYMOUS, -1);
  ok(is_zero(p, PAGES * PAGE), "shared memory");
  munmap(p, PAGES * PAGE);
}

/* 10 bytes, and a hole up to the end. */
static void test_file(int fd, const char *read_name, const char *map_name) {
  static unsigned char bytes[PAGES * PAGE];
  if (fd < 0 || write(fd, "0123456789", 10) != 10 || ftruncate(fd, PAGES * PAGE) != 0) {
    bail_out("no file");
  }
  memset(bytes, 0x77, sizeof bytes);
  ok(pread(fd, bytes, sizeof bytes, 0) == sizeof bytes && is_zero(bytes + 10, sizeof bytes - 10),
     read_name);
  unsigned char *p = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
  ok(p != MAP_FAILED && is_zero(p + 10, PAGES * PAGE - 10), map_name);
  munmap(p, PAGES * PAGE);
  close(fd);
}

static void test_files(void) {
  frames_dirty();
  int fd = open("/tmp/t_native_clean", O_RDWR | O_CREAT | O_TRUNC, 0600);
  unlink("/tmp/t_native_clean");
  test_file(fd, "the hole of a file, read", "and mapped");
  frames_dirty();
  test_file(open("memory:/", O_RDWR), "the hole of a memory object, read", "and mapped");
}

/* What the kernel tells of itself in structs. */
static void test_structs(void) {
  struct {
    struct stat stat;
    struct rusage usage;
    struct proc_attr attr;
    struct space_stat space;
  } told;
  memset(&told, 0, sizeof told);
  frames_dirty();
  struct space_op op = {.code = SPACE_STAT, .fd = FD_NONE, .off = (uint64_t)&told.space};
  bool good = stat("/bin", &told.stat) == 0 && getrusage(RUSAGE_SELF, &told.usage) == 0 &&
              sys_call(FD_SELF, OP_PROC_ATTR, &told.attr, 0, sizeof told.attr, 0) >= 0 &&
              sys_call(FD_SELF, OP_SPACE_APPLY, &op, sizeof op, 0, 0) == 1;
  ok(good && !has_marks((unsigned char *)&told, sizeof told), "what calls tell");
}

/* A fresh program: all that it has, by the lines of its grants. Status 0: no mark. */
static int self_look(void) {
  char text[PAGE];
  int64_t n = sys_call(FD_SELF, OP_PROC_GRANTS, text, 0, sizeof text - 1, 0);
  bool marks = n <= 0;
  text[n > 0 ? n : 0] = '\0';
  for (char *line = text; line != NULL && *line != '\0' && !marks;) {
    char *rest, *next = strchr(line, '\n');
    uint64_t start = strtoull(line, &rest, 16), end = strtoull(rest + 1, &rest, 16);
    marks = rest[1] == 'r' && has_marks((volatile unsigned char *)start, end - start);
    line = next != NULL ? next + 1 : NULL;
  }
  return marks;
}

static void test_program(const char *program) {
  frames_dirty();
  pid_t child = fork();
  if (child == 0) {
    execl(program, program, "look", (char *)NULL);
    _exit(2);
  }
  int status = -1;
  ok(waitpid(child, &status, 0) == child && status == 0, "all memory of a fresh program");
}

int main(int argc, char **) {
  if (argc > 1) {
    return self_look();
  }
  test_anonymous();
  test_files();
  test_structs();
  test_program((const char *)getauxval(AT_EXECFN));
  return tap_done();
}
