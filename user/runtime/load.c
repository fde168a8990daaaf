/* From a file to an address space that is ready to run: scripts, ELF segments, stack. See
 * process.h.
 *
 * The file is first mapped as a whole, out of the way, and its segments are mapped from that: one
 * question to its server, with no descriptor, unless the caller has one. A file that cannot be had
 * so is opened, then mapped; or else read, its first page, and each segment is asked for by itself.
 * Then one batch fills the new space: per segment a mapping of the file, the
 * zeroing of what follows in its last page and an anonymous mapping for the rest; then the stack,
 * which grows, and its first bytes. */
#include "lib/bits.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "runtime/elf.h"
#include "runtime/path.h"
#include "runtime/process_priv.h"
#include "runtime/script.h"
#include "runtime/stack_image.h"
#include "runtime/syscall.h"

#define STACK_FIRST (64ull << 10) /* bytes that a program has at once; more come as it grows */
#define SCRATCH ABI_NEAR_END      /* where the file lies while the space is built */
#define TABLE_SPAN (2ull << 20)   /* that one page table maps */
#define STACK_RANDOM_TABLES 0x1fffull
#define STACK_RANDOM_PAGES 0xffull
#define STACK_LEAST_PAGES 128u /* of the stack in its top table, whatever is random */
#define HEAD_MOST (1 + 3 * SCRIPT_DEPTH)
#define SPACE_STEPS (4 * ELF_SEGMENTS + 6)
#define IMAGE_SMALL 2048u
#define HEAD_USUAL 640u /* bytes of a file that are looked at first: ten segments' headers */

_Static_assert(SPACE_STEPS <= SPACE_OPS_MAX, "one batch");

/* A load in progress. */
struct load {
  const struct rt_program *program;
  int fd;
  const char *path; /* of `fd`, canonical: the program's, or `interpreter` */
  char interpreter[ABI_PATH_MAX];
  int space;     /* the new one */
  uint64_t size; /* of the file */
  bool mapped;   /* all of it lies at SCRATCH */
  uint8_t page[ABI_PAGE_SIZE];
  size_t page_len;
  struct elf_image elf;
  struct script scripts[SCRIPT_DEPTH];
  const char *head[HEAD_MOST]; /* arguments that scripts have put before the rest */
  size_t n_head;
  struct space_op steps[SPACE_STEPS];
  size_t n_steps;
};

static int64_t space_apply(const struct load *load, struct space_op *steps, size_t n) {
  return sys_call(load->space, OP_SPACE_APPLY, steps, n * sizeof(steps[0]), 0, 0);
}

/* ---- the file ----------------------------------------------------------------------------- */

/* The x bit that is meant for us; root needs any. */
static bool may_execute(const struct abi_stat *st, const struct rt_ids *ids) {
  uint32_t bits = st->uid == ids->euid ? 0100 : st->gid == ids->egid ? 0010 : 0001;
  return (st->mode & (ids->euid == 0 ? 0111 : bits)) != 0;
}

/* Notes what is known of the file. */
static int file_check(struct load *load, const struct abi_stat *st) {
  load->size = st->size;
  return (st->mode & S_ABI_IFMT) == S_ABI_IFREG && may_execute(st, &load->program->start->ids)
             ? 0
             : -ABI_EACCES;
}

static int file_open(struct load *load) {
  struct abi_stat st;
  if (load->fd == FD_NONE) {
    int64_t fd = sys_openat(FD_NS, load->path, strlen(load->path), RT_PRIVATE | O_ABI_RDONLY, 0);
    if (fd < 0) {
      return fd == -ABI_EISDIR ? -ABI_EACCES : (int)fd;
    }
    load->fd = (int)fd;
  }
  int64_t got = sys_call(load->fd, OP_STAT, &st, 0, sizeof(st), 0);
  return got < 0 ? (int)got : file_check(load, &st);
}

static struct space_op step_read(struct load *load, size_t len) {
  return (struct space_op){
      .code = SPACE_READ, .fd = FD_NONE, .addr = SCRATCH, .len = len, .off = (uint64_t)load->page};
}

/* The first bytes, a copy that nobody changes under us: as many as nearly every program's headers
 * have, or a page. */
static int head_copy(struct load *load, size_t most) {
  load->page_len = MIN(load->size, most);
  struct space_op read = step_read(load, load->page_len);
  int64_t done = space_apply(load, &read, 1);
  return done < 0 ? (int)done : 0;
}

/* Without a descriptor: where all of it lies, what it is, and its first bytes, in one entry. A file
 * ends on its last page's end as far as the mapping goes, so that it is not too short to be read.
 */
