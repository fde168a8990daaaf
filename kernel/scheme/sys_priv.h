/* sys:, private: sys.c serves a table of entries, sys_files.c and sys_bench.c fill it. */
#ifndef CATHODE_SCHEME_SYS_PRIV_H
#define CATHODE_SCHEME_SYS_PRIV_H

#include "scheme/scheme.h"

#define SYS_WRITE_MAX 64u

struct sys_entry {
  const char *name; /* NULL ends the table */
  /* For a folder of files: what is behind the slash, as a number. NULL: a file of its own. */
  bool (*resolve)(const char *rest, size_t len, uint32_t *arg);
  int64_t (*read)(uint32_t arg, char *out,
                  size_t cap); /* the text's length, or an error of the open */
  int64_t (*write)(uint32_t arg, const char *text, size_t len); /* text is NUL-terminated */
  /* Instead of the two above: an open file of another kind, for what is not a page of text. */
  int64_t (*open)(uint32_t arg, uint32_t flags, struct file **out);
};

extern const struct sys_entry sys_entries[];
void sys_files_init(const struct boot_info *boot, const char *command);

int64_t sys_ktest_read(uint32_t arg, char *out, size_t cap);

/* sys_trace.c: mask and meta are text, threads and cpuN are streams. */
bool sys_trace_mask_resolve(const char *rest, size_t len, uint32_t *arg);
int64_t sys_trace_mask_read(uint32_t arg, char *out, size_t cap);
int64_t sys_trace_mask_write(uint32_t arg, const char *text, size_t len);
bool sys_trace_meta_resolve(const char *rest, size_t len, uint32_t *arg);
int64_t sys_trace_meta_read(uint32_t arg, char *out, size_t cap);
bool sys_trace_stream_resolve(const char *rest, size_t len, uint32_t *arg);
int64_t sys_trace_stream_open(uint32_t arg, uint32_t flags, struct file **out);

/* sys_profile.c: hz and lost are text, samples is a stream. */
bool sys_profile_resolve(const char *rest, size_t len, uint32_t *arg);
int64_t sys_profile_read(uint32_t arg, char *out, size_t cap);
int64_t sys_profile_write(uint32_t arg, const char *text, size_t len);
bool sys_profile_samples_resolve(const char *rest, size_t len, uint32_t *arg);
int64_t sys_profile_samples_open(uint32_t arg, uint32_t flags, struct file **out);

bool sys_bench_resolve(const char *rest, size_t len, uint32_t *arg);
int64_t sys_bench_read(uint32_t arg, char *out, size_t cap);

/* sys_bench_sched.c: ticks of so many operations; 0 when out of memory. */
uint64_t bench_wake(uint32_t n);
uint64_t bench_timer(uint32_t n);
/* So many timers on this CPU's wheel, until disarmed; false when out of memory. */
bool bench_crowd_arm(uint32_t n);
void bench_crowd_disarm(void);

#endif
