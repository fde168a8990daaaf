/* exec and spawn: the new address space is built aside by load.c; here it is entered. See
 * process.h. */
#include "lib/rng.h"
#include "lib/string.h"
#include "runtime/process_priv.h"
#include "runtime/syscall.h"

static struct proc_op step_name(const struct rt_loaded *loaded) {
  return (struct proc_op){
      .code = PROC_NAME, .a = (uint64_t)loaded->name, .b = strlen(loaded->name)};
}

static struct proc_op step_space(const struct rt_loaded *loaded) {
  return (struct proc_op){
      .code = PROC_SPACE_SET, .fd = loaded->space, .a = loaded->ip, .b = loaded->sp};
}

#define LAYOUT_NAME "LAYOUT_SEED="
#define LAYOUT_NAME_LEN (sizeof(LAYOUT_NAME) - 1)

/* The seed that the environment asks for; 0: none. */
static uint64_t layout_wanted(const char *const *envp) {
  while (envp && *envp && strncmp(*envp, LAYOUT_NAME, LAYOUT_NAME_LEN) != 0) {
    envp++;
  }
  uint64_t seed = 0;
  const char *p = envp && *envp ? *envp + LAYOUT_NAME_LEN : "";
  for (; *p >= '0' && *p <= '9'; p++) {
    seed = seed * 10 + (uint64_t)(*p - '0');
  }
  return *p == '\0' ? seed : 0;
}

/* Seeds that differ from ours and from every other program's that we start. */
static void seeds_next(struct start_block *next, const struct start_block *ours, uint64_t wanted) {
  uint64_t state = ours->seed[0] ^ __builtin_ia32_rdtsc();
  next->seed[0] = rng_splitmix(&state);
  state ^= ours->seed[1];
  next->seed[1] = rng_splitmix(&state);
  if (wanted != 0) {
    next->layout = wanted;
    next->layout_stays = 1;
  } else if (!ours->layout_stays) {
    uint64_t fresh = state ^ ours->layout;
    next->layout = rng_splitmix(&fresh);
  }
}

void rt_start_copy(struct rt_start *start, const char *const *envp) {
  const struct start_block *ours = rt_start_block();
  const struct rt_start *whole = (const struct rt_start *)ours;
  memset(start, 0, sizeof(*start));
  start->block = *ours;
  start->real_timer = FD_NONE;
  if (ours->size >= offsetof(struct rt_start, ignored)) {
    start->ids = whole->ids;
  }
  start->block.ppid = rt_getpid();
  start->block.pid = 0; /* asked for by the program itself */
  seeds_next(&start->block, ours, layout_wanted(envp));
}

int rt_exec(const struct rt_program *program) {
  struct rt_loaded loaded;
  int result = rt_load(program, &loaded);
  if (result < 0) {
    return result;
  }
  struct proc_op ops[] = {
      {.code = PROC_FILES_SWEEP},
      {.code = PROC_ACTIONS_RESET},
      {.code = PROC_SIGCTL, .a = loaded.signals},
      step_name(&loaded),
      step_space(&loaded),
  };
  result = (int)rt_apply(FD_SELF, ops, sizeof(ops) / sizeof(ops[0]));
  (void)sys_close(loaded.space); /* only on failure is there an afterwards */
  return result;
}

int rt_execve(const char *path, const char *const *argv, const char *const *envp) {
  const struct start_block *ours = rt_start_block();
  struct rt_start start;
  rt_start_copy(&start, envp);
  struct rt_program program = {
      .path = path,
      .fd = FD_NONE,
      .name = path,
      .argv = argv,
      .envp = envp,
      .cwd = ours->cwd ? (const char *)ours->cwd : "file:/",
      .start = &start,
  };
  return rt_exec(&program);
}

int rt_spawn(const struct rt_program *program, const struct proc_op *steps, size_t n_steps) {
  struct rt_loaded loaded;
  struct rt_ids_new ids;
  if (n_steps > RT_SPAWN_STEPS) {
    return -ABI_EINVAL;
  }
  int result = rt_load(program, &loaded);
  if (result < 0) {
    return result;
  }
  struct proc_op ops[RT_SPAWN_STEPS + 10] = {
      {.code = PROC_PID, .a = (uint64_t)&ids.pid, .b = (uint64_t)&ids.tid},
      step_space(&loaded),
      {.code = PROC_FILES_COPY, .fd = FD_SELF},
      {.code = PROC_ACTIONS_COPY, .fd = FD_SELF},
      {.code = PROC_ACTIONS_RESET},
  };
  size_t n = 5;
  memcpy(ops + n, steps, n_steps * sizeof(*steps));
  n += n_steps;
  ops[n++] = (struct proc_op){.code = PROC_FILES_SWEEP};
  if (loaded.signals != 0) {
    ops[n++] = (struct proc_op){.code = PROC_SIGCTL, .a = loaded.signals};
  }
  ops[n++] = step_name(&loaded);
  ops[n++] = (struct proc_op){.code = PROC_START};
  children_lock();
  int64_t fd = sys_call(FD_SELF, OP_PROC_CREATE, ops, n * sizeof(ops[0]), 0, RT_PRIVATE);
  result = fd < 0 ? (int)fd : children_adopt(ids.pid, (int)fd);
  children_unlock();
  (void)sys_close(loaded.space);
  return result < 0 ? result : (int)ids.pid;
}