static int64_t file_map_path(struct load *load) {
  struct space_file file = {.path = (uint64_t)load->path, .path_len = strlen(load->path)};
  struct space_op steps[] = {{.code = SPACE_MAP_PATH,
                              .fd = FD_NONE,
                              .prot = PROT_ABI_READ,
                              .flags = MAP_ABI_FIXED,
                              .addr = SCRATCH,
                              .off = (uint64_t)&file},
                             step_read(load, HEAD_USUAL)};
  int64_t done = space_apply(load, steps, sizeof(steps) / sizeof(steps[0]));
  if (done < 0) {
    return done;
  }
  load->mapped = true;
  load->page_len = MIN(file.stat.size, (uint64_t)HEAD_USUAL);
  return file_check(load, &file.stat);
}

/* All of it goes where nothing else will be: its segments are mapped from there. */
static bool file_map(struct load *load) {
  struct space_op map = {.code = SPACE_MAP,
                         .fd = load->fd,
                         .prot = PROT_ABI_READ,
                         .flags = MAP_ABI_PRIVATE | MAP_ABI_FIXED,
                         .addr = SCRATCH,
                         .len = load->size};
  load->mapped = load->size != 0 && space_apply(load, &map, 1) == 1;
  return load->mapped;
}

static int file_read(struct load *load) {
  if (file_map(load)) {
    return head_copy(load, HEAD_USUAL);
  }
  int64_t got = sys_pread(load->fd, load->page, sizeof(load->page), 0);
  load->page_len = got < 0 ? 0 : (size_t)got;
  return got < 0 ? (int)got : 0;
}

/* That there is none is said at once, and mostly heard: who looks along PATH asks again. What else
 * is in the way, opening it will tell. */
static int file_take(struct load *load) {
  load->mapped = false;
  int64_t result = load->fd == FD_NONE ? file_map_path(load) : -ABI_EOPNOTSUPP;
  if (load->mapped || result == -ABI_ENOENT) {
    return (int)result;
  }
  int opened = file_open(load);
  return opened < 0 ? opened : file_read(load);
}

static void file_close(struct load *load) {
  if (load->fd != FD_NONE && load->fd != load->program->fd) {
    (void)sys_close(load->fd);
  }
  load->fd = FD_NONE;
}

/* `interpreter [argument] script` take the place of the first argument. */
static int script_enter(struct load *load, const struct script *script) {
  size_t extra = script->argument ? 3 : 2, keep = load->n_head == 0 ? 0 : load->n_head - 1;
  const char *name = load->n_head == 0 ? load->program->name : load->head[0];
  memmove(load->head + extra, load->head + 1, keep * sizeof(load->head[0]));
  load->head[0] = script->interpreter;
  if (script->argument) {
    load->head[1] = script->argument;
  }
  load->head[extra - 1] = name;
  load->n_head = extra + keep;
  file_close(load);
  load->path = load->interpreter;
  int64_t n = path_resolve(load->program->cwd, script->interpreter, load->interpreter,
                           sizeof(load->interpreter));
  return n < 0 ? (int)n : 0;
}

/* What a short copy of the head does not show, the whole page may. */
static int head_parse(struct load *load) {
  int result = elf_parse(load->page, load->page_len, load->size, &load->elf);
  if (result < 0 && load->page_len == HEAD_USUAL) {
    result = head_copy(load, sizeof(load->page));
    result = result < 0 ? result : elf_parse(load->page, load->page_len, load->size, &load->elf);
  }
  return result;
}

static int script_read(struct load *load, struct script *script) {
  int result = load->page_len == HEAD_USUAL ? head_copy(load, sizeof(load->page)) : 0;
  return result < 0 ? result : script_parse((const char *)load->page, load->page_len, script);
}

/* Opens files until one is no script; that one is parsed as ELF. */
static int load_find(struct load *load) {
  for (unsigned depth = 0;; depth++) {
    int result = file_take(load);
    if (result < 0) {
      return result;
    }
    struct script *script = &load->scripts[depth < SCRIPT_DEPTH ? depth : 0];
    result = (load->page[0] != '#' || load->page_len < 2) ? 0
             : depth == SCRIPT_DEPTH                      ? -ABI_ELOOP
                                                          : script_read(load, script);
    if (result == 0) {
      return head_parse(load);
    }
    result = result < 0 ? result : script_enter(load, script);
    if (result < 0) {
      return result;
    }
  }
}

/* ---- the steps ---------------------------------------------------------------------------- */

