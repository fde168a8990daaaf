/* bootstrap: from the kernel's jump to init, as the first process and without libc.
 *
 *   kernel -> entry.asm -> bootstrap_main
 *     seal the blob (text r-x, read-only data r--, data rw-), open the log as 0, 1 and 2
 *     fork: the child serves initfs: from the image that the kernel has mapped, for ever
 *     spawn initfs:/bin/ramfs, which serves file:
 *     exec initfs:/bin/init
 * A server says that it serves by one byte into a pipe; one that dies first closes it, which is the
 * other answer. Whatever goes wrong before init runs is said on debug:log and debug:stderr, and
 * then the machine is switched off with status 1. */
#include "abi/abi.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "runtime/process.h"
#include "runtime/syscall.h"
#include "servers/initfs/initfs.h"

_Static_assert(SYS_NR_mmap == 13 && SYS_NR_mprotect == 15 && FD_NONE == -1, "entry.asm");
_Static_assert((PROT_ABI_READ | PROT_ABI_WRITE) == 3, "entry.asm");
_Static_assert((MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS | MAP_ABI_FIXED) == 0x32, "entry.asm");

#define READY_FD 3 /* where a spawned server says that it serves */
#define LOG_FD 2

/* bootstrap.ld: addresses, and sizes that are spelled as addresses. */
extern const char rodata_start[], rodata_size[];

static struct abi_boot boot;

_Noreturn void bootstrap_main(void);

/* ---- saying what is wrong ----------------------------------------------------------------- */

static const char *error_text(int64_t error) {
  switch (-error) {
#define ERROR(number, name, text)                                                                  \
  case number:                                                                                     \
    return text;
#include "abi/errors.def"
#undef ERROR
  default:
    return "unknown error";
  }
}

/* On the log, and where the runner looks for what goes wrong. Nothing is left to try when that
 * fails. */
static void complain(const char *step, const char *why) {
  static const char place[] = "debug:/stderr";
  char line[160];
  size_t n = fmt_snprintf(line, sizeof(line), "bootstrap: %s: %s\n", step, why);
  n = n < sizeof(line) ? n : sizeof(line) - 1;
  (void)sys_write(LOG_FD, line, n);
  (void)sys_write((int)sys_openat(FD_NS, place, sizeof(place) - 1, O_ABI_WRONLY, 0), line, n);
}

/* The end of a machine that cannot start: the kernel ends it inside the write. */
static _Noreturn void die(const char *step, const char *why) {
  static const char place[] = "sys:/power";
  complain(step, why);
  (void)sys_write((int)sys_openat(FD_NS, place, sizeof(place) - 1, O_ABI_WRONLY, 0), "exit 1", 6);
  rt_exit(1 << 8);
}

/* A result that is not an error, or the end. */
static int64_t must(int64_t result, const char *step) {
  if (result < 0) {
    die(step, error_text(result));
  }
  return result;
}

static int open_path(const char *path, uint32_t flags) {
  return (int)must(sys_openat(FD_NS, path, strlen(path), flags, 0), path);
}

/* ---- readiness ---------------------------------------------------------------------------- */

struct ready_pipe {
  int read, write;
};

static struct ready_pipe ready_open(void) {
  static const char end[] = "write";
  int fd = open_path("pipe:/", O_ABI_RDONLY | O_ABI_CLOEXEC);
  int64_t other = sys_dup(fd, end, sizeof(end) - 1, O_ABI_WRONLY | O_ABI_CLOEXEC);
  return (struct ready_pipe){fd, (int)must(other, "pipe:")};
}

/* Wait for the server's word; without it, the end. */
static void ready_wait(struct ready_pipe ready, const char *server) {
  char byte;
  (void)sys_close(ready.write);
  if (sys_read(ready.read, &byte, 1) != 1) {
    die(server, "did not start");
  }
  (void)sys_close(ready.read);
}

/* ---- initfs: ------------------------------------------------------------------------------ */

static void ready_say(void *context) {
  const struct ready_pipe *ready = context;
  must(sys_write(ready->write, "r", 1), "initfs: saying that it serves");
  (void)sys_close(ready->write);
}

static _Noreturn void initfs_run(const void *base, size_t len, struct ready_pipe *ready) {
  static struct initfs initfs;
  static const char name[] = "initfs";
  struct proc_op rename = {.code = PROC_NAME, .a = (uint64_t)name, .b = sizeof(name) - 1};
  must(rt_apply(FD_SELF, &rename, 1), "initfs: taking its name");
  (void)sys_close(ready->read);
  const char *wrong = image_check(&initfs.image, base, len);
  if (!wrong) {
    int64_t memory =
        must(sys_mmap(0, image_index_size(&initfs.image), PROT_ABI_READ | PROT_ABI_WRITE,
                      MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS, FD_NONE, 0),
             "initfs: memory for the index");
    wrong = image_index(&initfs.image, (void *)memory);
  }
  if (wrong) {
    die("malformed initfs image", wrong);
  }
  int error = initfs_serve(&initfs, "initfs", ready_say, ready);
  complain("initfs: serving ended",
           error_text(error)); /* clients get errors, nobody else is hurt */
  rt_exit(1 << 8);
}

static void initfs_start(const void *base, size_t len) {
  struct ready_pipe ready = ready_open();
  if (must(rt_fork(), "fork") == 0) {
    initfs_run(base, len, &ready);
  }
  ready_wait(ready, "initfs:");
}

/* ---- file: and init ----------------------------------------------------------------------- */

static void ramfs_start(void) {
  static const char *const argv[] = {"ramfs", NULL};
  static const char *const envp[] = {NULL};
  struct ready_pipe ready = ready_open();
  struct proc_op keep = {.code = PROC_FILES_DUP, .a = READY_FD, .b = (uint64_t)ready.write};
  struct rt_start start;
  rt_start_copy(&start, envp);
  struct rt_program program = {.path = "initfs:/bin/ramfs",
                               .fd = FD_NONE,
                               .name = "ramfs",
                               .argv = argv,
                               .envp = envp,
                               .cwd = "initfs:/",
                               .start = &start};
  must(rt_spawn(&program, &keep, 1), program.path);
  ready_wait(ready, "file:");
}

static _Noreturn void init_exec(void) {
  static const char *const argv[] = {"init", NULL};
  static const char *const envp[] = {"PATH=/bin", NULL};
  must(rt_execve("initfs:/bin/init", argv, envp), "initfs:/bin/init");
  __builtin_unreachable();
}

/* ---- the beginning ------------------------------------------------------------------------ */

/* Three descriptors, 0 to 2, of the kernel's log. */
static void log_open(void) {
  for (int i = 0; i <= LOG_FD; i++) {
    open_path("debug:log", O_ABI_RDWR);
  }
}

static void boot_read(void) {
  int fd = open_path("sys:boot", O_ABI_RDONLY | O_ABI_CLOEXEC);
  if (must(sys_read(fd, &boot, sizeof(boot)), "sys:boot") != sizeof(boot)) {
    die("sys:boot", "not the block that is known here");
  }
  (void)sys_close(fd);
  rt_init(&boot.start);
}

_Noreturn void bootstrap_main(void) {
  log_open();
  must(sys_mprotect((uint64_t)rodata_start, (size_t)rodata_size, PROT_ABI_READ), "sealing");
  boot_read();
  initfs_start((const void *)boot.image_base, boot.image_len);
  ramfs_start();
  init_exec();
}
