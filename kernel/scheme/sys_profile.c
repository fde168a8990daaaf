/* sys:profile/: where CPUs spend their time (base/profile.h), read from outside. Root alone may.
 *
 *   hz        samples of each CPU a second; writing a number starts, 0 stops
 *   lost      samples that found their CPU's ring full, since boot
 *   samples   struct profile_sample of all CPUs, each once; a read answers what there is, 0 bytes
 *             when there is nothing new. One reader at a time, others get EBUSY
 */
#include "base/profile.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "scheme/sys_priv.h"

#define RING_ORDER 6u /* 256 KiB of each CPU: 1024 samples */
#define HZ_LEAST 20u
#define HZ_MOST 10000u
enum { FILE_HZ, FILE_LOST };

static _Atomic bool changing, reading; /* [a] somebody is at it */
static _Atomic uint32_t hz_now;

/* In an NMI. The process of a running thread stays; its name may change under us, and is then a
 * mixture of two. */
static void sample_name(struct profile_sample *s) {
  memset(s->name, 0, sizeof(s->name));
  s->pid = 0;
  if (arch_trace_thread() != 0) {
    const struct group *group = context_current()->group;
    s->pid = group->pid;
    memcpy(s->name, group->name, MIN(sizeof(s->name), sizeof(group->name)));
  }
}

static bool rings_make(void) {
  paddr_t pa;
  for (uint64_t left = sched_online_mask(); left != 0; left &= left - 1) {
    uint32_t cpu = bit_first(left);
    if (profile_ring_exists(cpu)) {
      continue;
    }
    if (!frame_alloc_order(RING_ORDER, &pa)) {
      return false;
    }
    profile_ring_give(cpu, direct_map(pa),
                      (uint32_t)((PAGE_SIZE << RING_ORDER) / sizeof(struct profile_sample)));
  }
  return true;
}

static int64_t rate_set(uint32_t hz) {
  if (hz == 0) {
    arch_sampler_stop();
    profile_keep(false);
  } else {
    if (!rings_make()) {
      return -ABI_ENOMEM;
    }
    profile_keep(true);
    if (!arch_sampler_start(hz)) {
      profile_keep(false);
      return -ABI_ENODEV;
    }
  }
  atomic_store(&hz_now, hz);
  return 0;
}

bool sys_profile_resolve(const char *rest, size_t len, uint32_t *arg) {
  *arg = name_is(rest, len, "lost") ? FILE_LOST : FILE_HZ;
  return *arg == FILE_LOST || name_is(rest, len, "hz");
}

int64_t sys_profile_read(uint32_t arg, char *out, size_t cap) {
  uint64_t value = arg == FILE_HZ ? atomic_load(&hz_now) : profile_lost();
  return (int64_t)fmt_snprintf(out, cap, "%lu\n", value);
}

int64_t sys_profile_write(uint32_t arg, const char *text, size_t len) {
  uint64_t hz;
  if (arg != FILE_HZ || !fmt_parse_u64(text, len, &hz) ||
      (hz != 0 && (hz < HZ_LEAST || hz > HZ_MOST))) {
    return -ABI_EINVAL;
  }
  if (atomic_exchange(&changing, true)) {
    return -ABI_EBUSY;
  }
  profile_who = sample_name;
  int64_t result = rate_set((uint32_t)hz);
  atomic_store(&changing, false);
  return result;
}

/* ---- samples -------------------------------------------------------------------------------- */

bool sys_profile_samples_resolve(const char *rest, size_t len, uint32_t *arg) {
  *arg = 0;
  return name_is(rest, len, "samples");
}

/* What one CPU has, as far as there is room. Answers samples, or an error. */
static int64_t ring_copy(uint32_t cpu, uaddr_t buf, size_t room) {
  const struct profile_sample *first;
  size_t done = 0;
  for (uint32_t n; done < room && (n = profile_peek(cpu, &first)) > 0; done += n) {
    n = (uint32_t)MIN((size_t)n, room - done);
    enum abi_error e =
        user_copy_out(uaddr_add(buf, done * sizeof(*first)), first, n * sizeof(*first));
    if (e != OK) {
      return -(int64_t)e;
    }
    profile_free(cpu, n);
    sched_point();
  }
  return (int64_t)done;
}

static int64_t samples_read(struct file *f, uaddr_t buf, size_t len, uint64_t offset) {
  (void)f;
  (void)offset;
  size_t room = len / sizeof(struct profile_sample), done = 0;
  int64_t n = 0;
  if (room == 0) {
    return -ABI_EINVAL;
  }
  if (atomic_exchange(&reading, true)) {
    return -ABI_EBUSY;
  }
  for (uint64_t left = sched_online_mask(); left != 0 && n >= 0; left &= left - 1) {
    n = ring_copy(bit_first(left), uaddr_add(buf, done * sizeof(struct profile_sample)),
                  room - done);
    done += n > 0 ? (size_t)n : 0;
  }
  atomic_store(&reading, false);
  return n < 0 ? n : (int64_t)(done * sizeof(struct profile_sample));
}

static int64_t samples_call(struct file *f, const struct file_call *c) {
  return c->op == OP_STAT ? stat_out(c, S_ABI_IFREG | 0400, f->id + 1, 0) : -ABI_ENOTTY;
}

static const struct file_ops samples_ops = {.read = samples_read, .call = samples_call};

int64_t sys_profile_samples_open(uint32_t arg, uint32_t flags, struct file **out) {
  if (context_current()->group->euid != 0) {
    return -ABI_EACCES;
  }
  *out = file_create(&samples_ops, flags, NULL, arg);
  return *out != NULL ? 0 : -ABI_ENOMEM;
}