static bool file_is_mapped(const struct load *load, uint64_t off, uint64_t len) {
  return load->mapped && off + len <= ALIGN_UP(load->size, ABI_PAGE_SIZE);
}

static void step_anonymous(struct load *load, uint64_t addr, uint64_t end, uint32_t prot) {
  if (addr < end) {
    load->steps[load->n_steps++] =
        (struct space_op){.code = SPACE_MAP,
                          .fd = FD_NONE,
                          .prot = prot,
                          .flags = MAP_ABI_PRIVATE | MAP_ABI_FIXED | MAP_ABI_ANONYMOUS,
                          .addr = addr,
                          .len = end - addr};
  }
}

static void step_file(struct load *load, uint64_t addr, uint64_t end, uint32_t prot, uint64_t off) {
  bool same = file_is_mapped(load, off, end - addr);
  if (addr < end) {
    load->steps[load->n_steps++] = (struct space_op){.code = same ? SPACE_MAP_SAME : SPACE_MAP,
                                                     .fd = load->fd,
                                                     .prot = prot,
                                                     .flags = MAP_ABI_PRIVATE | MAP_ABI_FIXED,
                                                     .addr = addr,
                                                     .len = end - addr,
                                                     .off = same ? SCRATCH + off : off};
  }
}

static void step_segment(struct load *load, const struct elf_segment *s, uint64_t base) {
  uint64_t addr = base + s->addr, file_end = addr + s->file_size, end = addr + s->mem_size;
  uint64_t low = ALIGN_DOWN(addr, ABI_PAGE_SIZE), high = ALIGN_UP(file_end, ABI_PAGE_SIZE);
  if (s->file_size == 0) {
    high = low;
  }
  step_file(load, low, high, s->prot, ALIGN_DOWN(s->offset, ABI_PAGE_SIZE));
  if (file_end < high && file_end < end) {
    uint64_t zero_end = MIN(high, end);
    load->steps[load->n_steps++] = (struct space_op){
        .code = SPACE_ZERO, .fd = FD_NONE, .addr = file_end, .len = zero_end - file_end};
  }
  step_anonymous(load, high, ALIGN_UP(end, ABI_PAGE_SIZE), s->prot);
}

static void step_stack(struct load *load, uint64_t top, const uint8_t *image, size_t size) {
  uint64_t low = ALIGN_DOWN(top - size - STACK_FIRST, ABI_PAGE_SIZE);
  step_anonymous(load, low, top, PROT_ABI_READ | PROT_ABI_WRITE);
  load->steps[load->n_steps - 1].flags |= MAP_ABI_GROWSDOWN;
  load->steps[load->n_steps++] = (struct space_op){
      .code = SPACE_WRITE, .fd = FD_NONE, .addr = top - size, .len = size, .off = (uint64_t)image};
}

/* Where the stack ends, and above it the room for mappings in the same page table. What a process
 * writes to first is the top of its stack and its first mappings: after a fork, one table to copy
 * instead of two. */
static uint64_t stack_top(uint64_t random, uint64_t *ceiling) {
  *ceiling = ABI_NEAR_END - (random & STACK_RANDOM_TABLES) * TABLE_SPAN;
  uint64_t pages = STACK_LEAST_PAGES + (random / (STACK_RANDOM_TABLES + 1) & STACK_RANDOM_PAGES);
  return *ceiling - TABLE_SPAN + pages * ABI_PAGE_SIZE;
}

static int load_apply(struct load *load) {
  load->steps[load->n_steps++] = (struct space_op){
      .code = SPACE_UNMAP, .fd = FD_NONE, .addr = SCRATCH, .len = MAX(load->size, 1ul)};
  int64_t done = space_apply(load, load->steps, load->n_steps);
  return done == (int64_t)load->n_steps ? 0 : done < 0 ? (int)done : -ABI_ENOMEM;
}

/* ---- the stack ---------------------------------------------------------------------------- */

static size_t count(const char *const *strings) {
  size_t n = 0;
  while (strings && strings[n]) {
    n++;
  }
  return n;
}

static void plan_fill(const struct load *load, uint64_t base, struct stack_plan *plan) {
  const struct rt_program *p = load->program;
  const struct elf_image *elf = &load->elf;
  size_t n_argv = count(p->argv), replaced = load->n_head != 0 && n_argv != 0;
  *plan = (struct stack_plan){
      .head = load->head,
      .n_head = load->n_head,
      .argv = p->argv + replaced,
      .n_argv = n_argv - replaced,
      .envp = p->envp,
      .n_envp = count(p->envp),
      .execfn = p->name,
      .cwd = p->cwd,
      .start = p->start,
      .entry = base + elf->entry,
      .phdr_addr = elf->phdr_addr == 0 ? 0 : base + elf->phdr_addr,
      .n_phdrs = elf->n_phdrs,
      .base = 0,
  };
}

