/* Schemes: names to open files. The kernel's own are few; any program may serve others from a ring.
 *
 * Every scheme has a root, an open file: opening `name:/rest` asks the root for `rest`, and an
 * operation by path on FD_NS becomes the same operation on the root. */
#ifndef CATHODE_SCHEME_SCHEME_H
#define CATHODE_SCHEME_SCHEME_H

#include "proc/proc.h"

#define SCHEME_NAME_MAX 32u

/* ---- names -------------------------------------------------------------------------------- */
/* The root stays the caller's until scheme_remove(). ABI_EEXIST. */
[[nodiscard]] enum abi_error scheme_add(const char *name, size_t len, struct file *root);
void scheme_remove(struct file *root);
/* Splits `name:/rest` (or `name:rest`); *used: bytes before rest. A reference on the root. */
[[nodiscard]] enum abi_error scheme_find(const char *path, size_t len, struct file **root,
                                         size_t *used);

/* Where `:name` opens. */
void scheme_set_maker(struct file *maker);

/* Boot argument: all programs are laid out by it; 0: each by a random one of its own. */
extern uint64_t layout_seed;
void scheme_init(const struct boot_info *boot, const char *command);

/* ---- the kernel's own ------------------------------------------------------------------------ */
void debug_scheme_init(void);
void pipe_scheme_init(void);
void event_scheme_init(void);
void memory_scheme_init(void);
void time_scheme_init(void);
void proc_scheme_init(void);
void sys_scheme_init(const struct boot_info *boot, const char *command);
void user_scheme_init(void);
/* Registers a root with these operations; boot time. */
void scheme_add_kernel(const char *name, const struct file_ops *ops);

/* ---- what system calls need ------------------------------------------------------------------ */
int64_t proc_call(struct context *target,
                  const struct file_call *c); /* on FD_SELF or a context file */
int64_t proc_dup(struct context *target, const char *name, size_t len, struct file **out);
int64_t ring_enter(struct file *f, uint32_t flags,
                   uint64_t deadline_ns); /* ABI_ENOTTY: not a ring */
int64_t poll_wait(struct filetable *t, uaddr_t fds, uint64_t n, uint64_t deadline_ns);

/* Steps on the caller's space: mmap and friends, and SPACE_APPLY on any. */
int64_t space_step(struct space *s, struct filetable *files, struct space_op *op);

/* ---- helpers ------------------------------------------------------------------------------- */
/* Answers a text file's read from a buffer of len bytes. */
int64_t text_read(const char *text, size_t text_len, uaddr_t buf, size_t len, uint64_t offset);
/* Fills a stat of a kernel object; mode with its type. */
int64_t stat_out(const struct file_call *c, uint32_t mode, uint64_t ino, uint64_t size);
static inline bool name_is(const char *name, size_t len, const char *expected) {
  size_t n = __builtin_strlen(expected);
  return n == len && __builtin_memcmp(name, expected, n) == 0;
}

#endif