static bool signals_cross(const struct rt_start *start) {
  return (start->signals.blocked | start->signals.pending) != 0;
}

/* Lays out everything for an image at `out`, and does it. */
static int load_build(struct load *load, const struct stack_plan *plan, uint64_t base, uint8_t *out,
                      size_t size, struct rt_loaded *loaded) {
  uint64_t state = ~plan->start->block.layout; /* another stream than the base's */
  uint64_t ceiling, top = stack_top(rng_splitmix(&state), &ceiling);
  uint64_t sp = stack_image_build(plan, out, size, top);
  if (sp == 0) {
    return -ABI_EFAULT;
  }
  for (uint32_t i = 0; i < load->elf.n_segments; i++) {
    step_segment(load, &load->elf.segments[i], base);
  }
  step_stack(load, top, out, size);
  load->steps[load->n_steps++] =
      (struct space_op){.code = SPACE_CEILING, .fd = FD_NONE, .addr = ceiling};
  loaded->ip = plan->entry;
  loaded->sp = sp;
  loaded->signals = signals_cross(plan->start)
                        ? stack_image_start(plan, sp) + offsetof(struct rt_start, signals)
                        : 0;
  return load_apply(load);
}

static int load_big(struct load *load, const struct stack_plan *plan, uint64_t base, size_t size,
                    struct rt_loaded *loaded) {
  int64_t memory = sys_mmap(0, size, PROT_ABI_READ | PROT_ABI_WRITE,
                            MAP_ABI_PRIVATE | MAP_ABI_ANONYMOUS, FD_NONE, 0);
  if (memory < 0) {
    return (int)memory;
  }
  int result = load_build(load, plan, base, (uint8_t *)memory, size, loaded);
  (void)sys_munmap((uint64_t)memory, size);
  return result;
}

static int load_space(struct load *load, struct rt_loaded *loaded) {
  uint8_t small[IMAGE_SMALL];
  struct stack_plan plan;
  uint64_t state = load->program->start->block.layout;
  uint64_t base = elf_base(&load->elf, rng_splitmix(&state));
  plan_fill(load, base, &plan);
  size_t size = stack_image_size(&plan);
  if (size > STACK_IMAGE_MOST) {
    return -ABI_E2BIG;
  }
  return size <= sizeof(small) ? load_build(load, &plan, base, small, size, loaded)
                               : load_big(load, &plan, base, size, loaded);
}

static void name_copy(const char *path, char *name, size_t cap) {
  const char *last = path;
  for (const char *p = path; *p; p++) {
    last = p[0] == '/' && p[1] ? p + 1 : last;
  }
  (void)strlcpy(name, last, cap); /* cut when it is long */
}

/* Not close-on-exec: the commit sweeps before it enters the space and closes the descriptor. */
static int space_open(void) {
  return (int)sys_dup(FD_SELF, "addrspace/empty", 15, O_ABI_UPPER | O_ABI_CLOFORK);
}

/* First of all, so that it holds for what the program itself takes. */
static int limits_apply(const struct load *load) {
  const struct rt_limits *next = load->program->limits;
  struct space_op steps[SPACE_LIMIT_KINDS];
  size_t n = 0;
  for (uint32_t kind = 0; next && kind < SPACE_LIMIT_KINDS; kind++) {
    if (next->set >> kind & 1) {
      steps[n++] = (struct space_op){
          .code = SPACE_LIMIT, .fd = FD_NONE, .flags = kind, .addr = (uint64_t)&next->limits[kind]};
    }
  }
  int64_t done = n != 0 ? space_apply(load, steps, n) : 0;
  return done < 0 ? (int)done : 0;
}

int rt_load(const struct rt_program *program, struct rt_loaded *loaded) {
  struct load load;
  load.program = program;
  load.fd = program->fd;
  load.path = program->path;
  load.n_head = load.n_steps = 0;
  load.space = space_open();
  if (load.space < 0) {
    return load.space;
  }
  int result = limits_apply(&load);
  result = result < 0 ? result : load_find(&load);
  result = result < 0 ? result : load_space(&load, loaded);
  name_copy(program->name, loaded->name, sizeof(loaded->name));
  file_close(&load);
  loaded->space = load.space;
  if (result < 0) {
    (void)sys_close(load.space);
  }
  return result;
}
